"""How the solve came to rest."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shoal.report.pictures.canvas import ACCENT, SOFT, compact_ticks, dress, finish, new_figure, title
from shoal.report.view import View
from shoal.report.wording import count_text


def convergence(view: View) -> Figure:
    """Inertia by iteration of the last Lloyd run, the one that polished the best start."""
    steps = [s for s in view.model.steps if math.isfinite(float(s.get("inertia", math.nan)))]
    figure = new_figure(6.4, 3.6)
    axes = figure.add_subplot()
    dress(axes)
    title(axes, "Convergence", _below(steps))
    if steps:
        numbers = [int(s["iteration"]) for s in steps]
        axes.plot(numbers, [float(s["inertia"]) for s in steps], color=ACCENT, lw=1.8, marker="o", ms=4)
    else:
        axes.annotate(
            "no iterations were recorded", (0.5, 0.5), xycoords="axes fraction", ha="center", color=SOFT
        )
    axes.set(xlabel="iteration", ylabel="inertia")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    compact_ticks(axes.yaxis, 5)
    axes.margins(0.06, 0.12)
    return finish(figure)


def _below(steps: list[Mapping[str, float]]) -> str:
    return f"{count_text(len(steps), 'iteration')} of the last run, from the best start" if steps else ""
