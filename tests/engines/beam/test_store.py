"""Models in files on Beam's file systems: local disks, and object stores by a server of their protocol."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from shoal.engines.beam.store import FileStore, store_of_key
from shoal.errors import BadInputError, DamagedFileError, NewerFormatError, ShoalError
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.solve.k_means import k_means
from shoal.summary import wire
from shoal.summary.coreset import Coreset


def model_of(rows: int = 4) -> ClusterModel:
    X = np.array([[0.0], [1.0], [8.0], [9.0]])
    return build_model(X, np.ones(4), k_means(X, 2), provenance=Provenance(rows_seen=rows))


@pytest.fixture(scope="module")
def bucket():
    """An S3 server on this machine, and Beam told of it."""
    server_module = pytest.importorskip("moto.server", reason="moto is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed, so Beam has no s3://")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    address = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    told = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=address, **told).create_bucket(Bucket="models")
    FileSystems.set_options(
        PipelineOptions(
            s3_endpoint_url=address,
            s3_access_key_id="x",
            s3_secret_access_key="y",
            s3_region_name="us-east-1",
        )
    )
    yield "s3://models"
    FileSystems.set_options(PipelineOptions())
    server.stop()


@pytest.fixture(params=["local", "s3"])
def path(request, tmp_path) -> str:
    if request.param == "local":
        return str(tmp_path / "houses")
    return request.getfixturevalue("bucket") + f"/{tmp_path.name}/houses"


def test_versions_come_back_with_their_summary_and_note(path: str) -> None:
    store = FileStore(path)
    summary = Coreset(k_max=2, seed=3).update([[0.0], [1.0], [8.0]])
    assert store.newest() is None
    assert store.numbers() == []
    first = store.publish(model_of(4), summary, note={"day": 1}, after=0)
    second = store.publish(model_of(5), note={"day": 2}, after=1)
    assert (first.number, second.number) == (1, 2)
    assert store.newest() == second
    newest, older = store.load(), store.load(1)
    assert (newest.number, newest.path, newest.note, newest.summary) == (2, second.path, {"day": 2}, None)
    assert newest.model.provenance.rows_seen == 5
    assert older.note == {"day": 1}
    assert older.summary.to_bytes() == summary.to_bytes()
    assert store.load(first).model.version == older.model.version


def test_nobody_publishes_on_top_of_what_it_has_not_seen(path: str) -> None:
    store = FileStore(path)
    store.publish(model_of(), after=0)
    with pytest.raises(FileExistsError, match="is at version 1, not 0"):
        store.publish(model_of(), after=0)
    assert store.numbers() == [1]
    assert _unfinished(path) == []


def test_only_the_newest_are_kept_and_no_name_comes_twice(path: str) -> None:
    store = FileStore(path, keep=2)
    names = {store.publish(model_of()).path for _ in range(3)}
    assert len(names) == 3
    assert store.numbers() == [2, 3]
    assert {f.path for f in FileSystems.match([store.pattern])[0].metadata_list} <= names


def test_what_is_missing_is_told(path: str) -> None:
    store = FileStore(path)
    with pytest.raises(ShoalError, match="holds no model yet"):
        store.load()
    version = store.publish(model_of())
    with pytest.raises(ShoalError, match="holds no version 7"):
        store.load(7)
    FileSystems.delete([version.path])
    with pytest.raises(ShoalError, match="is gone"):
        store.load(version)


def test_a_damaged_file_is_named_and_deleting_it_goes_back(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    store.publish(model_of(4))
    damaged = store.publish(model_of(5)).path
    with FileSystems.open(damaged) as file:
        content = bytearray(file.read())
    content[len(content) // 2] ^= 1
    FileSystems.delete([damaged])
    with FileSystems.create(damaged) as file:
        file.write(bytes(content))
    with pytest.raises(DamagedFileError, match="delete it to go back") as told:
        store.load()
    assert damaged in str(told.value)
    FileSystems.delete([damaged])
    assert store.load().model.provenance.rows_seen == 4


def test_a_newer_format_is_named(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    path = Path(store.publish(model_of()).path)
    meta, arrays = wire.unpack("shoal.model", path.read_bytes())
    path.write_bytes(wire.pack("shoal.model", meta | {"packed": 99}, arrays))
    with pytest.raises(NewerFormatError, match=path.name):
        store.load()


def test_of_two_of_one_number_the_first_counts_and_both_stay_until_tidied(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path), keep=1)
    first = Path(store.publish(model_of(4)).path)
    twin = first.with_name("v00000001-00000000.shoal")
    twin.write_bytes(first.read_bytes())
    os.utime(first, (1000, 1000))
    os.utime(twin, (2000, 2000))
    assert store.newest().path == str(first)
    assert store.numbers() == [1]
    assert first.exists()
    assert twin.exists()
    store.publish(model_of(5))
    assert not first.exists()
    assert not twin.exists()


def test_a_writer_on_an_object_store_that_meets_a_rival_takes_its_version_back(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rival = FileStore(f"{bucket}/rivals"), FileStore(f"{bucket}/rivals")
    rename = FileSystems.rename

    def slow(sources: list[str], targets: list[str]) -> None:
        monkeypatch.setattr(FileSystems, "rename", rename)
        rival.publish(model_of(5))  # between the look and the rename
        rename(sources, targets)

    monkeypatch.setattr(FileSystems, "rename", slow)
    with pytest.raises(FileExistsError, match="another version 1"):
        store.publish(model_of(4), after=0)
    assert len(store.versions()) == 1
    assert store.load().model.provenance.rows_seen == 5


def test_many_local_writers_leave_nobody_out(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path), keep=100)

    def add(_: int) -> int:
        refused = 0
        while True:
            newest = store.newest()
            total = 0 if newest is None else store.load(newest).note["total"]
            try:
                store.publish(
                    model_of(), note={"total": total + 1}, after=0 if newest is None else newest.number
                )
            except FileExistsError:
                refused += 1
                continue
            return refused

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(20)))
    assert store.load().note == {"total": 20}
    assert store.numbers() == list(range(1, 21))
    assert len(store.versions()) == 20


def test_readers_always_find_a_whole_version(tmp_path: Path) -> None:
    store, done = FileStore(str(tmp_path), keep=1), threading.Event()
    store.publish(model_of())
    seen: list[int] = []

    def read() -> None:
        while not done.is_set():
            seen.append(store.load().number)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for _ in range(30):
            store.publish(model_of())
        done.set()
        for reader in readers:
            reader.result()
    assert set(seen) <= set(range(1, 32))
    assert len(seen) > 2


KILLED = """
import os, signal, sys
from apache_beam.io.filesystems import FileSystems
from test_store import model_of
from shoal.engines.beam.store import FileStore

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

FileSystems.rename = die
FileStore(sys.argv[1]).publish(model_of(99))
"""


def test_a_writer_that_is_killed_before_the_rename_leaves_what_was(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    store.publish(model_of(4))
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], env=here, check=False, capture_output=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert store.load().model.provenance.rows_seen == 4
    (left,) = _unfinished(str(tmp_path))
    assert store.publish(model_of(5)).number == 2  # its lock died with it
    assert Path(left).exists()
    old = time.time() - 7200
    os.utime(left, (old, old))
    store.publish(model_of(6))
    assert not Path(left).exists()
    assert store.numbers() == [1, 2, 3]


def test_keys_have_folders_of_their_own(tmp_path: Path) -> None:
    keys = ["a/b", "a_b", 7, "7", ("x", 1), "", "ü" * 300, "..", "*[?"]
    stores = [store_of_key(str(tmp_path), key) for key in keys]
    assert len({s.path for s in stores}) == len(keys)
    assert all(Path(s.path).parent == tmp_path for s in stores)
    assert store_of_key(str(tmp_path), 7).path == stores[2].path
    stores[0].publish(model_of(4))
    stores[1].publish(model_of(5))
    assert stores[0].load().model.provenance.rows_seen == 4
    assert FileStore(str(tmp_path)).newest() is None


@pytest.mark.parametrize("path", ["", "/models/a*", "/models/[x]"])
def test_paths_that_beam_would_misread_are_refused(path: str) -> None:
    with pytest.raises(BadInputError, match="no folder for models"):
        FileStore(path)


def test_at_least_one_version_is_kept() -> None:
    with pytest.raises(BadInputError, match="keep at least 1"):
        FileStore("/models", keep=0)


def _unfinished(path: str) -> list[str]:
    return [f.path for f in FileSystems.match([path + "/unfinished-*.tmp"])[0].metadata_list]


def test_a_folder_that_cannot_be_written_is_told_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileStore(str(tmp_path / "file" / "houses"))
    for write in (store.check, lambda: store.publish(model_of())):
        with pytest.raises(
            BadInputError, match=r"file/houses: models cannot be written here .*; choose a folder"
        ):
            write()


def test_a_look_at_whether_a_store_can_be_written_leaves_nothing(path: str) -> None:
    store = FileStore(path)
    store.check()
    assert _unfinished(path) == []
    assert store.numbers() == []
