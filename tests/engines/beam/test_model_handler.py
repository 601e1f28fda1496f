"""``RunInference`` with Shoal's models: files, folders of versions, keys, bad elements, models that change."""

import re
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.io.filesystem import FileMetadata, FileSystem
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import (
    KeyedModelHandler,
    KeyModelMapping,
    ModelMetadata,
    RunInference,
)
from apache_beam.ml.inference.utils import WatchFilePattern, _GetLatestFileByTimeStamp
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.test_stream import TestStream
from apache_beam.testing.util import assert_that
from apache_beam.transforms import window
from apache_beam.transforms.window import TimestampedValue

from shoal.engines.beam.labels import ClusterLabel
from shoal.engines.beam.model_handler import ShoalModelHandler
from shoal.engines.beam.rows import Fields
from shoal.engines.beam.store import FileStore
from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.model.persistence import save_model
from shoal.solve.k_means import k_means

X = np.array([[0.0, 0.0], [0.0, 1.0], [0.5, 0.5], [9.0, 9.0], [9.0, 8.0]])


def model_of(shift: float = 0.0, metric: Any = "euclidean") -> ClusterModel:
    rows = X + shift
    if metric == "cosine":
        rows = np.array([[1.0, 0.0], [1.0, 0.01], [1.0, 0.02], [0.0, 1.0], [0.01, 1.0]])
        rows /= np.linalg.norm(rows, axis=1)[:, None]
    found = k_means(rows, 2, metric=metric)
    return build_model(rows, np.ones(5), found, metric=metric, provenance=Provenance(rows_seen=5))


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    made = FileStore(str(tmp_path / "models"))
    made.publish(model_of())
    return made


def label(handler: ShoalModelHandler, batch: list) -> list:
    return list(handler.run_inference(batch, handler.load_model()))


def test_a_file_a_folder_of_versions_and_a_saved_model_are_models(store: FileStore, tmp_path: Path) -> None:
    first = store.newest()
    second = store.publish(model_of(1.0))
    save_model(model_of(), tmp_path / "saved")
    wanted = {
        first.path: first.path,
        store.path: second.path,
        str(tmp_path / "saved"): str(tmp_path / "saved"),
    }
    for given, used in wanted.items():
        results = label(ShoalModelHandler(given), [(0.0, 0.0), (9.0, 9.0)])
        assert [int(r.inference) for r in results] == [0, 1]
        assert [r.model_id for r in results] == [used, used]


def test_elements_of_all_kinds_get_what_the_model_says(store: FileStore) -> None:
    by_name = Fields(("a", "b"))
    plain = label(ShoalModelHandler(store.path), [(0.0, 1.0), [0, 1], np.array([0.0, 1.0])])
    named = label(
        ShoalModelHandler(store.path, by_name), [{"b": 1.0, "a": 0.0, "c": "x"}, beam.Row(a=0.0, b=1.0)]
    )
    assert [r.inference for r in plain + named] == [0] * 5
    (row,) = model_of().assign(np.array([[0.0, 1.0]])).distances
    assert all(isinstance(r.inference, ClusterLabel) for r in plain + named)
    assert {r.inference.distance for r in plain + named} == {row}
    assert {r.inference.version for r in plain} == {store.load().model.version}


def test_directions_are_measured_as_directions(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    store.publish(model_of(metric="cosine"))
    results = label(ShoalModelHandler(store.path), [(500.0, 1.0), (0.0, 0.001), (0.0, 0.0)])
    assert [r.inference for r in results] == [0, 1, None]


def test_a_bad_element_takes_nobody_along(store: FileStore) -> None:
    batch = [(0.0, 0.0), "x", (9.0, 9.0), (1.0,), (float("nan"), 1.0), None, (9.0, 8.0)]

    def check(results: list) -> None:
        found = {repr(r.example): r.inference for r in results}
        assert [found[repr(e)] for e in batch] == [0, None, 1, None, None, None, 1]

    with TestPipeline() as pipeline:
        labelled = (
            pipeline | beam.Create(batch) | RunInference(ShoalModelHandler(store.path, min_batch_size=7))
        )
        assert_that(labelled, check)
    done = pipeline.result.metrics().query(beam.metrics.MetricsFilter().with_name("refused"))
    assert [c.committed for c in done["counters"]] == [4]
    assert label(ShoalModelHandler(store.path), []) == []
    assert [r.inference for r in label(ShoalModelHandler(store.path), ["x"])] == [None]


def test_keys_stay_with_their_elements(store: FileStore) -> None:
    rows = [(f"house {i}", tuple(row)) for i, row in enumerate(X.tolist())]

    def check(results: list) -> None:
        assert {key: int(r.inference) for key, r in results} == {
            "house 0": 0,
            "house 1": 0,
            "house 2": 0,
            "house 3": 1,
            "house 4": 1,
        }

    with TestPipeline() as pipeline:
        labelled = (
            pipeline | beam.Create(rows) | RunInference(KeyedModelHandler(ShoalModelHandler(store.path)))
        )
        assert_that(labelled, check)


def test_each_key_may_have_a_model_of_its_own(store: FileStore, tmp_path: Path) -> None:
    other = FileStore(str(tmp_path / "others"))
    other.publish(model_of(100.0))
    handlers = [
        KeyModelMapping(["near"], ShoalModelHandler(store.path)),
        KeyModelMapping(["far"], ShoalModelHandler(other.path)),
    ]
    rows = [("near", (9.0, 9.0)), ("far", (9.0, 9.0))]

    def check(results: list) -> None:
        assert {key: (int(r.inference), r.model_id) for key, r in results} == {
            "near": (1, store.newest().path),
            "far": (0, other.newest().path),
        }

    with TestPipeline() as pipeline:
        assert_that(pipeline | beam.Create(rows) | RunInference(KeyedModelHandler(handlers)), check)


def test_a_model_may_live_in_another_process(store: FileStore) -> None:
    handler = ShoalModelHandler(store.path, large_model=True)
    with TestPipeline() as pipeline:
        labelled = pipeline | beam.Create([(0.0, 0.0), (9.0, 9.0), "x"]) | RunInference(handler)
        assert_that(labelled, lambda found: _same({r.inference for r in found}, {0, 1, None}))


def test_a_new_version_labels_what_comes_later(store: FileStore) -> None:
    old, new = store.newest().path, store.publish(model_of(5.0)).path
    events = TestStream()
    for second, path in ((1, old), (11, new)):
        events = events.add_elements([TimestampedValue(("model", path), second)], tag="models")
        events = events.add_elements([TimestampedValue((5.0, 5.0), second)], tag="rows")
        events = events.advance_watermark_to(second + 9, tag="models").advance_watermark_to(
            second + 9, tag="rows"
        )
    events = events.advance_watermark_to_infinity("models").advance_watermark_to_infinity("rows")

    def check(results: list) -> None:
        # (5, 5) lies between the clusters of the first, and is the middle of the larger one of the second
        distances = {r.model_id: r.inference.distance for r in results}
        assert set(distances) == {old, new}
        assert distances[new] < 1 < distances[old]
        assert len({r.inference.version for r in results}) == 2

    with TestPipeline(options=PipelineOptions(streaming=True)) as pipeline:
        told = pipeline | events
        models = (
            told["models"] | beam.Map(_metadata) | "Of models" >> beam.WindowInto(window.FixedWindows(10))
        )
        rows = told["rows"] | "Of rows" >> beam.WindowInto(window.FixedWindows(10))
        labelled = rows | RunInference(ShoalModelHandler(old), model_metadata_pcoll=models)
        assert_that(labelled, check)


def test_watch_file_pattern_sees_every_version_once_and_nothing_else(store: FileStore) -> None:
    Path(store.path, "unfinished-0123456789abcdef.tmp").write_bytes(b"")
    for shift in (1.0, 2.0):
        store.publish(model_of(shift))
    seen = [f.path for f in FileSystems.match([store.pattern])[0].metadata_list]
    assert sorted(seen) == [v.path for v in store.versions()]
    assert len(seen) == 3
    remote = re.compile(FileSystem.translate_pattern(FileStore("gs://bucket/models").pattern))
    assert remote.match("gs://bucket/models/v00000012-1f2e3d4c.shoal")
    assert not remote.match("gs://bucket/models/unfinished-1f2e3d4c.tmp")
    assert not remote.match("gs://bucket/models/key/v00000012-1f2e3d4c.shoal")
    watched = WatchFilePattern(store.pattern)
    assert watched.file_pattern == store.pattern
    RunInference(ShoalModelHandler(store.path), watch_model_pattern=store.pattern)


def test_the_step_behind_watch_file_pattern_hands_our_paths_to_the_handler(store: FileStore) -> None:
    second = store.publish(model_of(1.0)).path

    class Latest:
        value = 0.0

        def read(self) -> float:
            return self.value

        def clear(self) -> None:
            self.value = 0.0

        def add(self, value: float) -> None:
            self.value = value

    told = []
    latest = Latest()
    for seconds, path in ((5.0, store.load(1).path), (6.0, second), (5.0, store.load(1).path)):
        file = FileMetadata(path, 1, seconds)
        told += [m for _, m in _GetLatestFileByTimeStamp().process((path, file), time_state=latest)]
    assert [m.model_id for m in told] == [store.load(1).path, second, ""]
    assert [m.model_name for m in told[:2]] == [Path(m.model_id).stem for m in told[:2]]
    handler = ShoalModelHandler(store.load(1).path)
    for metadata in told:
        handler.update_model_path(metadata.model_id)
    assert handler.load_model().path == second


def test_what_is_no_model_is_told(store: FileStore, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="there is no model_path"):
        ShoalModelHandler("")
    with pytest.raises(ShoalError, match=r"none\.shoal is no model"):
        ShoalModelHandler(str(tmp_path / "none.shoal")).load_model()
    with pytest.raises(ShoalError, match="holds no model yet"):
        ShoalModelHandler(str(tmp_path / "empty")).load_model()
    Path(store.newest().path).write_bytes(b"nothing of the kind")
    with pytest.raises(DamagedFileError, match="delete it"):
        ShoalModelHandler(store.path).load_model()
    with pytest.raises(BadInputError, match="leave them out"):
        ShoalModelHandler(store.path).validate_inference_args({"k": 3})


def test_figures_for_run_inference(store: FileStore) -> None:
    handler = ShoalModelHandler(store.path, min_batch_size=16, max_batch_size=64)
    assert handler.batch_elements_kwargs() == {"min_batch_size": 16, "max_batch_size": 64}
    assert handler.get_num_bytes([(1.0, 2.0), [1.0, 2.0], np.zeros(2, np.float32)]) == 40
    assert handler.get_metrics_namespace() == "shoal_run_inference"


def _metadata(element: tuple[str, str]) -> ModelMetadata:
    return ModelMetadata(model_id=element[1], model_name="houses")


def _same(found: Any, wanted: Any) -> None:
    assert found == wanted


class Elsewhere(FileSystem):
    """A file system that is not this machine's: elsewhere://PATH is the local PATH."""

    def _local(self, path: str) -> str:
        return path.removeprefix("elsewhere:/")

    @classmethod
    def scheme(cls) -> str:
        return "elsewhere"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath, *paths])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None:
        Path(self._local(path)).mkdir(parents=True)

    def has_dirs(self) -> bool:
        return True

    def _list(self, dir_or_prefix: str) -> Any:
        for file in Path(self._local(dir_or_prefix)).iterdir():
            yield FileMetadata(f"elsewhere:/{file}", file.stat().st_size, file.stat().st_mtime)

    def open(self, path: str, mime_type: str = "", compression_type: str = "") -> Any:
        return Path(self._local(path)).open("rb")

    def exists(self, path: str) -> bool:
        return Path(self._local(path)).exists()

    def _never(self, *arguments: Any) -> Any:
        raise NotImplementedError

    create = copy = rename = size = last_updated = checksum = metadata = delete = _never


def test_a_saved_model_may_be_in_a_bucket(tmp_path: Path) -> None:
    save_model(model_of(), tmp_path / "saved")
    path = f"elsewhere:/{tmp_path}/saved"
    found = ShoalModelHandler(path).load_model()
    assert np.array_equal(found.model.centres, model_of().centres)
    assert found.path == path
    blob = next(p for p in (tmp_path / "saved").iterdir() if p.suffix == ".safetensors")
    blob.write_bytes(b"x")
    with pytest.raises(DamagedFileError, match=re.escape(path)):
        ShoalModelHandler(path).load_model()
