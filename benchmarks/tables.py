"""Markdown tables, medians with ranges, and targets with the distance to them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.common import median


@dataclass
class Target:
    """A figure to reach, and how each case stands to it."""

    text: str
    limit: float
    least: bool = False
    """Whether the figure must be at least the limit, not at most."""
    passed: int = 0
    missed: list[str] = field(default_factory=list)
    """The cases that miss it, and by how much."""

    def verdict(self, case: str, value: float | None) -> str:
        """PASS or MISS with the distance in percent of the limit; ``None`` where there is nothing to compare."""
        if value is None or not math.isfinite(value):  # NaN is no worse than any limit
            self.missed.append(f"{case} (no figure)")
            return "**MISS**: no figure"
        over = value / self.limit - 1
        short = -over if self.least else over
        if short > 0:
            self.missed.append(f"{case} (by {percent(short)})")
            return f"**MISS** by {percent(short)}"
        self.passed += 1
        return f"PASS, {percent(-short)} to spare"

    def row(self) -> list[str]:
        """For the table of all targets."""
        of = self.passed + len(self.missed)
        return [self.text, f"{self.passed} of {of}", "; ".join(self.missed) or "none"]


def percent(share: float) -> str:
    """Two significant digits at the least.

    >>> percent(0.00312), percent(1.5)
    ('0.31 %', '150 %')
    """
    points = 100 * share
    return f"{points:.0f} %" if points >= 10 else f"{points:.2g} %"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def spread(values: list[float] | None, digits: str) -> str:
    """Median and range."""
    if not values:
        return "failed"
    if len(values) == 1:
        return f"{values[0]:{digits}}"
    return f"{median(values):{digits}} [{min(values):{digits}}, {max(values):{digits}}]"


def middle(values: list[float] | None) -> float | None:
    """The median, if there is one."""
    return median(values) if values else None


def ratio(a: float | None, b: float | None) -> float | None:
    """a / b, if there are both."""
    return None if a is None or b is None else a / b
