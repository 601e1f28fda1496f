"""How many rows each cluster has."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from shoal.report.pictures.canvas import INK, SOFT, dress, finish, new_figure, title
from shoal.report.view import View
from shoal.report.wording import count_text, percent_text

MOST_WITH_TEXT = 40


def size_bars(view: View) -> Figure:
    """A bar for each cluster: its share of all rows. In columns where there are many."""
    k = view.k
    if k > MOST_WITH_TEXT:
        return _columns(view)
    figure = new_figure(8, max(1.8, 0.34 * k + 1.3))
    axes = figure.add_subplot()
    dress(axes, grid="x")
    axes.barh(range(k), view.shares, color=list(view.colours), height=0.72)
    axes.set_yticks(range(k), list(view.names))
    axes.set_ylim(k - 0.4, -0.6)
    axes.set_xlim(0, max(view.shares.max(initial=0.0), 1e-9) * 1.22)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if view.shares.max() > 0.04 else 1))
    axes.tick_params(axis="y", labelcolor=INK, labelsize=10)
    for c, share in enumerate(view.shares):
        said = "empty" if share <= 0 else f"{percent_text(share)}  {view.model.weights[c]:,.0f}"
        axes.annotate(
            said, (share, c), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9, color=SOFT
        )
    title(axes, "Size of the clusters", _below(view))
    return finish(figure)


def _columns(view: View) -> Figure:
    figure = new_figure(min(4 + 0.085 * view.k, 16), 4.2)
    axes = figure.add_subplot()
    dress(axes, grid="y")
    axes.bar(range(view.k), view.shares, color=list(view.colours), width=0.85)
    step = max(1, view.k // 20)
    axes.set_xticks(range(0, view.k, step), list(view.numbers[::step]))
    axes.set_xlim(-0.8, view.k - 0.2)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if view.shares.max() > 0.04 else 1))
    axes.set_xlabel("cluster")
    title(axes, "Size of the clusters", _below(view))
    return finish(figure)


def _below(view: View) -> str:
    return f"share of {count_text(view.model.weights.sum(), 'row')}"
