"""Limits, ticks and labels."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.errors import BadInputError
from shoal.report.layout import limits, part_labels, ticks
from shoal.report.projection import project
from shoal.report.view import View
from shoal.report.wording import compact, percent_text, value_text


def test_limits_hold_all_that_is_not_far_out():
    values = np.random.default_rng(0).normal(size=500)
    low, high = limits(values, np.ones(500), np.array([np.nan, 4.0]))
    assert low < values.min()
    assert high > 4.0


@pytest.mark.parametrize("value", [0.0, 5.0, -1e9])
def test_limits_of_one_value_have_width(value):
    low, high = limits(np.full(30, value), np.ones(30), np.array([value]))
    assert low < value < high


@pytest.mark.parametrize(("low", "high"), [(-124.8, -113.9), (0, 1), (1e-7, 3e-7), (-5e9, 5e9), (499, 501)])
def test_ticks_are_inside_even_and_told_apart(low, high):
    at = ticks(low, high)
    assert 3 <= len(at) <= 7
    assert low <= at[0]
    assert at[-1] <= high * (1 + 1e-9) or high <= 0
    texts = [compact(t, at[1] - at[0]) for t in at]
    assert len(set(texts)) == len(texts)


def test_parted_labels_do_not_overlap_and_are_the_same_every_time():
    anchors = np.random.default_rng(0).normal(0, 30, (50, 2))
    anchors[7] = anchors[8]
    out = part_labels(anchors, 10.0, steps=400)
    apart = np.linalg.norm(out[:, None] - out[None], axis=2) + 100 * np.eye(50)
    assert apart.min() > 9
    np.testing.assert_array_equal(out, part_labels(anchors, 10.0, steps=400))


def test_lone_label_stays():
    np.testing.assert_array_equal(part_labels(np.array([[3.0, 4.0]]), 9.0), [[3.0, 4.0]])


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("longitude", "latitude", "income"), "map"),
        (("income", "ActionGeo_Lat", "ActionGeo_Long"), "map"),
        (("lng", "x", "lat"), "map"),
        (("Actor1Geo_Lat", "ActionGeo_Long", "x"), "pca"),
        (("length_long", "flat", "x"), "pca"),
    ],
)
def test_coordinates_are_recognised_by_name(build, names, kind):
    placed = project(View.of(*build(3, 3, names=names)))
    assert placed.kind == kind
    if kind == "map":
        assert placed.labels[0].lower().rstrip("itude")[-3:] != "lat"
        assert placed.aspect is not None


def test_names_of_coordinates_with_impossible_values_are_no_map(build):
    model, points = build(
        3, 3, names=("lon", "lat", "x"), X=np.random.default_rng(0).uniform(0, 1e4, (300, 3))
    )
    assert project(View.of(model, points)).kind == "pca"


def test_two_columns_are_drawn_as_they_are(build):
    assert project(View.of(*build(3, 2, names=("a", "b")))).labels == ("a", "b")


def test_pca_finds_the_direction_of_variance(build):
    rng = np.random.default_rng(0)
    X = np.outer(rng.normal(size=300), [3.0, 4.0, 0.0]) + rng.normal(0, 0.01, (300, 3))
    placed = project(View.of(*build(2, X=X)))
    assert "(99.9% of the variance)" in placed.labels[0]
    assert placed.points[:, 1].std() < 0.05


def test_choices_that_cannot_be_drawn_are_errors(build):
    view = View.of(*build(2, 3, names=("a", "b", "c")))
    with pytest.raises(BadInputError, match="no column named 'q'"):
        project(view, "a", "q")
    with pytest.raises(BadInputError, match="both x and y"):
        project(view, "a")
    with pytest.raises(BadInputError, match="umap"):
        project(view, projection="umap")


@pytest.mark.slow
def test_tsne_places_points_and_centres(build):
    placed = project(View.of(*build(3, 5, 120)), projection="tsne")
    assert placed.points.shape == (120, 2)
    assert np.isfinite(placed.centres).all()


def test_numbers_keep_the_digits_that_matter():
    assert value_text(-0.0, 1.0) == "0.00"
    assert value_text(float("nan")) == "–"
    assert percent_text(0.9999) == "99.9%"
    assert percent_text(1.0) == "100%"
    assert [compact(v, 2500.0) for v in (2500.0, 5000.0, 7500.0)] == ["2.5k", "5k", "7.5k"]
