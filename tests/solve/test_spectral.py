"""The weighted normalised cut, and foreign estimators on weighted points."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import DBSCAN, BisectingKMeans, KMeans, MeanShift
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score

from shoal.errors import BadInputError
from shoal.solve.from_estimator import with_estimator
from shoal.solve.spectral import REPRESENTATIVES, spectral
from shoal.summary.protocol import WeightedPoints


def plain(X):
    return WeightedPoints(np.asarray(X, float), np.ones(len(X)))


@pytest.mark.parametrize("make", [make_moons, lambda n, **m: make_circles(n, factor=0.4, **m)])
@pytest.mark.parametrize("n", [600, REPRESENTATIVES + 1500])
def test_shapes_are_found(make, n):
    X, truth = make(n, noise=0.05, random_state=0)
    assert adjusted_rand_score(spectral(plain(X), 2).labels, truth) > 0.99


@pytest.mark.parametrize("k", [2, 4])
def test_k_is_found_by_the_gap(k):
    X, truth = make_blobs(400, centers=8 * np.eye(4)[:k], cluster_std=0.7, random_state=0)
    found = spectral(plain(X))
    assert adjusted_rand_score(found.labels, truth) > 0.98
    assert found.eigenvalues[0] == pytest.approx(0, abs=1e-9)
    assert (np.diff(found.eigenvalues) >= -1e-9).all()


def test_equal_parts_of_a_weight_change_nothing():
    X, _ = make_moons(300, noise=0.06, random_state=1)
    w = np.random.default_rng(0).integers(1, 6, 300).astype(float)
    halved = WeightedPoints(np.r_[X, X], np.r_[w, w] / 2)
    np.testing.assert_array_equal(spectral(halved, 2).labels[:300], spectral(WeightedPoints(X, w), 2).labels)
    order = np.random.default_rng(1).permutation(300)
    moved = spectral(WeightedPoints(X[order], w[order]), 2).labels
    np.testing.assert_array_equal(moved, spectral(WeightedPoints(X, w), 2).labels[order])


def test_weights_matter():
    # a chain that is thin in the middle; weight on one side moves the balance of the cut
    X = np.linspace(0, 1, 40)[:, None]
    even = spectral(plain(X), 2, neighbours=2).labels
    heavy = spectral(WeightedPoints(X, np.r_[np.full(10, 20.0), np.ones(30)]), 2, neighbours=2).labels
    first_even, first_heavy = (np.flatnonzero(np.diff(labels))[0] for labels in (even, heavy))
    assert first_heavy < first_even


def test_few_and_equal_points():
    assert spectral(plain([[1.0]]), 1).labels.tolist() == [0]
    assert spectral(plain([[1.0]])).labels.tolist() == [0]
    assert spectral(plain(np.ones((5, 2)))).labels.tolist() == [0] * 5
    assert sorted(spectral(plain([[0.0], [1.0]]), 2).labels) == [0, 1]
    for k in (0, 3):
        with pytest.raises(BadInputError, match="choose k"):
            spectral(plain([[0.0], [1.0]]), k)
    with pytest.raises(BadInputError, match="neighbours"):
        spectral(plain([[0.0], [1.0]]), 2, neighbours=0)


@pytest.mark.parametrize("estimator", [KMeans(3, n_init=5, random_state=0), BisectingKMeans(3), DBSCAN(1.0)])
def test_any_estimator_with_weights(estimator):
    X, truth = make_blobs(300, centers=[[0, 0], [20, 0], [0, 20]], cluster_std=0.5, random_state=0)
    labels, fitted = with_estimator(plain(X), estimator)
    assert adjusted_rand_score(labels, truth) > 0.98
    assert fitted is not estimator
    assert not hasattr(estimator, "labels_")


def test_weights_reach_the_estimator():
    X = np.array([[0.0], [1.0], [10.0]])
    _, fitted = with_estimator(
        WeightedPoints(X, np.array([1.0, 3.0, 1.0])), KMeans(2, n_init=5, random_state=0)
    )
    assert sorted(fitted.cluster_centers_.ravel()) == pytest.approx([0.75, 10.0])


@pytest.mark.parametrize("estimator", [MeanShift(), KMeans, object()])
def test_an_estimator_without_weights_is_an_error_with_a_remedy(estimator):
    with pytest.raises(BadInputError, match=r"sample_weight.*KMeans"):
        with_estimator(plain([[0.0], [1.0]]), estimator)
