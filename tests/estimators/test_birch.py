from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.cluster import DBSCAN, KMeans
from sklearn.cluster import Birch as SklearnBirch
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from shoal.errors import ShoalError
from shoal.estimators.birch import Birch

# the check repeats rows and shuffles them, and a tree depends on the order of the rows; in equal order weights equal
# repetitions, see test_weighted_equals_repeated in tests/summary/test_cf_tree.py
BY_ORDER = {"check_sample_weight_equivalence_on_dense_data": "entries depend on the order of the rows"}


@parametrize_with_checks(
    [Birch(), Birch(n_clusters=None), Birch(max_leaf_entries=20)], expected_failed_checks=lambda e: BY_ORDER
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def blobs(n=2000, d=2, seed=0):
    return make_blobs(n, d, centers=5, center_box=(-50, 50), random_state=seed)


@pytest.mark.parametrize("d", [2, 7])
def test_agrees_with_scikit_learn_on_blobs(d):
    X, truth = blobs(d=d, seed=3)
    ours = Birch(n_clusters=5, threshold=1.0).fit(X)
    theirs = SklearnBirch(n_clusters=5, threshold=1.0).fit(X)
    assert adjusted_rand_score(ours.labels_, theirs.labels_) == 1.0
    assert adjusted_rand_score(ours.labels_, truth) == 1.0


@pytest.mark.parametrize("branching", [3, 10, 50])
def test_entries_are_those_of_scikit_learn(branching):
    X = np.random.default_rng(branching).normal(size=(700, 3))
    ours = Birch(n_clusters=None, threshold=0.4, branching_factor=branching).fit(X)
    theirs = SklearnBirch(n_clusters=None, threshold=0.4, branching_factor=branching).fit(X)

    def order(C):
        return C[np.lexsort(C.round(9).T)]

    assert ours.subcluster_centers_.shape == theirs.subcluster_centers_.shape
    np.testing.assert_allclose(order(ours.subcluster_centers_), order(theirs.subcluster_centers_), atol=1e-9)


def test_exact_far_from_the_origin():
    X, truth = blobs()
    near = Birch(n_clusters=5, threshold=1.0).fit(X)
    far = Birch(n_clusters=5, threshold=1.0).fit(X + 1e8)
    assert adjusted_rand_score(far.labels_, truth) == 1.0
    assert abs(len(far.subcluster_centers_) - len(near.subcluster_centers_)) <= 2


def test_pickles_with_50000_subclusters():
    X = np.random.default_rng(0).random((50_000, 2)) * 1e6
    model = Birch(n_clusters=None, threshold=0.0, compute_labels=False).fit(X)
    assert len(model.subcluster_centers_) == 50_000
    again = pickle.loads(pickle.dumps(model))
    assert (again.subcluster_centers_ == model.subcluster_centers_).all()
    assert again.partial_fit(X[:10]).summary_.count == 50_010


def test_estimators_get_the_weights():
    X = np.array([[0.0], [0.1], [0.2], [9.0]])
    model = Birch(n_clusters=DBSCAN(eps=0.5, min_samples=3), threshold=0.3).fit(X)
    assert model.labels_.tolist() == [0, 0, 0, -1]
    assert len(set(Birch(n_clusters=KMeans(2, random_state=0)).fit(X).labels_)) == 2


def test_too_few_subclusters_warn():
    with pytest.warns(ConvergenceWarning, match="Decrease the threshold"):
        model = Birch(n_clusters=5, threshold=100.0).fit([[0.0], [1.0]])
    assert model.labels_.tolist() == [0, 0]


def test_merge_and_partial_fit_see_all_rows():
    X, truth = blobs()
    parts = [Birch(n_clusters=5, threshold=1.0).fit(X[i::2]) for i in range(2)]
    whole = parts[0].merge(parts[1])
    assert whole.summary_.count == len(X)
    assert whole.subcluster_weights_.sum() == pytest.approx(len(X))
    assert adjusted_rand_score(whole.predict(X), truth) == 1.0
    batches = Birch(n_clusters=5, threshold=1.0)
    for part in np.array_split(X, 7):
        batches.partial_fit(part)
    once = Birch(n_clusters=5, threshold=1.0).fit(X)
    assert (batches.subcluster_centers_ == once.subcluster_centers_).all()
    assert batches.partial_fit().summary_.count == len(X)


def test_transform_measures_to_every_subcluster():
    X, _ = blobs(200)
    model = Birch(threshold=1.0).fit(X + 1e8)
    direct = np.sqrt((((X + 1e8)[:, None] - model.subcluster_centers_) ** 2).sum(axis=2))
    np.testing.assert_allclose(model.transform(X + 1e8), direct, rtol=1e-6, atol=1e-6)


def test_forgetting_needs_times():
    with pytest.raises(ShoalError, match="times"):
        Birch(half_life=5.0).fit([[0.0], [1.0]])
    model = Birch(half_life=5.0, n_clusters=None).fit([[0.0], [9.0]], times=[0.0, 5.0])
    assert sorted(model.subcluster_weights_.tolist()) == [0.5, 1.0]


def test_nothing_but_weights_of_zero():
    with pytest.raises(ValueError, match="non-zero"):
        Birch().fit([[0.0], [1.0]], sample_weight=[0.0, 0.0])
