"""The points of the summary on a plane, coloured by cluster, with numbered centres."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from shoal.report.layout import limits, part_labels
from shoal.report.pictures.canvas import INK, SOFT, dress, finish, new_figure, title
from shoal.report.projection import Projection, project
from shoal.report.view import View
from shoal.report.wording import count_text, percent_text, sample_text

MOST_IN_LEGEND = 12
VECTOR_POINTS = 2000
"""Up to here points stay shapes in SVG and PDF; more are drawn as an image inside, which opens faster."""


def cluster_map(view: View, x: str | None = None, y: str | None = None, projection: str = "auto") -> Figure:
    """The clusters on two columns or a projection.

    Parameters
    ----------
    x, y : names of two columns, drawn in original units; both or none.
    projection : ``auto``, ``pca`` or ``tsne``; see :func:`shoal.report.projection.project`.

    Raises
    ------
    BadInputError : a column or a projection that is not there.
    """
    placed = project(view, x, y, projection)
    wide = view.k <= MOST_IN_LEGEND
    frame = _frame(placed)
    beside = 1.6 + 0.06 * max(len(name) - 10 for name in view.names) if wide else 0.0
    figure = new_figure(_width(placed, frame) + beside, 6.6)
    axes = figure.add_subplot()
    dress(axes)
    _draw_points(axes, view, placed, frame)
    _set_frame(axes, placed, frame)
    _caption(axes, view, placed, frame)
    if wide:
        _legend(axes, view)
    _draw_centres(figure, axes, view, placed)
    return finish(figure)


Frame = tuple[tuple[float, float], tuple[float, float]]


def _frame(placed: Projection) -> Frame:
    x, y = (limits(placed.points[:, j], placed.weights, placed.centres[:, j]) for j in (0, 1))
    return x, y


def _width(placed: Projection, frame: Frame) -> float:
    """Inches across: a map is as wide as its land."""
    if placed.aspect is None:
        return 8.2
    (left, right), (bottom, top) = frame
    return float(np.clip(5.5 * (right - left) / ((top - bottom) * placed.aspect) + 0.9, 4.6, 11.0))


def _draw_points(axes: Any, view: View, placed: Projection, frame: Frame) -> None:
    n = len(placed.rows)
    if not n:
        return
    low, high = np.array(frame).T
    # Points beyond the frame lie on its border, where they are seen, and are counted in the caption.
    at = np.clip(placed.points, low, high)
    labels = view.labels[placed.rows]
    colours = to_rgba_array(list(view.colours))[labels]
    relative = placed.weights / max(float(np.median(placed.weights)), 1e-300)
    base = np.clip(26_000 / n, 4.0, 60.0)
    size = base * np.clip(np.sqrt(relative), 0.4, 4.0)
    colours[:, 3] = np.clip(1400 / n, 0.38, 0.9) * np.clip(relative**0.25, 0.6, 1.0)
    order = np.random.default_rng(0).permutation(n)  # no cluster lies on top of all others
    axes.scatter(
        *at[order].T,
        s=size[order],
        c=colours[order],
        linewidths=0,
        rasterized=n > VECTOR_POINTS,
        gid="points",
    )


def _set_frame(axes: Any, placed: Projection, frame: Frame) -> None:
    axes.set(xlim=frame[0], ylim=frame[1], xlabel=placed.labels[0], ylabel=placed.labels[1])
    if placed.aspect is not None:
        axes.set_aspect(placed.aspect, adjustable="box", anchor="NW")
    for axis, (low, high) in zip((axes.xaxis, axes.yaxis), frame, strict=True):
        if max(abs(low), abs(high)) >= 1e4:
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}".replace("-", "−")))
    if placed.kind in ("line", "tsne"):
        axes.set_yticks([])
    if placed.kind == "tsne":
        axes.set_xticks([])


def _caption(axes: Any, view: View, placed: Projection, frame: Frame) -> None:
    low, high = np.array(frame).T
    beyond = int(((placed.points < low) | (placed.points > high)).any(axis=1).sum())
    told = sample_text(len(placed.rows), view.model.provenance.rows_seen)
    if beyond:
        told += f"; {beyond:,} beyond the frame, drawn on its border"
    if placed.kind == "tsne":
        told += "; near means alike, but far apart says little"
    title(axes, count_text(view.k, "cluster"), told)


def _legend(axes: Any, view: View) -> None:
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=9, markerfacecolor=colour, markeredgewidth=0)
        for colour in view.colours
    ]
    names = [f"{name}  {percent_text(share)}" for name, share in zip(view.names, view.shares, strict=True)]
    axes.legend(
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
        handletextpad=0.4,
        labelspacing=0.7,
    )


def _draw_centres(figure: Figure, axes: Any, view: View, placed: Projection) -> None:
    """A dot at each centre and its number in a disc, moved aside where discs would overlap."""
    size = 8.5 if view.k <= 20 else 7.0 if view.k <= 50 else 6.0
    figure.draw_without_rendering()  # the layout must be final before places on the page mean anything
    points_per_pixel = 72 / figure.dpi
    anchors: NDArray[np.float64] = axes.transData.transform(placed.centres) * points_per_pixel
    across = size * (1.25 + 0.45 * max(len(n) for n in view.numbers))
    places = part_labels(anchors, across)
    for c, (anchor, place) in enumerate(zip(anchors, places, strict=True)):
        if not np.isfinite(place).all() or view.shares[c] <= 0:
            continue
        moved = float(np.hypot(*(place - anchor))) > across / 3
        axes.annotate(
            view.numbers[c],
            placed.centres[c],
            xytext=tuple(place - anchor),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=size,
            fontweight="bold",
            color=INK,
            zorder=5,
            annotation_clip=False,
            bbox={"boxstyle": "circle,pad=0.22", "fc": "white", "ec": view.colours[c], "lw": 1.8},
            arrowprops={"arrowstyle": "-", "color": SOFT, "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
            if moved
            else None,
        )
        if moved:
            axes.plot(*placed.centres[c], "o", ms=4, mfc=view.colours[c], mec="white", mew=0.8, zorder=4)
