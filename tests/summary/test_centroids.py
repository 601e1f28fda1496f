"""Centroids: the checks of any summary, the published update rules number by number, totals, and bad input."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.summary.centroids import Centroids
from shoal.summary.checks import all_checks, rows, same
from shoal.summary.forgetting_checks import HALF_LIFE, forgetting_checks

INIT = rows(4, seed=99).astype(np.float64)
PLAIN = {
    "plain": lambda seed: Centroids(5, seed=seed),
    "small blocks": lambda seed: Centroids(5, batch_size=64, seed=seed),
    "many centres": lambda seed: Centroids(40, batch_size=100, seed=seed),
    "one centre": lambda seed: Centroids(1, batch_size=50, seed=seed),
}
TIMED = {
    "plain": lambda seed: Centroids(5, half_life=HALF_LIFE, time_unit="time", seed=seed),
    "small blocks": lambda seed: Centroids(
        5, batch_size=64, half_life=HALF_LIFE, time_unit="time", seed=seed
    ),
    "given": lambda seed: Centroids(
        4, batch_size=64, half_life=HALF_LIFE, time_unit="time", init=INIT, seed=seed
    ),
}
GIVEN = {"given": lambda seed: Centroids(4, batch_size=64, init=INIT, seed=seed)}
NOT_FOR_GIVEN = (
    "check_widths_must_agree"  # given centres know their width, so that it cannot build the wrong one
)


@pytest.mark.parametrize("make", (PLAIN | GIVEN).values(), ids=(PLAIN | GIVEN).keys())
@pytest.mark.parametrize(
    "check", [c for c in all_checks() if c.__name__ != "check_merge_is_associative"], ids=lambda c: c.__name__
)
def test_check(check, make):
    if make is GIVEN["given"] and check.__name__ == NOT_FOR_GIVEN:
        pytest.skip("see test_the_widths_of_init_and_rows_must_agree")
    check(make)


@pytest.mark.parametrize("make", TIMED.values(), ids=TIMED.keys())
@pytest.mark.parametrize("check", forgetting_checks(), ids=lambda c: c.__name__)
def test_forgetting_check(check, make):
    check(make)


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN.keys())
@pytest.mark.parametrize("kind", ["decay_factor", "half_life"])
def test_batch_size_does_not_matter_to_decay(make, kind):
    X = rows(2500)
    plain = make(0)
    for unit in ("batches", "points"):
        how = {kind: 0.9 if kind == "decay_factor" else 200.0, "time_unit": unit}
        whole = Centroids(plain.k, batch_size=plain.batch_size, **how).update(X)
        parts = Centroids(plain.k, batch_size=plain.batch_size, **how)
        for i in range(0, len(X), 37):
            parts.update(X[i : i + 37])
        assert same(whole, parts)


# --- the published rules


class Oracle:
    """Spark's StreamingKMeansModel.update in plain float64, written from its formulas."""

    def __init__(self, centres, weights, a, unit):
        self.c, self.w = np.array(centres, float), np.array(weights, float)
        self.a, self.unit, self.splits = a, unit, 0

    def update(self, X):
        nearest = ((X[:, None] - self.c) ** 2).sum(axis=2).argmin(axis=1)
        self.w *= self.a if self.unit == "batches" else self.a ** len(X)
        for j in np.unique(nearest):
            mine = X[nearest == j]
            m, total = len(mine), mine.sum(axis=0)
            after = self.w[j] + m
            share = m / max(after, 1e-16)
            self.c[j] = (1 - share) * self.c[j] + (share / m) * total
            self.w[j] = after
        heavy, light = self.w.argmax(), self.w.argmin()
        most, least = self.w[heavy], self.w[light]
        if least < 1e-8 * most:
            self.splits += 1
            self.w[[heavy, light]] = (most + least) / 2
            x = self.c[heavy].copy()
            p = 1e-14 * np.maximum(np.abs(x), 1.0)
            self.c[heavy], self.c[light] = x + p, x - p


def compare(oracle, ours, batches):
    for X in batches:
        oracle.update(X)
        ours.update(X)
        points = ours.points()
        np.testing.assert_allclose(points.weights, oracle.w, rtol=1e-12)
        np.testing.assert_allclose(points.X, oracle.c, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("unit", ["batches", "points"])
@pytest.mark.parametrize("a", [1.0, 0.95, 0.5, 0.0])
@pytest.mark.parametrize("k", [1, 2, 6])
def test_equals_sparks_streaming_k_means(unit, a, k):
    rng = np.random.default_rng([k, int(a * 100)])
    init, weights = rng.normal(size=(k, 3)) * 3, rng.uniform(0.5, 20, k)
    ours = Centroids(k, batch_size=None, decay_factor=a, time_unit=unit, init=init, init_weights=weights)
    batches = [rng.normal(size=(n, 3)) * 3 + n / 50 for n in (40, 1, 7, 200, 3, 90)]
    compare(Oracle(init, weights, a, unit), ours, batches)


@pytest.mark.parametrize("unit", ["batches", "points"])
def test_a_half_life_is_sparks(unit):
    rng = np.random.default_rng(5)
    init = rng.normal(size=(3, 2))
    ours = Centroids(3, batch_size=None, half_life=7.0, time_unit=unit, init=init, init_weights=np.ones(3))
    oracle = Oracle(init, np.ones(3), np.exp(np.log(0.5) / 7.0), unit)
    compare(oracle, ours, [rng.normal(size=(n, 2)) for n in (10, 20, 5, 40)])


def test_a_dying_centre_takes_half_of_the_heaviest():
    rng = np.random.default_rng(6)
    init = np.array([[0.0, 0.0], [5.0, 5.0], [1e6, 1e6]])  # no row is ever near the last
    ours = Centroids(3, batch_size=None, decay_factor=0.1, init=init, init_weights=[1.0, 1.0, 1.0])
    oracle = Oracle(init, np.ones(3), 0.1, "batches")
    X = np.concatenate([rng.normal(size=(300, 2)), rng.normal(size=(30, 2)) + 5])
    # after the split the halves are 1e-14 apart: which takes a row in between is a tie, so the test ends there
    for _ in range(30):
        compare(oracle, ours, [X])
        if oracle.splits:
            break
    assert oracle.splits == 1
    heavy, light = ours.points().X[[0, 2]]
    assert (heavy != light).all()
    np.testing.assert_allclose(heavy - light, 2e-14, rtol=0.1)
    assert ours.points().weights[0] == ours.points().weights[2]


def test_an_empty_batch_ages_as_in_spark():
    ours = Centroids(2, batch_size=None, decay_factor=0.5, init=[[0.0], [9.0]], init_weights=[4.0, 2.0])
    ours.update(np.empty((0, 1)))
    assert ours.points().weights.tolist() == [2.0, 1.0]


def test_equals_sculleys_mini_batch():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(900, 4)) + rng.integers(3, size=(900, 1)) * 9
    init = X[:3].copy()
    ours = Centroids(3, batch_size=100, init=init).update(X)
    c, counts = init.copy(), np.zeros(3)
    for start in range(
        0, 900, 100
    ):  # gradient steps of rate 1 / count, one row at a time, assigned per batch
        batch = X[start : start + 100]
        for x, j in zip(batch, ((batch[:, None] - c) ** 2).sum(axis=2).argmin(axis=1), strict=True):
            counts[j] += 1
            c[j] += (x - c[j]) / counts[j]
    assert (counts > 0).all()
    np.testing.assert_allclose(ours.points().X, c, rtol=1e-10)
    np.testing.assert_allclose(ours.points().weights, counts)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
def test_scatter_is_that_of_the_rows(dtype, offset):
    rng = np.random.default_rng(8)
    scale = 1.0 if dtype == np.float64 or offset < 1e8 else 1e5  # float32 steps by 8 at 1e8
    X = (rng.normal(size=(5000, 3)) * scale + offset).astype(dtype)
    points = Centroids(1, batch_size=100, init=X[:1]).update(X).points()
    exact = X.astype(np.float64)
    about = ((exact - exact.mean(axis=0)) ** 2).sum()
    rounding = 1e-8 * scale if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(points.X[0], exact.mean(axis=0), rtol=1e-12, atol=rounding)
    np.testing.assert_allclose(points.scatter, about, rtol=1e-5 if dtype == np.float32 else 1e-8)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_clusters_far_from_zero_are_told_apart(dtype):
    rng = np.random.default_rng(9)
    steps = 1e8 + 1000 * np.arange(4.0)
    truth = rng.integers(4, size=6000)
    X = (steps[truth][:, None] + rng.normal(size=(6000, 2)) * 20).astype(dtype)
    found = Centroids(4, batch_size=500).update(X).centres()
    np.testing.assert_allclose(np.sort(found.X[:, 0]), steps, atol=15)
    np.testing.assert_allclose(np.sort(found.weights), np.sort(np.bincount(truth)))


# --- totals


@st.composite
def weighted_rows(draw):
    n = draw(st.integers(1, 60))
    whole = st.integers(-50, 50)
    X = np.array(draw(st.lists(st.tuples(whole, whole), min_size=n, max_size=n)), np.float64)
    return X, np.array(draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)), np.float64)


@settings(max_examples=60, deadline=None)
@given(weighted_rows(), st.sampled_from([None, "batches", "points"]))
def test_weights_equal_repeated_rows(data, unit):
    X, w = data
    init = np.array([[-30.1, 3.3], [0.2, 0.7], [33.3, -9.9]])
    how = {} if unit is None else {"decay_factor": 0.99, "time_unit": unit}
    weighted = Centroids(3, batch_size=None, init=init, **how).update(X, w)
    repeated = Centroids(3, batch_size=None, init=init, **how).update(np.repeat(X, w.astype(int), axis=0))
    a, b = weighted.points(), repeated.points()
    np.testing.assert_allclose(a.weights, b.weights, rtol=1e-10)
    np.testing.assert_allclose(a.X, b.X, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(a.scatter, b.scatter, rtol=1e-8, atol=1e-8)


def totals(points):
    w, X = points.weights, points.X.astype(np.float64)
    mean = w @ X / w.sum()
    between = float(w @ ((X - mean) ** 2).sum(axis=1))
    return w.sum(), mean, between + (0.0 if points.scatter is None else float(points.scatter.sum()))


def assert_same_totals(a, b, rtol=1e-6):
    for one, two in zip(totals(a), totals(b), strict=True):
        np.testing.assert_allclose(one, two, rtol=rtol)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=3, max_size=3), st.integers(1, 30), st.integers(0, 10))
def test_totals_do_not_depend_on_grouping_of_merges(sizes, k, seed):
    parts = [rows(n, seed=seed + i)[:, 1:] for i, n in enumerate(sizes)]
    a, b, c = (Centroids(k, batch_size=16, seed=seed).update(X) for X in parts)
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    assert left.count == right.count == sum(sizes)
    X = np.concatenate(parts).astype(np.float64)
    if len(X):
        about = ((X - X.mean(axis=0)) ** 2).sum()
        for s in (left, right):
            assert_same_totals(s.points(), left.points())
            assert_same_totals(s.centres(), left.points())
            np.testing.assert_allclose(totals(s.points())[2], about, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 500), st.integers(0, 5), st.booleans())
def test_merge_commutes_and_leaves_its_parts_alone(n, seed, given_centres):
    make = lambda: Centroids(4, batch_size=32, init=INIT if given_centres else None, seed=seed)  # noqa: E731
    a, b = make().update(rows(n, seed=seed)), make().update(rows(300, seed=seed + 1))
    before = a.to_bytes(), b.to_bytes()
    assert same(a.merge(b), b.merge(a))
    assert (a.to_bytes(), b.to_bytes()) == before
    again = a.merge(b).update(rows(500, seed=7))
    assert again.count == n + 800
    np.testing.assert_allclose(again.weight, n + 800)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(8)), st.integers(1, 60))
def test_totals_under_event_time_do_not_depend_on_order(order, batch_size):
    X, t = rows(400)[:, 1:], np.linspace(0, 100, 400)
    whole = Centroids(3, half_life=20.0, time_unit="time").update(X, times=t)  # 400 rows are all held
    late = Centroids(3, batch_size=batch_size, half_life=20.0, time_unit="time")
    parts = np.array_split(np.arange(400), 8)
    for i in order:
        late.update(X[parts[i]], times=t[parts[i]])
    assert_same_totals(whole.points(), late.points(), rtol=1e-5)
    assert late.newest == 100.0


def test_the_half_life_of_points_is_of_their_weight():
    s = Centroids(2, batch_size=None, half_life=100.0, time_unit="points").update(
        [[0.0]] * 50, np.full(50, 2)
    )
    s.update([[1.0]] * 50, np.full(50, 2))
    # a batch is taken in whole: the first is aged by the 100 points of the second
    assert np.isclose(s.weight, 150.0)


def test_centres_cost_no_more_than_lost_ones():
    """Rows of clusters that come one after the other: running means alone never reach the later ones."""
    places = np.arange(20.0)[:, None] * 100
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(2000, 1)) + p for p in places])
    found = Centroids(20).update(X).centres()
    np.testing.assert_allclose(np.sort(found.X[:, 0]), places[:, 0], atol=0.5)
    np.testing.assert_allclose(found.weights, 2000)


def test_a_drift_is_followed_and_the_past_forgotten():
    rng = np.random.default_rng(1)
    s = Centroids(2, batch_size=100, half_life=3.0)
    for step in range(100):
        s.update(rng.normal(size=(100, 1)) + rng.choice([0.0, 50.0], (100, 1)) + step)
    low, high = np.sort(s.centres().X[:, 0])
    assert 92 < low < 99
    assert 142 < high < 149
    assert s.count == 10_000
    assert s.weight < 600


# --- few, equal and bad rows


@pytest.mark.parametrize("n", [1, 2, 7])
def test_fewer_rows_than_centres(n):
    s = Centroids(8).update(rows(n))
    np.testing.assert_array_equal(s.points().X, rows(n))
    assert s.points().weights.tolist() == [1.0] * n
    assert len(s.centres().X) == min(n, 8)


@pytest.mark.parametrize("value", [0.0, 3.25, 1e8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rows_are_one_centre(value, dtype):
    s = Centroids(3, batch_size=50).update(np.full((1000, 2), value, dtype))
    found = s.centres()
    assert np.isclose(found.weights.sum(), 1000)
    np.testing.assert_array_equal(found.X, np.full(found.X.shape, value))
    assert found.scatter.sum() == 0
    s.update(np.full((10, 2), value + 1000, dtype))
    assert len(np.unique(s.centres().X)) == 2


def test_fewer_distinct_rows_than_centres_are_all_found():
    X = np.repeat([[0.0], [1.0], [5.0]], [500, 1, 700], axis=0)
    found = Centroids(6, batch_size=64).update(X).centres()
    assert sorted(found.X.ravel().tolist()) == [0.0, 1.0, 5.0]
    assert sorted(found.weights.tolist()) == [1.0, 500.0, 700.0]


def test_rows_that_weigh_nothing_are_counted_only():
    X = rows(2000)
    w = (np.arange(2000) % 2).astype(float)
    s = Centroids(4, batch_size=64).update(X, w)
    assert s.count == 2000
    assert np.isclose(s.weight, 1000)
    nothing = Centroids(4, batch_size=64).update(X, np.zeros(2000))
    assert nothing.count == 2000
    assert len(nothing.points().X) == 0
    assert len(nothing.centres().X) == 0


@pytest.mark.parametrize("scale", [1e-290, 1e90])
def test_the_unit_of_weights_is_free(scale):
    a, b = (Centroids(4, batch_size=64).update(rows(2000), np.full(2000, w)).centres() for w in (1.0, scale))
    np.testing.assert_allclose(b.weights, a.weights * scale)
    np.testing.assert_allclose(b.X, a.X, rtol=1e-6)


def test_everything_forgotten_starts_anew():
    s = Centroids(2, batch_size=None, decay_factor=0.0)
    for i in range(5):
        s.update(rows(200, seed=i))
    assert s.count == 1000
    assert np.isclose(s.weight, 200)
    assert s.points().X[:, 1:].max() <= rows(200, seed=4)[:, 1:].max()


def test_the_widths_of_init_and_rows_must_agree():
    s = Centroids(2, init=[[0.0], [1.0]])
    with pytest.raises(BadInputError, match="init has 1"):
        s.update([[1.0, 2.0]])
    assert s.is_empty


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0},
        {"batch_size": 0},
        {"decay_factor": 1.5},
        {"half_life": 0.0},
        {"half_life": 1.0, "decay_factor": 0.5},
        {"time_unit": "days"},
        {"time_unit": "time"},
        {"init": [[0.0]]},
        {"init": [[0.0], [np.nan]]},
        {"init_weights": [1.0, 1.0]},
        {"init": [[0.0], [1.0]], "init_weights": [1.0, -1.0]},
        {"seed": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ShoalError):
        Centroids(**({"k": 2} | wrong))


@pytest.mark.parametrize(
    "other",
    [
        Centroids(4),
        Centroids(3, batch_size=100),
        Centroids(3, decay_factor=0.5),
        Centroids(3, init=np.zeros((3, 3))),
    ],
)
def test_summaries_of_other_settings_do_not_merge(other):
    with pytest.raises(ShoalError, match="do not merge"):
        Centroids(3).update(rows(10)).merge(other.update(rows(10)))


def test_nothing_has_no_centres():
    with pytest.raises(ShoalError, match="no rows yet"):
        Centroids(3).centres()


@pytest.mark.parametrize("n", [0, 10, 500, 5000])
@pytest.mark.parametrize("init", [None, INIT])
def test_pickles_and_copies_are_equal_and_go_on(n, init):
    s = Centroids(4, batch_size=128, init=init, n_threads=1).update(rows(n))
    for again in (pickle.loads(pickle.dumps(s)), copy.deepcopy(s)):
        assert same(s, again)
        assert again.n_threads == 1
        assert same(copy.deepcopy(s).update(rows(300, seed=1)), again.update(rows(300, seed=1)))


def test_numbers_of_numpy_are_settings_too():
    s = Centroids(np.int64(3), batch_size=np.int32(64), half_life=np.float32(8), seed=np.uint8(1))
    assert same(s.update(rows(200)), Centroids(3, batch_size=64, half_life=8, seed=1).update(rows(200)))


def test_threads_leave_no_trace():
    one, two = (Centroids(20, n_threads=n).update(rows(9000)) for n in (1, 2))
    assert same(one, two)


def test_arrays_that_do_not_fit_are_refused():
    from shoal.summary import wire

    s = Centroids(3, batch_size=32).update(rows(1000))
    meta, arrays = wire.unpack("centroids", s.to_bytes())
    meta.pop("kind")
    for name, bad in (
        ("weights", -arrays["weights"]),
        ("centres", arrays["centres"][:, :2]),
        ("scatter", np.full_like(arrays["scatter"], np.nan)),
        ("pending_X", arrays["pending_X"].astype(np.float64)),
    ):
        with pytest.raises(DamagedFileError):
            Centroids.from_bytes(wire.pack("centroids", meta, arrays | {name: bad}))
    with pytest.raises(DamagedFileError):
        Centroids.from_bytes(wire.pack("centroids", meta | {"k": -3}, arrays))
