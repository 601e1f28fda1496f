"""Figures have the parts they should, whatever the model."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

from shoal.errors import ShoalError
from shoal.report.pictures import (
    centre_heatmap,
    cluster_map,
    convergence,
    criteria_curves,
    save_picture,
    size_bars,
)
from shoal.report.view import View
from shoal.summary.protocol import WeightedPoints

HOSTILE = ("$x_{2", "a\nb\x00<script>alert(1)</script>", "längë 東京 " + "z" * 200)


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def points_of(figure):
    return next(c for c in figure.axes[0].collections if c.get_gid() == "points")


def test_map_has_all_points_and_a_number_at_each_centre(build):
    figure = cluster_map(View.of(*build(3)))
    assert len(points_of(figure).get_offsets()) == 300
    assert {"0", "1", "2"} <= set(texts(figure))
    assert len(figure.axes[0].get_legend().get_texts()) == 3
    assert figure.axes[0].get_xlabel() == "x0"


def test_map_of_many_clusters_has_numbers_and_no_legend(build):
    figure = cluster_map(View.of(*build(100, 5, 1000)))
    assert figure.axes[0].get_legend() is None
    assert {str(c) for c in range(100)} <= set(texts(figure))
    assert "of the variance" in figure.axes[0].get_xlabel()


def test_heavier_points_are_larger(build):
    model, points = build(2)
    sizes = points_of(cluster_map(View.of(model, points))).get_sizes()
    assert len(np.unique(sizes)) == 2


def test_points_beyond_the_frame_lie_on_its_border_and_are_counted(build):
    X = np.random.default_rng(0).normal(size=(2000, 2))
    X[0] = 1e6
    X = np.concatenate([X, X[1:] + 20])
    model, points = build(2, X=X)
    # The far row may get a cluster of its own: then its centre must be seen and nothing is cut.
    model = model.replace(centres=np.array([[0.0, 0.0], [20.0, 20.0]]))
    figure = cluster_map(View.of(model, points))
    assert any("beyond the frame" in t for t in texts(figure))
    assert figure.axes[0].get_xlim()[1] < 1000


def test_bars_are_the_shares(build):
    view = View.of(*build(5))
    bars = size_bars(view).axes[0].patches
    np.testing.assert_allclose([b.get_width() for b in bars], view.shares)
    many = View.of(*build(100, 2, 1000))
    assert len(size_bars(many).axes[0].patches) == 100


def test_heatmap_shows_values_while_they_fit(build):
    view = View.of(*build(3, 4))
    figure = centre_heatmap(view)
    assert figure.axes[0].images[0].get_array().shape == (3, 4)
    assert view.columns[1].text(view.centres[2, 1]) in texts(figure)


def test_heatmap_of_many_columns_says_which_it_shows(build):
    figure = centre_heatmap(View.of(*build(4, 784)))
    assert figure.axes[0].images[0].get_array().shape == (4, 30)
    assert any("the 30 columns of 784" in t for t in texts(figure))


def test_criteria_have_a_panel_each_with_suggestion_and_best(choice):
    figure = criteria_curves(choice)
    assert len(figure.axes) == 7
    said = texts(figure)
    assert "Suggested: k = 3 (confidence 72%)" in said
    assert "does not decide" in said
    for axes in figure.axes:
        band = [p for p in axes.patches if p.get_x() < 3 < p.get_x() + p.get_width()]
        assert len(band) == 1
        rings = [line for line in axes.lines if len(line.get_xdata()) == 1]
        assert len(rings) == (0 if "Inertia (elbow)" in axes.get_title("left") else 1)
    gap = next(a for a in figure.axes if a.get_title("left") == "Gap")
    assert gap.collections


def test_criteria_say_when_there_is_no_structure(no_structure):
    figure = criteria_curves(no_structure)
    assert any("No cluster structure found" in t for t in texts(figure))
    assert not any(a.patches for a in figure.axes)


def test_criteria_tolerate_missing_figures(choice, figures, tmp_path):
    rows = figures()
    rows[1] |= {"silhouette": None, "gap_error": None, "davies_bouldin": float("nan")}
    for row in rows:
        row["bic"] = None
    figure = criteria_curves(choice | {"candidates": rows})
    assert len(figure.axes) == 6
    save_picture(figure, tmp_path / "k.png")
    save_picture(criteria_curves(choice | {"candidates": figures(range(3, 4))}), tmp_path / "one.png")
    assert any("Only one k" in t for t in texts(criteria_curves(None)))


def test_convergence_has_every_step(build):
    view = View.of(*build(6, 2, 900))
    line = convergence(view).axes[0].lines[0]
    assert len(line.get_xdata()) == len(view.model.steps)
    bare = View.of(view.model.replace(steps=()), WeightedPoints(view.points, view.weights))
    assert "no iterations were recorded" in texts(convergence(bare))


@pytest.mark.parametrize(("k", "d"), [(1, 1), (1, 2), (2, 1), (3, 784), (40, 3), (100, 1)])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_every_shape_can_be_drawn(build, tmp_path, k, d, metric):
    if metric == "cosine" and d == 1 and k > 2:
        pytest.skip("one column has two directions only")
    view = View.of(*build(k, d, 400, metric=metric))
    for i, draw in enumerate((cluster_map, size_bars, centre_heatmap, convergence)):
        assert save_picture(draw(view), tmp_path / f"{i}.png").stat().st_size > 1000


def test_empty_cluster_and_empty_summary(build, tmp_path):
    model, _ = build(3)
    model = model.replace(weights=np.array([1.0, 1.0, 0.0]))
    view = View.of(model, WeightedPoints(np.empty((0, 2), np.float32), np.empty(0)))
    assert "empty" in texts(size_bars(view))
    for i, draw in enumerate((cluster_map, size_bars, centre_heatmap)):
        save_picture(draw(view), tmp_path / f"{i}.svg")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_hostile_names_are_drawn_as_text(build, tmp_path, suffix):
    view = View.of(*build(2, 3, names=HOSTILE))
    for i, draw in enumerate((cluster_map, centre_heatmap)):
        path = save_picture(draw(view), tmp_path / f"{i}{suffix}")
        assert path.stat().st_size > 1000
        if suffix == ".svg":
            ET.parse(path)


def test_pictures_are_the_same_every_time(build, tmp_path):
    view = View.of(*build(3))
    for suffix in (".png", ".svg", ".pdf"):
        one, two = (save_picture(cluster_map(view), tmp_path / f"{i}{suffix}").read_bytes() for i in "ab")
        assert one == two


def test_unknown_suffix_and_missing_folder_are_clear_errors(build, tmp_path):
    figure = size_bars(View.of(*build(2)))
    with pytest.raises(ShoalError, match=r"\.png, \.svg, \.pdf"):
        save_picture(figure, tmp_path / "map.jpeg")
    with pytest.raises(ShoalError, match="cannot be written"):
        save_picture(figure, tmp_path / "nowhere" / "map.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ShoalError, match="is a directory"):
        save_picture(figure, tmp_path / "folder.png")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]


def test_no_global_state_is_touched(build, tmp_path):
    import sys

    before, loaded = dict(matplotlib.rcParams), "matplotlib.pyplot" in sys.modules
    save_picture(cluster_map(View.of(*build(3))), tmp_path / "a.svg")
    assert dict(matplotlib.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_a_criterion_that_abstains_has_no_ring(choice):
    votes = {name: k for name, k in choice["votes"].items() if name != "BIC"}
    axes = next(a for a in criteria_curves(choice | {"votes": votes}).axes if a.get_title("left") == "BIC")
    assert not [line for line in axes.lines if len(line.get_xdata()) == 1]
