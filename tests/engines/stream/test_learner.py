"""The learner: what a stream becomes depends on its rows and their order, not on batches or restarts."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.engines.stream.learner import Learner, Outcome
from shoal.engines.stream.parts import Piece
from shoal.engines.stream.settings import Span, StreamSettings
from shoal.features.spec import RecipeSpec
from shoal.summary.coreset import Coreset

HOMES = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])


def table(n, seed=0):
    rng = np.random.default_rng(seed)
    X = HOMES[rng.integers(3, size=n)] + rng.normal(size=(n, 2)) + np.linspace(0, 3, n)[:, None]
    X[::101, 0] = np.nan
    at = 1.7e9 + np.arange(n) - (rng.random(n) < 0.2) * rng.exponential(50, n)
    return pa.record_batch({"a": X[:, 0], "b": X[:, 1], "at": at, "id": [f"r{i}" for i in range(n)]})


def settings_of(**changes):
    return StreamSettings(
        **{
            "k": 3,
            "recipe": RecipeSpec(columns=("a", "b")),
            "time": "at",
            "half_life": Span(seconds=200.0),
            "learn_rows": 150,
            "every": Span(rows=400),
            "keep": ("id",),
            "bucket": 300.0,
            "n_threads": 1,
        }
        | changes
    )


def pieces(data, sizes):
    start, i = 0, 0
    while start < data.num_rows:
        part = data.slice(start, sizes[i % len(sizes)])
        yield Piece(part, "made", 5, np.arange(start, start + part.num_rows))
        start, i = start + part.num_rows, i + 1


def told(outcomes):
    labels = [t for o in outcomes for t in o.labels]
    return {
        "labels": pa.concat_tables(labels).to_pylist() if labels else [],
        "events": [e.to_dict() for o in outcomes for e in o.events],
        "alarms": [a.to_dict() for o in outcomes for a in o.alarms],
        "dead": [d for o in outcomes for d in o.dead],
        "centres": [m.centres.tolist() for o in outcomes for m in o.models],
        "ids": [m.ids.tolist() for o in outcomes for m in o.models],
    }


def run(data, sizes, chosen, *, restart_every=None):
    learner, outcomes = Learner(chosen), []
    for number, piece in enumerate(pieces(data, sizes)):
        outcomes.append(learner.feed([piece]))
        if restart_every and number % restart_every == 0 and not learner.has_waiting:
            learner = restarted(learner, chosen)
    outcomes.append(learner.finish())
    return learner, told(outcomes)


def restarted(learner, chosen):
    """What a crash and a restart make of a learner: everything through bytes and JSON."""
    meta = json.loads(json.dumps(learner.to_meta()))
    summary = None if learner.summary is None else Coreset.from_bytes(learner.summary.to_bytes())
    buckets = {} if learner.buckets is None else learner.buckets.open
    again = Learner(chosen)
    again.restore(
        meta, summary, {s: Coreset.from_bytes(b.to_bytes()) for s, b in buckets.items()}, learner.model
    )
    return again


DATA = table(1500)
KINDS = [
    settings_of(),
    settings_of(half_life=None, bucket=None),
    settings_of(half_life=Span(rows=300), k=(2, 5)),
    settings_of(every=Span(seconds=250.0)),
]


@pytest.mark.parametrize("chosen", KINDS, ids=["timed", "lasting", "rows and a range of k", "ticks"])
def test_batches_and_restarts_leave_no_trace(chosen):
    quiet, expected = run(DATA, [1500], chosen)
    assert expected["labels"]
    for sizes, restart in (([1], 50), ([7, 300, 64], 3), ([149, 1, 250], 1)):
        learner, found = run(DATA, sizes, chosen, restart_every=restart)
        for name, value in expected.items():
            assert found[name] == value, name
        assert learner.summary.to_bytes() == quiet.summary.to_bytes()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_any_batches(sizes):
    chosen = KINDS[0]
    _, expected = run(DATA, [1500], chosen)
    assert run(DATA, sizes, chosen)[1] == expected


def test_every_good_row_is_labelled_once_in_order_and_bad_ones_are_told():
    learner, found = run(DATA, [100], KINDS[0])
    ids = [row["id"] for row in found["labels"]]
    assert ids == [f"r{i}" for i in range(1500) if i % 101]
    assert [json.loads(d.raw)["id"] for d in found["dead"]] == [f"r{i}" for i in range(0, 1500, 101)]
    assert learner.summary.count == learner.learned == len(ids)
    assert learner.read == 1500
    models = [row["model"] for row in found["labels"]]
    assert models == sorted(models)
    assert models[0] == 1
    assert learner.solves == len(found["centres"])


def test_a_row_is_labelled_by_the_model_of_the_rows_before_it():
    """A cluster that is nowhere in the first rows is at first far from every centre."""
    near = np.zeros((400, 2)) + np.random.default_rng(0).normal(size=(400, 2))
    X = np.concatenate([near, np.full((200, 2), 50.0)])
    data = pa.record_batch({"a": X[:, 0], "b": X[:, 1]})
    chosen = settings_of(
        k=2,
        time=None,
        half_life=None,
        bucket=None,
        keep=(),
        learn_rows=100,
        every=Span(rows=150),
        recipe=RecipeSpec(scale="none"),
    )
    _, found = run(data, [600], chosen)
    first_far = found["labels"][400]
    assert first_far["distance"] > 40
    assert first_far["outlier_score"] > 0.9
    assert found["labels"][-1]["distance"] < 40


def test_a_short_stream_is_learned_at_its_end():
    learner, found = run(DATA.slice(0, 40), [40], KINDS[0])
    assert len(found["labels"]) == 39
    assert learner.model.k == 3


def test_fewer_distinct_rows_than_clusters():
    data = pa.record_batch({"a": [1.0, 1.0, 2.0] * 100, "b": [0.0] * 300})
    chosen = settings_of(
        k=5, time=None, half_life=None, bucket=None, keep=(), recipe=RecipeSpec(scale="none")
    )
    learner, found = run(data, [100], chosen)
    assert learner.model.k == 2
    assert len(found["labels"]) == 300


def test_nothing_at_all():
    learner = Learner(KINDS[0])
    assert learner.finish() == Outcome()
    assert learner.model is None
