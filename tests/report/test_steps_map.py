"""Pictures of iterations show what happened, and only that."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image

from shoal.errors import BadInputError, ShoalError
from shoal.report.palette import cluster_colours
from shoal.report.pictures import save_picture
from shoal.report.pictures.steps_map import MOST_POINTS, Steps, save_animation, step_map, steps_sheet
from shoal.solve.lloyd import lloyd


def story_of(n=300, k=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2)) + 6 * rng.integers(0, 3, (n, 1))
    centres, steps = [X[:k].copy()], []

    def watch(step, after):
        steps.append(step)
        centres.append(after.copy())

    lloyd(X, X[:k], tol=0, watch=watch)
    labels = [((X[:, None] - c) ** 2).sum(2).argmin(1) for c in centres[:-1]]
    return Steps.of(X, labels, centres, steps)


@pytest.fixture(scope="module")
def story():
    made = story_of()
    assert len(made) >= 3
    return made


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def collection(figure, gid):
    return next(c for c in figure.axes[0].collections if c.get_gid() == gid)


def line(figure, gid):
    return next(c for c in figure.axes[0].lines if c.get_gid() == gid)


def as_set(rows):
    return {tuple(row) for row in np.asarray(rows).tolist()}


def test_points_have_the_colours_of_their_clusters(story):
    points = collection(step_map(story, 2), "points")
    label = {tuple(x): c for x, c in zip(story.X.tolist(), story.labels[1], strict=True)}
    at = np.asarray(points.get_offsets()).tolist()
    found = [to_hex(colour) for colour in points.get_facecolors()]
    assert len(at) == len(story.X)
    assert found == [cluster_colours(3)[label[tuple(x)]] for x in at]


def test_points_that_changed_cluster_are_ringed_and_counted(story):
    figure = step_map(story, 2)
    changed = story.labels[1] != story.labels[0]
    assert 0 < changed.sum() < len(story.X)
    assert as_set(collection(figure, "changed").get_offsets()) == as_set(story.X[changed])
    assert any(f"{changed.sum()} points changed cluster" in text for text in texts(figure))


def test_no_point_is_ringed_in_the_first_iteration(story):
    figure = step_map(story, 1)
    assert len(collection(figure, "changed").get_offsets()) == 0
    assert any("300 points assigned" in text for text in texts(figure))


def test_the_last_iteration_says_that_it_is_the_last(story):
    figure = step_map(story, len(story))
    assert any("no point changed cluster: done" in text for text in texts(figure))
    assert f"Iteration {len(story)} of {len(story)}" in texts(figure)


def test_centres_are_where_they_went_with_their_path_behind_them(story):
    figure = step_map(story, 2)
    for c in range(3):
        now, path = line(figure, f"centre-{c}"), line(figure, f"path-{c}")
        np.testing.assert_array_equal(np.column_stack(now.get_data()), story.centres[2:3, c])
        np.testing.assert_array_equal(np.column_stack(path.get_data()), story.centres[:2, c])
        assert now.get_markerfacecolor() == cluster_colours(3)[c]


def test_sizes_and_inertia_are_told(story):
    figure = step_map(story, 2)
    told = "\n".join(texts(figure))
    assert all(f"{n:,} points" in told for n in np.bincount(story.labels[1], minlength=3))
    assert f"inertia {story.steps[1].inertia:,.0f}" in told


def test_iteration_0_has_grey_points_and_the_first_centres(story):
    figure = step_map(story, 0)
    assert len(np.unique(collection(figure, "points").get_facecolors(), axis=0)) == 1
    x, y = line(figure, "centre-1").get_data()
    assert (x[0], y[0]) == tuple(story.centres[0, 1])
    assert "The points and the first centres" in texts(figure)


def test_all_pictures_have_the_same_frame_with_one_scale(story):
    frames = set()
    for i in range(len(story) + 1):
        axes = step_map(story, i).axes[0]
        assert axes.get_aspect() == 1
        frames.add((*axes.get_xlim(), *axes.get_ylim()))
    assert len(frames) == 1


def test_a_story_without_iterations_has_a_first_picture_only():
    X = np.arange(10.0).reshape(5, 2)
    bare = Steps.of(X, np.empty((0, 5)), [X[:2]], [])
    assert len(collection(step_map(bare, 0), "points").get_offsets()) == 5
    with pytest.raises(BadInputError, match="there is no iteration 1: there were 0"):
        step_map(bare, 1)
    with pytest.raises(BadInputError, match="no iterations"):
        steps_sheet(bare)


def test_the_sheet_has_a_panel_for_each_iteration(story):
    figure = steps_sheet(story, columns=2)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == len(story)
    for i, axes in enumerate(shown, 1):
        assert axes.get_title(loc="left") == str(i)
        told = "\n".join(t.get_text() for t in axes.texts)
        assert " / ".join(map(str, story.sizes(i))) in told


def test_many_points_are_thinned_alike_in_all_pictures_and_it_is_told():
    story = story_of(n=3 * MOST_POINTS)
    first, second = (collection(step_map(story, i), "points").get_offsets() for i in (1, 2))
    assert len(first) <= 1.01 * MOST_POINTS
    assert as_set(first) == as_set(second)
    assert any(f"of {3 * MOST_POINTS:,} points are drawn" in text for text in texts(step_map(story, 1)))


def test_many_clusters_have_no_legend_but_numbers():
    story = story_of(k=20)
    figure = step_map(story, 1)
    assert figure.axes[0].get_legend() is None
    assert {str(c) for c in range(20)} <= set(texts(figure))


def test_the_picture_is_written(story, tmp_path):
    with Image.open(save_picture(step_map(story, 1), tmp_path / "one.png")) as image:
        assert min(image.size) > 700


def test_the_animation_has_a_frame_for_each_iteration(story, tmp_path):
    with Image.open(save_animation(story, tmp_path / "all.gif", seconds=0.5, last=2)) as image:
        assert image.n_frames == len(story)
        assert image.info["loop"] == 0
        pixels, shown = set(), []
        for i in range(image.n_frames):
            image.seek(i)
            shown.append(image.info["duration"])
            pixels.add(image.convert("RGB").tobytes())
    assert shown == [500] * (len(story) - 1) + [2000]
    assert len(pixels) == len(story)
    assert [p.name for p in tmp_path.iterdir()] == ["all.gif"]


def test_an_animation_is_a_gif_in_a_folder_that_is_there(story, tmp_path):
    with pytest.raises(ShoalError, match=r"written as \.gif"):
        save_animation(story, tmp_path / "all.png")
    with pytest.raises(ShoalError, match="cannot be written"):
        save_animation(story, tmp_path / "none" / "all.gif")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"X": np.zeros((300, 3))}, "points of two numbers"),
        ({"X": np.zeros((0, 2))}, "points of two numbers"),
        ({"X": np.full((300, 2), np.nan)}, "not finite"),
        ({"labels": np.zeros((1, 300))}, "labels have shape"),
        ({"labels": 3}, r"labels are in \[3, 3\], but there are 3 centres"),
        ({"labels": -1}, "labels are in"),
        ({"centres": np.zeros((2, 3, 2))}, "centres have shape"),
        ({"centres": None}, "centres have shape"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(story, changed, told):
    parts = {"X": story.X, "labels": story.labels, "centres": story.centres, "steps": story.steps} | changed
    if np.isscalar(parts["labels"]):
        parts["labels"] = np.full_like(story.labels, parts["labels"])
    if parts["centres"] is None:
        parts["centres"] = np.zeros((len(story) + 1, 0, 2))
    with pytest.raises(BadInputError, match=told):
        Steps.of(**parts)


def test_an_iteration_that_did_not_happen_is_refused(story):
    with pytest.raises(BadInputError, match="there is no iteration 99"):
        step_map(story, 99)
    with pytest.raises(BadInputError, match="there is no iteration -1"):
        step_map(story, -1)


def test_points_all_in_one_place_can_be_drawn(tmp_path):
    X = np.ones((5, 2))
    labels = np.zeros((1, 5), int)
    story = Steps.of(X, labels, np.ones((2, 1, 2)), story_of().steps[:1])
    assert save_picture(step_map(story, 1), tmp_path / "one.png").stat().st_size > 0
