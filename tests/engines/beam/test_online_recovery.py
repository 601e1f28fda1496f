"""``OnlineClusters`` after failures: bundles done again, deltas in any order, pipelines started anew."""

from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.test_stream import TestStream
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import TimestampedValue

from shoal.engines.beam import Fields, FileStore, OnlineClusters
from shoal.engines.beam.online_learner import AT_THE_END, Delta
from shoal.engines.beam.online_merger import Merged, MergeDeltas
from shoal.engines.beam.solving import Solving
from shoal.engines.shares import SummarySettings, packed
from shoal.errors import BadInputError, Rejects

RNG = np.random.default_rng(3)
X = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])[np.arange(600) % 3] + RNG.normal(size=(600, 2))
ROWS = [tuple(row) for row in X.tolist()]


class Kept:
    """State or a timer, as a runner hands it to a DoFn."""

    def __init__(self) -> None:
        self.value: Any = None

    def read(self) -> Any:
        return self.value

    def write(self, value: Any) -> None:
        self.value = value

    set = write


def delta(number: int, rows: np.ndarray, *, epoch: str = "e", rejects: Rejects | None = None) -> bytes:
    summary = SummarySettings().new()
    if len(rows):
        summary.update(rows)
    return Delta(0, epoch, number, packed(summary, rejects or Rejects())).to_bytes()


def merger(store: Path | None = None, *, settings: SummarySettings | None = None) -> MergeDeltas:
    path = None if store is None else str(store)
    return MergeDeltas(Solving(3), settings or SummarySettings(), 0, path, 10, per_key=False)


def fed(fn: MergeDeltas, state: Kept, *deltas: bytes) -> list[Any]:
    return [told for d in deltas for told in fn.process((None, d), state, Kept())]


def models(told: list[Any]) -> list[int]:
    return [t[1][0] for t in told if not isinstance(t, beam.pvalue.TaggedOutput)]


def events(told: list[Any]) -> list[str]:
    return [t.value[1].kind for t in told if isinstance(t, beam.pvalue.TaggedOutput)]


def rows_of(state: Kept) -> int:
    merged = Merged.from_bytes(state.read())
    assert merged.summary is not None
    return merged.summary.count


@pytest.mark.parametrize("order", [(2, 1), (3, 1, 2), (1, 1, 2, 2), (3, 2, 3, 1, 1)])
def test_deltas_count_once_in_any_order(order: tuple[int, ...]) -> None:
    state = Kept()
    fed(merger(), state, *(delta(i, X[i * 100 : i * 100 + 100]) for i in order))
    assert rows_of(state) == 100 * len(set(order))
    assert Merged.from_bytes(state.read()).shards["0"] == ["e", max(order), []]


def test_a_bundle_that_failed_after_it_published_tells_its_model_when_it_is_done_again(
    tmp_path: Path,
) -> None:
    first = fed(merger(tmp_path), Kept(), delta(1, X[:300]))
    state = Kept()  # the runner threw the first attempt's state and outputs away
    again = fed(merger(tmp_path), state, delta(1, X[:300]))
    assert models(again) == models(first) == [1]
    assert events(again) == events(first) == ["born"] * 3
    assert rows_of(state) == 300
    assert models(fed(merger(tmp_path), state, delta(2, X[300:]))) == [2]


def test_a_new_pipeline_tells_the_stored_model_before_its_own(tmp_path: Path) -> None:
    fed(merger(tmp_path), Kept(), delta(1, X[:300]))
    state = Kept()
    told = fed(merger(tmp_path), state, delta(1, X[300:], epoch="later"))
    assert models(told) == [1, 2]
    assert events(told) == []
    assert rows_of(state) == 600


def test_refusals_alone_make_no_version(tmp_path: Path) -> None:
    refused, state = Rejects(), Kept()
    refused.add("NaN", 5, "an element")
    fed(merger(tmp_path), state, delta(1, X[:300]))
    told = fed(merger(tmp_path), state, *(delta(i, X[:0], rejects=refused) for i in (2, 3, 4)))
    assert told == []
    assert FileStore(str(tmp_path)).numbers() == [1]
    learned = Merged.from_bytes(state.read()).learned
    assert learned is not None
    assert learned.rejects.total == 15


def test_rows_that_weigh_nothing_make_no_model() -> None:
    summary = SummarySettings().new().update(X[:9], np.zeros(9))
    state = Kept()
    assert fed(merger(), state, Delta(0, "e", 1, packed(summary, Rejects())).to_bytes()) == []
    assert models(fed(merger(), state, delta(2, X[:300]))) == [1]


@pytest.mark.parametrize(
    ("rows", "settings", "says"),
    [
        (np.ones((9, 5)), SummarySettings(), "rows of 2 numbers, and these have 5"),
        (X, SummarySettings(half_life=60.0), "half_life=None, not 60.0"),
        (X, SummarySettings(seed=7), "seed=0, not 7"),
    ],
)
def test_a_store_of_other_rows_or_settings_is_refused(
    tmp_path: Path, rows: np.ndarray, settings: SummarySettings, says: str
) -> None:
    fed(merger(tmp_path), Kept(), delta(1, X[:300]))
    with pytest.raises(BadInputError, match=says) as error:
        fed(merger(tmp_path, settings=settings), Kept(), delta(1, rows, epoch="later"))
    assert str(tmp_path) in str(error.value)
    assert "another store" in str(error.value)


def test_a_store_of_another_transform_is_refused(tmp_path: Path) -> None:
    fed(merger(tmp_path), Kept(), delta(1, X[:300]))
    store = FileStore(str(tmp_path))
    held = store.load()
    store.publish(held.model, held.summary, note={"by": "somebody else"})
    with pytest.raises(BadInputError, match="not made by OnlineClusters"):
        fed(merger(tmp_path), Kept(), delta(1, X[300:], epoch="later"))


def run(bundles: TestStream, **settings: Any) -> Any:
    ended = bundles.advance_watermark_to(AT_THE_END).advance_watermark_to_infinity()
    pipeline = TestPipeline(options=PipelineOptions(streaming=True))
    return pipeline, pipeline | ended | OnlineClusters(3, **settings)


def test_a_shard_without_a_model_looks_in_the_store(tmp_path: Path) -> None:
    fed(merger(tmp_path), Kept(), delta(1, X[:300]))
    for store, labelled in ((None, 0), (str(tmp_path), 600)):  # nothing may wait
        stream = TestStream().add_elements([TimestampedValue(r, 1.0) for r in ROWS])
        pipeline, found = run(stream, store=store, wait_rows=0)

        def check(results: list, labelled: int = labelled) -> None:
            assert sum(int(r.inference) >= 0 for r in results) == labelled
            assert len(results) == 600

        with pipeline:
            assert_that(found.labels, check)
    assert FileStore(str(tmp_path)).load().model.provenance.rows_seen == 900


def test_the_last_rows_are_in_the_last_version(tmp_path: Path) -> None:
    stream = TestStream()
    for start in range(0, 600, 100):
        stream = stream.add_elements([TimestampedValue(r, 1.0) for r in ROWS[start : start + 100]])
    pipeline, found = run(stream, store=str(tmp_path), solve_rows=450, flush_rows=100)
    with pipeline:
        assert_that(found.labels, lambda r: len(r) == 600 or 1 / 0)
    assert FileStore(str(tmp_path)).load().model.provenance.rows_seen == 600


def test_a_row_of_another_width_in_a_bundle_of_its_own_is_a_dead_letter() -> None:
    stream = TestStream().add_elements([TimestampedValue(r, 1.0) for r in ROWS])
    pipeline, found = run(stream.add_elements([TimestampedValue((1.0,), 2.0)]))

    def dead(letters: list) -> None:
        assert [(d.element, d.reason) for d in letters] == [((1.0,), "the row has 1 numbers, not 2")]

    with pipeline:
        assert_that(found.labels, lambda r: len(r) == 600 or 1 / 0, "labels")
        assert_that(found.dead_letters, dead, "dead")


def test_fields_of_a_frame_are_labelled() -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "name": "x"})
    stream = TestStream().add_elements([TimestampedValue(frame, 1.0)])
    pipeline, found = run(stream, fields=Fields(("a", "b")))

    def labels(results: list) -> None:
        assert len(results) == 600
        assert results[0].example["name"] == "x"

    with pipeline:
        assert_that(found.labels, labels)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"store": ""}, "no folder"),
        ({"store": "x", "keep": 0}, "keep=0"),
        ({"solve_rows": -1}, "solve_rows=-1"),
        ({"wait_rows": -5}, "wait_rows=-5"),
        ({"flush_seconds": -3}, "flush_seconds=-3"),
        ({"k": "3"}, "k is '3'"),
        ({"k": 2.5}, "k is 2.5"),
        ({"k": None}, "k is None"),
        ({"k": (2,)}, "k is"),
        ({"k": True}, "k is True"),
    ],
)
def test_settings_that_make_no_sense_are_told_when_they_are_given(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadInputError, match=says):
        OnlineClusters(**({"k": 3} | settings))
