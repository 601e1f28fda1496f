"""MiniBatchKMeans: scikit-learn's checks, batches, forgetting, merging, weights, few rows."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import shoal
from shoal import MiniBatchKMeans, ShoalError
from shoal.summary.forgetting_checks import HALF_LIFE


def blobs(n=3000, k=4, d=3, seed=0, apart=20.0):
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(k, d)) * apart
    labels = rng.integers(k, size=n)
    return places[labels] + rng.normal(size=(n, d)), labels, places


def in_batches(model, X, size, **rest):
    for i in range(0, len(X), size):
        model.partial_fit(X[i : i + size], **{name: v[i : i + size] for name, v in rest.items()})
    return model


def expected_to_fail(estimator):
    if estimator.metric == "cosine":
        # its data, cast to integers, has rows of zeros: they have no direction, and we say so
        return {"check_estimators_dtypes": "rows of zeros are an error under cosine"}
    return {}


@parametrize_with_checks(
    [
        MiniBatchKMeans(3, random_state=0),
        MiniBatchKMeans(3, random_state=0, batch_size=4),
        MiniBatchKMeans(3, random_state=0, metric="cosine"),
        MiniBatchKMeans(3, random_state=0, half_life=100.0),
    ],
    expected_failed_checks=expected_to_fail,
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def test_is_offered_by_the_package():
    assert shoal.MiniBatchKMeans is MiniBatchKMeans
    assert "MiniBatchKMeans" in shoal.__all__


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fit_finds_clusters_and_labels_its_rows(dtype):
    X, truth, _ = blobs()
    m = MiniBatchKMeans(4, random_state=1).fit(X.astype(dtype))
    assert m.cluster_centers_.dtype == dtype
    assert m.labels_.dtype == np.int32
    assert len({(a, b) for a, b in zip(m.labels_, truth, strict=True)}) == 4
    np.testing.assert_array_equal(m.labels_, m.predict(X.astype(dtype)))
    assert np.isclose(-m.score(X.astype(dtype)), m.inertia_, rtol=1e-4)
    assert m.n_steps_ == 2  # whole batches of 1024 in 3000 rows
    assert 1 <= m.n_iter_ <= 100
    assert m.transform(X[:5].astype(dtype)).shape == (5, 4)
    assert not hasattr(MiniBatchKMeans(4, compute_labels=False).fit(X), "labels_")


def test_fit_costs_what_many_passes_cost():
    X, _, _ = blobs(n=6000, k=30, apart=2.0)
    best = min(SklearnKMeans(30, n_init=1, random_state=s).fit(X).inertia_ for s in range(3))
    assert MiniBatchKMeans(30, n_init=3).fit(X).inertia_ < 1.02 * best


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 700), st.integers(20, 300))
def test_batch_sizes_leave_no_trace(size, batch_size):
    X, _, _ = blobs(n=1500)
    one = MiniBatchKMeans(4, batch_size=batch_size).partial_fit(X)
    many = in_batches(MiniBatchKMeans(4, batch_size=batch_size), X, size)
    np.testing.assert_array_equal(one.cluster_centers_, many.cluster_centers_)
    assert one.inertia_ == many.inertia_


def test_looking_leaves_no_trace():
    X, _, _ = blobs()
    quiet = in_batches(MiniBatchKMeans(4, batch_size=100), X, 77)
    watched = MiniBatchKMeans(4, batch_size=100)
    for i in range(0, len(X), 77):
        watched.partial_fit(X[i : i + 77])
        if watched.n_samples_seen_ >= 4:
            assert watched.predict(X[:3]).shape == (3,)
    np.testing.assert_array_equal(quiet.cluster_centers_, watched.cluster_centers_)


def test_sorted_clusters_are_all_found():
    X, truth, places = blobs(n=30_000, k=12, apart=50.0)
    m = in_batches(MiniBatchKMeans(12), X[np.argsort(truth, kind="stable")], 1024)
    nearest = ((m.cluster_centers_[:, None] - places) ** 2).sum(axis=2)
    assert sorted(nearest.argmin(axis=1)) == list(range(12))
    assert nearest.min(axis=1).max() < 0.1


def test_inertia_of_partial_fit_is_near_that_of_the_rows():
    X, _, _ = blobs(n=10_000)
    m = in_batches(MiniBatchKMeans(4), X, 500)
    assert np.isclose(m.inertia_, -m.score(X), rtol=0.02)
    few = MiniBatchKMeans(4).partial_fit(X[:200])  # all still held: exact
    assert np.isclose(few.inertia_, -few.score(X[:200]))


def test_fewer_rows_than_clusters_are_no_error_in_partial_fit():
    m = MiniBatchKMeans(5).partial_fit([[1.0], [2.0]])
    with pytest.raises(ValueError, match="n_samples=2 should be >= n_clusters=5"):
        m.cluster_centers_  # noqa: B018
    m.partial_fit([[3.0], [4.0], [9.0]])
    assert sorted(m.cluster_centers_.ravel()) == [1.0, 2.0, 3.0, 4.0, 9.0]
    with pytest.raises(ValueError, match="n_samples=2 should be >= n_clusters=5"):
        m.fit([[1.0], [2.0]])


def test_nothing_learned_has_no_centres():
    m = MiniBatchKMeans(3)
    for name in ("cluster_centers_", "inertia_", "n_steps_", "n_samples_seen_", "labels_"):
        assert not hasattr(m, name)
    with pytest.raises(NotFittedError):
        m.predict([[1.0]])


def test_equal_rows_warn_and_do_not_break():
    X = np.full((50, 2), 3.0)
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(1\)"):
        m = MiniBatchKMeans(3).fit(X)
    np.testing.assert_array_equal(m.cluster_centers_, np.full((3, 2), 3.0))
    assert m.inertia_ == 0


def test_weights_equal_repeated_rows_while_all_are_held():
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(60, 2)), rng.integers(0, 4, 60)
    weighted = MiniBatchKMeans(4).partial_fit(X, sample_weight=w)
    repeated = MiniBatchKMeans(4).partial_fit(np.repeat(X, w, axis=0))
    np.testing.assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_)
    assert np.isclose(weighted.inertia_, repeated.inertia_)


def test_rows_that_all_weigh_nothing_are_refused():
    m = MiniBatchKMeans(2)
    for learn in (m.fit, m.partial_fit):
        with pytest.raises(ValueError, match="non-zero"):
            learn([[1.0], [2.0]], sample_weight=[0, 0])
    with pytest.raises(ValueError, match="negative"):
        m.fit([[1.0], [2.0]], sample_weight=[1, -1])
    assert not hasattr(m, "summary_")


def test_merge_is_of_the_rows_of_both():
    X, truth, _ = blobs(n=8000)
    parts = [X[truth < 2], X[truth >= 2]]  # each half knows half of the clusters
    a, b = (in_batches(MiniBatchKMeans(4), part, 300) for part in parts)
    ab, ba = a.merge(b), b.merge(a)
    np.testing.assert_array_equal(ab.cluster_centers_, ba.cluster_centers_)
    assert ab.n_samples_seen_ == 8000
    exact = np.stack([X[truth == j].mean(axis=0) for j in range(4)])
    gap = ((ab.cluster_centers_[:, None] - exact) ** 2).sum(axis=2).min(axis=1)
    assert gap.max() < 0.01
    assert ab.partial_fit(X[:10]).n_samples_seen_ == 8010
    assert a.n_samples_seen_ + b.n_samples_seen_ == 8000


def test_estimators_of_other_settings_do_not_merge():
    a = MiniBatchKMeans(2).partial_fit([[1.0], [2.0]])
    for other in (MiniBatchKMeans(3), MiniBatchKMeans(2, metric="cosine"), MiniBatchKMeans(2, half_life=3.0)):
        with pytest.raises(ShoalError):
            a.merge(other.partial_fit([[1.0], [2.0]]))


def test_settings_may_not_change_while_learning():
    m = MiniBatchKMeans(2).partial_fit([[1.0], [2.0]])
    for change in ({"metric": "cosine"}, {"n_clusters": 1}, {"half_life": 2.0}):
        changed = copy.deepcopy(m).set_params(**change)
        with pytest.raises(ShoalError, match="call fit again"):
            changed.partial_fit([[3.0]])
        assert len(changed.fit([[1.0], [-2.0]]).cluster_centers_) == changed.n_clusters


def test_a_half_life_follows_a_drift():
    rng = np.random.default_rng(2)
    steps = np.repeat(np.arange(200.0), 100)
    X = (rng.normal(size=len(steps)) * 0.3 + rng.choice([0.0, 100.0], len(steps)) + steps)[:, None]
    forgetful = in_batches(MiniBatchKMeans(2, batch_size=100, half_life=2.0), X, 100)
    assert np.abs(np.sort(forgetful.cluster_centers_[:, 0]) - [198, 298]).max() < 5
    lasting = in_batches(MiniBatchKMeans(2, batch_size=100), X, 100)
    assert np.abs(np.sort(lasting.cluster_centers_[:, 0]) - [198, 298]).max() > 20


def test_every_call_is_a_batch_if_asked_for():
    rng = np.random.default_rng(4)
    start, parts = rng.normal(size=(2, 2)), [rng.normal(size=(n, 2)) for n in (30, 5, 60)]
    m = MiniBatchKMeans(2, batch_size=None, init=start, decay_factor=0.5)
    for part in parts:
        m.partial_fit(part)
    assert m.n_steps_ == 3
    assert np.isclose(m.summary_.weight, 30 / 4 + 5 / 2 + 60)
    assert MiniBatchKMeans(2, batch_size=None).fit(np.concatenate(parts)).cluster_centers_.shape == (2, 2)


def test_event_times_forget_and_late_rows_keep_their_age():
    m = MiniBatchKMeans(1, half_life=HALF_LIFE, time_unit="time")
    m.partial_fit([[0.0]], times=[100.0]).partial_fit([[1.0]], times=[100.0 - HALF_LIFE])
    np.testing.assert_allclose(m.cluster_centers_, [[0.5 / 1.5]])
    with pytest.raises(ShoalError, match="event times"):
        m.partial_fit([[1.0]])
    assert m.n_samples_seen_ == 2
    fitted = MiniBatchKMeans(1, half_life=HALF_LIFE, time_unit="time")
    fitted.fit([[0.0], [1.0]], times=[100.0, 100.0 - HALF_LIFE])
    np.testing.assert_allclose(fitted.cluster_centers_, m.cluster_centers_)


def test_given_centres_keep_their_order():
    X, truth, places = blobs(n=4000, k=3)
    for start in (places, lambda X, k, random_state: places):
        for m in (
            MiniBatchKMeans(3, init=start).fit(X),
            in_batches(MiniBatchKMeans(3, init=start), X, 1024),
        ):
            np.testing.assert_allclose(
                m.cluster_centers_, [X[truth == j].mean(axis=0) for j in range(3)], atol=1e-6
            )
    with pytest.raises(ValueError, match="shape of the initial centers"):
        MiniBatchKMeans(2, init=places).fit(X)
    with pytest.raises(ValueError, match="init='random'"):
        MiniBatchKMeans(2, init="random").partial_fit(X[:1])
    assert MiniBatchKMeans(3, init="random").fit(X).cluster_centers_.shape == (3, 3)


def test_more_starts_are_no_worse():
    X, _, _ = blobs(n=4000, k=20, apart=1.5)
    one, more = (MiniBatchKMeans(20, n_init=n, random_state=0).fit(X).inertia_ for n in (1, 5))
    assert more <= one


def test_cosine_clusters_by_direction():
    rng = np.random.default_rng(3)
    axes = np.eye(3)[rng.integers(3, size=3000)]
    X = (axes + rng.normal(size=axes.shape) * 0.05) * rng.uniform(0.1, 50, (3000, 1))
    for m in (
        MiniBatchKMeans(3, metric="cosine").fit(X),
        in_batches(MiniBatchKMeans(3, metric="cosine", batch_size=64), X, 100),
        in_batches(MiniBatchKMeans(3, metric="cosine", init=np.eye(3) + 0.1), X, 100),
    ):
        C = m.cluster_centers_
        np.testing.assert_allclose(np.linalg.norm(C, axis=1), 1)
        np.testing.assert_allclose(np.sort(C, axis=1)[:, 2], 1, atol=0.01)
        assert set(C.argmax(axis=1)) == {0, 1, 2}
        assert np.isclose(m.inertia_, -m.score(X), rtol=0.01)


def test_sparse_rows_are_refused():
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        MiniBatchKMeans(2).fit(sparse.csr_matrix(np.eye(5)))


def test_equal_seeds_are_equal_and_other_threads_too():
    X, _, _ = blobs(n=5000, k=12, apart=1.0)
    first = MiniBatchKMeans(12, random_state=3, n_threads=1).fit(X)
    for again in (MiniBatchKMeans(12, random_state=3, n_threads=2).fit(X), clone(first).fit(X)):
        np.testing.assert_array_equal(first.cluster_centers_, again.cluster_centers_)


def test_pickled_models_go_on():
    X, _, _ = blobs(n=5000)
    m = MiniBatchKMeans(4).partial_fit(X)
    again = pickle.loads(pickle.dumps(m))
    for one in (m, again):
        one.partial_fit(X[:100])
    np.testing.assert_array_equal(m.cluster_centers_, again.cluster_centers_)


def test_labels_of_fit_are_gone_after_partial_fit():
    X, _, _ = blobs(n=500)
    m = MiniBatchKMeans(4).fit(X)
    m.partial_fit(X[:3])
    assert not hasattr(m, "labels_")
    assert not hasattr(m, "n_iter_")


def test_verbose_prints_passes(capsys):
    MiniBatchKMeans(4, verbose=1).fit(blobs(n=500)[0])
    assert "Pass 2" in capsys.readouterr().out
