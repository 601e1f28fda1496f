"""``OnlineClusters``: rows of a stream are counted once, labelled, followed; through bundles of one, retries and redelivery."""

import time
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.test_stream import TestStream
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import FixedWindows, TimestampedValue

import shoal
from shoal.engines.beam import ClusterEvents, Fields, FileStore, OnlineClusters, Summarise
from shoal.engines.beam.online_learner import AT_THE_END, Delta
from shoal.engines.beam.online_merger import Merged
from shoal.engines.shares import KEY, SummarySettings, packed
from shoal.errors import BadInputError, Rejects

RNG = np.random.default_rng(3)
CENTRES = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
N = 600
X = CENTRES[RNG.integers(3, size=N)] + RNG.normal(size=(N, 2))
NAMED = [{"v": list(row), "id": f"message {i}"} for i, row in enumerate(X.tolist())]
FIELDS = Fields("v", id="id")


def streaming() -> TestPipeline:
    return TestPipeline(options=PipelineOptions(streaming=True))


def stream(*bundles: list[int]) -> TestStream:
    out = TestStream()
    for bundle in bundles:
        out = out.add_elements([TimestampedValue(NAMED[i], float(i)) for i in bundle])
    return ended(out)


def ended(out: TestStream) -> TestStream:
    """In two steps, as this runner does not hold the watermark back for timers."""
    return out.advance_watermark_to(AT_THE_END).advance_watermark_to_infinity()


def thirds() -> list[list[int]]:
    return [list(range(i, i + 50)) for i in range(0, N, 50)]


def last(models: list) -> Any:
    return max(models, key=lambda m: m.provenance.rows_seen)


@pytest.mark.parametrize("shards", [1, 3])
def test_every_row_is_learned_once_and_labelled(shards: int) -> None:
    def models(found: list) -> None:
        model = last(found)
        assert model.provenance.rows_seen == N
        order = np.argsort(model.centres @ [1.0, 2.0])
        assert np.abs(model.centres[order] - CENTRES).max() < 0.5
        assert set(model.ids.tolist()) == {0, 1, 2}

    def labels(found: list) -> None:
        assert len(found) == N + 50
        assert {int(r.inference) for r in found} == {0, 1, 2}
        truth = {r.example["id"]: r for r in found}
        groups: dict[int, set[int]] = {}
        for i, row in enumerate(X):
            true = int(np.argmin(((CENTRES - row) ** 2).sum(axis=1)))
            groups.setdefault(true, set()).add(int(truth[f"message {i}"].inference))
        assert all(len(found) == 1 for found in groups.values())  # ids stay through all versions

    again = list(range(100, 150))
    with streaming() as p:
        found = (
            p
            | stream(*thirds()[:6], again, *thirds()[6:])
            | OnlineClusters(3, FIELDS, shards=shards, flush_rows=100)
        )
        assert_that(found.models, models, "models")
        assert_that(found.labels, labels, "labels")
        assert_that(found.events, lambda e: [x.kind for x in e] == ["born"] * 3 or 1 / 0, "events")
        assert_that(found.dead_letters, lambda d: d == [] or 1 / 0, "dead")


def test_bundles_of_one_and_poison() -> None:
    bad = {"v": [1.0, float("nan")], "id": "bad"}
    bundles = TestStream()
    for i in range(5):
        bundles = bundles.add_elements([TimestampedValue(NAMED[i], float(i))])
    bundles = bundles.add_elements([TimestampedValue(bad, 9.0), TimestampedValue("poison", 9.0)])

    def models(found: list) -> None:
        assert last(found).provenance.rows_seen == 5
        assert last(found).provenance.rejects.total == 2

    with streaming() as p:
        found = p | ended(bundles) | OnlineClusters(3, FIELDS)
        assert_that(found.models, models, "models")
        assert_that(found.labels, lambda r: len(r) == 5 or 1 / 0, "labels")
        assert_that(found.dead_letters, lambda d: len(d) == 2 or 1 / 0, "dead")


def test_the_timer_hands_on_what_waits() -> None:
    rows = [TimestampedValue(NAMED[i], float(i)) for i in range(10)]
    bundles = (
        TestStream()
        .add_elements(rows)
        .advance_processing_time(int(time.time()) + 60)  # its clock starts at 0
        .add_elements([TimestampedValue(NAMED[10], 10.0)])
    )

    def models(found: list) -> None:
        assert sorted(m.provenance.rows_seen for m in found) == [10, 11]

    with streaming() as p:
        found = p | ended(bundles) | OnlineClusters(2, FIELDS, flush_seconds=5)
        assert_that(found.models, models)


class FailsOnce(beam.DoFn):
    """Stops a bundle after its rows went through the state of others."""

    def __init__(self, flag: str) -> None:
        self.flag = flag

    def process(self, element: Any) -> Any:
        if not Path(self.flag).exists():
            Path(self.flag).touch()
            raise RuntimeError("the machine stumbled")
        yield element


def test_a_bundle_that_is_done_again_counts_once(tmp_path: Path) -> None:
    with streaming() as p:
        rows = p | stream(*thirds()) | "before" >> beam.ParDo(FailsOnce(str(tmp_path / "before")))
        found = rows | OnlineClusters(3, FIELDS, flush_rows=100)
        labels = found.labels | "after" >> beam.ParDo(FailsOnce(str(tmp_path / "after")))
        assert_that(labels, lambda r: len(r) == N or 1 / 0, "labels")
        assert_that(found.models, lambda m: last(m).provenance.rows_seen == N or 1 / 0, "models")


def test_forgetting_is_by_event_time_whatever_the_order() -> None:
    half_life = 100.0
    expected = (
        SummarySettings(half_life=half_life)
        .new()
        .update(X, key=KEY, rows=np.arange(N), times=np.arange(N, dtype=float))
    )

    def models(found: list) -> None:
        assert last(found).weights.sum() == pytest.approx(expected.weight, rel=1e-9)

    shuffled = RNG.permutation(N)
    with streaming() as p:
        bundles = [part.tolist() for part in np.array_split(shuffled, 7)]
        found = p | stream(*bundles) | OnlineClusters(3, FIELDS, half_life=half_life, shards=2, flush_rows=64)
        assert_that(found.models, models)


def test_models_of_keys_are_apart() -> None:
    pairs = [TimestampedValue((f"k{i % 5}", NAMED[i]), float(i)) for i in range(N)]

    def models(found: list) -> None:
        rows: dict[str, int] = {}
        for key, model in found:
            rows[key] = max(rows.get(key, 0), model.provenance.rows_seen)
        assert rows == {f"k{i}": N // 5 for i in range(5)}

    with streaming() as p:
        bundles = ended(TestStream().add_elements(pairs[:300]).add_elements(pairs[300:]))
        found = p | bundles | OnlineClusters(3, FIELDS, per_key=True, shards=2)
        assert_that(found.models, models, "models")
        assert_that(
            found.labels, lambda r: {k for k, _ in r} == {f"k{i}" for i in range(5)} or 1 / 0, "labels"
        )


def test_a_pipeline_that_is_started_anew_goes_on_from_the_store(tmp_path: Path) -> None:
    store = str(tmp_path / "models")
    for part in (range(300), range(300, N)):
        with streaming() as p:
            _ = p | stream(list(part)) | OnlineClusters(3, FIELDS, store=store)
    held = FileStore(store).load()
    assert held.model.provenance.rows_seen == N
    assert held.summary.count == N
    assert set(held.model.ids.tolist()) == {0, 1, 2}
    assert np.array_equal(np.sort(held.summary.points().X, axis=0), np.sort(X, axis=0))
    for opened in (shoal.load(store), shoal.load(held.path)):
        assert opened.model.version == held.model.version


def test_state_stays_within_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings of 20,000 texts, 64 numbers each: 10 MB as float64, in a state of 1 MiB."""
    sizes: list[int] = []
    to_bytes = Merged.to_bytes

    def spied(self: Merged) -> bytes:
        content = to_bytes(self)
        sizes.append(len(content))
        return content

    monkeypatch.setattr(Merged, "to_bytes", spied)
    rng = np.random.default_rng(1)
    budget = 1 << 20
    with streaming() as p:
        bundles = TestStream()
        for _ in range(20):
            bundles = bundles.add_elements(list(rng.normal(size=(1000, 64)).astype(np.float32)))
        rows = p | ended(bundles)
        found = rows | OnlineClusters(4, max_bytes=budget, labels=False, flush_rows=1000)
        assert_that(found.models, lambda m: last(m).provenance.rows_seen == 20_000 or 1 / 0)
    assert max(sizes) < budget * 1.1
    assert max(sizes[-3:]) < 1.05 * max(sizes[5:10])  # it has stopped growing


def delta(rows: np.ndarray, sequence: int, epoch: str = "e", shard: int = 0) -> Delta:
    return Delta(shard, epoch, sequence, packed(SummarySettings().new().update(rows), Rejects()))


def test_a_delta_that_comes_twice_is_merged_once() -> None:
    merged = Merged()
    for d in (
        delta(X[:10], 1),
        delta(X[:10], 1),
        delta(X[10:30], 2),
        delta(X[:10], 1),
        delta(X[30:35], 1, shard=1),
    ):
        d = Delta.from_bytes(d.to_bytes())
        merged = Merged.from_bytes(merged.to_bytes()) if merged.learned else merged
        if merged.is_new(d):
            merged.add(d)
    assert merged.summary is not None
    assert merged.summary.count == 35
    assert merged.is_new(delta(X[:10], 1, epoch="after a restart"))


def test_events_between_windows() -> None:
    """A third cloud appears in the second hour, and the windows arrive in the wrong order."""
    rng = np.random.default_rng(0)
    first = [
        TimestampedValue(tuple(row), 10.0)
        for row in CENTRES[rng.integers(2, size=300)] + rng.normal(size=(300, 2))
    ]
    second = [
        TimestampedValue(tuple(row), 3700.0)
        for row in CENTRES[rng.integers(3, size=300)] + rng.normal(size=(300, 2))
    ]
    bundles = ended(TestStream().add_elements(second).add_elements(first))

    def events(found: list) -> None:
        told = sorted((e.time, e.kind) for e in found)
        assert [kind for _, kind in told[:2]] == ["born", "born"]
        later = [kind for time, kind in told if time > 3600]
        assert "born" in later

    def models(found: list) -> None:
        assert sorted(m.k for m in found) == [2, 3]
        ids = sorted((m.k, sorted(m.ids.tolist())) for m in found)
        assert set(ids[0][1]) < set(ids[1][1])

    with streaming() as p:
        summaries = p | bundles | beam.WindowInto(FixedWindows(3600)) | Summarise()
        followed = summaries | ClusterEvents((2, 6))
        assert_that(followed.events, events, "events")
        assert_that(followed.models, models, "models")


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(BadInputError, match="shards=0"):
        OnlineClusters(3, shards=0)
    with pytest.raises(BadInputError, match="k is 0"):
        OnlineClusters(0)
