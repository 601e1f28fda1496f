"""Everything that can be opened, and newer versions of it."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shoal
from shoal.cli import main
from shoal.engines.beam.store import FileStore
from shoal.errors import ShoalError
from shoal.model.packed import pack_model
from shoal.model.persistence import save_model
from shoal.model.store import ModelStore
from shoal.serve.models import Models


@pytest.fixture
def model(plain):
    return plain[1]


def test_a_model_directory_and_its_replacement_are_served(tmp_path, model):
    first = save_model(model, tmp_path / "m")
    models = Models.of_path(tmp_path / "m")
    before = models.get("m")
    assert before.version == first.version
    assert not models.refresh()
    second = save_model(model.replace(parent="x"), tmp_path / "m")
    assert models.refresh()
    assert models.get("m").version == second.version
    assert before.version == first.version


def test_a_packed_file_is_served(tmp_path, model):
    (tmp_path / "m.shoal").write_bytes(pack_model(model))
    served = Models.of_path(tmp_path / "m.shoal").get("m")
    np.testing.assert_array_equal(served.model.centres, model.centres)
    assert served.version == model.version


@pytest.mark.parametrize("kind", [ModelStore, FileStore])
def test_the_newest_version_of_a_store_is_served(tmp_path, model, kind):
    store = kind(str(tmp_path / "s"), keep=2)
    store.publish(model)
    models = Models.of_path(tmp_path / "s")
    assert models.get("s").version == "1"
    for number in (2, 3, 4):
        store.publish(model)
        assert models.refresh()
        assert models.get("s").version == str(number)
    assert not models.refresh()


def test_what_cannot_be_read_leaves_the_version_before(tmp_path, model, caplog):
    store = ModelStore(tmp_path)
    store.publish(model)
    models = Models.of_path(tmp_path)
    store.publish(model)
    (store.path(2) / "manifest.json").write_text("{")
    assert not models.refresh()
    assert not models.refresh()
    assert models.get(tmp_path.name).version == "1"
    assert caplog.text.count("stays as it is") == 1
    store.publish(model)
    assert models.refresh()
    assert models.get(tmp_path.name).version == "3"


def test_what_is_no_model_is_refused_at_the_start(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ShoalError, match="neither"):
        Models.of_path(tmp_path)
    with pytest.raises(ShoalError, match="does not exist"):
        Models.of_path(tmp_path / "nowhere")
    with pytest.raises(ShoalError):
        Models.of_path(tmp_path / "notes.txt")


def test_watching_finds_versions_and_ends(tmp_path, model):
    store = ModelStore(tmp_path)
    models = Models.of_path(tmp_path)
    found = threading.Event()
    with models.watching(0.01):
        store.publish(model)
        for _ in range(500):
            if models.is_ready:
                found.set()
                break
            threading.Event().wait(0.01)
    assert found.is_set()
    assert "shoal-refresh" not in {t.name for t in threading.enumerate()}


def test_the_state_of_a_stream_is_served_as_it_goes_on(tmp_path, rows):
    def learn(*options):
        with pytest.raises(SystemExit) as ended:
            main(["stream", str(tmp_path / "new"), "--state", str(tmp_path / "state"), "-k", "3", *options])
        assert not ended.value.code

    (tmp_path / "new").mkdir()
    pq.write_table(pa.table({"a": rows[:, 0], "b": rows[:, 1]}), tmp_path / "new/1.parquet")
    learn()
    models = Models.of_path(tmp_path / "state")
    before = models.get("state")
    assert before.version
    np.testing.assert_array_equal(before.model.centres, shoal.load(tmp_path / "state").model.centres)
    pq.write_table(pa.table({"a": rows[:, 2] + 9, "b": rows[:, 3]}), tmp_path / "new/2.parquet")
    learn()
    assert models.refresh()
    assert models.get("state").version != before.version
    np.testing.assert_array_equal(
        models.get("state").model.centres, shoal.load(tmp_path / "state").model.centres
    )
