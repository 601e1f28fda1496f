"""Artefacts: ours come back whole, others as centres, and nothing is unpacked where it should not be."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import shoal.sagemaker.artefact as module
from shoal.engines.local import fit
from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.sagemaker import tar_file
from shoal.sagemaker.artefact import read_artefact, write_artefact
from shoal.sagemaker.ndarray_file import ndarray_bytes, read_ndarrays

CENTRES = np.float32([[0, 0], [10, 10], [3, 4]])


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(size=(300, 2)), rng.normal(size=(100, 2)) + 1e6]).astype(np.float32)
    return X, fit(X, k=2)


@pytest.mark.parametrize("name", ["model.tar.gz", "model.tgz", "model"])
def test_ours_come_back_whole(tmp_path, fitted, name):
    _, made = fitted
    saved = write_artefact(tmp_path / name, made.model, made.summary)
    found = read_artefact(tmp_path / name)
    assert found.made_here
    assert found.model.version == saved.version
    np.testing.assert_array_equal(found.model.centres, made.model.centres)
    np.testing.assert_array_equal(found.model.weights, made.model.weights)
    assert found.model.recipe == made.model.recipe
    assert found.model.quality == pytest.approx(made.model.quality, nan_ok=True)
    assert found.summary.to_bytes() == made.summary.to_bytes()


def test_the_summary_may_stay_away(tmp_path, fitted):
    write_artefact(tmp_path / "m.tar.gz", fitted[1].model)
    found = read_artefact(tmp_path / "m.tar.gz")
    assert (found.summary, found.made_here) == (None, True)


def test_equal_models_give_equal_bytes(tmp_path, fitted):
    _, made = fitted
    for name in ("a.tar.gz", "b.tar.gz"):
        write_artefact(tmp_path / name, made.model, made.summary)
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        entries = archive.getmembers()
    assert [e.name for e in entries] == sorted(e.name for e in entries)
    assert {(e.mtime, e.uid, e.gid, e.uname) for e in entries} == {(0, 0, 0, "")}


def test_other_readers_find_centres_that_label_rows_alike(tmp_path, fitted):
    X, made = fitted
    write_artefact(tmp_path, made.model)
    raw = (tmp_path / "model_algo-1").read_bytes()
    assert raw[:36] == struct.pack("<QQQIii", 0x112, 0, 1, 0xF993FAC9, 0, 2)
    (centres,) = read_ndarrays(raw)
    assert (centres.dtype, centres.shape) == (np.float32, (2, 2))
    nearest = ((X[:, None].astype(float) - centres) ** 2).sum(axis=2).argmin(axis=1)
    ours = made.assign(X).positions
    np.testing.assert_array_equal(nearest, ours)


def test_rows_that_were_only_moved_are_moved_back():
    # far from zero, so that the recipe moves the columns to their mean
    rng = np.random.default_rng(2)
    X = rng.normal(size=(200, 2)) + 1e7
    model = fit(pa.table({"v": list(X)}), k=1).model
    np.testing.assert_allclose(module.portable_centres(model), X.mean(axis=0)[None], atol=1.0)
    assert np.abs(model.centres).max() < 1


def archive_of(path: Path, **members: bytes | tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            entry = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def elsewhere(tmp_path: Path, kind: str) -> Path:
    raw = ndarray_bytes([CENTRES])
    if kind == "file":
        (tmp_path / "model_algo-1").write_bytes(raw)
        return tmp_path / "model_algo-1"
    if kind == "folder":
        (tmp_path / "model_algo-1").write_bytes(raw)
        (tmp_path / "state_1f2e").write_bytes(b"anything")
        return tmp_path
    dot = "./" if kind == "dotted" else ""
    path = archive_of(tmp_path / "m.tar.gz", **{dot + "model_algo-1": raw, dot + "state_1f2e": b"anything"})
    if kind == "plain tar":
        plain = tmp_path / "m.tar"
        plain.write_bytes(gzip.decompress(path.read_bytes()))
        return plain
    return path


@pytest.mark.parametrize("kind", ["file", "folder", "archive", "dotted", "plain tar"])
def test_artefacts_made_elsewhere_become_models_of_their_centres(tmp_path, kind):
    found = read_artefact(elsewhere(tmp_path, kind))
    model = found.model
    assert (found.made_here, found.summary, model.feature_names) == (False, None, ("x0", "x1"))
    np.testing.assert_array_equal(model.centres, CENTRES)
    labels = model.assign(np.float32([[3, 5], [9, 9]]))
    assert labels.positions.tolist() == [2, 1]
    np.testing.assert_allclose(labels.distances, [1, np.sqrt(2)])


def test_what_is_not_known_of_them_is_not_made_up(tmp_path):
    model = read_artefact(elsewhere(tmp_path, "archive")).model
    assert model.provenance.rows_seen == 0
    assert model.weights.tolist() == [1 / 3] * 3
    assert "unknown" in model.provenance.sources[0]
    assert model.quality == {"sizes_known": 0.0}
    assert not model.is_outlier(np.float32([[1e9, 0], [0, 0]])).any()


def test_a_model_made_elsewhere_can_be_saved_as_ours(tmp_path):
    model = read_artefact(elsewhere(tmp_path, "archive")).model
    write_artefact(tmp_path / "ours.tar.gz", model)
    found = read_artefact(tmp_path / "ours.tar.gz")
    assert found.made_here
    assert found.model.quality == {"sizes_known": 0.0}
    np.testing.assert_array_equal(found.model.centres, CENTRES)


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, "/etc/passwd"
    return entry


@pytest.mark.parametrize(
    "member",
    [
        {"../model_algo-1": b"x"},
        {"/model_algo-1": b"x"},
        {"shoal/../../x": b"x"},
        {"model_algo-1": link("model_algo-1", tarfile.SYMTYPE)},
        {"shoal/manifest.json": link("shoal/manifest.json", tarfile.LNKTYPE)},
        {"pipe": link("pipe", tarfile.FIFOTYPE)},
    ],
)
def test_archives_that_reach_outside_are_refused(tmp_path, member):
    with pytest.raises(DamagedFileError, match="unsafe"):
        read_artefact(archive_of(tmp_path / "m.tar.gz", **member))


def test_archives_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    path = archive_of(tmp_path / "m.tar.gz", big=bytes(1 << 20))
    monkeypatch.setattr(tar_file, "LARGEST", 1 << 19)
    with pytest.raises(DamagedFileError, match="too much"):
        read_artefact(path)


def header(name: str, size: int, kind: bytes) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, kind
    return entry.tobuf(tarfile.GNU_FORMAT)


LONG_NAME = header("././@LongLink", 5, tarfile.GNUTYPE_LONGNAME) + b"abcd\0" + bytes(507)
FOLDER = header("shoal", 8 << 20, tarfile.DIRTYPE)  # whatever size it claims, nothing follows


@pytest.mark.parametrize(
    "blocks",
    [
        header("pax", 64 << 20, tarfile.XHDTYPE) + bytes(64 << 20),
        header("pax", 64 << 20, tarfile.XGLTYPE) + bytes(64 << 20),
        FOLDER + header("pax", 8 << 20, tarfile.XHDTYPE) + bytes(8 << 20),
        header("x", 64 << 20, tarfile.GNUTYPE_LONGLINK) + bytes(64 << 20),
        LONG_NAME * 2000,
        header("pax", 18, tarfile.XHDTYPE) + b"18 path=shoal/a\0b\n".ljust(512, b"\0"),
    ],
    ids=["pax", "global", "after a folder", "long link", "long names", "NUL"],
)
def test_headers_that_fill_memory_or_nest_are_damage(tmp_path, blocks):
    path = tmp_path / "m.tar.gz"
    path.write_bytes(gzip.compress(blocks + header("x", 0, tarfile.REGTYPE) + bytes(1024), 1))
    del blocks
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError):
            read_artefact(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_wrong_checksum_is_noticed(tmp_path):
    raw = bytearray(elsewhere(tmp_path, "archive").read_bytes())
    raw[-6] ^= 1
    (tmp_path / "bad.tar.gz").write_bytes(raw)
    with pytest.raises(DamagedFileError, match="CRC"):
        read_artefact(tmp_path / "bad.tar.gz")


def test_centres_made_elsewhere_take_the_metric_that_is_named(tmp_path):
    (tmp_path / "model_algo-1").write_bytes(ndarray_bytes([CENTRES[1:]]))
    model = read_artefact(tmp_path, metric="cosine").model
    assert model.metric == "cosine"
    np.testing.assert_allclose(np.linalg.norm(model.centres, axis=1), 1)


@pytest.mark.parametrize(
    "arrays", [[], [CENTRES, CENTRES], [CENTRES[0]], [CENTRES.astype(int)], [CENTRES[:0]], [CENTRES * np.nan]]
)
def test_files_that_hold_no_centres_are_refused(tmp_path, arrays):
    (tmp_path / "model_algo-1").write_bytes(ndarray_bytes(arrays))
    with pytest.raises(BadInputError):
        read_artefact(tmp_path)


def test_empty_and_cut_archives_are_errors(tmp_path, fitted):
    with pytest.raises(ShoalError, match="not there"):
        read_artefact(tmp_path / "nothing")
    with pytest.raises(ShoalError, match="no model_algo-1"):
        read_artefact(archive_of(tmp_path / "m.tar.gz", other=b"x"))
    write_artefact(tmp_path / "n.tar.gz", fitted[1].model, fitted[1].summary)
    (tmp_path / "n.tar.gz").write_bytes((tmp_path / "n.tar.gz").read_bytes()[:-500])
    with pytest.raises(DamagedFileError):
        read_artefact(tmp_path / "n.tar.gz")


def test_exchanged_centres_are_noticed(tmp_path, fitted):
    write_artefact(tmp_path, fitted[1].model)
    (tmp_path / "model_algo-1").write_bytes(ndarray_bytes([CENTRES[:2]]))
    with pytest.raises(DamagedFileError, match="different centres"):
        read_artefact(tmp_path)


def test_a_changed_manifest_is_noticed(tmp_path, fitted):
    write_artefact(tmp_path, fitted[1].model)
    manifest = json.loads((tmp_path / "shoal/manifest.json").read_bytes())
    (tmp_path / "shoal/manifest.json").write_text(json.dumps(manifest | {"metric": "cosine"}))
    with pytest.raises(DamagedFileError):
        read_artefact(tmp_path)
