"""``StreamingKMeans``: batches of any size, merging, every k from one pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans as PeerKMeans
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from shoal import ShoalError, StreamingKMeans


def blobs(n=4000, k=6, d=4, seed=0):
    rng = np.random.default_rng(seed)
    C = np.random.default_rng(99).normal(size=(k, d)) * 10
    return (C[rng.integers(k, size=n)] + rng.normal(size=(n, d))).astype(np.float32)


def true_cost(X, centres):
    return ((X[:, None].astype(float) - centres[None]) ** 2).sum(-1).min(1).sum()


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=8))
def test_batch_sizes_do_not_matter(sizes):
    X = blobs(sum(sizes) + 20)
    whole = StreamingKMeans(5, random_state=0, sample_rows=300).partial_fit(X)
    parts = StreamingKMeans(5, random_state=0, sample_rows=300)
    for start, stop in zip(np.cumsum([0, *sizes]), [*np.cumsum(sizes), len(X)], strict=True):
        parts.partial_fit(X[start:stop])
    np.testing.assert_array_equal(whole.cluster_centers_, parts.cluster_centers_)


def test_a_first_batch_smaller_than_k_is_no_error():
    model = StreamingKMeans(6, random_state=0).partial_fit(blobs(2))
    with pytest.raises(ValueError, match="n_samples=2 should be >= n_clusters=6"):
        model.predict(blobs(2))
    assert len(model.partial_fit(blobs(4000)).cluster_centers_) == 6


@pytest.mark.parametrize("ordered", [False, True])
def test_one_pass_is_as_good_as_many_and_better_than_mini_batches(ordered):
    X = blobs(60_000, k=20, d=8)
    if ordered:
        X = X[np.argsort(X[:, 0])]
    model = StreamingKMeans(20, random_state=0, sample_rows=5000)
    mini = MiniBatchKMeans(20, random_state=0, n_init=1)
    for batch in np.array_split(X, 30):
        model.partial_fit(batch)
        mini.partial_fit(batch)
    best = PeerKMeans(20, n_init=5, random_state=0).fit(X).inertia_
    assert true_cost(X, model.cluster_centers_) <= 1.02 * best
    if ordered:
        assert true_cost(X, model.cluster_centers_) < true_cost(X, mini.cluster_centers_)
    assert model.inertia_ == pytest.approx(best, rel=0.05)


def test_merge_equals_learning_all():
    X = blobs(9000)
    shards = [StreamingKMeans(6, random_state=0).partial_fit(s) for s in np.array_split(X, 3)]
    merged = shards[0].merge(shards[1]).merge(shards[2])
    assert merged.n_samples_seen_ == 9000
    whole = StreamingKMeans(6, random_state=0).partial_fit(X)
    np.testing.assert_allclose(merged.cluster_centers_, whole.cluster_centers_, rtol=1e-4)
    assert shards[0].n_samples_seen_ == 3000  # the parts are left alone


def test_shards_that_start_with_equal_rows_are_not_taken_for_one():
    same = np.zeros((20_000, 2), np.float32)
    a = StreamingKMeans(1, random_state=0).partial_fit(
        np.concatenate([same, np.ones((10, 2))]).astype(np.float32)
    )
    b = StreamingKMeans(1, random_state=0).partial_fit(
        np.concatenate([same, np.ones((30, 2))]).astype(np.float32)
    )
    merged = a.merge(b)
    assert merged.cluster_centers_[0, 0] == pytest.approx(40 / 40_040, rel=0.2)


def test_k_can_be_changed_and_swept_after_the_pass():
    model = StreamingKMeans(3, random_state=0).partial_fit(blobs())
    model.set_params(n_clusters=6)
    assert model.cluster_centers_.shape == (6, 4)
    assert model.sweep(range(2, 10)).suggested == 6


def test_fit_forgets_and_labels():
    X = load_digits().data
    model = StreamingKMeans(10, random_state=0).fit(blobs(d=64)).fit(X)
    assert model.n_samples_seen_ == len(X)
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    peer = PeerKMeans(10, n_init=10, random_state=0).fit(X)
    assert model.inertia_ <= peer.inertia_ * 1.002


def test_sample_weight_counts():
    X = blobs(2000)
    w = np.where(X[:, 0] > 0, 1.0, 0.0)
    model = StreamingKMeans(3, random_state=0).partial_fit(X, sample_weight=w)
    only = StreamingKMeans(3, random_state=0).partial_fit(X[X[:, 0] > 0])
    np.testing.assert_allclose(
        np.sort(model.cluster_centers_, 0), np.sort(only.cluster_centers_, 0), rtol=1e-3
    )


def test_the_metric_cannot_change_after_learning():
    model = StreamingKMeans(3, random_state=0).partial_fit(blobs())
    model.set_params(metric="cosine")
    with pytest.raises(ShoalError, match="metric was euclidean"):
        model.predict(blobs())


def test_labels_are_of_fit_only_and_a_refused_first_batch_leaves_it_unfitted():
    model = StreamingKMeans(3, random_state=0).fit(blobs())
    assert hasattr(model, "labels_")
    assert not hasattr(model.partial_fit(blobs()), "labels_")
    fresh = StreamingKMeans(3)
    with pytest.raises(ValueError, match="1e"):
        fresh.partial_fit(np.full((5, 2), 1e120))
    with pytest.raises(NotFittedError):
        fresh.predict(blobs())


def test_a_random_state_gives_answers_that_stay():
    model = StreamingKMeans(5, random_state=np.random.RandomState(0)).partial_fit(blobs())
    a = model.cluster_centers_.copy()
    np.testing.assert_array_equal(model.set_params(n_clusters=4).set_params(n_clusters=5).cluster_centers_, a)


def test_before_the_first_row():
    model = StreamingKMeans(3)
    assert not hasattr(model, "cluster_centers_")
    with pytest.raises(NotFittedError):
        model.predict(np.zeros((1, 2)))
    with pytest.raises(NotFittedError):
        model.merge(StreamingKMeans(3).partial_fit(blobs()))


def test_what_cannot_merge_says_why():
    a = StreamingKMeans(3, random_state=0).partial_fit(blobs())
    with pytest.raises(ShoalError, match="seeds"):
        a.merge(StreamingKMeans(3, random_state=1).partial_fit(blobs()))
    with pytest.raises(ShoalError, match="metrics"):
        a.merge(StreamingKMeans(3, random_state=0, metric="cosine").partial_fit(blobs()))
    with pytest.raises(ShoalError, match="columns"):
        a.merge(StreamingKMeans(3, random_state=0).partial_fit(blobs(d=5)))
