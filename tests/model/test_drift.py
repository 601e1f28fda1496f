"""Drift alarms: silent while nothing changes, soon there when something does, the same whatever the batches."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, ShoalError
from shoal.model.drift import Alarm, DriftWatch

from .test_outliers import blobs, model_of

CENTRES = np.random.default_rng(5).normal(size=(8, 4)) * 8
MODEL = model_of(blobs(50_000, CENTRES), 8)


def feed(watch, X, *, batch=20_000, time=None) -> list[Alarm]:
    alarms = []
    for i in range(0, len(X), batch):
        found = watch.model.assign(X[i : i + batch])
        when = None if time is None else time[i : i + batch]
        alarms += watch.update(found.positions, found.distances, when)
    return alarms


def uneven(c, share):
    """Shares of the centres, all but one equal."""
    p = np.full(8, (1 - share) / 7)
    p[c] = share
    return p


@pytest.mark.parametrize("seed", range(5))
def test_no_alarm_while_nothing_changes(seed):
    assert feed(DriftWatch(MODEL), blobs(200_000, CENTRES, seed=100 + seed)) == []


def test_no_alarm_from_a_small_solve():
    """Shares and distances that the solve knew from 1,000 rows only are not taken for certain."""
    model = model_of(blobs(1000, CENTRES, seed=3), 8)
    assert feed(DriftWatch(model), blobs(200_000, CENTRES, seed=4)) == []


@pytest.mark.parametrize(("scale", "delay"), [(1.1, 3000), (1.3, 1500), (0.9, 3000)])
def test_rows_farther_out_or_nearer_are_an_alarm(scale, delay):
    watch = DriftWatch(MODEL)
    assert feed(watch, blobs(50_000, CENTRES, seed=1)) == []
    alarms = feed(watch, blobs(20_000, CENTRES, seed=2, scale=scale))
    assert [a.kind for a in alarms] == ["distance"]  # one alarm for one change
    assert 50_000 < alarms[0].row <= 50_000 + delay
    assert abs(alarms[0].since - 50_000) <= delay
    assert (alarms[0].value > alarms[0].expected) == (scale > 1)
    assert (alarms[0].value > alarms[0].threshold) == (scale > 1)
    assert ("farther" in alarms[0].message) == (scale > 1)
    assert alarms[0].cluster is None


@pytest.mark.parametrize("share", [0.25, 0.2, 0.05, 0.0])
def test_a_cluster_that_gets_more_or_fewer_rows_is_an_alarm(share):
    watch = DriftWatch(MODEL)
    feed(watch, blobs(50_000, CENTRES, seed=1))
    alarms = feed(watch, blobs(20_000, CENTRES, uneven(3, share), seed=2))
    position = int(MODEL.predict(CENTRES[3:4])[0])
    first = next(a for a in alarms if a.cluster == MODEL.ids[position])
    assert first.kind == "shares"
    assert 50_000 < first.row <= 55_000
    assert first.expected == pytest.approx(1 / 8, rel=0.05)
    assert (first.value > first.threshold) == (share > 1 / 8)


def test_alarms_name_the_id_of_the_cluster_not_its_position():
    watch = DriftWatch(MODEL.replace(ids=MODEL.ids + 40))
    alarms = feed(watch, blobs(20_000, CENTRES, uneven(3, 0.4), seed=2))
    assert all(a.cluster >= 40 for a in alarms if a.kind == "shares")
    assert any(a.kind == "shares" for a in alarms)


def test_a_gradual_change_is_an_alarm():
    watch = DriftWatch(MODEL)
    feed(watch, blobs(50_000, CENTRES, seed=1))
    X = blobs(100_000, CENTRES, seed=2)
    away = np.linspace(0, 0.4, 100_000)[:, None] * np.random.default_rng(0).normal(size=(100_000, 4))
    alarms = feed(watch, X + away)
    assert alarms
    assert 50_000 < alarms[0].row < 130_000


def test_rows_unlike_those_of_the_solve_are_an_alarm_from_the_start():
    alarms = feed(DriftWatch(MODEL), blobs(50_000, CENTRES, seed=1, scale=1.5))
    assert alarms[0].kind == "distance"
    assert alarms[0].expected == 1.0
    assert alarms[0].since == 0
    assert {a.kind for a in feed(DriftWatch(MODEL), blobs(50_000, CENTRES, uneven(2, 0.3)))} == {"shares"}


def test_one_row_is_no_drift():
    X = blobs(100_000, CENTRES, seed=1)
    X[70_000] = 1e9
    assert feed(DriftWatch(MODEL), X) == []


def test_equal_rows_are_no_drift():
    X = np.repeat([[0.0, 0.0], [5.0, 5.0]], 20_000, axis=0)[np.random.default_rng(0).permutation(40_000)]
    model = model_of(X, 2)
    watch = DriftWatch(model)
    assert feed(watch, X) == []
    X[7] += 0.5
    assert feed(watch, X) == []
    X += np.random.default_rng(1).normal(size=X.shape)
    assert feed(watch, X)[0].kind == "distance"


def test_rows_that_come_in_runs_are_no_drift():
    """Runs of a cluster make its share vary from block to block by more than chance, and that is usual here."""
    rng = np.random.default_rng(1)
    labels = np.repeat(rng.integers(0, 8, 4000), 50)
    X = CENTRES[labels] + rng.normal(size=(200_000, 4))
    assert feed(DriftWatch(MODEL), X) == []


DRIFTING = np.concatenate(
    [blobs(12_000, CENTRES, seed=1), blobs(12_000, CENTRES, uneven(1, 0.3), seed=2, scale=1.3)]
)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, 24_000), max_size=12))
def test_the_sizes_of_batches_do_not_matter(cuts):
    found = MODEL.assign(DRIFTING)
    times = np.arange(24_000) * 0.5
    whole = DriftWatch(MODEL)
    alarms = whole.update(found.positions, found.distances, times)
    parts, got = DriftWatch(MODEL), []
    for part in np.split(np.arange(24_000), sorted(cuts)):
        got += parts.update(found.positions[part], found.distances[part], times[part])
    assert got == alarms != []
    assert parts.to_dict() == whole.to_dict()


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 24_000))
def test_a_restart_changes_nothing(at):
    whole = DriftWatch(MODEL)
    alarms = feed(whole, DRIFTING, batch=777)
    before = DriftWatch(MODEL)
    got = feed(before, DRIFTING[:at], batch=777)
    after = DriftWatch.from_dict(json.loads(json.dumps(before.to_dict())), MODEL)
    got += feed(after, DRIFTING[at:], batch=1234)
    assert got == alarms
    assert after.to_dict() == whole.to_dict()


def test_the_state_is_a_copy():
    watch = DriftWatch(MODEL)
    feed(watch, DRIFTING[:15_300])
    state = watch.to_dict()
    before = json.dumps(state)
    again = DriftWatch.from_dict(state, MODEL)
    feed(watch, DRIFTING[15_300:])
    feed(again, DRIFTING[15_300:])
    assert json.dumps(state) == before


def test_after_a_rebase_the_new_model_is_what_is_usual():
    moved = CENTRES + 1.5
    watch = DriftWatch(MODEL)
    assert feed(watch, blobs(20_000, moved, seed=1))[0].kind == "distance"
    watch.rebase(model_of(blobs(50_000, moved, seed=2), 8))
    assert feed(watch, blobs(100_000, moved, seed=3)) == []
    assert watch.rows == 120_000
    assert feed(watch, blobs(20_000, CENTRES, seed=4))[0].kind == "distance"


def test_alarms_tell_the_time_of_the_row():
    watch = DriftWatch(MODEL)
    alarms = feed(watch, DRIFTING, time=1e9 + np.arange(24_000))
    assert alarms
    assert all(a.time == 1e9 + a.row - 1 for a in alarms)
    assert json.loads(json.dumps(alarms[0].to_dict()))["kind"] == alarms[0].kind
    found = MODEL.assign(DRIFTING)
    assert {a.time for a in DriftWatch(MODEL).update(found.positions, found.distances, 7.0)} == {7.0}


def test_one_cluster_has_no_shares_to_watch():
    X = blobs(40_000, CENTRES[:1], seed=1)
    watch = DriftWatch(model_of(X, 1))
    assert feed(watch, blobs(100_000, CENTRES[:1], seed=2)) == []


def test_no_rows_change_nothing():
    watch = DriftWatch(MODEL)
    state = watch.to_dict()
    assert watch.update([], []) == []
    assert watch.to_dict() == state


def test_bad_input_is_refused_and_changes_nothing():
    watch = DriftWatch(MODEL)
    state = watch.to_dict()
    for positions, distances, text in (
        ([0, 8], [1.0, 1.0], "positions from 0 to 8, the model has 8 clusters; give positions, not ids"),
        ([-1], [1.0], "positions from -1"),
        ([0, 0], [1.0, np.nan], "row 1: distance is nan"),
        ([0], [-1.0], "row 0: distance is -1"),
        ([0, 0], [1.0], "give both as assign answers them"),
        ([0.0], [1.0], "float64"),
    ):
        with pytest.raises(BadInputError, match=text):
            watch.update(positions, distances)
    with pytest.raises(BadInputError, match=r"times have shape \(2,\), not \(1,\)"):
        watch.update([0], [1.0], [1.0, 2.0])
    assert watch.to_dict() == state
    for wrong in (
        {"block": 0},
        {"warm_up": 1},
        {"level_shift": 0},
        {"share_shift": 1},
        {"false_alarm_blocks": 0},
    ):
        with pytest.raises(ShoalError, match=next(iter(wrong))):
            DriftWatch(MODEL, **wrong)


def test_states_that_do_not_fit_are_refused():
    state = DriftWatch(MODEL).to_dict()
    with pytest.raises(ShoalError, match="another model"):
        DriftWatch.from_dict(state, model_of(blobs(500, CENTRES), 8))
    with pytest.raises(ShoalError, match="format 9"):
        DriftWatch.from_dict(state | {"format": 9}, MODEL)
    for broken in (
        {"shares": {}},
        {"shares": state["shares"] | {"usual": [0.5]}},
        {"distance": None},
        {"rows": "x"},
    ):
        with pytest.raises(ShoalError, match="cannot be read"):
            DriftWatch.from_dict(state | broken, MODEL)
