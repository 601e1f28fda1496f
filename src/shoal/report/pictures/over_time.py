"""What pictures with time along the bottom share: light or dark ground, a date axis, the marks of events."""

from __future__ import annotations

from typing import Any, NamedTuple

import matplotlib.dates as dates
import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from shoal.report.palette import cluster_colours
from shoal.report.pictures.canvas import GRID, INK, SOFT, dress
from shoal.report.wording import compact


class Ground(NamedTuple):
    """Colours of a picture's ground and writing."""

    paper: str
    ink: str
    soft: str
    grid: str
    lift: float
    """How much cluster colours are mixed with white, so that the darkest stay visible."""


LIGHT = Ground("#ffffff", INK, SOFT, GRID, 0.0)
DARK = Ground("#15222a", "#e8eff1", "#a7b7be", "#24343c", 0.22)

MARKS = {"born": "o", "died": "X", "split": "D", "merged": "s", "grew": "^", "shrank": "v", "moved": ">"}
"""A shape for each kind of event, so that none is told by colour alone."""


def colour_of(cluster: int, ground: Ground) -> str:
    """The colour of a cluster id, the same in every picture of a stream."""
    at = cluster % 256
    plain = np.array(to_rgb(cluster_colours(min(max(10, -(-(at + 1) // 32) * 32), 256))[at]))
    return to_hex(plain + (1 - plain) * ground.lift)


def dress_over_time(figure: Figure, axes: Any, ground: Ground, *, grid: str, dated: bool) -> None:
    """The common look, on this ground, with times written as dates or as numbers."""
    dress(axes, grid=grid)
    figure.set_facecolor(ground.paper)
    axes.set_facecolor(ground.paper)
    if grid:
        axes.grid(True, axis=grid, color=ground.grid)
    axes.tick_params(colors=ground.soft, labelcolor=ground.soft)
    axes.xaxis.label.set_color(ground.ink)
    if dated:
        locator = dates.AutoDateLocator(minticks=3, maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        axes.set_xlabel("UTC")
        axes.xaxis.get_offset_text().set(color=ground.soft, size=9)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(8))
        axes.xaxis.set_major_formatter(FuncFormatter(_number))
        axes.set_xlabel("time")


def on_ground(axes: Any, ground: Ground) -> None:
    """Repaint a heading written by :func:`shoal.report.pictures.canvas.title`."""
    for text in axes.findobj(Text):
        colour = text.get_color()
        if isinstance(colour, str) and colour in (INK, SOFT):
            text.set_color(ground.ink if colour == INK else ground.soft)


def along(times: Any, *, dated: bool) -> NDArray[np.float64]:
    """Seconds as places on the time axis."""
    seconds = np.asarray(times, np.float64)
    if not dated:
        return seconds
    epoch = float(dates.date2num(np.datetime64(0, "s")))
    return epoch + seconds / 86_400


def _number(value: float, _: int | None) -> str:
    return compact(value) if abs(value) < 1e4 else f"{value:,.10g}".replace("-", "−")
