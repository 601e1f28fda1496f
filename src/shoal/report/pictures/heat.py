"""Clusters against columns: where each centre lies above or below the mean of all rows."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from shoal.report.pictures.canvas import INK, SOFT, dress, finish, new_figure, title
from shoal.report.traits import telling_columns
from shoal.report.view import View

MOST_COLUMNS = 30
MOST_VALUES = 260
"""Cells up to which each carries its value."""
REACH = 2.5
"""Standard deviations at which the colour is full."""
DIVERGING = LinearSegmentedColormap.from_list(
    "shoal", ["#2166ac", "#92c5de", "#f7f7f5", "#f4a582", "#b2182b"]
)


def centre_heatmap(view: View) -> Figure:
    """Standardised deviations as colour, values in original units as text while it stays legible.

    Of many columns the thirty in which clusters differ most are shown.
    """
    shown = telling_columns(view.deviations, view.shares, MOST_COLUMNS)
    table = view.deviations[:, shown]
    k, d = table.shape
    labels = [view.columns[j].label for j in shown]
    with_values = k * d <= MOST_VALUES and d <= 16
    across = (0.85 if with_values else 0.38) * d + 3.2
    down = (0.36 if k <= 40 else 0.16) * k + 2.6
    figure = new_figure(float(np.clip(across, 6.4, 17)), float(np.clip(down, 3.4, 18)))
    axes = figure.add_subplot()
    dress(axes, grid="")
    image = axes.imshow(
        table, cmap=DIVERGING, vmin=-REACH, vmax=REACH, aspect="auto", interpolation="nearest"
    )
    axes.set_yticks(range(k), list(view.names) if k <= 40 else list(view.numbers))
    axes.tick_params(axis="y", labelsize=10 if k <= 40 else 6.5, labelcolor=INK)
    upright = d <= 8 and max(map(len, labels)) <= 14
    axes.set_xticks(range(d), labels, rotation=0 if upright else 40, ha="center" if upright else "right")
    axes.tick_params(axis="x", labelcolor=INK)
    axes.hlines(np.arange(1, k) - 0.5, -0.5, d - 0.5, colors="white", linewidths=1.2 if k <= 40 else 0.4)
    axes.vlines(np.arange(1, d) - 0.5, -0.5, k - 0.5, colors="white", linewidths=1.2)
    if with_values:
        _values(axes, view, shown, table)
    bar = figure.colorbar(
        image, ax=axes, shrink=min(1.0, 3.0 / max(figure.get_figheight() - 2, 1)), pad=0.015
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8.5, labelcolor=SOFT)
    bar.set_label(
        "standard deviations\nfrom the mean"
        if figure.get_figheight() < 5
        else "standard deviations from the mean",
        fontsize=9,
        color=SOFT,
    )
    title(axes, "What sets the clusters apart", heat_note(view, len(shown), values=with_values))
    return finish(figure)


def heat_note(view: View, shown: int, *, values: bool) -> str:
    """What the table shows, and what of it was left out."""
    text = "centres against the mean of all rows"
    if values:
        text += ", values in the units of the columns"
    if shown < view.d:
        text += f"; the {shown} columns of {view.d:,} in which clusters differ most"
    return text


def _values(axes: object, view: View, shown: np.ndarray, table: np.ndarray) -> None:
    for c in range(len(table)):
        for i, j in enumerate(shown):
            strong = abs(table[c, i]) > 0.72 * REACH
            axes.text(  # type: ignore[attr-defined]
                i,
                c,
                view.columns[j].text(float(view.centres[c, j])),
                ha="center",
                va="center",
                fontsize=9,
                color="white" if strong else INK,
            )
