"""Beam's own names: pipelines written for ``apache_beam.examples.online_clustering``, and what that one loses."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd
import pytest
from apache_beam import pvalue
from apache_beam.coders.coders import IntervalWindowCoder
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.test_stream import TestStream
from apache_beam.testing.util import assert_that
from apache_beam.transforms import trigger, window
from apache_beam.transforms.trigger import AccumulationMode
from apache_beam.transforms.window import TimestampedValue

from shoal.engines.beam.algorithms import ClusteringAlgorithm, OnlineBirch, OnlineKMeans
from shoal.engines.beam.elements import Batch
from shoal.engines.beam.labels import ClusterLabel
from shoal.engines.beam.learning import Accumulated, AccumulatedCoder
from shoal.engines.beam.online_clustering import (
    AssignClusterLabelsInMemoryModel,
    AssignClusterLabelsRunInference,
    ClusteringPreprocessing,
    OnlineClustering,
)
from shoal.engines.beam.publishing import PublishFn
from shoal.engines.beam.store import FileStore
from shoal.engines.shares import RowBatch
from shoal.errors import BadInputError, Rejects, ShoalError
from shoal.model.cluster_model import QUANTILES, ClusterModel, Provenance

RNG = np.random.default_rng(5)
CENTRES = np.array([[0.0, 0.0, 0.0], [30.0, 0.0, 0.0], [0.0, 30.0, 0.0], [0.0, 0.0, 30.0]])
X = CENTRES[np.arange(1200) % 4] + RNG.normal(size=(1200, 3))
ROWS = [tuple(row) for row in X.tolist()]
ALGORITHMS = [(OnlineKMeans, {}), (OnlineBirch, {"threshold": 0.5})]


class Sum(ClusteringAlgorithm[np.ndarray]):
    """A state that tells rows apart: how many, and their sum."""

    def new(self) -> np.ndarray:
        return np.zeros(1)

    def learn(self, state: np.ndarray, X: np.ndarray) -> np.ndarray:
        return self.merge(state, np.append(len(X), X.sum(axis=0)))

    def merge(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a + b if len(a) == len(b) else max(a, b, key=len)

    def solve(self, state: np.ndarray, before: ClusterModel | None) -> ClusterModel:
        return ClusterModel(
            (state[1:] / state[0])[None],
            state[:1],
            scatter=np.zeros(1),
            radii=np.zeros((1, len(QUANTILES))),
            provenance=Provenance(int(state[0])),
        )

    def to_bytes(self, state: np.ndarray) -> bytes:
        return state.tobytes()

    def from_bytes(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data)


def streaming() -> TestPipeline:
    return TestPipeline(options=PipelineOptions(streaming=True))


def train(
    path: Any, algorithm: Any = OnlineKMeans, k: int = 4, args: Any = None, **more: Any
) -> OnlineClustering:
    return OnlineClustering(
        algorithm, n_clusters=k, cluster_args=args or {}, checkpoints_path=str(path), batch_size=256, **more
    )


def learn(path: Any, rows: list, **more: Any) -> ClusterModel:
    with beam.Pipeline() as pipeline:
        _ = pipeline | beam.Create(rows, reshuffle=False) | train(path, **more)
    return FileStore(str(path)).load().model


def at(rows: list, seconds: float) -> list:
    return [TimestampedValue(row, seconds) for row in rows]


def on_target(model: ClusterModel) -> bool:
    gaps = np.linalg.norm(CENTRES[:, None] - model.centres[None], axis=2).min(axis=1)
    return bool(model.k == 4 and gaps.max() < 0.5)


def seen_by(path: Any) -> list[int]:
    store = FileStore(str(path), keep=100)
    return [store.load(v).model.provenance.rows_seen for v in store.versions()]


def test_the_code_of_the_talk_runs_with_another_import(tmp_path: Path) -> None:
    def check(results: list) -> None:
        assert len(results) == 1200
        assert {r.model_id for r in results} == {"kmeans"}
        assert all(isinstance(r.inference, ClusterLabel) for r in results)
        labels = {tuple(np.round(np.asarray(r.example), 6)): int(r.inference) for r in results}
        found = np.array([labels[tuple(np.round(row, 6))] for row in X])
        assert [len(set(found[i::4])) for i in range(4)] == [1, 1, 1, 1]
        assert len(set(found)) == 4

    with TestPipeline() as pipeline:
        features = pipeline | beam.Create(ROWS)
        model = features | "Train clustering model" >> OnlineClustering(
            OnlineKMeans, n_clusters=4, batch_size=256, cluster_args={}, checkpoints_path=str(tmp_path)
        )
        labels = (
            features
            | beam.Map(np.array)
            | "RunInference"
            >> AssignClusterLabelsInMemoryModel(
                model=pvalue.AsSingleton(model), model_id="kmeans", n_clusters=4, batch_size=512
            )
        )
        assert_that(labels, check)
    assert FileStore(str(tmp_path)).numbers() == [1]


@pytest.mark.parametrize(("algorithm", "args"), ALGORITHMS)
def test_every_centre_is_found_whatever_comes_first(tmp_path: Path, algorithm: Any, args: dict) -> None:
    model = learn(tmp_path, sorted(ROWS), algorithm=algorithm, args=args)
    assert on_target(model)
    assert model.provenance.rows_seen == 1200
    assert model.weights.sum() == pytest.approx(1200)


@pytest.mark.parametrize(("algorithm", "args"), ALGORITHMS)
def test_fewer_rows_than_clusters_are_no_error(tmp_path: Path, algorithm: Any, args: dict) -> None:
    assert learn(tmp_path, ROWS[:2], algorithm=algorithm, args=args).k == 2
    assert on_target(learn(tmp_path, ROWS[2:], algorithm=algorithm, args=args))


@pytest.mark.parametrize(("algorithm", "args"), ALGORITHMS)
def test_a_second_run_goes_on_where_the_first_ended_and_ids_live_on(
    tmp_path: Path, algorithm: Any, args: dict
) -> None:
    more = {"algorithm": algorithm, "args": args}
    first = learn(tmp_path, ROWS[:800], **more)
    far = [(100.0 + i % 3, 100.0, 100.0) for i in range(900)]  # now the largest
    second = learn(tmp_path, ROWS[800:] + far, **more | {"k": 5})
    assert second.provenance.rows_seen == 2100
    assert second.parent == first.version
    where = {int(i): c for i, c in zip(second.ids, second.centres, strict=True)}
    for i, centre in zip(first.ids.tolist(), first.centres, strict=True):
        assert np.linalg.norm(where[i] - centre) < 1
    assert set(where) - set(first.ids.tolist()) == {4}


def test_four_windows_that_overlap_in_arrival_lose_nothing(tmp_path: Path) -> None:
    stream = TestStream()
    for start in range(0, 300, 50):
        for i in range(4):
            stream = stream.add_elements(at(ROWS[300 * i + start : 300 * i + start + 50], 10 * i + 5))
    with streaming() as pipeline:
        models = (
            pipeline
            | stream.advance_watermark_to_infinity()
            | beam.WindowInto(window.FixedWindows(10))
            | train(tmp_path)
        )
        assert_that(models, lambda found: _check(len(found) == 4))
    assert seen_by(tmp_path) == [300, 600, 900, 1200]
    assert on_target(FileStore(str(tmp_path)).load().model)


@pytest.mark.parametrize("mode", [AccumulationMode.DISCARDING, AccumulationMode.ACCUMULATING])
def test_late_and_early_firings_add_only_their_own_rows(tmp_path: Path, mode: Any) -> None:
    stream = TestStream().add_elements(at(ROWS[:100], 1)).add_elements(at(ROWS[100:200], 2))
    stream = stream.advance_watermark_to(10).add_elements(at(ROWS[200:300], 3)).advance_watermark_to(12)
    stream = stream.add_elements(at(ROWS[300:400], 4)).advance_watermark_to_infinity()
    fires = trigger.AfterWatermark(early=trigger.AfterCount(1), late=trigger.AfterCount(1))
    with streaming() as pipeline:
        windows = beam.WindowInto(
            window.FixedWindows(10), trigger=fires, accumulation_mode=mode, allowed_lateness=100
        )
        _ = pipeline | stream | windows | train(tmp_path, algorithm=Sum, k=1)
    seen = seen_by(tmp_path)
    assert seen[-1] == 400
    assert len(seen) >= 3
    model = FileStore(str(tmp_path)).load().model
    np.testing.assert_allclose(model.centres[0], X[:400].mean(axis=0))


def test_an_endless_stream_without_windows_has_models_by_and_by(tmp_path: Path) -> None:
    stream = TestStream().add_elements(at(ROWS[:500], 1)).advance_processing_time(61)
    stream = stream.add_elements(at(ROWS[500:1000], 2)).advance_processing_time(61)
    stream = stream.add_elements(at(ROWS[1000:], 3)).advance_processing_time(61)
    with streaming() as pipeline:
        _ = pipeline | stream.advance_watermark_to_infinity() | train(tmp_path, algorithm=Sum, k=1, every=60)
    seen = seen_by(tmp_path)
    assert seen[-1] == 1200
    assert len(seen) >= 2


def test_sessions_merge_and_count_once(tmp_path: Path) -> None:
    stream = TestStream().add_elements(at(ROWS[:100], 1)).add_elements(at(ROWS[100:200], 12))
    stream = stream.add_elements(at(ROWS[200:300], 7)).advance_watermark_to_infinity()
    with streaming() as pipeline:
        _ = pipeline | stream | beam.WindowInto(window.Sessions(8)) | train(tmp_path)
    assert seen_by(tmp_path) == [300]


def test_labels_of_a_window_are_by_its_own_model(tmp_path: Path) -> None:
    stream = TestStream().add_elements(at(ROWS[:600], 5)).add_elements(at(ROWS[600:], 15))

    def check(results: list) -> None:
        assert len(results) == 1200
        versions = {tuple(np.round(r.example, 6)): r.model_id for r in results}
        halves = [{versions[tuple(np.round(row, 6))] for row in rows} for rows in (X[:600], X[600:])]
        assert [len(h) for h in halves] == [1, 1]
        assert halves[0] != halves[1]

    with streaming() as pipeline:
        rows = pipeline | stream.advance_watermark_to_infinity() | beam.WindowInto(window.FixedWindows(10))
        model = rows | train(tmp_path)
        labels = rows | AssignClusterLabelsInMemoryModel(pvalue.AsSingleton(model), 4, 256)
        assert_that(labels, check)


def test_a_bundle_that_is_done_again_after_it_published_counts_once(tmp_path: Path) -> None:
    algorithm, store = Sum(1, str(tmp_path), {}), FileStore(str(tmp_path))
    publish = PublishFn(algorithm, store, lenient=False)
    one, two = (
        _learned(algorithm, X[:3], mark).to_bytes() for mark in (11, 12)
    )  # equal rows, another bundle
    first = list(publish.process(one))
    again = list(publish.process(one))
    assert [m.provenance.rows_seen for m in first + again] == [3, 3]
    assert store.numbers() == [1]
    assert [m.provenance.rows_seen for m in publish.process(two)] == [6]
    assert [m.provenance.rows_seen for m in publish.process(one)] == [6]
    assert store.numbers() == [1, 2]


def test_a_runner_that_does_a_bundle_again_counts_its_rows_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, fails = FileStore.publish, [2, 3]

    def shaky(self: FileStore, *args: Any, **more: Any) -> Any:
        version = publish(self, *args, **more)
        calls.append(version)
        if len(calls) in fails:
            raise OSError("the worker is lost after it published")
        return version

    calls: list = []
    monkeypatch.setattr(FileStore, "publish", shaky)
    stream = TestStream()
    for i in range(4):
        stream = stream.add_elements(at(ROWS[300 * i : 300 * i + 300], 10 * i + 5))
    with streaming() as pipeline:
        rows = pipeline | stream.advance_watermark_to_infinity() | beam.WindowInto(window.FixedWindows(10))
        assert_that(rows | train(tmp_path), lambda found: _check(len(found) == 4))
    assert seen_by(tmp_path) == [300, 600, 900, 1200]
    assert len(calls) == 4


def test_another_writer_in_between_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm, store = Sum(1, str(tmp_path), {}), FileStore(str(tmp_path))
    rival = FileStore.publish
    mine, theirs = (_learned(algorithm, X[:n], n).to_bytes() for n in (3, 5))

    def late(self: FileStore, *args: Any, **more: Any) -> Any:
        monkeypatch.setattr(FileStore, "publish", rival)
        list(PublishFn(algorithm, store, lenient=False).process(theirs))
        return rival(self, *args, **more)

    monkeypatch.setattr(FileStore, "publish", late)
    (model,) = PublishFn(algorithm, store, lenient=False).process(mine)
    assert model.provenance.rows_seen == 8
    assert store.numbers() == [1, 2]


class Crooked(Sum):
    """Its models do not fit."""

    def solve(self, state: np.ndarray, before: ClusterModel | None) -> ClusterModel:
        return super().solve(state, before).replace(radii=np.zeros((1, 5)))


def test_a_model_that_cannot_be_stored_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"Crooked\.solve made a model that cannot be stored"):
        learn(tmp_path, ROWS[:9], algorithm=Crooked, k=1)
    assert FileStore(str(tmp_path)).numbers() == []


def test_what_is_carried_comes_back_whole() -> None:
    algorithm = OnlineKMeans(2, "/models", {})
    full = _learned(algorithm, X[:50], 7)
    full.rejects.add("no row", 2, "an element")
    coder = AccumulatedCoder(algorithm)
    for value in (full, Accumulated(algorithm)):
        back = coder.decode(coder.encode(value))
        assert back.to_bytes() == value.to_bytes()
        assert (back.rows, back.width, back.mark) == (value.rows, value.width, value.mark)


def test_rows_of_another_width_are_refused_and_the_larger_part_stays() -> None:
    algorithm = OnlineKMeans(2, "/models", {})
    three, two = _learned(algorithm, X[:50], 1), _learned(algorithm, X[:9, :2], 2)
    for a, b in ((three, two), (two, three)):
        both = Accumulated.from_bytes(algorithm, a.to_bytes())
        both.add(b)
        assert (both.rows, both.width, both.mark) == (50, 3, 3)
        assert both.rejects.counts == {"the row has 2 numbers, not 3": 9}


def test_bad_elements_are_counted_and_handed_out(tmp_path: Path) -> None:
    rows = [*ROWS[:50], "x", None, (1.0, float("nan"), 2.0), (1.0,)]

    def check(dead: list) -> None:
        assert len(dead) == 4

    with TestPipeline() as pipeline:
        _models, dead = pipeline | beam.Create(rows) | train(tmp_path).with_dead_letters()
        assert_that(dead, check)
    model = FileStore(str(tmp_path)).load().model
    assert model.provenance.rows_seen == 50
    assert model.provenance.rejects.total == 4
    assert learn(tmp_path, [*ROWS[50:60], "y"]).provenance.rejects.total == 5


def test_a_window_of_nothing_but_bad_elements_gives_the_model_there_is(tmp_path: Path) -> None:
    first = learn(tmp_path, ROWS[:50])
    with TestPipeline() as pipeline:
        models = pipeline | beam.Create(["x", "y"]) | train(tmp_path)
        assert_that(models, lambda found: _check([m.version for m in found] == [first.version]))
    assert FileStore(str(tmp_path)).numbers() == [1]


def test_columns_that_changed_stop_a_batch_but_not_a_stream(tmp_path: Path) -> None:
    first = learn(tmp_path, ROWS[:50])
    with pytest.raises(Exception, match="rows have 2 numbers, those learned before had 3"):
        learn(tmp_path, [(1.0, 2.0)])
    stream = TestStream().add_elements(at([(1.0, 2.0)], 1)).advance_watermark_to_infinity()
    with streaming() as pipeline:
        models = pipeline | stream | beam.WindowInto(window.FixedWindows(10)) | train(tmp_path)
        assert_that(models, lambda found: _check([m.version for m in found] == [first.version]))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"algorithm": OnlineBirch}, "it was made by OnlineKMeans"),
        ({"args": {"seed": 9}}, "different seeds do not merge"),
    ],
)
def test_checkpoints_of_other_settings_are_an_error_with_a_remedy(
    tmp_path: Path, more: dict, says: str
) -> None:
    learn(tmp_path, ROWS[:50])
    with pytest.raises(Exception, match=says) as told:
        learn(tmp_path, ROWS[50:], **more)
    assert "choose another checkpoints_path" in str(told.value)
    assert "v00000001-" in str(told.value)


def test_a_half_life_forgets_by_the_time_of_the_elements(tmp_path: Path) -> None:
    rows = at([(0.0,)] * 100, 1000.0) + at([(9.0,)] * 100, 1100.0)
    for algorithm in (OnlineKMeans, OnlineBirch):
        path = tmp_path / algorithm.__name__
        with beam.Pipeline() as pipeline:
            stamped = pipeline | beam.Create(rows) | beam.Map(_same)
            _ = stamped | train(path, algorithm=algorithm, k=2, args={"half_life": 50.0})
        model = FileStore(str(path)).load().model
        order = np.argsort(model.centres.ravel())
        np.testing.assert_allclose(model.weights[order], [25.0, 100.0])


def test_batches_of_several_kinds_are_taken(tmp_path: Path) -> None:
    batches = [X[:300], pd.DataFrame(X[300:600]), X[600:900].tolist()]
    assert learn(tmp_path, batches, is_batched=True).provenance.rows_seen == 900
    assert learn(tmp_path, [pd.Series(row) for row in X[900:910]]).provenance.rows_seen == 910


def test_preprocessing_gives_arrays() -> None:
    def check(arrays: list) -> None:
        assert sum(len(a) for a in arrays) == 1200
        assert all(a.ndim == 2 and a.shape[1] == 3 and len(a) <= 256 for a in arrays)

    with TestPipeline() as pipeline:
        arrays = pipeline | beam.Create([*ROWS, "x"]) | ClusteringPreprocessing(n_clusters=4, batch_size=256)
        assert_that(arrays, check)


def test_run_inference_takes_the_newest_checkpoint(tmp_path: Path) -> None:
    learn(tmp_path, ROWS[:300])
    learn(tmp_path, ROWS[300:])
    newest = FileStore(str(tmp_path)).load()

    def check(results: list) -> None:
        assert {r.model_id for r in results} == {newest.path}
        assert {r.inference.version for r in results} == {newest.model.version}
        assert [int(r.inference) for r in sorted(results, key=lambda r: tuple(r.example))] == (
            newest.model.assign(np.array(sorted(ROWS[:90]))).ids.tolist()
        )

    mixed = ROWS[:30] + [list(r) for r in ROWS[30:60]] + [np.array(r) for r in ROWS[60:90]]
    with TestPipeline() as pipeline:
        assert_that(pipeline | beam.Create(mixed) | AssignClusterLabelsRunInference(str(tmp_path)), check)


def test_run_inference_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="holds no model yet"), beam.Pipeline() as pipeline:
        _ = pipeline | beam.Create(ROWS[:3]) | AssignClusterLabelsRunInference(str(tmp_path / "none"))


def test_settings_of_mini_batch_k_means_are_known_and_others_are_not() -> None:
    sklearn = {
        "random_state": 7,
        "n_init": 3,
        "init": "k-means++",
        "batch_size": 9,
        "reassignment_ratio": 0.1,
    }
    assert OnlineKMeans(3, "/models", sklearn).settings.seed == 7
    with pytest.raises(
        BadInputError, match=r"OnlineKMeans: no setting named 'treshold'; there are seed, rows"
    ):
        OnlineKMeans(3, "/models", {"treshold": 1})
    with pytest.raises(BadInputError, match="the seed is 'x'"):
        OnlineKMeans(3, "/models", {"random_state": "x"})
    with pytest.raises(ShoalError, match="threshold=-1"):
        OnlineBirch(3, "/models", {"threshold": -1})
    with pytest.raises(BadInputError, match="n_clusters is 0"):
        OnlineKMeans(0, "/models", {})


def test_beams_own_algorithm_is_told_apart(tmp_path: Path) -> None:
    from apache_beam.examples import online_clustering as beams

    with pytest.raises(BadInputError, match="import OnlineKMeans from shoal"):
        train(tmp_path, algorithm=beams.OnlineKMeans)
    with pytest.raises(BadInputError, match="every=0"):
        train(tmp_path, every=0)
    with pytest.raises(BadInputError, match="batch_size=0"):
        ClusteringPreprocessing(4, 0)


def test_signatures_are_those_of_beam() -> None:
    import inspect

    from apache_beam.examples import online_clustering as beams

    from shoal.engines.beam import online_clustering as ours

    for name in (
        "OnlineClustering",
        "ClusteringPreprocessing",
        "AssignClusterLabelsInMemoryModel",
        "AssignClusterLabelsRunInference",
        "OnlineKMeans",
    ):
        theirs = inspect.signature(getattr(beams, name).__init__).parameters.values()
        mine = inspect.signature(getattr(ours, name).__init__).parameters.values()
        more = [p for p in mine if p.kind is not p.KEYWORD_ONLY]
        assert [(p.name, p.default) for p in theirs] == [(p.name, p.default) for p in more], name


def test_the_example_of_the_talk_runs(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "examples" / "beam_california_houses.py"
    houses = tmp_path / "houses.csv"
    lines = [f"{a},{b},{c}" for a, b, c in ROWS[:200]]
    houses.write_text("\n".join(["longitude,latitude,median_income", *lines, "nonsense,1,2"]))
    for more in (["--input", str(houses)], []):
        path = tmp_path / f"models{len(more)}"
        ended = subprocess.run(
            [sys.executable, str(example), "--checkpoints_path", str(path), *more],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        printed = [line for line in ended.stdout.splitlines() if line.startswith("PredictionResult(")]
        stored = FileStore(str(path)).load()
        assert len(printed) == stored.model.provenance.rows_seen
        assert stored.model.k == 6
        assert len(printed) == 200 if more else len(printed) > 1000


def _same(value: Any) -> Any:
    return value


def _check(right: bool) -> None:
    assert right


def _learned(algorithm: Any, rows: np.ndarray, mark: int) -> Accumulated:
    out = Accumulated(algorithm)
    batch = Batch(RowBatch(rows, None, None, None, np.arange(len(rows))), Rejects())
    out.learn(batch.rows, batch.rejects, mark)
    return out


class Thirds(window.NonMergingWindowFn):
    """A window function of somebody's own, that looks at elements."""

    def assign(self, context: Any) -> list:
        start = 10 * (int(context.element[0]) % 3)
        return [window.IntervalWindow(start, start + 10)]

    def get_window_coder(self) -> Any:
        return IntervalWindowCoder()


@pytest.mark.parametrize(
    ("windows", "learned", "versions"), [(window.SlidingWindows(20, 10), 400, 3), (Thirds(), 200, 3)]
)
def test_rows_stay_in_the_windows_they_came_in(
    tmp_path: Path, windows: Any, learned: int, versions: int
) -> None:
    rows = [TimestampedValue((float(i % 7), float(i % 5)), i % 20) for i in range(200)]
    with beam.Pipeline() as pipeline:
        _ = pipeline | beam.Create(rows) | beam.Map(_same) | beam.WindowInto(windows) | train(tmp_path, k=2)
    seen = seen_by(tmp_path)
    assert max(seen) == learned
    assert len(seen) == versions


def test_models_of_sliding_windows_are_found_as_side_inputs(tmp_path: Path) -> None:
    """A row of a fixed window looks for the model of the last sliding window that holds the window's end."""
    rows = [TimestampedValue((float(i % 7), float(i % 5)), i % 20) for i in range(200)]

    def check(found: list) -> None:
        assert len(found) == 200
        assert all(isinstance(r.inference, ClusterLabel) for r in found)

    with TestPipeline() as pipeline:
        given = pipeline | beam.Create(rows) | beam.Map(_same)
        models = given | "Slide" >> beam.WindowInto(window.SlidingWindows(20, 10)) | train(tmp_path, k=2)
        labelled = (
            given
            | "Fix" >> beam.WindowInto(window.FixedWindows(10))
            | AssignClusterLabelsInMemoryModel(pvalue.AsSingleton(models), n_clusters=2, batch_size=10)
        )
        assert_that(labelled | beam.WindowInto(window.GlobalWindows()), check)
