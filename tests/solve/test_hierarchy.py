"""Ward's dendrogram of weighted points: against the greedy definition, SciPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, is_valid_linkage, linkage
from sklearn.cluster import AgglomerativeClustering
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from shoal.errors import BadInputError
from shoal.solve.hierarchy import COVER, MOST, ward
from shoal.summary.protocol import WeightedPoints


def plain(X):
    return WeightedPoints(np.asarray(X, float), np.ones(len(X)))


def greedy_heights(X, w):
    """Merge the cheapest pair, over and over."""
    groups = [(X[i], w[i]) for i in range(len(X))]
    heights = []
    while len(groups) > 1:
        pairs = [(i, j) for i in range(len(groups)) for j in range(i)]
        cost = [
            groups[i][1]
            * groups[j][1]
            / (groups[i][1] + groups[j][1])
            * ((groups[i][0] - groups[j][0]) ** 2).sum()
            for i, j in pairs
        ]
        (i, j), least = pairs[int(np.argmin(cost))], min(cost)
        heights.append(np.sqrt(2 * least))
        (x, a), (y, b) = groups[i], groups[j]
        groups = [g for n, g in enumerate(groups) if n not in (i, j)] + [((a * x + b * y) / (a + b), a + b)]
    return np.array(heights)


def inertia(X, w, labels):
    return sum(
        w[labels == c]
        @ ((X[labels == c] - np.average(X[labels == c], axis=0, weights=w[labels == c])) ** 2).sum(1)
        for c in np.unique(labels)
    )


@pytest.mark.parametrize("seed", range(5))
def test_heights_are_those_of_the_greedy_definition(seed):
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(25, 3)), rng.integers(1, 50, 25).astype(float)
    np.testing.assert_allclose(ward(WeightedPoints(X, w)).linkage[:, 2], greedy_heights(X, w))


@pytest.mark.parametrize(("n", "d"), [(2, 1), (50, 2), (300, 5)])
def test_unit_weights_equal_scipy_and_scikit_learn(n, d):
    X = np.random.default_rng(n).normal(size=(n, d))
    tree, theirs = ward(plain(X)), linkage(X, "ward")
    assert is_valid_linkage(tree.linkage)
    np.testing.assert_allclose(tree.linkage[:, 2], theirs[:, 2])
    for k in range(1, min(n, 8) + 1):
        assert adjusted_rand_score(tree.cut(k), fcluster(theirs, k, "maxclust")) == 1
    if n > 2:
        height = float(theirs[n // 2 - 1 : n // 2 + 1, 2].mean())
        cut = AgglomerativeClustering(None, distance_threshold=height).fit(X).labels_
        assert adjusted_rand_score(tree.cut(distance_threshold=height), cut) == 1
    # SciPy's own cut of our linkage
    assert len(np.unique(fcluster(tree.linkage, 2, "maxclust"))) == 2


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 15), st.integers(0, 1000))
def test_weighted_equals_repeated(m, seed):
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(m, 2)), rng.integers(1, 5, m)
    repeated = np.repeat(np.arange(m), w)
    weighted = ward(WeightedPoints(X, w.astype(float)))
    rows = ward(plain(X[repeated]))
    np.testing.assert_allclose(weighted.linkage, rows.linkage)
    theirs = linkage(X[repeated], "ward")[:, 2]
    np.testing.assert_allclose(theirs[: len(repeated) - m], 0, atol=1e-9)
    np.testing.assert_allclose(weighted.linkage[:, 2], theirs[len(repeated) - m :])
    for k in range(1, m + 1):
        np.testing.assert_array_equal(weighted.cut(k)[repeated], rows.cut(k))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(0, 1000))
def test_order_of_points_does_not_matter(m, seed):
    rng = np.random.default_rng(seed)
    X, w, order = rng.normal(size=(m, 2)), rng.uniform(0.5, 9, m), rng.permutation(m)
    one, other = ward(WeightedPoints(X, w)), ward(WeightedPoints(X[order], w[order]))
    np.testing.assert_array_equal(one.cut(min(m, 3))[order], other.cut(min(m, 3)))


def test_inertia_of_every_cut():
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(60, 3)), rng.uniform(0.5, 9, 60)
    tree = ward(WeightedPoints(X, w, np.full(60, 2.0)))
    for k in (1, 2, 7, 60):
        assert tree.inertia(k) == pytest.approx(120 + inertia(X, w, tree.cut(k)))


def test_many_points_are_covered_and_lose_little():
    X, truth = make_blobs(MOST + 3000, centers=10 * np.eye(7), cluster_std=0.5, random_state=1)
    tree = ward(plain(X))
    assert len(tree.leaves) <= COVER
    assert adjusted_rand_score(tree.cut(7), truth) > 0.99
    assert tree.inertia(7) == pytest.approx(inertia(X, np.ones(len(X)), tree.cut(7)))
    assert tree.weights.sum() == pytest.approx(len(X))
    np.testing.assert_array_equal(tree.cut(7), ward(plain(X)).cut(7))


@pytest.mark.parametrize("k", [3, 5])
def test_longest_lived_cut(k):
    X, _ = make_blobs(400, centers=10 * np.eye(5)[:k], cluster_std=0.5, random_state=0)
    assert ward(plain(X)).longest_lived() == k


def test_few_equal_and_weightless_points():
    assert ward(plain([[1.0, 2.0]])).cut(1).tolist() == [0]
    assert ward(plain([[1.0, 2.0]])).longest_lived() == 1
    equal = ward(plain(np.ones((9, 2))))
    assert equal.cut(1).tolist() == [0] * 9
    assert equal.longest_lived() == 1
    light = ward(WeightedPoints(np.array([[0.0], [9.0], [1.0], [8.9]]), np.array([1.0, 2.0, 1.0, 0.0])))
    assert light.cut(2).tolist() == [1, 0, 1, 0] or light.cut(2).tolist() == [0, 1, 0, 1]
    assert len(light.leaves) == 3


def test_the_heaviest_cluster_is_the_first():
    tree = ward(WeightedPoints(np.array([[0.0], [1.0], [9.0]]), np.array([1.0, 1.0, 50.0])))
    assert tree.cut(2).tolist() == [1, 1, 0]


def test_wrong_cuts_are_errors():
    tree = ward(plain([[0.0], [1.0], [9.0]]))
    for arguments in ({}, {"k": 2, "distance_threshold": 1.0}, {"k": 0}, {"k": 4}):
        with pytest.raises(BadInputError):
            tree.cut(**arguments)
    with pytest.raises(BadInputError, match="no points"):
        ward(WeightedPoints(np.empty((0, 2)), np.empty(0)))
    with pytest.raises(BadInputError, match="NaN"):
        ward(plain([[np.nan]]))
