"""What every summary can do: the contract between data on one side and solvers on the other."""

from __future__ import annotations

from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32] | NDArray[np.float64]


class WeightedPoints(NamedTuple):
    """What a summary stands for: points with weights, and how far each one's rows spread around it."""

    X: Floats
    """(m, d) points."""
    weights: NDArray[np.float64]
    """(m,) weight each stands for; they add up to the weight of all rows seen."""
    scatter: NDArray[np.float64] | None = None
    """(m,) sum of squared distances of the rows behind a point to it; None when points are rows."""


@runtime_checkable
class Summary(Protocol):
    """A small stand-in for rows that were seen once. :mod:`shoal.summary.checks` tests any of them."""

    @property
    def count(self) -> int:
        """Rows seen."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether no row was seen yet."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        ...

    def update(
        self, X: ArrayLike, weights: ArrayLike | None = None, *, times: ArrayLike | None = None
    ) -> Self:
        """Take in n rows (n, d), each counting ``weights`` times; returns itself.

        ``times``: (n,) event times, used by a summary that was given a ``half_life``.
        """
        ...

    def merge(self, other: Self) -> Self:
        """A new summary of the rows of both."""
        ...

    def points(self) -> WeightedPoints:
        """Weighted points for a solver."""
        ...

    def to_bytes(self) -> bytes:
        """Everything needed to go on elsewhere."""
        ...

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`."""
        ...
