"""Objects of channels: prefixes, manifests, shares of instances, and pipes."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sagemaker import job_cloud

from shoal.errors import BadInputError, DamagedFileError
from shoal.sagemaker.job_inputs import PipeFeeder, dealt, lay_out, objects_of
from shoal.sagemaker.job_spec import ChannelSpec
from shoal.sagemaker.remote_files import Place, Reading, RemoteObject, objects_under, place_of, send
from shoal.sagemaker.tree import Tree


@pytest.fixture(scope="module")
def cloud():
    with job_cloud.cloud() as found:
        yield found


def names(objects):
    return [o.name for o in objects]


def going():
    """Always."""


def test_a_prefix_is_text_and_no_folder(cloud):
    for key in ("in/train/b.csv", "in/train/sub/a.csv", "in/train2/c.csv", "in/trainer", "in/other/d.csv"):
        cloud.put(key, b"1\n")
    at = lambda key: place_of(cloud.uri(key), cloud.url)  # noqa: E731
    assert names(objects_under(at("in/train/"))) == ["b.csv", "sub/a.csv"]
    found = ["train/b.csv", "train/sub/a.csv", "train2/c.csv", "trainer"]
    assert names(objects_under(at("in/train"))) == found
    assert names(objects_under(at("in/train/b.csv"))) == ["b.csv"]
    assert len(objects_under(at(""))) == 5


def test_keys_are_taken_as_they_are_written(cloud):
    for key in ("odd/50%25.csv", "odd/a?b=c.csv", "odd/a b#1.csv"):
        cloud.put(key, key.encode())
    found = objects_under(place_of(cloud.uri("odd/"), cloud.url))
    assert names(found) == ["50%25.csv", "a b#1.csv", "a?b=c.csv"]
    assert [Reading(o).read() for o in found] == [b"odd/50%25.csv", b"odd/a b#1.csv", b"odd/a?b=c.csv"]


def test_a_manifest_names_objects_of_a_prefix(cloud):
    for key in ("m/x/2.pbr", "m/x/1.pbr", "m/x/not.pbr"):
        cloud.put(key, b"1")
    manifest = [{"prefix": cloud.uri("m/x/")}, "2.pbr", "1.pbr"]
    channel = ChannelSpec("train", cloud.put("m/list", json.dumps(manifest).encode()), kind="ManifestFile")
    assert names(objects_of(channel, cloud.url)) == ["1.pbr", "2.pbr"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is no manifest"),
        (b"[]", "is no manifest"),
        (b'["a"]', "is no manifest"),
        (b'[{"prefix": "s3://BUCKET/m/"}]', "is no manifest"),
        (b'[{"prefix": "s3://BUCKET/m/"}, "missing"]', "s3://BUCKET/m/missing, which is not there"),
        (b'[{"prefix": "/etc/"}, "passwd"]', "not on S3"),
    ],
)
def test_a_manifest_that_is_none_is_named(cloud, content, words):
    uri = cloud.put("m/bad", content.replace(b"BUCKET", cloud.bucket.encode()))
    with pytest.raises(BadInputError) as caught:
        objects_of(ChannelSpec("train", uri, kind="ManifestFile"), cloud.url)
    assert words.replace("BUCKET", cloud.bucket) in str(caught.value)
    assert caught.value.place == uri


def test_nothing_leaves_the_folder_of_its_channel(tmp_path):
    (tmp_path / "x").write_text("1")
    (tmp_path / "in").mkdir()
    (tmp_path / "list").write_text(json.dumps([{"prefix": f"{tmp_path}/in/"}, "../x"]))
    with pytest.raises(BadInputError, match="no name of a file"):
        objects_of(ChannelSpec("train", str(tmp_path / "list"), kind="ManifestFile"))


@pytest.mark.parametrize("uri", ["s3://no-such-bucket/x", "s3:///x", "gs://b/x", "/nowhere/at/all"])
def test_a_place_where_nothing_is_is_named(cloud, uri):
    with pytest.raises(BadInputError, match=uri):
        objects_of(ChannelSpec("train", uri), cloud.url)


@settings(deadline=None, max_examples=30)
@given(st.sets(st.text("abc/", min_size=1), max_size=9), st.integers(1, 5), st.randoms())
def test_shares_of_instances_are_parts_of_the_whole_in_any_order(keys, hosts, random):
    objects = [RemoteObject(key, Place(None, key, key), 1) for key in keys]
    random.shuffle(objects)
    shares = [names(dealt(objects, "ShardedByS3Key", rank, hosts)) for rank in range(hosts)]
    assert sorted(name for share in shares for name in share) == sorted(keys)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert shares[0] == sorted(keys)[::hosts]
    assert names(dealt(objects, "FullyReplicated", 0, hosts)) == sorted(keys)


def test_gzip_is_unpacked_on_the_way_and_loses_its_ending(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv.gz").write_bytes(gzip.compress(b"1,2\n"))
    tree, channel = Tree(tmp_path), ChannelSpec("train", str(tmp_path / "in"), packing="Gzip")
    lay_out(channel, objects_of(channel), tree, going)
    assert (tree.folder("train") / "a.csv").read_bytes() == b"1,2\n"


@pytest.mark.parametrize(
    "damaged",
    [b"1,2\n", gzip.compress(bytes(1000))[:-9], b"\x1f\x8b\x08\0" + b"x" * 40],
    ids=["text", "cut", "garbage"],  # not the bytes, which tell the second they were packed in
)
def test_damaged_gzip_is_named(tmp_path, damaged):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv.gz").write_bytes(damaged)
    channel = ChannelSpec("train", str(tmp_path / "in"), packing="Gzip")
    with pytest.raises(DamagedFileError, match=r"a\.csv\.gz"):
        lay_out(channel, objects_of(channel), Tree(tmp_path), going)


def test_fast_file_links_what_is_here_and_file_copies_it(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text("1\n")
    for mode, linked in (("FastFile", True), ("File", False)):
        tree, channel = Tree(tmp_path / mode), ChannelSpec("train", f"{tmp_path}/in", mode=mode)
        lay_out(channel, objects_of(channel), tree, going)
        target = tree.folder("train") / "a.csv"
        assert (target.is_symlink(), target.read_text()) == (linked, "1\n")


@pytest.fixture
def feeder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text("1,2\n3,4")
    (tmp_path / "in/b.csv").write_text("5,6\n")
    channel = ChannelSpec("train", str(tmp_path / "in"), mode="Pipe", content_type="text/csv")
    made = PipeFeeder(channel, objects_of(channel), Tree(tmp_path))
    made.start()
    yield made
    made.close()


def read(path):
    end = time.monotonic() + 10
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return path.read_bytes()


def test_every_read_has_a_pipe_of_its_own_and_rows_of_two_objects_stay_apart(feeder):
    for epoch in range(3):
        assert read(feeder.tree.fifo("train", epoch)) == b"1,2\n3,4\n5,6\n"
    assert feeder.problem is None


def test_markers_are_no_data_in_a_pipe(tmp_path):
    (tmp_path / "in/_temporary").mkdir(parents=True)
    for name in ("_SUCCESS", ".amazon.manifest", "_temporary/x.csv", "real.csv"):
        (tmp_path / "in" / name).write_text(f"{name}\n")
    channel = ChannelSpec("train", str(tmp_path / "in"), mode="Pipe", content_type="text/csv")
    made = PipeFeeder(channel, objects_of(channel), Tree(tmp_path))
    made.start()
    assert read(made.tree.fifo("train", 0)) == b"real.csv\n"
    made.close()


def test_a_reader_may_have_had_enough(feeder, tmp_path):
    (tmp_path / "in/a.csv").write_bytes(b"1,2\n" * 300_000)
    with feeder.tree.fifo("train", 0).open("rb") as pipe:
        assert pipe.read(4) == b"1,2\n"
    assert len(read(feeder.tree.fifo("train", 1))) == 1_200_004
    assert feeder.problem is None


def test_an_object_that_goes_away_is_told_and_does_not_look_like_the_end(feeder, tmp_path):
    (tmp_path / "in/b.csv").unlink()
    read(feeder.tree.fifo("train", 0))
    feeder.close()
    assert "b.csv" in feeder.problem


def test_a_feeder_without_a_reader_ends_when_it_is_closed(feeder):
    [thread] = [t for t in threading.enumerate() if t.name == "feed train"]
    feeder.close()
    assert not thread.is_alive()


def test_what_is_sent_is_there_whole(cloud, tmp_path):
    (tmp_path / "x").write_bytes(os.urandom(3_000_000))
    for target in (cloud.uri("sent/x"), f"{tmp_path}/far/away/x"):
        send(tmp_path / "x", place_of(target, cloud.url))
        [found] = objects_under(place_of(target, cloud.url))
        assert found.size == 3_000_000
    assert cloud.get(cloud.uri("sent/x")) == (tmp_path / "far/away/x").read_bytes()


def test_objects_whose_names_differ_only_in_their_packing_stay_two_files(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.csv", "a.csv.gz", "a.csv.1"):
        (tmp_path / "in" / name).write_bytes(gzip.compress(name.encode()))
    tree, channel = Tree(tmp_path), ChannelSpec("train", str(tmp_path / "in"), packing="Gzip")
    lay_out(channel, objects_of(channel), tree, going)
    found = sorted(p.read_text() for p in tree.folder("train").iterdir())
    assert found == ["a.csv", "a.csv.1", "a.csv.gz"]
    assert not list(tree.folder("train").glob("*.gz"))


@pytest.mark.parametrize("packing", ["None", "Gzip"])
def test_packed_texts_and_marks_of_their_order_of_bytes_join_in_a_pipe(tmp_path, packing):
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / f"in/{name}.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf1,2"))
    where = str(tmp_path / "in")
    channel = ChannelSpec("train", where, mode="Pipe", content_type="text/csv", packing=packing)
    made = PipeFeeder(channel, objects_of(channel), Tree(tmp_path))
    made.start()
    assert read(made.tree.fifo("train", 0)) == b"1,2\n1,2\n"
    made.close()


def test_a_manifest_nested_too_deeply_is_none(tmp_path):
    (tmp_path / "manifest").write_text("[" * 100_000)
    channel = ChannelSpec("train", str(tmp_path / "manifest"), kind="ManifestFile")
    with pytest.raises(BadInputError, match="is no manifest"):
        objects_of(channel)
