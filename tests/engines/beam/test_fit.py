"""``FitClusters`` and ``AssignClusters``: in batch, in windows, for each key, on several runners and processes."""

from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.test_stream import TestStream
from apache_beam.testing.util import assert_that
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, AfterWatermark
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from shoal.engines.beam import (
    AssignClusters,
    Fields,
    FitClusters,
    Learned,
    MergeSummaries,
    SolveClusters,
    Summarise,
)
from shoal.engines.beam.coders import LearnedCoder
from shoal.engines.shares import KEY, SummarySettings, ordered
from shoal.errors import BadInputError
from shoal.model.cluster_model import ClusterModel

RNG = np.random.default_rng(3)
CENTRES = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
X = CENTRES[RNG.integers(3, size=1200)] + RNG.normal(size=(1200, 2))
ROWS = [tuple(row) for row in X.tolist()]
NAMED = [{"v": list(row), "id": i} for i, row in enumerate(ROWS)]


def streaming() -> TestPipeline:
    return TestPipeline(options=PipelineOptions(streaming=True))


def says(check: Any) -> Any:
    """A matcher for assert_that."""

    def matcher(actual: list) -> None:
        check(actual)

    return matcher


def close_to_centres(model: ClusterModel) -> bool:
    found = model.centres[np.argsort(model.centres @ [1.0, 2.0])]
    return bool(np.abs(found - CENTRES).max() < 0.5)


def test_fit_and_assign_in_one_pipeline() -> None:
    def check(results: list) -> None:
        assert len(results) == 1200
        ids = {int(r.inference) for r in results}
        assert ids == {0, 1, 2}
        for r in results[:50]:
            assert r.inference.version == r.model_id
            assert r.inference.distance < 6
            assert 0 <= r.inference.outlier_score <= 1

    with TestPipeline() as p:
        rows = p | beam.Create(ROWS)
        model = rows | FitClusters(3)
        assert_that(rows | AssignClusters(beam.pvalue.AsSingleton(model)), says(check))
        assert_that(model, says(lambda models: [close_to_centres(m) for m in models] == [True] or 1 / 0), "m")


@pytest.mark.parametrize(
    "options", [{}, {"direct_running_mode": "multi_processing", "direct_num_workers": 2}]
)
def test_one_process_or_two_the_same_summary(options: dict[str, Any], tmp_path: Any) -> None:
    expected = SummarySettings().new().update(X, key=KEY, rows=np.arange(1200))

    def check(found: list) -> None:
        (learned,) = found
        mine, theirs = ordered(learned.summary.points()), ordered(expected.points())
        assert mine.X.tobytes() == theirs.X.tobytes()
        assert mine.weights.tobytes() == theirs.weights.tobytes()
        assert learned.summary.totals.mean().tobytes() == expected.totals.mean().tobytes()

    with beam.Pipeline(options=PipelineOptions(**options)) as p:
        parts = [NAMED[i::7] for i in range(7)]
        rows = p | beam.Create(parts) | beam.Reshuffle() | beam.FlatMap(list)
        assert_that(rows | Summarise(Fields("v", id="id")), says(check))


def test_a_model_for_every_key() -> None:
    pairs = [(f"k{i % 40}", row) for i, row in enumerate(ROWS)]

    def check(models: list) -> None:
        assert len(models) == 40
        assert {m.provenance.rows_seen for _, m in models} == {30}

    def labelled(results: list) -> None:
        assert len(results) == 1200
        assert all(r.model_id for _, r in results)

    with TestPipeline() as p:
        rows = p | beam.Create(pairs)
        models = rows | FitClusters(3, per_key=True)
        assert_that(models, says(check))
        found = rows | AssignClusters(beam.pvalue.AsDict(models), per_key=True)
        assert_that(found, says(labelled), "labels")


def test_poisoned_elements_go_to_the_dead_letters() -> None:
    bad = ["x", (1.0,), (1.0, float("nan")), None]

    def check(dead: list) -> None:
        assert len(dead) == 4
        assert {d.reason for d in dead} == {
            "str is no vector of numbers",
            "the row has 1 numbers, not 2",
            "value is NaN or infinite",
            "NoneType of 0 dimensions is no vector",
        }

    def counted(models: list) -> None:
        assert models[0].provenance.rows_seen == 1200
        assert models[0].provenance.rejects.total == 4

    with TestPipeline() as p:
        rows = p | beam.Create([*ROWS[:9], *bad, *ROWS[9:]])
        models, dead = rows | FitClusters(3, n_features=2).with_dead_letters()
        assert_that(dead, says(check))
        assert_that(models, says(counted), "models")
        labels, refused = rows | AssignClusters(beam.pvalue.AsSingleton(models)).with_dead_letters()
        assert_that(labels | beam.combiners.Count.Globally(), says(lambda n: n == [1200] or 1 / 0), "n")
        assert_that(refused, says(check), "refused")


def test_no_rows_and_one_row() -> None:
    with TestPipeline() as p:
        assert_that(p | beam.Create([]) | FitClusters(3), says(lambda m: m == [] or 1 / 0))
        one = p | "one" >> beam.Create([(1.0, 2.0)]) | "fit" >> FitClusters(3)
        assert_that(one, says(lambda m: m[0].centres.tolist() == [[1.0, 2.0]] or 1 / 0), "m")


def test_arrays_and_frames_are_batches() -> None:
    import pandas as pd

    with TestPipeline() as p:
        batches = p | beam.Create([X[:500], pd.DataFrame(X[500:])])
        found = batches | FitClusters(3)
        assert_that(found, says(lambda m: m[0].provenance.rows_seen == 1200 or 1 / 0))


def test_overlapping_windows_and_late_rows_lose_nothing() -> None:
    """All four windows' rows arrive before the watermark passes any of them, and some after it."""
    stamped = [TimestampedValue(row, float(i)) for i, row in enumerate(ROWS)]
    stream = TestStream()
    for i in range(0, 1100, 100):
        stream = stream.add_elements(stamped[i : i + 100])
    stream = stream.advance_watermark_to(900).add_elements(stamped[1100:])
    stream = stream.add_elements([TimestampedValue((0.0, 0.0), 10.0)])  # late for the first window
    # the runner that has TestStream hands late rows from the first of two groupings to the second in a later round
    stream = stream.advance_watermark_to(1500).advance_watermark_to_infinity()

    def check(found: list) -> None:
        assert sum(learned.summary.count for learned in found) == 1201

    def merged(models: list) -> None:
        assert sum(m.provenance.rows_seen for m in models) == 1201

    with streaming() as p:
        windows = (
            p
            | stream
            | beam.WindowInto(
                FixedWindows(300),
                trigger=AfterWatermark(late=AfterCount(1)),
                accumulation_mode=AccumulationMode.DISCARDING,
                allowed_lateness=10_000,
            )
        )
        summaries = windows | Summarise()
        assert_that(summaries, says(check))
        glob = summaries | "wide" >> beam.WindowInto(FixedWindows(10**6)) | MergeSummaries()
        assert_that(glob | SolveClusters(3), says(merged), "merged")


def test_summaries_merge_across_pipelines() -> None:
    def learned(rows: np.ndarray) -> Learned:
        return Learned(SummarySettings().new().update(rows))

    with TestPipeline() as p:
        days = p | beam.Create([learned(X[:400]), learned(X[400:])])
        assert_that(
            days | MergeSummaries(fanout=2) | SolveClusters(3),
            says(lambda m: m[0].provenance.rows_seen == 1200 or 1 / 0),
        )
        keyed = p | "k" >> beam.Create(
            [("a", learned(X[:400])), ("a", learned(X[400:])), ("b", learned(X[:5]))]
        )
        found = keyed | "m" >> MergeSummaries(per_key=True) | "s" >> SolveClusters(2, per_key=True)
        assert_that(
            found,
            says(
                lambda m: (
                    sorted((k, v.provenance.rows_seen) for k, v in m) == [("a", 1200), ("b", 5)] or 1 / 0
                )
            ),
            "keyed",
        )


def test_widths_that_differ_are_counted_not_fatal() -> None:
    a = Learned(SummarySettings().new().update(X[:10]))
    a.add(Learned(SummarySettings().new().update(np.ones((3, 5)))))
    assert a.summary.count == 10
    assert a.rejects.counts == {"the row has 5 numbers, not 2": 3}
    b = Learned(SummarySettings().new().update(np.ones((3, 5))))
    b.add(Learned(SummarySettings().new().update(X[:10])))
    assert (b.summary.count, b.rejects.total) == (10, 3)
    back = LearnedCoder().decode(LearnedCoder().encode(b))
    assert (back.summary.to_bytes(), back.rejects.counts) == (b.summary.to_bytes(), b.rejects.counts)


@pytest.mark.parametrize("k", [0, (3, 2), (0, 5)])
def test_a_k_that_makes_no_sense(k: Any) -> None:
    with pytest.raises(BadInputError, match="k is"):
        FitClusters(k)


def test_no_model_is_told() -> None:
    with pytest.raises(BadInputError, match="the model is a str; give a model or AsSingleton"):
        AssignClusters("model")
