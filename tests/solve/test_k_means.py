"""The solver: as good as many restarts of Lloyd on all points, and the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans as PeerKMeans

from shoal.errors import BadInputError
from shoal.solve.k_means import cover_points, k_means


def grid(n=6000, side=5, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.stack(np.meshgrid(range(side), range(side)), -1).reshape(-1, 2) * 10.0
    return (centres[rng.integers(len(centres), size=n)] + rng.normal(size=(n, 2))).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_the_known_optimum_of_a_grid_is_found(seed):
    X = grid()
    ideal = PeerKMeans(
        25, init=np.stack(np.meshgrid(range(5), range(5)), -1).reshape(-1, 2) * 10.0, n_init=1
    ).fit(X)
    assert k_means(X, 25, seed=seed).inertia <= ideal.inertia_ * 1.0001


@pytest.mark.parametrize("k", [2, 7, 30])
def test_no_worse_than_ten_restarts_of_lloyd(k):
    X = np.random.default_rng(0).exponential(size=(5000, 4))
    peer = PeerKMeans(k, n_init=10, random_state=0).fit(X)
    assert k_means(X, k).inertia <= peer.inertia_ * 1.003


def test_equal_seeds_give_equal_answers_and_threads_do_not_matter():
    X = grid(3000)
    a, b, c = (k_means(X, 9, seed=4, n_threads=n) for n in (1, 1, 3))
    np.testing.assert_array_equal(a.centres, b.centres)
    np.testing.assert_array_equal(a.centres, c.centres)


def test_weighted_equals_repeated_at_the_optimum():
    X = grid(800, side=2)
    times = np.random.default_rng(0).integers(1, 4, len(X))
    a = k_means(X, 4, weights=times)
    b = k_means(np.repeat(X, times, axis=0), 4)
    assert a.inertia == pytest.approx(b.inertia, rel=1e-6)


def test_a_point_without_weight_attracts_no_centre():
    X = np.concatenate([grid(1000, side=2), [[1e4, 1e4]]]).astype(np.float32)
    w = np.ones(len(X))
    w[-1] = 0.0
    assert np.abs(k_means(X, 4, weights=w).centres).max() < 100


@pytest.mark.parametrize("k", [0, 11])
def test_k_out_of_range_names_the_range(k):
    with pytest.raises(BadInputError, match="between 1 and 10"):
        k_means(np.arange(10.0)[:, None], k)


def test_as_many_clusters_as_points():
    assert k_means(np.arange(10.0)[:, None], 10).inertia == 0.0


@pytest.mark.parametrize(
    "bad", [{"weights": -np.ones(50)}, {"weights": np.zeros(50)}, {"weights": np.full(50, np.nan)}]
)
def test_bad_weights_are_an_error(bad):
    with pytest.raises(BadInputError, match="weights"):
        k_means(np.random.default_rng(0).normal(size=(50, 2)), 3, **bad)


def test_a_column_that_is_almost_always_the_same_is_no_trouble():
    X = np.random.default_rng(0).normal(size=(50_000, 2)).astype(np.float32)
    X[:, 1] = 0
    X[12345, 1] = 1
    assert k_means(X, 3).inertia <= k_means(X.astype(np.float64), 3).inertia * 1.001


def test_one_cluster_is_the_mean():
    X = grid(100)
    np.testing.assert_allclose(k_means(X, 1).centres[0], X.astype(np.float64).mean(0), rtol=1e-9)


def test_a_cover_has_distinct_points_also_where_few_differ():
    X = np.repeat(np.arange(30.0)[:, None], 20, axis=0)
    drawn = cover_points(X, 100, weights=np.ones(len(X)), rng=np.random.default_rng(0))
    assert len(drawn) == len(np.unique(drawn)) == 30


def test_cosine_ignores_length():
    rng = np.random.default_rng(0)
    directions = np.eye(3)[rng.integers(3, size=300)] + rng.normal(size=(300, 3)) * 0.05
    X = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    found = k_means(X, 3, metric="cosine")
    assert sorted(found.centres.argmax(axis=1)) == [0, 1, 2]
