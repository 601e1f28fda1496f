"""The view: original units, labels, what sets clusters apart."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from shoal.errors import Rejects, ShoalError
from shoal.features.recipe import RecipeSpec
from shoal.report.palette import INK, PAPER, cluster_colours, contrast, ink_on
from shoal.report.thinning import thin
from shoal.report.view import View
from shoal.summary.protocol import WeightedPoints


def mixed(build):
    """A model of a numeric and a categorical column."""
    rng = np.random.default_rng(1)
    kind = np.where(np.arange(400) % 4 == 0, "043", "010")
    income = np.where(kind == "043", 90_000.0, 30_000.0) + rng.normal(0, 500, 400)
    table = pa.table({"income": income, "code": kind})
    recipe = RecipeSpec(columns=("income",), one_hot=("code",), scale="standard").learn(table, place="t")
    batch = table.to_batches()[0]
    rows = recipe.apply(batch, origin="t", rows=np.arange(400), rejects=Rejects()).matrix
    return build(2, X=rows, names=recipe.feature_names, recipe=recipe.to_dict())


def test_centres_and_points_are_in_original_units(build):
    view = View.of(*mixed(build))
    assert sorted(view.centres[:, 0].round(-4).tolist()) == [30_000.0, 90_000.0]
    assert view.points[:, 0].min() > 25_000


def test_one_hot_traits_read_as_shares(build):
    view = View.of(*mixed(build))
    small = int(np.argmin(view.shares))
    texts = [t.text for t in view.traits[small]]
    assert any(t.startswith("code = 043: 100% (") for t in texts)
    assert any("income well above" in t or "income far above" in t for t in texts)


def test_shares_add_up_and_labels_match_assign(build):
    model, points = build(4, 3)
    view = View.of(model, points)
    assert view.shares.sum() == pytest.approx(1)
    np.testing.assert_array_equal(view.labels, model.assign(points.X).positions)
    assert view.names == ("cluster 0", "cluster 1", "cluster 2", "cluster 3")


def test_names_follow_stable_ids(build):
    model, points = build(2)
    view = View.of(model.replace(ids=np.array([7, 12])), points)
    assert view.names == ("cluster 7", "cluster 12")


def test_deviations_are_weighted(build):
    model, points = build(2, 1)
    view = View.of(model, points)
    mean = np.average(points.X[:, 0], weights=points.weights)
    spread = np.sqrt(np.average((points.X[:, 0] - mean) ** 2, weights=points.weights))
    np.testing.assert_allclose(view.deviations[:, 0], (model.centres[:, 0] - mean) / spread, rtol=1e-5)


def test_constant_column_sets_nothing_apart(build):
    X = np.column_stack([np.repeat([0.0, 9.0], 50), np.full(100, 1e6 + 0.1)])
    view = View.of(*build(2, X=X))
    assert (view.deviations[:, 1] == 0).all()
    assert all(t.column == 0 for traits in view.traits for t in traits)


def test_empty_summary_shows_centres_only(build):
    model, _ = build(3)
    view = View.of(model, WeightedPoints(np.empty((0, 0), np.float32), np.empty(0)))
    assert view.points.shape == (0, 2)
    assert len(view.traits) == 3
    assert view.outliers == ()


def test_points_of_another_width_are_refused(build):
    model, _ = build(2, 2)
    with pytest.raises(ShoalError, match="do not belong together"):
        View.of(model, WeightedPoints(np.zeros((5, 3), np.float32), np.ones(5)))


def test_outlier_is_found(build):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (200, 2)), rng.normal(40, 1, (200, 2)), [[0.0, 15.0]]])
    view = View.of(*build(2, X=X))
    assert np.allclose(view.points[view.outliers[0].position], [0, 15])
    assert view.outliers[0].times > 3


def test_thinning_keeps_every_cluster_and_all_weight():
    labels = np.array([0] * 9990 + [1] * 9 + [2])
    weights = np.random.default_rng(0).uniform(0.5, 3, len(labels))
    where, stands_for = thin(labels, weights, 3, 500)
    assert len(where) <= 505
    assert len(np.unique(where)) == len(where)
    np.testing.assert_allclose(
        np.bincount(labels[where], weights=stands_for, minlength=3), np.bincount(labels, weights=weights)
    )


def test_thinned_view_has_all_weight(build):
    model, points = build(3, 2, 5000)
    view = View.of(model, points, most_points=400)
    assert len(view.points) <= 403
    assert view.weights.sum() == pytest.approx(points.weights.sum())


@pytest.mark.parametrize("k", [1, 2, 10, 11, 40, 100, 300])
def test_colours_are_hex_and_distinct(k):
    colours = cluster_colours(k)
    assert len(colours) == k
    assert len(set(colours)) == min(k, 256)
    assert colours[: min(k, 10)] == cluster_colours(10)[: min(k, 10)]


def test_ink_has_the_greater_contrast():
    for colour in cluster_colours(60):
        other = PAPER if ink_on(colour) == INK else INK
        assert contrast(ink_on(colour), colour) >= contrast(other, colour)
