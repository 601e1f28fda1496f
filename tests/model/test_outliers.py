"""The outlier score: shares of the rows seen, small far groups included, thresholds by rate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, DamagedFileError
from shoal.model import persistence
from shoal.model.build import build_model
from shoal.model.cluster_model import QUANTILES, Provenance
from shoal.model.outliers import LEVELS, outlier_scale, share_nearer, weighted_quantiles
from shoal.model.persistence import load_model, save_model
from shoal.solve.k_means import k_means
from shoal.summary.coreset import Coreset

from .test_persistence import fitted


def model_of(X, k, *, rows=None, metric="euclidean", parts=1):
    """A model by way of the summary, and its rows' weights; in several merged parts, if asked."""
    summaries = [
        Coreset(k_max=k, rows=rows).update(part, key=i, rows=np.arange(len(part)))
        for i, part in enumerate(np.array_split(X, parts))
    ]
    summary = summaries[0]
    for other in summaries[1:]:
        summary = summary.merge(other)
    p = summary.points()
    solution = k_means(p.X, k, weights=p.weights, metric=metric)
    return build_model(p.X, p.weights, solution, provenance=Provenance(rows_seen=len(X)), metric=metric)


def blobs(n, centres, p=None, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(centres), n, p=p)
    return centres[labels] + scale * rng.normal(size=(n, centres.shape[1]))


SIX = np.random.default_rng(5).normal(size=(6, 4)) * 8


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_scores_are_shares_of_the_rows_seen(metric):
    model, _, X = fitted(k=3, n=3000, metric=metric)
    scores = model.assign(X).outlier_scores
    assert ((scores >= 0) & (scores <= 1)).all()
    for level in (0.1, 0.5, 0.9, 0.99):
        assert np.mean(scores <= level) == pytest.approx(level, abs=0.02)


def test_scores_grow_with_distance_towards_one():
    model, _, _ = fitted(k=3)
    walk = model.assign(model.centres[0] + np.outer(np.geomspace(0.1, 1e6, 50), [0.0, -1.0]))
    nearest = walk.positions == walk.positions[-1]
    assert (np.diff(walk.outlier_scores[nearest]) >= 0).all()
    assert 0.999 < walk.outlier_scores[-1] < 1


def test_ties_do_not_raise_the_score():
    X = np.repeat([[0.0, 0.0], [0.0, 3.0], [50.0, 0.0]], [60, 40, 30], axis=0)
    model = build_model(X, np.ones(130), k_means(X, 2), provenance=Provenance(rows_seen=130))
    scores = model.assign(np.array([[50.0, 0.0], [0.0, 0.0], [0.0, 3.0]])).outlier_scores
    assert scores[0] == 0.0  # on a centre of equal rows: nobody is nearer
    assert scores[1] == pytest.approx(30 / 130, abs=0.02)
    assert scores[2] == pytest.approx(90 / 130, abs=0.02)
    assert not model.is_outlier(X, rate=0.05).any()


def test_rows_of_a_small_far_cluster_are_outliers_and_of_a_large_one_are_not():
    far = np.full((1, 4), 60.0)
    X = np.concatenate([blobs(20_000, SIX), blobs(100, far, seed=1)])
    model = model_of(X, 7)
    assert model.weights.min() == pytest.approx(100, rel=0.1)  # it has a centre of its own
    assert model.is_outlier(blobs(100, far, seed=2), rate=0.01).all()
    X = np.concatenate([blobs(20_000, SIX), blobs(4000, far, seed=1)])
    assert model_of(X, 7).is_outlier(blobs(1000, far, seed=2), rate=0.01).mean() < 0.05


@pytest.mark.parametrize("k", [5, 20, 100])
def test_a_small_far_group_is_found_whatever_k(k):
    """Where k is large the group fills several clusters, and all clusters are small."""
    X = np.concatenate([blobs(20_000, SIX), blobs(400, np.full((1, 4), 60.0), seed=1, scale=3.0)])
    scores = model_of(X, k).assign(X).outlier_scores
    # all of the group before any other row, but for what lies between two levels of the tail
    assert scores[-400:].min() >= np.quantile(scores[:-400], 0.998)


def test_a_hundred_equal_clusters_are_not_one_anothers_outliers():
    centres = np.random.default_rng(1).normal(size=(100, 5)) * 20
    X = blobs(50_000, centres)
    noise = np.random.default_rng(2).normal(size=(200, 5)) * 20
    model = model_of(X, 100)
    flags = model.is_outlier(X, rate=0.02)
    by_cluster = np.bincount(model.assign(X).positions, weights=flags) / np.bincount(
        model.assign(X).positions
    )
    assert np.sort(by_cluster)[:90].max() < 0.15
    assert model.is_outlier(noise, rate=0.02).mean() > 0.8


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.3])
def test_the_rate_asked_for_is_the_rate_found(rate):
    X, fresh = blobs(200_000, SIX, seed=0), blobs(200_000, SIX, seed=1)
    model = model_of(X, 6, rows=10_000)
    # 10,000 of 200,000 rows are kept: the rate is known to about sqrt(rate / 10,000)
    near = pytest.approx(rate, abs=4 * np.sqrt(rate / 10_000))
    assert model.is_outlier(X, rate).mean() == near
    assert model.is_outlier(fresh, rate).mean() == near
    assert model.outlier_threshold(rate) < model.outlier_threshold(rate / 2)


def test_rate_zero_asks_for_rows_farther_out_than_all_seen():
    X = blobs(2000, SIX)
    model = model_of(X, 6)
    assert not model.is_outlier(X, 0.0).any()
    assert model.is_outlier(np.full((1, 4), 1e4), 0.0).all()
    assert model.is_outlier(X, 1.0).mean() > 0.99
    for wrong in (-0.1, 1.5, np.nan):
        with pytest.raises(BadInputError, match="give a share of the rows"):
            model.outlier_threshold(wrong)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 6),
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda v: round(v, 3)), min_size=1, max_size=30),
    st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20),
)
def test_scores_are_in_bounds_and_monotone_for_any_rows(k, values, rows):
    X = np.array(values)[:, None]
    k = min(k, len(X))
    model = build_model(X, np.ones(len(X)), k_means(X, k), provenance=Provenance(rows_seen=len(X)))
    found = model.assign(np.array(rows)[:, None])
    assert ((found.outlier_scores >= 0) & (found.outlier_scores <= 1)).all()
    for c in np.unique(found.positions):
        mine = found.positions == c
        order = np.argsort(found.distances[mine], kind="stable")
        assert (np.diff(found.outlier_scores[mine][order]) >= 0).all()


def test_one_row_equal_rows_and_no_weight_have_scores():
    for X in (np.ones((1, 2)), np.ones((50, 2))):
        model = build_model(X, np.ones(len(X)), k_means(X, 1), provenance=Provenance(rows_seen=len(X)))
        near, far = model.assign(np.array([[1.0, 1.0], [1.5, 1.0]])).outlier_scores
        assert near == 0.0
        assert far > 1 - 1 / len(X)
    scale = outlier_scale(
        np.zeros((2, 1)), np.zeros(2), np.zeros(2), np.zeros(0), np.zeros(0, int), np.zeros(0)
    )
    assert np.isfinite(scale.scores(np.array([0.0, 1.0]), np.array([0, 1]), 0)).all()


def test_scores_do_not_depend_on_how_the_summary_was_merged():
    X = blobs(30_000, SIX)
    whole, parts = model_of(X, 6, rows=2000), model_of(X, 6, rows=2000, parts=3)
    near = np.abs(whole.assign(X).outlier_scores - parts.assign(X).outlier_scores)
    assert near.mean() < 0.03  # two samples of 2,000
    again = model_of(X, 6, rows=2000, parts=3)
    np.testing.assert_array_equal(again.outliers.reach, parts.outliers.reach)


@pytest.mark.parametrize("law", ["normal", "lognormal", "far clusters"])
def test_quantiles_of_the_sample_are_near_those_of_all_rows(law):
    """The default sample of 50,000 of a million rows; rank error by level, better in the tail."""
    rng = np.random.default_rng(3)
    X = blobs(1_000_000, SIX).astype(np.float32)
    if law == "lognormal":
        X = np.exp(X / 8).astype(np.float32)
    elif law == "far clusters":
        X[:3000] += 300 * rng.normal(size=(3, 4)).repeat(1000, axis=0).astype(np.float32)
    model = model_of(X, 10)
    kept = np.bincount(
        model.assign(Coreset(k_max=10).update(X, key=0, rows=np.arange(len(X))).points().X).positions
    )
    found = model.assign(X)
    for c in range(10):
        distances = np.sort(found.distances[found.positions == c])
        if len(distances) < 1000:
            continue
        rank = np.searchsorted(distances, model.radii[c], side="right") / len(distances)
        error = np.abs(rank - QUANTILES)
        assert error.max() <= 2 / np.sqrt(kept[c])
        assert error[QUANTILES >= 0.99].max() <= 0.01
    reach = np.sort(model.outliers.reaches(found.distances**2, found.positions))
    error = np.abs(np.searchsorted(reach, model.outliers.reach, side="right") / len(reach) - LEVELS)
    assert error.max() <= 0.005
    assert error[LEVELS >= 0.99].max() <= 0.001
    assert error[LEVELS >= 0.999].max() <= 0.0003


def test_the_scale_is_stored_and_a_damaged_one_is_refused(tmp_path):
    model, _, X = fitted()
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    for name in ("excess", "spread", "reach"):
        np.testing.assert_array_equal(getattr(again.outliers, name), getattr(model.outliers, name))
    np.testing.assert_array_equal(again.assign(X).outlier_scores, model.assign(X).outlier_scores)
    short = model.replace(outliers=type(model.outliers)(np.zeros(1), np.ones(3), model.outliers.reach))
    save_model(short, tmp_path / "short")
    with pytest.raises(DamagedFileError, match="'outlier_excess' of the model does not fit"):
        load_model(tmp_path / "short")


def test_an_incomplete_scale_is_refused(tmp_path, monkeypatch):
    arrays = persistence.arrays_of
    monkeypatch.setattr(
        persistence,
        "arrays_of",
        lambda model: {k: v for k, v in arrays(model).items() if k != "outlier_reach"},
    )
    save_model(fitted()[0], tmp_path / "m")
    with pytest.raises(DamagedFileError, match="cannot be read"):
        load_model(tmp_path / "m")


def test_models_of_before_the_scale_score_by_cluster():
    frozen = Path(__file__).parent / "frozen"
    model = load_model(frozen / "format-1")
    assert model.outliers is None
    answer = json.loads((frozen / "format-1-answers.json").read_text())
    np.testing.assert_allclose(
        model.assign(np.array(answer["rows"])).outlier_scores, answer["outlier_scores"], rtol=1e-12
    )
    assert model.outlier_threshold(0.05) == pytest.approx(0.95 * 0.99)
    old, _, X = fitted(n=5000)
    assert old.replace(outliers=None).is_outlier(X, 0.05).mean() == pytest.approx(0.05, abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0.1, 3)), min_size=1, max_size=50))
def test_shares_bracket_the_weight_below(pairs):
    values, weights = np.array(pairs).T
    levels = np.linspace(0, 1, 41)
    quantiles = weighted_quantiles(values, weights, levels)
    share = share_nearer(values, quantiles, levels)
    below = np.array([weights[values < v].sum() for v in values]) / weights.sum()
    assert (np.abs(share - below) <= 1 / 40 + 1e-9).all()
