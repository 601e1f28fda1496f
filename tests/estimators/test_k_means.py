"""``KMeans`` beside scikit-learn's: same parameters, same answers from the same start."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans as PeerKMeans
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shoal import KMeans


@pytest.fixture(scope="module")
def digits():
    return load_digits().data


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_same_start_same_answer_as_scikit_learn(digits, dtype, weighted):
    X = digits.astype(dtype)
    w = np.random.default_rng(0).random(len(X)) + 0.1 if weighted else None
    start = X[:10]
    ours = KMeans(10, init=start).fit(X, sample_weight=w)
    peer = PeerKMeans(10, init=start, n_init=1).fit(X, sample_weight=w)
    np.testing.assert_allclose(ours.cluster_centers_, peer.cluster_centers_, rtol=1e-4, atol=1e-4)
    assert ours.inertia_ == pytest.approx(peer.inertia_, rel=1e-6)
    assert np.mean(ours.labels_ == peer.labels_) > 0.999
    np.testing.assert_allclose(ours.transform(X[:50]), peer.transform(X[:50]), rtol=1e-3, atol=1e-3)
    assert ours.score(X) == pytest.approx(peer.score(X), rel=1e-6)


def test_takes_every_parameter_of_scikit_learns():
    assert set(PeerKMeans().get_params()) <= set(KMeans().get_params())
    for name, value in PeerKMeans().get_params().items():
        assert KMeans().get_params()[name] == value, name


def test_weighted_vs_repeated_from_equal_starts(digits):
    X = digits[:500]
    times = np.random.default_rng(0).integers(1, 4, 500)
    a = KMeans(5, init=X[:5]).fit(X, sample_weight=times)
    b = KMeans(5, init=X[:5]).fit(np.repeat(X, times, axis=0))
    np.testing.assert_allclose(a.cluster_centers_, b.cluster_centers_, rtol=1e-9)


@pytest.mark.parametrize("init", ["k-means++", "random", lambda X, k, random_state: X[:k]])
def test_every_way_to_start_ends_near_the_best(digits, init):
    best = PeerKMeans(10, n_init=10, random_state=0).fit(digits).inertia_
    assert KMeans(10, init=init, n_init=5, random_state=0).fit(digits).inertia_ <= best * 1.01


def test_result_equal_in_diff_n_threads(digits):
    a, b = (KMeans(10, random_state=3, n_threads=n).fit(digits) for n in (1, 3))
    np.testing.assert_array_equal(a.cluster_centers_, b.cluster_centers_)


def test_steps_tell_the_story(digits):
    model = KMeans(10, random_state=0).fit(digits)
    assert len(model.steps_) == model.n_iter_
    assert model.steps_[0].moved == len(digits)
    assert model.steps_[-1].inertia >= model.inertia_


def test_more_clusters_than_distinct_rows_warns():
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(2\)"):
        KMeans(3, random_state=0).fit(np.repeat([[0.0], [1.0]], 5, axis=0))


def test_works_in_pipelines_and_keeps_frames(digits):
    frame = pd.DataFrame(digits[:, :8], columns=list("abcdefgh"))
    model = (
        make_pipeline(StandardScaler(), KMeans(4, random_state=0)).set_output(transform="pandas").fit(frame)
    )
    assert list(model.transform(frame).columns) == [f"kmeans{i}" for i in range(4)]
    assert KMeans(2, random_state=0).fit(frame).feature_names_in_.tolist() == list("abcdefgh")
    assert clone(KMeans(7)).n_clusters == 7


def test_cosine_equals_euclidean_on_unit_rows(digits):
    unit = digits / np.linalg.norm(digits, axis=1, keepdims=True)
    a = KMeans(5, metric="cosine", random_state=0).fit(digits)
    np.testing.assert_allclose(np.linalg.norm(a.cluster_centers_, axis=1), 1.0)
    np.testing.assert_array_equal(a.predict(digits * 3), a.labels_)
    np.testing.assert_allclose(a.transform(unit), 1 - unit @ a.cluster_centers_.T, atol=1e-9)


BAD = {
    "shape of init": ({"n_clusters": 3, "init": np.zeros((2, 64))}, "initial centers"),
    "NaN in init": ({"n_clusters": 2, "init": np.full((2, 64), np.nan)}, "NaN"),
    "unknown metric": ({"metric": "manhattan"}, "metric"),
    "zero clusters": ({"n_clusters": 0}, "n_clusters"),
    "too many clusters": ({"n_clusters": 5000}, "n_clusters=5000"),
}


@pytest.mark.parametrize(("parameters", "words"), BAD.values(), ids=BAD.keys())
def test_bad_parameters_are_named(digits, parameters, words):
    with pytest.raises(ValueError, match=words):
        KMeans(**parameters).fit(digits)


def test_no_weight_at_all_is_an_error(digits):
    with pytest.raises(ValueError, match="zero"):
        KMeans(2).fit(digits, sample_weight=np.zeros(len(digits)))


def test_nothing_is_printed_or_warned_by_default(digits, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        KMeans(4, random_state=0).fit(digits)
    assert capsys.readouterr().out == ""
    KMeans(4, random_state=0, verbose=1).fit(digits)
    assert "Iteration 1" in capsys.readouterr().out
