"""Exact totals per column: count, weight, mean and scatter that no order or grouping can change.

Sums are kept without rounding in a superaccumulator (Neal 2015), so merging is integer addition: commutative and
associative bit for bit. Means and scatters are rounded once, when asked for, and cancel nothing even for data
offset by 1e8.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shoal.kernels import _native, default_threads
from shoal.summary.forgetting import EPOCH

Limbs = NDArray[np.int64]
_LOWEST_BIT = 1074  # limb 0 starts at 2**-1074


@dataclass
class ExactTotals:
    """Count, weight, and weighted sums of x and x² of each of d columns.

    >>> t = ExactTotals.empty(1).add(np.array([[1e8], [1e8 + 1], [1e8 + 2]]))
    >>> t.mean(), t.scatter()
    (array([1.00000001e+08]), array([2.]))
    """

    count: int
    weight_limbs: Limbs
    """(1, LIMBS) exact sum of weights."""
    sum_limbs: Limbs
    """(d, LIMBS) exact sums of weight times x."""
    square_limbs: Limbs
    """(d, LIMBS) exact sums of weight times x²."""

    @classmethod
    def empty(cls, d: int) -> Self:
        """Totals of no rows of d columns."""
        return cls(0, *(np.zeros((rows, _native.LIMBS), np.int64) for rows in (1, d, d)))

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return self.weight_limbs.nbytes + self.sum_limbs.nbytes + self.square_limbs.nbytes

    def add(
        self,
        X: NDArray[np.float32] | NDArray[np.float64],
        weights: NDArray[np.float64] | None = None,
        n_threads: int | None = None,
    ) -> Self:
        """Take in finite rows (n, d); returns itself."""
        if len(X):
            ones = weights is None
            _native.exact_add(X, weights, self.sum_limbs, self.square_limbs, default_threads(n_threads))
            values = np.array([float(len(X))]) if ones else weights
            _native.exact_add_values(np.ascontiguousarray(values, np.float64), self.weight_limbs[0])
            self.count += len(X)
        return self

    def merge(self, other: ExactTotals) -> ExactTotals:
        """Totals of the rows of both."""
        out = ExactTotals(
            self.count + other.count,
            self.weight_limbs.copy(),
            self.sum_limbs.copy(),
            self.square_limbs.copy(),
        )
        _native.exact_merge(other.weight_limbs, out.weight_limbs)
        _native.exact_merge(other.sum_limbs, out.sum_limbs)
        _native.exact_merge(other.square_limbs, out.square_limbs)
        return out

    def aged(self, shift: int) -> ExactTotals:
        """The same rows, each weighing ``2 ** (-64 * shift)`` times as much: a move by whole limbs.

        >>> t = ExactTotals.empty(1).add(np.array([[3.0], [5.0]])).aged(1); t.weight * 2.0**64, t.mean(), t.count
        (2.0, array([4.]), 2)
        """
        limbs = (self.weight_limbs, self.sum_limbs, self.square_limbs)
        return ExactTotals(self.count, *(_moved(a, shift * EPOCH // 32) for a in limbs))

    @property
    def weight(self) -> float:
        """Total weight, rounded once."""
        return float(self._exact_weight())

    def mean(self) -> NDArray[np.float64]:
        """(d,) weighted means; zeros when there is no weight."""
        W = self._exact_weight()
        if not W:
            return np.zeros(len(self.sum_limbs))
        return np.array([float(_exact(row) / W) for row in self.sum_limbs])

    def scatter(self) -> NDArray[np.float64]:
        """(d,) weighted sums of squared deviations from the mean."""
        W = self._exact_weight()
        if not W:
            return np.zeros(len(self.sum_limbs))
        pairs = zip(self.sum_limbs, self.square_limbs, strict=True)
        return np.array([max(0.0, float(_exact(q) - _exact(s) ** 2 / W)) for s, q in pairs])

    def _exact_weight(self) -> Fraction:
        return _exact(self.weight_limbs[0])


def _moved(limbs: Limbs, down: int) -> Limbs:
    """Sums times ``2 ** (-32 * down)``; what falls off the end is less than 2**-1074."""
    whole, out = np.zeros_like(limbs), np.zeros_like(limbs)
    _native.exact_merge(limbs, whole)  # carries
    down = min(down, limbs.shape[1])
    out[:, : limbs.shape[1] - down] = whole[:, down:]
    _native.exact_merge(np.zeros_like(out), out)
    return out


def trim(limbs: Limbs) -> tuple[NDArray[np.uint32], NDArray[np.bool_], int]:
    """Sums in little room: magnitudes between the outermost limbs in use, which are negative, the first position."""
    negative = limbs[:, -1] < 0
    magnitude = np.where(negative[:, None], -limbs, limbs)
    _native.exact_merge(np.zeros_like(magnitude), magnitude)  # carries
    used = np.flatnonzero(magnitude.any(axis=0))
    start, stop = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
    return magnitude[:, start:stop].astype(np.uint32), negative, start


def untrim(magnitude: NDArray[np.uint32], negative: NDArray[np.bool_], start: int) -> Limbs:
    """Inverse of :func:`trim`."""
    out = np.zeros((len(magnitude), _native.LIMBS), np.int64)
    out[:, start : start + magnitude.shape[1]] = magnitude
    out[negative] *= -1
    _native.exact_merge(np.zeros_like(out), out)
    return out


def _exact(limbs: Limbs) -> Fraction:
    low = int.from_bytes(limbs[:-1].astype("<u4").tobytes(), "little")
    value = low + (int(limbs[-1]) << (32 * (len(limbs) - 1)))
    return Fraction(value, 1 << _LOWEST_BIT)
