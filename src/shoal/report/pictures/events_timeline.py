"""What happened to the clusters of a stream, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from shoal.model.events import KINDS, Event
from shoal.report.pictures.canvas import finish, new_figure, title
from shoal.report.pictures.over_time import (
    DARK,
    LIGHT,
    MARKS,
    Ground,
    along,
    colour_of,
    dress_over_time,
    on_ground,
)
from shoal.report.wording import count_text

MOST_WITH_NUMBERS = 60


def events_timeline(events: Sequence[Event], *, dated: bool = False, dark: bool = False) -> Figure:
    """A row for each kind of event, a mark for each event in the colour of its cluster.

    While there are few, each mark has the id of its cluster beside it. Kinds that did not occur have no row.

    Parameters
    ----------
    events : in any order.
    dated : whether times are seconds since 1970.
    dark : light writing on dark ground.

    >>> events_timeline([Event("born", 2.0, 4, mass=9.0, share=0.1)]).axes[0].get_title(loc="left")
    '1 event'
    """
    ground = DARK if dark else LIGHT
    kinds = [k for k in KINDS if any(e.kind == k for e in events)]
    figure = new_figure(10.5, 1.35 + 0.42 * max(len(kinds), 1))
    axes = figure.add_subplot()
    dress_over_time(figure, axes, ground, grid="x", dated=dated)
    if events:
        axes.set_xlim(*_limits(along([e.time for e in events], dated=dated)))
    for row, kind in enumerate(kinds):
        told = [e for e in events if e.kind == kind]
        x = along([e.time for e in told], dated=dated)
        axes.axhline(row, color=ground.grid, linewidth=0.8, zorder=0)
        axes.scatter(
            x,
            np.full(len(x), row),
            marker=MARKS[kind],
            s=float(np.clip(9000 / len(x), 18, 62)),
            c=[colour_of(e.cluster, ground) for e in told],
            edgecolor=ground.paper,
            linewidths=0.6,
            zorder=3,
            gid=f"events-{kind}",
        )
        if len(events) <= MOST_WITH_NUMBERS:
            _numbers(axes, x, [e.cluster for e in told], row, ground)
    counts = [sum(e.kind == kind for e in events) for kind in kinds]
    axes.set_yticks(range(len(kinds)), [f"{k}  {n:,}" for k, n in zip(kinds, counts, strict=True)])
    axes.set_ylim(max(len(kinds), 1) - 0.4, -0.75)
    axes.tick_params(axis="y", labelcolor=ground.ink, labelsize=10)
    if not events:
        axes.set(xticks=[], xlabel="")
    numbered = 0 < len(events) <= MOST_WITH_NUMBERS
    said = "with the number of the cluster" if numbered else "" if events else "nothing happened yet"
    title(axes, count_text(len(events), "event"), said)
    on_ground(axes, ground)
    return finish(figure)


def _limits(x: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(x.min()), float(x.max())
    margin = 0.03 * (high - low) or 1.0
    return low - margin, high + margin


def _numbers(axes: Any, x: NDArray[np.float64], clusters: Sequence[int], row: int, ground: Ground) -> None:
    """The ids above their marks; where marks crowd, on two levels."""
    near, level, last = 0.022, 0, -np.inf
    low, high = axes.get_xlim()
    for i in np.argsort(x, kind="stable"):
        at = (x[i] - low) / (high - low)
        level = 1 - level if at - last < near else 0
        last = at
        axes.annotate(
            str(clusters[i]),
            (x[i], row),
            xytext=(0, 6 + 7.5 * level),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7,
            color=ground.soft,
        )
