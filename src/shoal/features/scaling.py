"""Centre and scale of each feature, from the moments of the first block."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Method = Literal["none", "standard", "minmax"]


class Moments:
    """Running mean, spread and range per column; NaN and infinities are left out.

    Sums are taken about the first finite value of each column, so that data near 1e8 keep their spread.

    >>> m = Moments(1); m.add(np.array([[1e8], [1e8 + 2], [np.nan]]))
    >>> m.mean - 1e8, m.deviation
    (array([1.]), array([1.]))
    """

    def __init__(self, width: int) -> None:
        self.count = np.zeros(width)
        self.low = np.full(width, np.inf)
        self.high = np.full(width, -np.inf)
        self._shift = np.full(width, np.nan)
        self._sum = np.zeros(width)
        self._squares = np.zeros(width)

    def add(self, values: FloatArray) -> None:
        """Take in (n, width) values."""
        finite = np.isfinite(values)
        fresh = np.flatnonzero(np.isnan(self._shift) & finite.any(axis=0))
        self._shift[fresh] = values[finite[:, fresh].argmax(axis=0), fresh]
        centred = np.where(finite, values - np.nan_to_num(self._shift), 0.0)
        self.count += finite.sum(axis=0)
        self._sum += centred.sum(axis=0)
        with np.errstate(over="ignore"):
            self._squares += np.square(centred).sum(axis=0)
        self.low = np.minimum(self.low, np.where(finite, values, np.inf).min(axis=0, initial=np.inf))
        self.high = np.maximum(self.high, np.where(finite, values, -np.inf).max(axis=0, initial=-np.inf))

    @property
    def mean(self) -> FloatArray:
        """(width,) mean; 0 where there was nothing."""
        return np.asarray(np.nan_to_num(self._shift) + self._sum / np.maximum(self.count, 1))

    @property
    def deviation(self) -> FloatArray:
        """(width,) population standard deviation; exactly 0 for a constant column."""
        count = np.maximum(self.count, 1)
        variance = np.maximum(self._squares / count - np.square(self._sum / count), 0.0)
        return np.asarray(np.where(self.low >= self.high, 0.0, np.sqrt(variance)))


def learn_scaling(moments: Moments, method: Method) -> tuple[FloatArray, FloatArray]:
    """(centre, scale), each (width,), such that ``(x - centre) / scale`` is the scaled value.

    A constant column has scale 1, so that it becomes 0 and stays finite.

    >>> m = Moments(2); m.add(np.array([[0.0, 5.0], [4.0, 5.0]]))
    >>> learn_scaling(m, "minmax")
    (array([0., 5.]), array([4., 1.]))
    """
    if method == "none":
        return np.zeros(len(moments.count)), np.ones(len(moments.count))
    if method == "standard":
        centre, scale = moments.mean, moments.deviation
    else:
        empty = moments.count == 0
        centre = np.where(empty, 0.0, moments.low)
        with np.errstate(over="ignore", invalid="ignore"):
            scale = np.where(empty, 1.0, moments.high - moments.low)
    return centre, np.where((scale > 0) & np.isfinite(scale), scale, 1.0)
