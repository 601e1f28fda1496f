"""A store of numbered models: whole or not there, whoever writes and whenever it dies."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

import shoal
from shoal.errors import DamagedFileError, ShoalError
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.model.events import Event
from shoal.model.store import ModelStore
from shoal.solve.k_means import k_means
from shoal.summary.coreset import Coreset

X = np.array([[0.0], [1.0], [8.0], [9.0]])


def model(rows: int = 4) -> ClusterModel:
    return build_model(X, np.ones(4), k_means(X, 2), provenance=Provenance(rows_seen=rows))


def test_versions_are_numbered_and_the_oldest_leave(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "s", keep=3)
    assert store.latest_number() is None
    assert [store.publish(model(n), note={"n": n}) for n in range(5)] == [1, 2, 3, 4, 5]
    assert store.numbers() == [3, 4, 5]
    assert store.load().note == {"n": 4}
    assert store.load(3).model.provenance.rows_seen == 2
    assert {p.name for p in store.folder.glob("[!.]*")} == {f"v0000000{n}" for n in (3, 4, 5)}
    assert not list(store.folder.glob(".tmp-*"))


def test_the_summary_goes_along(tmp_path: Path) -> None:
    store, summary = ModelStore(tmp_path), Coreset().update(X)
    store.publish(model(), summary)
    held = store.load()
    assert held.summary is not None
    assert held.summary.to_bytes() == summary.to_bytes()
    opened = shoal.load(tmp_path)
    assert opened.model.version == held.model.version
    assert opened.summary.to_bytes() == summary.to_bytes()
    assert store.load(with_summary=False).summary is None


def test_nobodys_version_is_overwritten(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    assert store.publish(model(), after=0) == 1
    with pytest.raises(FileExistsError):
        store.publish(model(), after=0)
    assert store.publish(model(), after=1) == 2
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_number_that_was_swept_away_is_not_free(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, keep=1)
    for _ in range(3):
        store.publish(model())
    assert store.numbers() == [3]
    with pytest.raises(FileExistsError, match="is at version 3, not 1"):
        store.publish(model(), after=1)
    assert store.numbers() == [3]


def test_readers_of_the_newest_never_see_it_go(tmp_path: Path) -> None:
    """With one version kept, every publish sweeps away what a reader may just have chosen."""
    store, over = ModelStore(tmp_path, keep=1), threading.Event()
    store.publish(model(0), Coreset().update(X))
    wrong: list[BaseException] = []
    seen = [0]

    def read() -> None:
        try:
            while not over.is_set():
                held = ModelStore(tmp_path).load()
                assert held.summary is not None
                seen.append(held.number)
        except BaseException as error:
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(40):
        store.publish(model(n), Coreset().update(X))
    over.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(seen) > 1


def test_events_are_read_from_the_notes(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "s")
    assert store.latest_number() is None
    born, grew = Event("born", 1.0, 0, 4.0, 1.0), Event("grew", 2.0, 0, 8.0, 1.0, detail={"before": 0.5})
    store.publish(model(), note={"events": [born.to_dict()]})
    store.publish(model())
    store.publish(model(), note={"events": [grew.to_dict()]})
    assert store.latest_number() is not None
    assert store.events() == [(1, born), (3, grew)]
    assert store.events(since=1) == [(3, grew)]
    with pytest.raises(ShoalError, match="v00000009 is no version"):
        store.note(9)


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    def write(name: int) -> None:
        for _ in range(5):
            ModelStore(tmp_path, keep=100).publish(model(), note={"writer": name})

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = ModelStore(tmp_path, keep=100)
    assert store.numbers() == list(range(1, 21))
    writers = [store.load(n).note["writer"] for n in store.numbers()]
    assert sorted(writers) == sorted(list(range(4)) * 5)


def test_a_crash_before_the_rename_leaves_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ModelStore(tmp_path)
    store.publish(model(1))

    def crash(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        store.publish(model(2))
    monkeypatch.undo()
    assert store.numbers() == [1]
    left = tmp_path / ".tmp-dead"
    left.mkdir()
    os.utime(left, (0, 0))
    assert store.publish(model(3)) == 2
    assert not left.exists()


def test_a_damaged_version_is_named_with_the_way_back(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    store.publish(model(1))
    store.publish(model(2))
    manifest = tmp_path / "v00000002/manifest.json"
    text = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(text | {"k": 99}))
    with pytest.raises(DamagedFileError, match=r"remove .*v00000002 to go back to the version before"):
        store.load()
    assert store.load(1).model.provenance.rows_seen == 1


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ShoalError, match="holds no model yet"):
        ModelStore(tmp_path / "none").load()
    with pytest.raises(ShoalError, match="no version of a model"):
        ModelStore(tmp_path).load(7)
    (tmp_path / "file").write_text("")
    with pytest.raises(ShoalError, match="is a file, not a store"):
        ModelStore(tmp_path / "file").numbers()
