"""The common look of all pictures, and how they are saved."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator

from shoal.errors import ShoalError
from shoal.report.wording import compact
from shoal.report.writing import whole_file

FORMATS = (".png", ".svg", ".pdf")
INK, SOFT, GRID, ACCENT = "#12252e", "#55676f", "#e3e9ea", "#0b6e78"
DPI = 160


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def dress(axes: Any, *, grid: str = "both") -> None:
    """Thin lines, light grid behind the data, no frame."""
    axes.set_facecolor("white")
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, axis=grid, color=GRID, linewidth=0.8)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelsize=9, colors=SOFT, labelcolor=SOFT)
    axes.xaxis.label.set(color=INK, size=10)
    axes.yaxis.label.set(color=INK, size=10)


def title(axes: Any, text: str, below: str = "") -> None:
    """A heading on the left with a softer line below it."""
    axes.set_title(text, loc="left", fontsize=12.5, fontweight="bold", color=INK, pad=24 if below else 10)
    if below:
        axes.annotate(
            below,
            (0, 1),
            xytext=(0, 8),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=9.5,
            color=SOFT,
        )


def compact_ticks(axis: Any, most: int) -> None:
    """Ticks such as ``1.2M``, with the digits that tell one from the next."""
    axis.set_major_locator(MaxNLocator(most))

    def text(value: float, _: int | None) -> str:
        places = axis.get_majorticklocs()
        return compact(value, float(abs(places[1] - places[0])) if len(places) > 1 else 0.0)

    axis.set_major_formatter(FuncFormatter(text))


def finish(figure: Figure) -> Figure:
    """Take every text literally: a column may be called ``$x_2$``."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    return figure


def save_picture(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG, SVG or PDF, by the suffix; the file appears whole or not at all.

    Raises
    ------
    ShoalError : another suffix, or a place that cannot be written.

    >>> save_picture(new_figure(1, 1), "map.gif")
    Traceback (most recent call last):
    shoal.errors.ShoalError: map.gif: pictures are written as .png, .svg, .pdf; choose one of these suffixes
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise ShoalError(
            f"{target}: pictures are written as {', '.join(FORMATS)}; choose one of these suffixes"
        )
    # Without these two the same picture would give other bytes every time.
    metadata: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix, {})
    with (
        whole_file(target) as temporary,
        matplotlib.rc_context({"svg.hashsalt": "shoal"}),
        warnings.catch_warnings(),
    ):
        # A name in a script the font lacks is drawn as boxes; that is no reason to alarm anyone.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(
            temporary, format=suffix[1:], dpi=DPI, facecolor=figure.get_facecolor(), metadata=metadata
        )
    return target
