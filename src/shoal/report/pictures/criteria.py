"""Which k: every criterion as a small curve."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shoal.report.criteria import Curve, curves
from shoal.report.pictures.canvas import ACCENT, INK, SOFT, compact_ticks, dress, finish, new_figure

ACROSS = 4
LINE, MARK = "#7a8c94", "#d9480f"


def criteria_curves(choice: Mapping[str, Any] | None) -> Figure:
    """Small multiples of all criteria that have figures.

    The suggested k is a band in each; the k that a criterion would choose by itself is a ring. Figures that do not
    exist (None or NaN) leave a gap.

    Parameters
    ----------
    choice : as ``KChoice.to_dict()`` has it; None gives a figure that says there is nothing to compare.
    """
    if choice is None or not choice.get("candidates"):
        return _nothing()
    found = curves(choice)
    suggested = choice.get("suggested")
    across = min(ACROSS, max(len(found), 1))
    down = max(1, math.ceil(len(found) / across))
    figure = new_figure(max(3.1 * across, 6.4), 2.55 * down + 0.9)
    figure.suptitle(_headline(choice), x=0.012, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    for i, curve in enumerate(found):
        _panel(figure.add_subplot(down, across, i + 1), curve, suggested)
    figure.supxlabel(
        "number of clusters k"
        + ("; band: suggested k" if suggested is not None else "")
        + "; ring: what this criterion alone would choose",
        fontsize=9.5,
        color=SOFT,
    )
    return finish(figure)


def _nothing() -> Figure:
    figure = new_figure(6.4, 1.6)
    figure.text(0.03, 0.62, "Only one k was tried", fontsize=12.5, fontweight="bold", color=INK)
    figure.text(0.03, 0.36, "a sweep over several k answers which is right", fontsize=9.5, color=SOFT)
    return finish(figure)


def _headline(choice: Mapping[str, Any]) -> str:
    suggested, confidence = choice.get("suggested"), choice.get("confidence")
    sure = "" if confidence is None or not math.isfinite(confidence) else f" (confidence {confidence:.0%})"
    if suggested is None:
        return f"No cluster structure found{sure}"
    return f"Suggested: k = {suggested}{sure}"


def _panel(axes: Any, curve: Curve, suggested: int | None) -> None:
    dress(axes)
    ks, values = np.array(curve.ks), np.array(curve.values)
    width = float(np.min(np.diff(ks))) if len(ks) > 1 else 1.0
    if suggested is not None:
        axes.axvspan(suggested - 0.32 * width, suggested + 0.32 * width, color=ACCENT, alpha=0.16, lw=0)
    if curve.errors:
        errors = np.nan_to_num(np.array(curve.errors))
        axes.errorbar(ks, values, errors, color=LINE, lw=1.6, marker="o", ms=3.2, capsize=2, elinewidth=1)
    else:
        axes.plot(ks, values, color=LINE, lw=1.6, marker="o", ms=3.2)
    if curve.best in curve.ks:
        best = curve.ks.index(int(curve.best or 0))
        axes.plot(ks[best], values[best], "o", ms=9, mfc="none", mec=MARK, mew=2, zorder=4)
    axes.set_title(curve.title, loc="left", fontsize=10.5, fontweight="bold", color=INK)
    said = f"{curve.better} is better" if curve.better else "does not decide"
    axes.set_title(said, loc="right", fontsize=8.5, color=SOFT)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    compact_ticks(axes.yaxis, 4)
    axes.margins(x=0.06, y=0.14)
