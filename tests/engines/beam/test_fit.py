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


def test_one_short_row_first_does_not_cost_its_bundle() -> None:
    with beam.Pipeline() as p:
        models, dead = p | beam.Create([(1.0,), *ROWS], reshuffle=False) | FitClusters(3).with_dead_letters()
        assert_that(models, lambda m: m[0].provenance.rows_seen == 1200 or 1 / 0, "models")
        assert_that(dead, lambda d: [x.element for x in d] == [(1.0,)] or 1 / 0, "dead")


def test_poison_of_many_kinds_reaches_the_dead_letters() -> None:
    bad = [
        {"v": [1.0, 10**400], "w": 1.0, "t": 1.0},
        {"v": [1.0, 2.0], "w": 10**400, "t": 1.0},
        {"v": [1.0, 2.0], "w": 1.0, "t": 1e100},
        {"v": [1.0, 2.0], "w": 1.0, "t": 1.7e12},  # milliseconds among seconds
        {"v": [1j, 2.0], "w": 1.0, "t": 1.0},
    ]
    good = [{"v": list(row), "w": 1.0, "t": 1.7e9} for row in ROWS[:300]]
    fields = Fields("v", weight="w", time="t")
    fit = FitClusters(3, fields, settings=SummarySettings(half_life=3600.0)).with_dead_letters()
    with beam.Pipeline() as p:
        models, dead = p | beam.Create([*bad, *good]) | fit
        assert_that(models, lambda m: m[0].weights.sum() == pytest.approx(300) or 1 / 0, "models")
        assert_that(dead, lambda d: len(d) == 5 or 1 / 0, "dead")


def test_numbers_too_large_for_the_precision_learned_are_refused() -> None:
    batches = [X[:300].astype(np.float32), np.array([[1e25, 1e25], [0.0, 0.0]])]
    with beam.Pipeline() as p:
        summary = p | beam.Create(batches, reshuffle=False) | Summarise(is_batched=True)
        assert_that(summary, lambda s: (s[0].summary.count, s[0].rejects.total) == (301, 1) or 1 / 0)


def test_elements_that_are_no_pairs_or_batches_are_dead_letters() -> None:
    model = FitClusters(2, per_key=True)
    given = [*(("a", row) for row in ROWS[:100]), 5, (["no key"], ROWS[0])]
    with beam.Pipeline() as p:
        rows = p | beam.Create(given)
        models = rows | model
        labels, dead = rows | AssignClusters(beam.pvalue.AsDict(models), per_key=True).with_dead_letters()
        assert_that(labels, lambda r: len(r) == 100 or 1 / 0, "labels")
        assert_that(dead, lambda d: {x.reason for x in d} == {"is no pair of key and row"} or 1 / 0, "dead")
        batches = p | "Batches" >> beam.Create([X[:100], 7.0])
        found, lost = batches | "Fit" >> FitClusters(2, is_batched=True).with_dead_letters()
        assert_that(found, lambda m: m[0].provenance.rows_seen == 100 or 1 / 0, "fitted")
        assert_that(lost, lambda d: [x.reason for x in d] == ["float is no batch of rows"] or 1 / 0, "lost")


def test_what_can_be_fitted_can_be_labelled() -> None:
    import pandas as pd

    frame = pd.DataFrame(X, columns=["a", "b"])
    with beam.Pipeline() as p:
        batches = p | beam.Create([frame, X])
        model = beam.pvalue.AsSingleton(batches | FitClusters(3))
        for name, assign in {
            "told": AssignClusters(model, is_batched=True),
            "seen": AssignClusters(model),
        }.items():
            labels, dead = batches | name >> assign.with_dead_letters()
            assert_that(labels, lambda r: len(r) == 2400 or 1 / 0, f"labels {name}")
            assert_that(dead, lambda d: d == [] or 1 / 0, f"dead {name}")


def test_the_order_of_keys_in_a_dict_says_nothing() -> None:
    rows = [{"x": a, "y": b} if i % 2 else {"y": b, "x": a} for i, (a, b) in enumerate(ROWS)]
    with beam.Pipeline() as p:
        models, dead = p | beam.Create([*rows, {"x": 1.0, "z": 2.0}]) | FitClusters(3).with_dead_letters()
        assert_that(models, lambda m: close_to_centres(m[0]) or 1 / 0, "models")
        assert_that(
            dead, lambda d: [x.reason for x in d] == ["the fields are x, z, not x, y"] or 1 / 0, "dead"
        )


def test_a_field_that_nobody_has_is_told_where_labels_are_wanted() -> None:
    p = beam.Pipeline()
    rows = p | beam.Create([{"v": row} for row in ROWS[:50]])
    _ = rows | AssignClusters(beam.pvalue.AsSingleton(rows | FitClusters(2, Fields("vv"))))
    with pytest.raises(Exception, match="not one row could be learned from"):
        p.run()
    with pytest.raises(BadInputError, match="no name of a field"):
        Fields((0, 1))  # type: ignore[arg-type]
