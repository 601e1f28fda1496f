"""The map of the page: where rows go, and that nothing jumps."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.report.view import View
from shoal.serve.chart import Charts
from shoal.serve.landmarks import disc_radii, laid_out, turned_like
from shoal.solve.k_means import k_means
from shoal.summary.protocol import WeightedPoints

BLOBS = np.random.default_rng(3).normal(0, 10, (12, 20))


def blobs(k, d, per=60, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([BLOBS[i, :d] + rng.normal(0, 0.4, (per, d)) for i in range(k)])


def view_of(X, k, names=(), ids=None):
    model = build_model(X, np.ones(len(X)), k_means(X, k), provenance=Provenance(len(X)), feature_names=names)
    if ids is not None:
        model = model.replace(ids=np.asarray(ids))
    return View.of(model, WeightedPoints(X, np.ones(len(X))))


@pytest.mark.parametrize(("d", "names", "kind"), [
    (1, (), "line"), (2, (), "columns"), (3, ("Longitude", "Latitude", "z"), "map"), (20, (), "landmarks"),
])  # fmt: skip
def test_the_kind_of_map_follows_the_columns(d, names, kind):
    X = blobs(8, d) if d > 2 else np.clip(blobs(8, d), -80, 80)
    X = np.clip(X, -80, 80)
    chart = Charts().follow("m", view_of(X, 8, names))
    assert chart.kind == kind


def test_two_columns_are_shown_in_their_own_units():
    X = blobs(3, 2)
    chart = Charts().follow("m", view_of(X, 3, ("price", "rooms")))
    np.testing.assert_allclose(chart.place(X), X)
    assert chart.labels == ("price", "rooms")


def test_a_straight_map_stays_when_the_model_is_replaced():
    charts = Charts()
    first = charts.follow("m", view_of(blobs(2, 5), 2))
    second = charts.follow("m", view_of(blobs(5, 5, seed=1), 5))
    assert first.kind == second.kind == "pca"
    assert first.number == second.number
    X = blobs(2, 5)
    np.testing.assert_array_equal(first.place(X), second.place(X))
    assert (second.low <= first.low).all()
    assert (second.high >= first.high).all()


def test_limits_hold_all_centres():
    chart = Charts().follow("m", view_of(blobs(12, 20), 12))
    at = chart.centres()
    assert (at >= chart.low).all()
    assert (at <= chart.high).all()


def test_landmarks_that_live_on_stay_where_they_are():
    charts = Charts()
    view = view_of(blobs(8, 20), 8)
    first = charts.follow("m", view)
    again = charts.follow("m", view_of(blobs(8, 20, seed=5), 8, ids=matched(view, blobs(8, 20, seed=5), 8)))
    size = np.ptp(first.centres(), axis=0).max()
    for cluster in first.places:
        assert np.linalg.norm(again.places[cluster] - first.places[cluster]) < 0.05 * size


def matched(view, X, k):
    """Ids of the old model for the clusters of a new one on the same blobs."""
    fresh = view_of(X, k)
    return view.model.predict(fresh.model.centres)


def test_rows_lie_around_their_own_landmark():
    X = blobs(8, 20)
    view = view_of(X, 8)
    chart = Charts().follow("m", view)
    at, centres = chart.place(X), chart.centres()
    nearest = np.linalg.norm(at[:, None] - centres[None], axis=2).argmin(axis=1)
    assert (nearest == view.model.assign(X).positions).mean() > 0.95


def test_other_columns_are_another_map():
    charts = Charts()
    first = charts.follow("m", view_of(blobs(3, 2), 3, ("a", "b")))
    second = charts.follow("m", view_of(blobs(3, 2), 3, ("a", "c")))
    assert second.number == first.number + 1


def test_near_centres_are_laid_out_near_one_another():
    centres = np.zeros((6, 8))
    centres[3:] += 20.0
    centres += np.random.default_rng(0).normal(0, 1, centres.shape)
    places = laid_out(centres, list(range(6)), {})
    at = np.array([places[i] for i in range(6)])
    within = np.linalg.norm(at[0] - at[1])
    between = np.linalg.norm(at[:3].mean(0) - at[3:].mean(0))
    assert between > 3 * within


def test_a_turned_layout_is_turned_back():
    known = {i: np.random.default_rng(i).normal(size=2) for i in range(5)}
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    back = turned_like({i: p @ turn + 7.0 for i, p in known.items()}, known)
    for i, place in known.items():
        np.testing.assert_allclose(back[i], place, atol=1e-9)


def test_discs_of_neighbours_do_not_cover_each_other():
    places = np.array([[0.0, 0.0], [1.0, 0.0], [50.0, 50.0]])
    radii = disc_radii(places, np.array([0.5, 0.4, 0.1]))
    assert radii[0] <= 0.6
    assert (radii > 0).all()


def test_one_cluster_and_equal_rows_have_a_map():
    for X in (np.ones((20, 6)), np.ones((20, 1)), np.random.default_rng(0).normal(size=(20, 6))):
        chart = Charts().follow("m", view_of(X, 1))
        assert np.isfinite(chart.place(X)).all()
        assert (chart.high > chart.low).all()


def test_unit_vectors_lie_on_all_sides_of_their_landmark():
    X = blobs(8, 20, per=200)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    model = build_model(X, np.ones(len(X)), k_means(X, 8, metric="cosine"), provenance=Provenance(len(X)), metric="cosine")  # fmt: skip
    view = View.of(model, WeightedPoints(X, np.ones(len(X))))
    chart = Charts().follow("m", view)
    assert chart.kind == "landmarks"
    off = chart.place(X) - chart.centres()[model.assign(X).positions]
    for c in range(8):
        mine = off[model.assign(X).positions == c]
        assert np.linalg.norm(mine.mean(axis=0)) < 0.35 * np.linalg.norm(mine, axis=1).mean()
