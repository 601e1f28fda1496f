"""DBSCAN and HDBSCAN of weighted points: against plain definitions, scikit-learn on repeated rows, and known shapes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist
from sklearn.cluster import DBSCAN, HDBSCAN
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score

from shoal.errors import BadInputError
from shoal.solve.density import dbscan, default_eps, hdbscan, knee, resolution
from shoal.solve.neighbours import core_distances, places, space
from shoal.solve.spanning_tree import spanning_tree
from shoal.summary.coreset import Coreset
from shoal.summary.protocol import WeightedPoints


def plain(X):
    return WeightedPoints(np.asarray(X, float), np.ones(len(X)))


def spirals(n, seed=0):
    rng = np.random.default_rng(seed)
    turn = np.sqrt(rng.uniform(0.05, 1, n)) * 3 * np.pi
    arm = rng.integers(0, 2, n)
    X = np.c_[np.cos(turn + arm * np.pi), np.sin(turn + arm * np.pi)] * turn[:, None]
    return X + rng.normal(scale=0.1, size=X.shape), arm


SHAPES = {
    "moons": make_moons(1500, noise=0.05, random_state=0),
    "circles": make_circles(1500, noise=0.03, factor=0.5, random_state=0),
    "spirals": spirals(1500),
}


@st.composite
def weighted_points(draw, columns=(1, 2, 3)):
    """Few points, many of them equal or at equal distances."""
    d = draw(st.sampled_from(columns))
    m = draw(st.integers(1, 30))
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 6, size=(m, d)).astype(float) if draw(st.booleans()) else rng.normal(size=(m, d))
    return WeightedPoints(X, rng.integers(1, 5, size=m).astype(float))


# --- against definitions ---------------------------------------------------------------------------------------


def mutual_reachability(X, w, min_weight):
    D = cdist(X, X)
    order = D.argsort(axis=1, kind="stable")
    reached = w[order].cumsum(axis=1) >= min_weight
    core = np.take_along_axis(D, order, axis=1)[np.arange(len(X)), reached.argmax(axis=1)]
    return core, np.maximum(np.maximum(D, core), core[:, None])


def prim(M):
    """Heights of the minimum spanning tree of a dense matrix."""
    inside, best, heights = np.zeros(len(M), bool), np.full(len(M), np.inf), []
    best[0] = 0
    for _ in M:
        i = np.where(inside, np.inf, best).argmin()
        heights.append(best[i])
        inside[i] = True
        best = np.minimum(best, M[i])
    return np.sort(heights[1:])


@pytest.mark.parametrize("columns", [1, 2, 5, 20])
@pytest.mark.parametrize("kind", ["normal", "grid", "two densities", "far groups"])
def test_spanning_tree_equals_prim_on_the_full_matrix(columns, kind):
    rng = np.random.default_rng(columns)
    X = (
        rng.integers(0, 9, size=(400, columns)).astype(float)
        if kind == "grid"
        else rng.normal(size=(400, columns))
    )
    if kind == "two densities":
        X[:200] *= 0.02
    if kind == "far groups":
        X = X * 0.01 + rng.integers(0, 8, size=(400, 1))
    at = places(X, rng.integers(1, 4, size=400).astype(float))
    core, M = mutual_reachability(at.X, at.weights, 6)
    near = space(at.X)
    np.testing.assert_allclose(core_distances(near, at.weights, 6), core, atol=1e-12)
    tree = spanning_tree(near, core)
    np.testing.assert_allclose(tree.heights, prim(M), atol=1e-12)
    np.testing.assert_allclose(tree.heights, M[tree.ends[:, 0], tree.ends[:, 1]], atol=1e-12)


def oracle_hdbscan(X, w, least, min_weight):
    """HDBSCAN* by its definition: components of the graph of core points at every height, from the top down."""
    core, M = mutual_reachability(X, w, min_weight)
    heights = np.unique(np.concatenate([M.ravel(), core]))
    floor = heights[heights > 0].min() if (heights > 0).any() else 1.0
    clusters = [{"birth": 0.0, "parent": -1, "stability": 0.0, "kids": []}]
    last = np.zeros(len(X), int)
    owner = [(0, np.arange(len(X)))]  # live components and their clusters
    for h in heights[::-1]:
        now, after = 1 / max(h, floor), []
        for c, members in owner:
            # just below h only strictly shorter edges, and points whose core distance is below it, are left
            alive = members[core[members] < h]
            _, part = (
                connected_components(M[np.ix_(alive, alive)] < h) if len(alive) else (0, np.empty(0, int))
            )
            parts = [alive[part == p] for p in np.unique(part)]
            large = [p for p in parts if w[p].sum() >= least]
            gone = np.setdiff1d(members, np.concatenate([*large, np.empty(0, int)]).astype(int))
            clusters[c]["stability"] += w[gone].sum() * (now - clusters[c]["birth"])
            if len(large) == 1:
                after.append((c, large[0]))
            for p in large if len(large) > 1 else []:
                clusters[c]["stability"] += w[p].sum() * (now - clusters[c]["birth"])
                clusters[c]["kids"].append(len(clusters))
                clusters.append({"birth": now, "parent": c, "stability": 0.0, "kids": []})
                last[p] = len(clusters) - 1
                after.append((len(clusters) - 1, p))
        owner = after
    for c, members in owner:  # coinciding rows: they leave at the floor
        clusters[c]["stability"] += w[members].sum() * (1 / floor - clusters[c]["birth"])
    return clusters, last


def oracle_labels(clusters, last):
    best, chosen = [c["stability"] for c in clusters], [True] * len(clusters)
    for c in range(len(clusters) - 1, -1, -1):
        if kids := clusters[c]["kids"]:
            inside = sum(best[k] for k in kids)
            chosen[c] = c > 0 and best[c] >= inside * (1 - 1e-9)
            best[c] = best[c] if chosen[c] else inside
    labels = []
    for c in last:
        top, found = c, -1
        while top >= 0:
            found = top if chosen[top] else found
            top = clusters[top]["parent"]
        labels.append(found)
    return np.array(labels)


def same_partition(a, b):
    """Equal up to renaming, noise being noise."""
    a, b = np.asarray(a), np.asarray(b)
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return ((a < 0) == (b < 0)).all() and len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))


@settings(max_examples=150, deadline=None)
@given(weighted_points(), st.integers(2, 12), st.integers(1, 8))
def test_hdbscan_equals_its_definition(points, least, min_weight):
    if points.weights.sum() < max(min_weight, least):
        return
    at = places(points.X, points.weights)
    expected = oracle_labels(*oracle_hdbscan(at.X, at.weights, least, min_weight))[at.of]
    assert same_partition(hdbscan(points, least, min_weight).labels, expected)


@settings(max_examples=100, deadline=None)
@given(weighted_points(), st.sampled_from([0.3, 1.0, 1.5]), st.integers(1, 8))
def test_dbscan_equals_scikit_learn_on_repeated_rows(points, eps, min_weight):
    repeated = np.repeat(np.arange(len(points.X)), points.weights.astype(int))
    ours = dbscan(points, eps, min_weight)
    theirs = DBSCAN(eps=eps, min_samples=min_weight).fit(points.X[repeated])
    np.testing.assert_array_equal(ours.labels[repeated], theirs.labels_)
    np.testing.assert_array_equal(np.flatnonzero(ours.core[repeated]), theirs.core_sample_indices_)


# --- properties ------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(weighted_points(), st.integers(2, 12), st.integers(1, 8))
def test_hdbscan_weighted_equals_repeated(points, least, min_weight):
    repeated = np.repeat(np.arange(len(points.X)), points.weights.astype(int))
    weighted = hdbscan(points, least, min_weight)
    rows = hdbscan(plain(points.X[repeated]), least, min_weight)
    np.testing.assert_array_equal(weighted.labels[repeated], rows.labels)
    np.testing.assert_allclose(weighted.strengths[repeated], rows.strengths)
    np.testing.assert_allclose(weighted.reach, rows.reach)


@settings(max_examples=80, deadline=None)
@given(weighted_points(), st.integers(0, 1000))
def test_hdbscan_does_not_depend_on_the_order_of_points(points, seed):
    order = np.random.default_rng(seed).permutation(len(points.X))
    one = hdbscan(points, 6, 3)
    other = hdbscan(WeightedPoints(points.X[order], points.weights[order]), 6, 3)
    np.testing.assert_array_equal(one.labels[order], other.labels)
    np.testing.assert_array_equal(one.strengths[order], other.strengths)


@settings(max_examples=30, deadline=None)
@given(weighted_points(), st.sampled_from([0.25, 64.0]), st.sampled_from([0.5, 128.0]))
def test_hdbscan_does_not_depend_on_units(points, of_length, of_weight):
    one = hdbscan(points, 6, 3)
    other = hdbscan(
        WeightedPoints(points.X * of_length, points.weights * of_weight), 6 * of_weight, 3 * of_weight
    )
    np.testing.assert_array_equal(one.labels, other.labels)


# --- against scikit-learn --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("least", "min_weight"), [(5, 5), (30, 10)])
def test_hdbscan_equals_scikit_learn_on_shapes_that_are_apart(name, least, min_weight):
    X, _ = SHAPES[name]
    theirs = HDBSCAN(min_cluster_size=least, min_samples=min_weight, copy=True).fit(X).labels_
    assert adjusted_rand_score(hdbscan(plain(X), least, min_weight).labels, theirs) > 0.999


@pytest.mark.parametrize("seed", range(4))
def test_hdbscan_is_near_scikit_learn_on_blobs(seed):
    X, _ = make_blobs(800, centers=6, random_state=seed)
    theirs = HDBSCAN(min_cluster_size=20, min_samples=5, copy=True).fit(X).labels_
    assert (
        adjusted_rand_score(hdbscan(plain(X), 20, 5).labels, theirs) > 0.97
    )  # they part edges of equal height


# --- shapes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_found_without_k(name):
    X, truth = SHAPES[name]
    found = hdbscan(plain(X))
    assert found.k == 2
    assert adjusted_rand_score(found.labels, truth) > 0.98


def test_rows_between_clusters_are_noise():
    rng = np.random.default_rng(0)
    X, truth = make_blobs(900, centers=[[0, 0], [10, 0], [0, 10]], cluster_std=0.3, random_state=0)
    noise = rng.uniform(-5, 15, size=(40, 2))
    found = hdbscan(plain(np.r_[X, noise]))
    assert found.k == 3
    assert adjusted_rand_score(found.labels[:900], truth) > 0.98
    apart = cdist(noise, X).min(axis=1) > 2
    assert found.strengths[900:][apart].max() < 0.3  # noise, or the last to be called members
    assert found.strengths[found.labels < 0].max() == 0


def test_k_when_it_is_known():
    X, truth = make_blobs(600, centers=[[0, 0], [3, 0], [20, 0], [23, 0]], cluster_std=0.4, random_state=0)
    pairs = hdbscan(plain(X), k=2).labels
    assert adjusted_rand_score(pairs, truth // 2) > 0.99
    assert adjusted_rand_score(hdbscan(plain(X), k=4).labels, truth) > 0.98
    assert hdbscan(plain(X), k=1).k == 1
    assert hdbscan(plain(X), 100, k=50).k == 4  # no more than there are


def test_allow_one():
    X = np.random.default_rng(0).normal(size=(500, 2))
    assert hdbscan(plain(X), 15, 5, allow_one=True).k <= hdbscan(plain(X), 15, 5).k
    X, _ = make_blobs(400, centers=[[0, 0], [9, 9]], cluster_std=0.3, random_state=0)
    assert hdbscan(plain(X), 20, 5, allow_one=True).k == 2


def test_leaves_are_finer():
    X, _ = make_blobs(600, centers=4, random_state=2)
    assert hdbscan(plain(X), 15, 5, selection="leaf").k >= hdbscan(plain(X), 15, 5).k


# --- samples ---------------------------------------------------------------------------------------------------


def test_a_sample_has_the_clusters_of_all_rows():
    rng = np.random.default_rng(0)
    moons, which = make_moons(940_000, noise=0.05, random_state=0)
    rare = rng.normal(size=(10_000, 2)) * 0.05 + [3, 3]
    noise = rng.uniform(-3, 5, size=(50_000, 2))
    X = np.r_[moons, rare, noise]
    truth = np.r_[which, np.full(10_000, 2), np.full(50_000, -1)]
    order = rng.permutation(len(X))
    points = (summary := Coreset(rows=20_000)).update(X[order]).points()
    assert summary.tau > 0
    found = hdbscan(points, sampled=True)
    assert found.k == 3
    kept = {tuple(row): label for row, label in zip(X, truth, strict=True)}
    known = np.array([kept[tuple(row)] for row in points.X])
    inside = known >= 0
    assert adjusted_rand_score(found.labels[inside], known[inside]) > 0.97
    member = found.labels >= 0
    total = np.bincount(found.labels[member & inside], points.weights[member & inside])
    np.testing.assert_allclose(total, [470_000, 470_000, 10_000], rtol=0.1)
    assert points.weights[member & ~inside].sum() < 0.4 * 50_000  # noise that lies in or beside a cluster


def test_density_is_weight_and_not_points():
    # two halves of equal density, of which one is sampled forty times as densely
    left = np.linspace(0, 1, 2000, endpoint=False)[:, None]
    right = np.linspace(1, 2, 50)[:, None]
    X, w = np.r_[left, right], np.r_[np.ones(2000), np.full(50, 40.0)]
    core = core_distances(space(X), w, 400)
    assert np.ptp(core[200:1800]) < 0.03
    assert abs(core[1000] - core[-25]) < 0.03


def test_a_kept_point_alone_is_not_dense():
    X = np.random.default_rng(0).uniform(size=(300, 2))
    points = WeightedPoints(X, np.full(300, 50.0))
    assert resolution(points) == 50
    assert dbscan(points, 1e-6, 5, sampled=True).k == 0
    assert dbscan(points, 1e-6, 5).k == 300  # as rows that do coincide, each is


# --- defaults and limits ---------------------------------------------------------------------------------------


def test_knee_is_where_the_curve_bends():
    core = np.r_[np.linspace(0.9, 1.1, 900), np.linspace(1.2, 20, 100)]
    assert 1.0 <= knee(core, np.ones(1000)) <= 2.5
    assert knee(core, np.ones(1000)) == knee(core[::-1], np.ones(1000))
    assert knee(np.zeros(5), np.ones(5)) > 0


@pytest.mark.parametrize("name", SHAPES)
def test_dbscan_finds_shapes_without_eps(name):
    X, truth = SHAPES[name]
    assert default_eps(plain(X)) == default_eps(plain(X[::-1]))
    found = dbscan(plain(X))
    np.testing.assert_array_equal(found.labels, dbscan(plain(X), default_eps(plain(X))).labels)
    assert adjusted_rand_score(found.labels, truth) > 0.95


def test_memory_is_not_that_of_a_matrix():
    X = np.random.default_rng(0).normal(size=(50_000, 2)) * 0.1 + np.random.default_rng(1).integers(
        0, 5, (50_000, 2)
    )
    tracemalloc.start()
    found = hdbscan(plain(X), 200, 10, n_threads=1)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.k == 25
    assert most < 200e6  # a matrix would be 20e9


@pytest.mark.parametrize("solve", [hdbscan, dbscan])
def test_one_point_and_equal_rows(solve):
    assert solve(plain([[3.0, 4.0]])).labels.tolist() == [-1]
    equal = solve(plain(np.ones((30, 2))))
    assert equal.labels.tolist() == [0] * 30
    heavy = solve(WeightedPoints(np.ones((1, 2)), np.array([30.0])))
    assert heavy.labels.tolist() == [0]


@pytest.mark.parametrize("solve", [lambda p: hdbscan(p, 10, 5), lambda p: dbscan(p, 1.0, 5)])
def test_points_without_weight_shape_nothing(solve):
    X, _ = make_blobs(200, centers=[[0, 0], [20, 20]], cluster_std=0.5, random_state=0)
    light = np.array([[0.0, 0.0], [20.0, 20.0], [1e6, 1e6]])
    with_light = solve(WeightedPoints(np.r_[light, X], np.r_[np.zeros(3), np.ones(200)]))
    alone = solve(plain(X))
    np.testing.assert_array_equal(with_light.labels[3:], alone.labels)
    assert sorted(with_light.labels[:2]) == [0, 1]
    assert with_light.labels[2] == -1


def test_spikes_of_equal_rows_are_clusters_of_their_own():
    X = np.r_[np.zeros((50, 2)), np.ones((50, 2)), np.random.default_rng(0).uniform(5, 9, size=(20, 2))]
    found = hdbscan(plain(X), 30, 5)
    assert found.k == 2
    assert set(found.labels[:50]) | set(found.labels[50:100]) == {0, 1}
    assert np.isfinite(found.strengths).all()


@pytest.mark.parametrize(
    "points",
    [
        WeightedPoints(np.empty((0, 2)), np.empty(0)),
        WeightedPoints(np.array([[np.nan]]), np.ones(1)),
        WeightedPoints(np.array([[np.inf]]), np.ones(1)),
        WeightedPoints(np.array([[1e200]]), np.ones(1)),
        WeightedPoints(np.array([[1.0]]), np.array([-1.0])),
        WeightedPoints(np.array([[1.0]]), np.array([0.0])),
        WeightedPoints(np.array([[1.0]]), np.ones(2)),
    ],
)
@pytest.mark.parametrize("solve", [hdbscan, dbscan])
def test_bad_points_are_errors(solve, points):
    with pytest.raises(BadInputError):
        solve(points)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_minima_must_be_positive(wrong):
    with pytest.raises(BadInputError, match="positive"):
        hdbscan(plain([[0.0], [1.0]]), wrong)
    with pytest.raises(BadInputError, match="positive"):
        dbscan(plain([[0.0], [1.0]]), wrong)


def test_more_weight_asked_than_there_is_gives_noise():
    assert (hdbscan(plain(np.ones((4, 1))), 2, 100).labels == -1).all()
    assert (hdbscan(plain(np.ones((4, 1))), 100, 2).labels == -1).all()


def test_a_ball_that_holds_everything_needs_no_matrix():
    X = np.random.default_rng(0).uniform(size=(3000, 2))
    tracemalloc.start()
    assert dbscan(plain(X), 10.0, 5).labels.tolist() == [0] * 3000
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 150e6


def test_many_columns():
    X, truth = make_blobs(1500, n_features=40, centers=6, random_state=0)
    for found in (hdbscan(plain(X)), dbscan(plain(X))):
        assert adjusted_rand_score(found.labels, truth) > 0.95
    theirs = HDBSCAN(min_cluster_size=15, min_samples=5, copy=True).fit(X).labels_
    assert adjusted_rand_score(hdbscan(plain(X)).labels, theirs) > 0.99
