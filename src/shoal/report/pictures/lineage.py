"""Which clusters there were, when, how large, and which came from which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from shoal.model.events import Event
from shoal.report.palette import ink_on
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
from shoal.report.share_history import ShareHistory, Shares, merge_pairs, split_pairs, stacking
from shoal.report.wording import count_text, percent_text

MOST_BANDS = 60
MOST_TIMES = 1500
SHOWN = ("born", "died", "split", "merged")


def lineage(
    events: Sequence[Event], shares: Shares, *, dated: bool | None = None, dark: bool = False
) -> Figure:
    """A band for each cluster, as thick as its share; births, deaths, splits and merges are marked.

    What splits off lies beside its parent, and a line joins the two; likewise for merges. A cluster has the same
    colour in every picture of its stream. Of very many clusters the sixty with the highest peaks have bands.

    Parameters
    ----------
    events : in any order; kinds other than the four are left out.
    shares : a table with the columns time, cluster and share, or arrays: times (t,), ids (c,), shares (t, c).
        Rows of a table that are not there, and NaN, mean that the cluster was not alive.
    dated : whether times are seconds since 1970; default: whether the times of the shares are dates.
    dark : light writing on dark ground.

    Raises
    ------
    BadInputError : shares that cannot be read; see :meth:`shoal.report.share_history.ShareHistory.of`.

    >>> split = Event("split", 2.0, 0, mass=60.0, share=0.6, parents=(0,), children=(0, 1))
    >>> figure = lineage([split], ([0.0, 1.0, 2.0], [0, 1], [[1, 0], [1, 0], [0.6, 0.4]]))
    >>> figure.axes[0].get_title(loc="left")
    '2 clusters over time'
    """
    ground = DARK if dark else LIGHT
    history = ShareHistory.of(shares)
    dated = history.dated if dated is None else dated
    few, others, n_others = history.largest(MOST_BANDS)
    stack = _Stack(few, others, events, dated)
    figure = new_figure(10.5, stack.height)
    axes = figure.add_subplot()
    dress_over_time(figure, axes, ground, grid="x", dated=dated)
    title(axes, f"{count_text(len(history.ids), 'cluster')} over time", _below(stack, n_others))
    on_ground(axes, ground)
    if len(stack.x):
        _bands(axes, stack, ground)
        counts = _marks(axes, stack, events, ground)
        _names(axes, stack, ground)
        _legend(axes, counts, ground)
        top = float(stack.high.max(initial=0.0)) or 1.0
        axes.set(xlim=_limits(stack.x), ylim=(0, top * 1.02))
    else:
        axes.set(xticks=[], yticks=[], xlabel="")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return finish(figure)


class _Stack:
    """Where each band lies: ``low`` and ``high`` (t, c), in the order of ``ids``; the other clusters at the top."""

    def __init__(
        self, history: ShareHistory, others: NDArray[np.float64], events: Sequence[Event], dated: bool
    ) -> None:
        order = stacking([int(i) for i in history.ids], events)
        columns = [int(np.flatnonzero(history.ids == i)[0]) for i in order]
        taken = _thinned(len(history.times))
        self.dated, self.ids = dated, order
        self.x = along(history.times[taken], dated=dated)
        self.shares = history.shares[taken][:, columns]
        if len(self.x) == 1:  # a single look is drawn as a short while
            self.x = self.x[0] + np.array([-0.5, 0.5]) * (1 / 24 if dated else 1.0)
            self.shares, others, taken = self.shares[[0, 0]], others[[0, 0]], np.arange(2)
        self.high = self.shares.cumsum(axis=1)
        self.low = self.high - self.shares
        whole = self.shares.sum(axis=1)
        self.others = (whole, whole + others[taken])
        self.high = np.column_stack([self.high, self.others[1]])

    @property
    def living(self) -> list[int]:
        """Columns of the clusters that have a share at the end."""
        return [c for c in range(len(self.ids)) if len(self.x) and self.shares[-1, c] > 0]

    @property
    def height(self) -> float:
        """Inches from bottom to top: room for the names of the living."""
        return float(np.clip(3.2 + 0.135 * len(self.living), 6.2, 11.0))

    def centre(self, cluster: int, x: float) -> float | None:
        """Height of the middle of a band at a time; None if it has no band."""
        if cluster not in self.ids:
            return None
        c = self.ids.index(cluster)
        return float(np.interp(x, self.x, (self.low[:, c] + self.high[:, c]) / 2))

    def alive(self, c: int) -> NDArray[np.bool_]:
        """Where a band is drawn: while it has a share, and the step before and after, where it tapers."""
        has = self.shares[:, c] > 0
        wide = has.copy()
        wide[:-1] |= has[1:]
        wide[1:] |= has[:-1]
        return wide


def _thinned(t: int) -> NDArray[np.int64]:
    if t <= MOST_TIMES:
        return np.arange(t)
    return np.unique(np.linspace(0, t - 1, MOST_TIMES).round().astype(np.int64))


def _limits(x: NDArray[np.float64]) -> tuple[float, float]:
    first, last = float(x[0]), float(x[-1])
    return first, last if last > first else first + 1.0


def _bands(axes: Any, stack: _Stack, ground: Ground) -> None:
    for c, cluster in enumerate(stack.ids):
        axes.fill_between(
            stack.x,
            stack.low[:, c],
            stack.high[:, c],
            where=stack.alive(c),
            facecolor=colour_of(cluster, ground),
            edgecolor=ground.paper,
            linewidth=0.7,
            gid=f"cluster-{cluster}",
        )
    low, high = stack.others
    if (high > low).any():
        axes.fill_between(
            stack.x, low, high, facecolor=ground.grid, edgecolor=ground.paper, linewidth=0.7, gid="others"
        )


def _marks(axes: Any, stack: _Stack, events: Sequence[Event], ground: Ground) -> dict[str, int]:
    """Draw the marks; answers how many of each kind there are, drawn or not."""
    counts = dict.fromkeys(SHOWN, 0)
    at: dict[str, list[tuple[float, float]]] = {kind: [] for kind in SHOWN}
    first, last = _limits(stack.x)
    for event in events:
        if event.kind not in SHOWN:
            continue
        counts[event.kind] += 1
        x = float(along(event.time, dated=stack.dated))
        if not first <= x <= last:
            continue
        pairs = split_pairs(event) + merge_pairs(event)
        for one, two in pairs:
            ends = stack.centre(one, x), stack.centre(two, x)
            if ends[0] is not None and ends[1] is not None:
                _join(axes, x, ends[0], ends[1], ground)
        marked = pairs[0][1] if pairs else event.cluster
        y = stack.centre(marked, x)
        if y is not None:
            at[event.kind].append((x, y))
    size = float(np.clip(60 - 0.25 * sum(map(len, at.values())), 16, 46))
    for kind, places in at.items():
        if places:
            axes.scatter(
                *np.array(places).T,
                marker=MARKS[kind],
                s=size,
                facecolor=ground.paper,
                edgecolor=ground.ink,
                linewidths=1.2,
                zorder=5,
                clip_on=False,
                gid=f"events-{kind}",
            )
    return counts


def _join(axes: Any, x: float, low: float, high: float, ground: Ground) -> None:
    halo = [withStroke(linewidth=2.6, foreground=ground.paper)]
    axes.plot([x, x], [low, high], color=ground.ink, linewidth=1.1, zorder=4, path_effects=halo)


def _names(axes: Any, stack: _Stack, ground: Ground) -> None:
    """Ids and shares of the living on the right, parted where they would overlap; ids of the dead in their bands."""
    top = float(stack.high.max(initial=0.0)) or 1.0
    living = stack.living
    room = (stack.height - 1.3) * 72  # points from bottom to top, about
    size = float(np.clip(room / max(len(living), 1) / 1.25, 4.5, 9.0))
    wanted = np.array([(stack.low[-1, c] + stack.high[-1, c]) / 2 for c in living])
    for c, y, goal in zip(living, wanted, _parted(wanted, 1.15 * size / room * top, top), strict=True):
        axes.annotate(
            f"{stack.ids[c]}  {percent_text(float(stack.shares[-1, c]))}",
            (1, y),
            xytext=(1.022, goal),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=size,
            color=ground.ink,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour_of(stack.ids[c], ground),
                "lw": 1.3,
                "shrinkA": 1,
                "shrinkB": 0,
            },
        )
    edge = 0.015 * (stack.x[-1] - stack.x[0])
    inner = (stack.x >= stack.x[0] + edge) & (stack.x <= stack.x[-1] - edge)
    for c, cluster in enumerate(stack.ids):
        widest = int(np.argmax(np.where(inner, stack.shares[:, c], 0.0)))
        if c not in living and stack.shares[widest, c] / top * room > 11:
            axes.text(
                stack.x[widest],
                (stack.low[widest, c] + stack.high[widest, c]) / 2,
                str(cluster),
                ha="center",
                va="center",
                fontsize=8,
                color=ink_on(colour_of(cluster, ground)),
                zorder=3,
                clip_on=True,
            )


def _parted(wanted: NDArray[np.float64], gap: float, top: float) -> NDArray[np.float64]:
    """Heights as near to the wanted (ascending) as can be, at least ``gap`` apart, none above the top."""
    if not len(wanted):
        return wanted
    steps = gap * np.arange(len(wanted))
    # pushed up by those below, pulled down by those above: halfway between keeps the order and the gaps
    up = np.maximum.accumulate(wanted - steps) + steps
    down = np.minimum.accumulate((wanted - steps)[::-1])[::-1] + steps
    middle: NDArray[np.float64] = (up + down) / 2
    middle -= max(float(middle[-1]) - top, 0.0)
    return middle + max(-float(middle[0]), 0.0)


def _legend(axes: Any, counts: dict[str, int], ground: Ground) -> None:
    handles = [
        Line2D(
            [],
            [],
            marker=MARKS[kind],
            linestyle="",
            markersize=6,
            markerfacecolor=ground.paper,
            markeredgecolor=ground.ink,
            markeredgewidth=1.2,
            label=f"{kind} {count:,}",
        )
        for kind, count in counts.items()
        if count
    ]
    if handles:
        axes.legend(
            handles=handles,
            loc="lower right",
            bbox_to_anchor=(1.05, 1.0),
            ncols=len(handles),
            frameon=False,
            fontsize=9,
            labelcolor=ground.soft,
            handletextpad=0.1,
            columnspacing=1.2,
            borderaxespad=2.5,
        )


def _below(stack: _Stack, n_others: int) -> str:
    if not len(stack.x):
        return "no shares were recorded yet"
    text = "bands are as thick as shares; at the right: cluster and last share"
    if n_others:
        text += f"; grey: {count_text(n_others, 'smaller cluster')}"
    return text
