"""Forgetting by event time: the clock against the formula, and what order and lateness leave in a coreset."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, ShoalError
from shoal.solve.k_means import k_means
from shoal.summary.coreset import Coreset
from shoal.summary.forgetting import EPOCH, Clock, as_times, shrink

TIMES = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=40)


def decayed(times, half_life):
    return np.exp2(-(max(times) - np.asarray(times)) / half_life)


@given(TIMES, st.floats(0.5, 1e4), st.integers(1, 7))
def test_weights_follow_the_formula_whatever_the_batches(times, half_life, size):
    clock, held = Clock(half_life), np.empty(0)
    for i in range(0, len(times), size):
        weights, shift = clock.admit(times[i : i + size], None)
        held = np.concatenate([held * shrink(shift), weights])
    expected = decayed(times, half_life)
    visible = expected > 1e-200
    np.testing.assert_allclose((held * clock.as_of_newest)[visible], expected[visible], rtol=1e-9)


@given(TIMES, st.floats(0.5, 1e4), st.randoms())
def test_order_of_arrival_leaves_no_bit(times, half_life, random):
    def weigh(order):
        clock, held = Clock(half_life), {}
        for i in order:
            weights, shift = clock.admit([times[i]], None)
            held = {j: w * shrink(shift) for j, w in held.items()} | {i: float(weights[0])}
        return [0.0 if held[i] < 2.0**-900 else held[i] for i in range(len(times))], clock.newest

    shuffled = list(range(len(times)))
    random.shuffle(shuffled)
    assert weigh(range(len(times))) == weigh(shuffled)


def test_a_landmark_far_ahead_does_not_overflow():
    clock = Clock(1e-3)
    clock.admit([0.0], None)
    weights, shift = clock.admit([1e14], None)
    assert shrink(shift) == 0.0
    assert 2.0**-EPOCH <= weights[0] <= 1.0


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_half_life_must_be_a_time(bad):
    with pytest.raises(ShoalError, match="half_life"):
        Coreset(half_life=bad)


@pytest.mark.parametrize("bad", [[np.nan], [np.inf], ["noon"], [[1.0]], np.array(["NaT"], "datetime64[s]")])
def test_bad_times_are_refused(bad):
    with pytest.raises(BadInputError, match="event time"):
        as_times(bad)


def rows_of(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)), np.sort(rng.uniform(0, 3000.0, n))


@settings(max_examples=25, deadline=None)
@given(st.randoms(), st.integers(1, 60))
def test_points_do_not_depend_on_the_order_of_arrival(random, size):
    X, t = rows_of(150)
    order = list(range(len(X)))
    random.shuffle(order)
    points = []
    for arrival in (np.arange(len(X)), np.array(order)):
        s = Coreset(k_max=3, half_life=10.0)
        for i in range(0, len(X), size):
            part = arrival[i : i + size]
            s.update(X[part], key=5, rows=part, times=t[part])
        found = s.points()
        by_value = np.lexsort(found.X.T)
        points.append((found.X[by_value], found.weights[by_value], s.totals.mean(), s.totals.weight))
    for first, second in zip(*points, strict=True):
        np.testing.assert_array_equal(first, second)


def test_totals_are_those_of_decayed_rows():
    X, t = rows_of(500)
    X = X + 1e8
    s = Coreset(k_max=3, half_life=300.0)
    for part in np.array_split(np.random.default_rng(1).permutation(500), 9):
        s.update(X[part], times=t[part])
    w = decayed(t, 300.0).astype(np.longdouble)
    mean = (w[:, None] * X).sum(axis=0) / w.sum()
    scatter = (w[:, None] * (X - mean) ** 2).sum(axis=0)
    assert s.weight == pytest.approx(float(w.sum()), rel=1e-12)
    assert s.newest == t.max()
    np.testing.assert_allclose(s.totals.mean(), mean.astype(float), rtol=1e-15)
    measured = s.totals.scatter() / s.totals.weight
    np.testing.assert_allclose(measured, (scatter / w.sum()).astype(float), rtol=1e-6)


def test_a_full_sample_solves_as_well_as_all_decayed_rows():
    """The old half of the stream lies elsewhere; the summary must follow the new half, shuffled or not."""
    rng = np.random.default_rng(2)
    n = 30_000
    t = np.sort(rng.uniform(0, 1000.0, n))
    homes = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    X = homes[rng.integers(3, size=n)] + rng.normal(size=(n, 2)) + np.where(t < 500, 30.0, 0.0)[:, None]
    w = decayed(t, 40.0)
    best = k_means(X, 3, weights=w, seed=0).inertia
    for order in (np.arange(n), rng.permutation(n)):
        s = Coreset(k_max=8, rows=1500, half_life=40.0)
        for part in np.array_split(order, 23):
            s.update(X[part], times=t[part])
        points = s.points()
        centres = k_means(points.X, 3, weights=points.weights, seed=0).centres
        squared = ((X[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
        assert float(w @ squared) <= 1.03 * best


def test_weights_of_rows_count_too():
    X, t = rows_of(50)
    w = np.arange(1.0, 51.0)
    once = Coreset(half_life=100.0).update(X, w, times=t)
    again = Coreset(half_life=100.0).update(
        np.repeat(X, 2, axis=0), np.repeat(w / 2, 2), times=np.repeat(t, 2)
    )
    assert once.weight == pytest.approx(again.weight, rel=1e-14)


def test_forgetful_and_lasting_summaries_do_not_merge():
    X, t = rows_of(20)
    with pytest.raises(ShoalError, match="half_life"):
        Coreset().update(X).merge(Coreset(half_life=1.0).update(X, times=t))
    with pytest.raises(ShoalError, match="half_life"):
        Coreset().merge(Coreset(half_life=1.0))
