"""``SummaryClusterer``: batches, merging, labels of new rows, and parameters that do not fit."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import DBSCAN, HDBSCAN, KMeans, MeanShift
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score

from shoal.errors import BadInputError, ShoalError
from shoal.estimators.summary_clusterer import SummaryClusterer

MOONS, WHICH = make_moons(4000, noise=0.05, random_state=0)
METHODS = [
    ("hdbscan", None),
    ("dbscan", None),
    ("spectral", 2),
]


@pytest.mark.parametrize(("method", "k"), METHODS)
@pytest.mark.parametrize("sample_rows", [None, 1000])
def test_moons(method, k, sample_rows):
    model = SummaryClusterer(method, k, sample_rows=sample_rows, random_state=0).fit(MOONS)
    assert model.n_clusters_ == 2
    assert adjusted_rand_score(model.labels_, WHICH) > 0.97
    np.testing.assert_array_equal(model.predict(MOONS), model.labels_)
    assert model.labels_.dtype == np.int32


def test_circles_in_batches_and_merged():
    X, truth = make_circles(20_000, noise=0.04, factor=0.4, random_state=0)
    parts = [SummaryClusterer(sample_rows=2000), SummaryClusterer(sample_rows=2000)]
    for i, batch in enumerate(np.array_split(X, 10)):
        parts[i % 2].partial_fit(batch)
    both = parts[0].merge(parts[1])
    assert both.n_samples_seen_ == 20_000
    assert adjusted_rand_score(both.predict(X), truth) > 0.97
    assert len(both.point_labels_) == len(both.summary_.points().X)
    assert not hasattr(both, "labels_")


def test_batch_sizes_do_not_matter():
    whole = SummaryClusterer(sample_rows=500).fit(MOONS)
    pieces = SummaryClusterer(sample_rows=500)
    for batch in np.array_split(MOONS, 13):
        pieces.partial_fit(batch)
    np.testing.assert_array_equal(pieces.predict(MOONS), whole.labels_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [2, 15])
def test_dbscan_labels_are_those_of_scikit_learn_while_all_rows_are_kept(dtype, columns):
    X = np.random.default_rng(0).normal(size=(500, columns)).astype(dtype)
    eps = 0.2 if columns == 2 else 3.0
    theirs = DBSCAN(eps=eps, min_samples=6).fit(X)
    model = SummaryClusterer("dbscan", eps=eps, min_weight=6).fit(X)
    np.testing.assert_array_equal(model.labels_ < 0, theirs.labels_ < 0)
    core = theirs.core_sample_indices_
    assert len(core) > 50
    assert adjusted_rand_score(model.labels_[core], theirs.labels_[core]) == 1


def test_hdbscan_labels_are_those_of_scikit_learn_while_all_rows_are_kept():
    X, _ = make_blobs(900, centers=5, cluster_std=0.6, random_state=3)
    theirs = HDBSCAN(min_cluster_size=30, min_samples=5, copy=True).fit(X).labels_
    model = SummaryClusterer(min_cluster_weight=30, min_weight=5).fit(X)
    assert adjusted_rand_score(model.labels_, theirs) > 0.98
    assert model.probabilities_.shape == (900,)
    assert 0 <= model.probabilities_.min() <= model.probabilities_.max() <= 1
    assert (model.probabilities_[model.labels_ < 0] == 0).all()


def test_rows_beyond_reach_are_noise():
    X, _ = make_blobs(600, centers=[[0, 0], [10, 0]], cluster_std=0.4, random_state=0)
    for method, parameters in (("hdbscan", {}), ("dbscan", {"eps": 0.5})):
        model = SummaryClusterer(method, **parameters).fit(X)
        near, other, far = model.predict([[0.1, 0.0], [10.1, 0.0], [500.0, 500.0]])
        assert {near, other} == {0, 1}
        assert far == -1
    assert SummaryClusterer("ward", 2).fit(X).predict([[500.0, 500.0]])[0] >= 0


def test_the_same_pass_answers_other_questions():
    X, truth = make_blobs(900, centers=[[0, 0], [3, 0], [20, 0], [23, 0]], cluster_std=0.4, random_state=0)
    model = SummaryClusterer("ward", 4).partial_fit(X)
    assert adjusted_rand_score(model.predict(X), truth) == 1
    assert model.set_params(n_clusters=2).n_clusters_ == 2
    assert model.set_params(n_clusters=None, distance_threshold=1e9).n_clusters_ == 1
    assert model.set_params(distance_threshold=None).n_clusters_ in (2, 4)
    assert adjusted_rand_score(model.set_params(method="hdbscan").predict(X), truth) > 0.9
    assert model.set_params(n_clusters=2).n_clusters_ == 2


def test_scikit_learn_estimators():
    X, truth = make_blobs(3000, centers=4, cluster_std=0.4, random_state=1)
    model = SummaryClusterer(KMeans(8, n_init=5, random_state=0), 4, sample_rows=400).fit(X)
    assert adjusted_rand_score(model.labels_, truth) > 0.98
    assert clone(model).fit(X).n_clusters_ == 4
    with pytest.raises(BadInputError, match="sample_weight"):
        SummaryClusterer(MeanShift()).fit(X)


@pytest.mark.parametrize("method", ["hdbscan", "dbscan", "ward", "spectral"])
def test_weights_equal_repeats(method):
    X, _ = make_blobs(200, centers=3, random_state=0)
    w = np.random.default_rng(0).integers(0, 4, 200)
    k = 3 if method in ("ward", "spectral") else None
    weighted = SummaryClusterer(method, k).fit(X, sample_weight=w)
    repeated = SummaryClusterer(method, k).fit(np.repeat(X, w, axis=0))
    assert adjusted_rand_score(weighted.predict(X), repeated.predict(X)) == 1


@pytest.mark.parametrize("method", ["hdbscan", "dbscan", "ward", "spectral"])
def test_one_row_and_equal_rows(method):
    one = SummaryClusterer(method).fit([[1.0, 2.0]])
    assert one.labels_[0] in (-1, 0)
    equal = SummaryClusterer(method).fit(np.ones((40, 3)))
    assert equal.labels_.tolist() == [0] * 40
    assert equal.n_clusters_ == 1


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("hdbscan", {"eps": 1.0}),
        ("hdbscan", {"distance_threshold": 1.0}),
        ("dbscan", {"n_clusters": 2}),
        ("ward", {"min_weight": 2}),
        ("ward", {"n_clusters": 2, "distance_threshold": 1.0}),
        ("spectral", {"eps": 1.0}),
        ("ward", {"n_clusters": 5000}),
    ],
)
def test_parameters_that_do_not_fit_are_errors(method, parameters):
    with pytest.raises(BadInputError):
        SummaryClusterer(method, **parameters).fit(MOONS)


def test_bad_input():
    with pytest.raises(ValueError, match="NaN"):
        SummaryClusterer().fit([[np.nan]])
    with pytest.raises(ValueError, match="method"):
        SummaryClusterer("k-means").fit(MOONS)
    with pytest.raises(ValueError, match="zero"):
        SummaryClusterer().fit(MOONS, sample_weight=np.zeros(len(MOONS)))
    with pytest.raises(NotFittedError):
        SummaryClusterer().predict(MOONS)
    assert not hasattr(SummaryClusterer(), "n_clusters_")
    with pytest.raises(ShoalError, match="seed"):
        SummaryClusterer(random_state=1).fit(MOONS).merge(SummaryClusterer(random_state=2).fit(MOONS))


def test_copies_by_pickle_answer_alike():
    model = SummaryClusterer(sample_rows=500).fit(MOONS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(MOONS), model.labels_)
