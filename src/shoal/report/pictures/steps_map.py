"""k-means as it happens: one picture per iteration, all of them on one sheet, or as an animation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from shoal.errors import BadInputError, ShoalError
from shoal.report.layout import limits
from shoal.report.palette import cluster_colours, ink_on
from shoal.report.pictures.canvas import GRID, INK, SOFT, dress, finish, new_figure, title
from shoal.report.thinning import thin
from shoal.report.writing import whole_file
from shoal.solve.lloyd import Step

MOST_POINTS = 4000
MOST_IN_LEGEND = 12
UNASSIGNED = "#9aa8ad"
ANIMATION_DPI = 120
_BARE, _RINGED, _PATH, _CENTRE = 1, 2, 3, 4
"""Order of drawing."""


@dataclass(frozen=True, eq=False)
class Steps:
    """What happened, as plain arrays: T iterations of k centres on n points of the plane.

    Attributes
    ----------
    X : (n, 2) points.
    labels : (T, n) cluster of each point in each iteration, in [0, k).
    centres : (T + 1, k, 2) where the centres began, and where they were after each iteration.
    steps : T numbers of the iterations, as the solvers report them.

    Raises
    ------
    BadInputError : shapes that do not belong together, more or fewer than two columns, values that are not finite.

    >>> from shoal.solve.lloyd import Step
    >>> story = Steps.of([[0, 0], [2, 0]], [[0, 0]], [[[0, 1]], [[1, 0]]], [Step(1, 6.0, 1.4, 2, 0)])
    >>> len(story), story.k
    (1, 1)
    """

    X: NDArray[np.float64]
    labels: NDArray[np.int64]
    centres: NDArray[np.float64]
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, X: ArrayLike, labels: ArrayLike, centres: ArrayLike, steps: Sequence[Step]) -> Steps:
        """From anything that numpy understands."""
        return cls(
            np.asarray(X, np.float64),
            np.asarray(labels, np.int64),
            np.asarray(centres, np.float64),
            tuple(steps),
        )

    def __post_init__(self) -> None:
        if self.X.ndim != 2 or self.X.shape[1] != 2 or not len(self.X):
            raise BadInputError(
                f"a picture needs points of two numbers, X has shape {self.X.shape}",
                remedy="choose two columns, or project the points and the centres first",
            )
        steps = len(self.steps)
        if self.labels.shape != (steps, len(self.X)):
            raise BadInputError(
                f"labels have shape {self.labels.shape}, where {(steps, len(self.X))} is needed",
                remedy="give the cluster of every point in every step",
            )
        if self.centres.ndim != 3 or self.centres.shape[::2] != (steps + 1, 2) or not self.k:
            raise BadInputError(
                f"centres have shape {self.centres.shape}, where ({steps + 1}, k, 2) is needed",
                remedy="give the centres before the first step, and after each one",
            )
        if not (np.isfinite(self.X).all() and np.isfinite(self.centres).all()):
            raise BadInputError("X or centres have values that are not finite", remedy="leave those rows out")
        if self.labels.size and not 0 <= self.labels.min() <= self.labels.max() < self.k:
            raise BadInputError(
                f"labels are in [{self.labels.min()}, {self.labels.max()}], but there are {self.k} centres"
            )

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def k(self) -> int:
        """Clusters."""
        return int(self.centres.shape[1])

    def sizes(self, iteration: int) -> NDArray[np.int64]:
        """(k,) points of each cluster in an iteration, counted from 1."""
        return np.bincount(self.labels[iteration - 1], minlength=self.k)

    def changed(self, iteration: int) -> NDArray[np.bool_]:
        """(n,) whether a point's cluster differs from that of the iteration before; never in the first."""
        if iteration < 2:
            return np.zeros(len(self.X), np.bool_)
        different: NDArray[np.bool_] = np.not_equal(self.labels[iteration - 1], self.labels[iteration - 2])
        return different

    def drawn(self) -> NDArray[np.int64]:
        """Positions of the points that are drawn: the same ones in every picture."""
        labels = self.labels[-1] if len(self) else np.zeros(len(self.X), np.int64)
        return thin(labels, np.ones(len(self.X)), max(self.k, 1), MOST_POINTS)[0]


def step_map(story: Steps, iteration: int) -> Figure:
    """One iteration: points in the colour of their cluster, those that changed it ringed, and where the centres went.

    Parameters
    ----------
    iteration : counted from 1; 0 draws the points before any is assigned, with the centres to start from.

    Raises
    ------
    BadInputError : an iteration that did not happen.
    """
    if not 0 <= iteration <= len(story):
        raise BadInputError(f"there is no iteration {iteration}: there were {len(story)}")
    listed = story.k <= MOST_IN_LEGEND
    figure = new_figure(_across(story, 5.7) + 0.5 + 1.9 * listed, 6.4)
    axes = figure.add_subplot()
    _draw(axes, story, iteration, story.drawn())
    title(axes, *_heading(story, iteration))
    if listed:
        _legend(axes, story, iteration)
    return finish(figure)


def steps_sheet(story: Steps, columns: int = 3) -> Figure:
    """All iterations side by side, read from left to right and from top to bottom.

    Parameters
    ----------
    columns : pictures in a row.

    Raises
    ------
    BadInputError : there were no iterations.
    """
    if not len(story):
        raise BadInputError("there were no iterations to draw")
    columns = max(min(columns, len(story)), 1)
    rows = -(-len(story) // columns)
    figure = new_figure((_across(story, 3.4) + 0.35) * columns, 4.25 * rows)
    figure.set_layout_engine("constrained", h_pad=0.12)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    drawn = story.drawn()
    for i, axes in enumerate(grid.flat, 1):
        if i > len(story):
            axes.set_visible(False)
            continue
        _draw(axes, story, i, drawn, small=True)
        sizes = " / ".join(f"{n:,}" for n in story.sizes(i)) if story.k <= 4 else f"{story.k} clusters"
        lines = sizes, _change_text(story, i), f"inertia {story.steps[i - 1].inertia:,.0f}"
        title(axes, str(i))
        axes.annotate(
            "\n".join(lines),
            (1, 1),
            xytext=(0, 6),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color=SOFT,
        )
    return finish(figure)


def save_animation(
    story: Steps, path: str | os.PathLike[str], *, seconds: float = 1.4, last: float = 4.0
) -> Path:
    """Write all iterations as a GIF that repeats; the file appears whole or not at all.

    Parameters
    ----------
    seconds, last : how long each picture stays, and the last one.

    Raises
    ------
    ShoalError : another suffix, no iterations, or a place that cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".gif":
        raise ShoalError(f"{target}: animations are written as .gif; choose this suffix")
    if not len(story):
        raise ShoalError(f"{target}: there were no iterations to draw")
    frames = [_pixels(step_map(story, i)) for i in range(1, len(story) + 1)]
    shown = [round(1000 * seconds)] * (len(frames) - 1) + [round(1000 * last)]
    with whole_file(target) as temporary:
        frames[0].save(
            temporary, format="GIF", save_all=True, append_images=frames[1:], duration=shown, loop=0
        )
    return target


def _pixels(figure: Figure) -> Image.Image:
    figure.set_dpi(ANIMATION_DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    return drawn.quantize(128, dither=Image.Dither.NONE)


def _draw(axes: Any, story: Steps, iteration: int, drawn: NDArray[np.int64], *, small: bool = False) -> None:
    dress(axes)
    _draw_points(axes, story, iteration, drawn, scale=0.45 if small else 1.0)
    _draw_paths(axes, story, iteration, small=small)
    (left, right), (bottom, top) = _frame(story)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_aspect("equal", adjustable="box", anchor="NW")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    for spine in axes.spines.values():
        spine.set(visible=True, color=GRID, linewidth=0.8)


def _draw_points(axes: Any, story: Steps, iteration: int, drawn: NDArray[np.int64], *, scale: float) -> None:
    size = float(np.clip(30_000 / len(drawn), 5.0, 60.0)) * scale
    if iteration == 0:
        axes.scatter(*story.X[drawn].T, s=size, c=UNASSIGNED, linewidths=0, zorder=_BARE, gid="points")
        return
    colours = to_rgba_array(list(cluster_colours(story.k)))[story.labels[iteration - 1]]
    colours[:, 3] = 0.75
    order = np.random.default_rng(0).permutation(drawn)  # no cluster lies on top of all others
    axes.scatter(*story.X[order].T, s=size, c=colours[order], linewidths=0, zorder=_BARE, gid="points")
    ringed = drawn[story.changed(iteration)[drawn]]
    axes.scatter(
        *story.X[ringed].T,
        s=size,
        facecolors=colours[ringed],
        edgecolors=INK,
        linewidths=0.7 * scale**0.5,
        zorder=_RINGED,
        gid="changed",
    )


def _draw_paths(axes: Any, story: Steps, iteration: int, *, small: bool) -> None:
    """The way of each centre so far; its number where it is now."""
    across = 8.0 if small else 13.0
    for c, colour in enumerate(cluster_colours(story.k)):
        way = story.centres[: iteration + 1, c]
        for width, ink in ((across / 4, "white"), (across / 7, INK)):  # dark line, legible on any colour
            axes.plot(*way.T, color=ink, linewidth=width, zorder=_PATH, solid_capstyle="round")
        axes.plot(
            *way[:-1].T,
            "o",
            ms=across / 2.4,
            mfc=colour,
            mec=INK,
            mew=0.9,
            zorder=_PATH,
            gid=f"path-{c}",
        )
        axes.plot(
            *way[-1:].T,
            "o",
            ms=across,
            mfc=colour,
            mec=INK,
            mew=across / 8,
            zorder=_CENTRE,
            gid=f"centre-{c}",
        )
        axes.annotate(
            str(c),
            way[-1],
            ha="center",
            va="center_baseline",
            fontsize=across * 0.62,
            fontweight="bold",
            color=ink_on(colour),
            zorder=_CENTRE + 1,
        )


def _frame(story: Steps) -> tuple[tuple[float, float], tuple[float, float]]:
    ones = np.ones(len(story.X))
    x, y = (limits(story.X[:, j], ones, story.centres[..., j].ravel()) for j in (0, 1))
    return x, y


def _across(story: Steps, height: float) -> float:
    """Inches across of a picture of this height, as both axes have one scale."""
    (left, right), (bottom, top) = _frame(story)
    return float(np.clip(height * (right - left) / (top - bottom), 0.5 * height, 1.6 * height))


def _heading(story: Steps, iteration: int) -> tuple[str, str]:
    n, shown = len(story.X), len(story.drawn())
    told = "" if shown == n else f"; {shown:,} of {n:,} points are drawn"
    if iteration == 0:
        return "The points and the first centres", f"{n:,} points, {story.k} centres{told}"
    step = story.steps[iteration - 1]
    text = f"{_change_text(story, iteration)}; inertia {step.inertia:,.0f}{told}"
    return f"Iteration {iteration} of {len(story)}", text


def _change_text(story: Steps, iteration: int) -> str:
    moved = story.steps[iteration - 1].moved
    if iteration == 1:
        return f"{len(story.X):,} points assigned"
    if not moved:
        return "no point changed cluster: done"
    return f"{moved:,} point{'s' * (moved != 1)} changed cluster"


def _legend(axes: Any, story: Steps, iteration: int) -> None:
    colours = cluster_colours(story.k)

    def mark(**how: Any) -> Line2D:
        return Line2D([], [], marker="o", linestyle="", **how)

    handles = [mark(ms=9, mfc=colour, mec=INK, mew=1.2) for colour in colours]
    names = [f"cluster {c}" for c in range(story.k)]
    if iteration:
        names = [f"{c}   {n:,} points" for c, n in enumerate(story.sizes(iteration))]
        handles += [
            mark(ms=6, mfc="white", mec=INK, mew=1.0),
            Line2D([], [], color=INK, linewidth=1.9, marker="o", ms=5, mfc="white", mec=INK),
        ]
        names += ["changed cluster", "path of a centre"]
    axes.legend(
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
        handletextpad=0.5,
        labelspacing=0.8,
    )
