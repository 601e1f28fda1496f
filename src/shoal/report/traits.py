"""What sets a cluster apart, in words and in the units of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.report.wording import percent_text, short, value_text

TOP = 3
LEAST = 0.25
"""Standard deviations from the mean below which a column does not set a cluster apart."""


@dataclass(frozen=True)
class Column:
    """One feature, as a reader knows it."""

    name: str
    label: str
    """On one line, not too long: ``eventcode = 043``."""
    is_category: bool
    """Whether it is 0 or 1 for one category, so that its mean is a share."""
    mean: float
    spread: float
    """Standard deviation over all rows, original units."""

    def text(self, value: float) -> str:
        """A value of this column."""
        return percent_text(max(value, 0.0)) if self.is_category else value_text(value, self.spread)


@dataclass(frozen=True)
class Trait:
    """A column in which a cluster differs from all rows."""

    column: int
    """Position of the column."""
    label: str
    deviation: float
    """Standard deviations of the centre from the mean of all rows."""
    value: str
    """Of the centre, original units."""
    overall: str
    """Mean of all rows, original units."""
    is_category: bool

    @property
    def direction(self) -> str:
        """``far above`` .. ``far below``."""
        size = abs(self.deviation)
        how = "far " if size >= 2 else "well " if size >= 1 else "" if size >= 0.5 else "slightly "
        return f"{how}{'above' if self.deviation > 0 else 'below'}"

    @property
    def text(self) -> str:
        """One line: ``median_income well above: 7.21 (3.87 overall)``, ``eventcode = 043: 87% (6% overall)``."""
        said = self.label if self.is_category else f"{self.label} {self.direction}"
        return f"{said}: {self.value} ({self.overall} overall)"


def column_label(name: str, category: str | None, length: int = 30) -> str:
    """A column's name as shown.

    >>> column_label("eventcode=043", "043"), column_label("income", None)
    ('eventcode = 043', 'income')
    """
    if category is None:
        return short(name, length)
    return short(f"{name.removesuffix('=' + category)} = {category}", length)


def traits_of(
    centre: NDArray[np.float64], deviations: NDArray[np.float64], columns: Sequence[Column]
) -> tuple[Trait, ...]:
    """The columns in which a centre is farthest from the mean, at most three.

    Parameters
    ----------
    centre : (d,) in original units.
    deviations : (d,) standard deviations from the mean.
    """
    size = np.abs(deviations)
    order = np.argsort(-size, kind="stable")[:TOP]
    return tuple(
        Trait(
            column=int(j),
            label=columns[j].label,
            deviation=float(deviations[j]),
            value=columns[j].text(float(centre[j])),
            overall=columns[j].text(columns[j].mean),
            is_category=columns[j].is_category,
        )
        for j in order
        if size[j] >= LEAST
    )


def telling_columns(
    deviations: NDArray[np.float64], shares: NDArray[np.float64], most: int
) -> NDArray[np.int64]:
    """Positions, in their order, of the columns in which the clusters differ most.

    >>> telling_columns(np.array([[0.0, 2.0, 1.0], [0.0, -2.0, -1.0]]), np.array([0.5, 0.5]), 2)
    array([1, 2])
    """
    between = np.maximum(shares, 0.25 / max(len(shares), 1)) @ np.square(deviations)
    best = np.argsort(-between, kind="stable")[:most]
    return np.sort(best).astype(np.int64)
