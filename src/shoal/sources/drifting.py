"""A made stream whose truth is known: clusters drift, appear, split, merge, grow and die at times that are told.

For tests, benchmarks and the demonstration. Rows depend on the seed and their number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError

Floats = NDArray[np.float64]
_BLOCK = 1000
SPREAD = 1.0
"""Standard deviation of every cluster in every column."""


class Truth(NamedTuple):
    """What happens."""

    kind: str
    time: float
    place: Floats
    """(2,) where."""


@dataclass(frozen=True)
class _Home:
    """A cluster: where it is and how heavy, between a beginning and an end."""

    start: tuple[float, float]
    end: tuple[float, float]
    leaves: float = 0.0
    arrives: float = 1.0
    born: float = -1.0
    dies: float = 2.0
    weight: float = 1.0
    heavier: float = 1.0
    """Factor of the weight after ``grows``."""
    grows: float = 2.0

    def place(self, t: Floats) -> Floats:
        """(n, 2) centre at times in [0, 1]."""
        part = np.clip((t - self.leaves) / (self.arrives - self.leaves), 0.0, 1.0)[:, None]
        return np.array(self.start) * (1 - part) + np.array(self.end) * part

    def mass(self, t: Floats) -> Floats:
        """(n,) weight at times in [0, 1]."""
        alive = (t >= self.born) & (t < self.dies)
        return self.weight * np.where(t >= self.grows, self.heavier, 1.0) * alive


_HOMES = (
    _Home((0, 0), (6, 4)),  # drifts all the time
    _Home((20, 0), (20, 0), grows=0.88, heavier=3.0),  # grows at 0.88
    _Home((0, 20), (0, 20), dies=0.74),  # dies at 0.74
    _Home((20, 20), (20, 20), born=0.16),  # appears at 0.16
    _Home((40, 0), (40, -6), leaves=0.30, arrives=0.34, weight=0.7),  # these two are one until 0.30 and split
    _Home((40, 0), (40, 6), leaves=0.30, arrives=0.34, weight=0.7),
    _Home((40, 30), (46, 30), leaves=0.52, arrives=0.56, weight=0.7),  # these two meet at 0.56 and are one
    _Home((52, 30), (46, 30), leaves=0.52, arrives=0.56, weight=0.7),
)
_TRUTH = (
    ("born", 0.16, (20, 20)),
    ("split", 0.32, (40, 0)),
    ("merged", 0.55, (46, 30)),
    ("died", 0.74, (0, 20)),
    ("grew", 0.88, (20, 0)),
)


class DriftingStream:
    """Rows of two columns with event times, cluster by cluster as ``truth`` tells.

    Parameters
    ----------
    n : rows in all. seconds : event time in all. start : event time of the first row.

    >>> stream = DriftingStream(10_000, seconds=1000.0); X, times, labels = stream.rows(0, 3)
    >>> X.shape, times.tolist(), [t.kind for t in stream.truth]
    ((3, 2), [0.0, 0.1, 0.2], ['born', 'split', 'merged', 'died', 'grew'])
    """

    def __init__(self, n: int, *, seconds: float, start: float = 0.0, seed: int = 0) -> None:
        self.n, self.seconds, self.start, self.seed = n, seconds, start, seed
        turn = np.random.default_rng([seed, 1]).uniform(0, 2 * np.pi)
        self._turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    @property
    def truth(self) -> list[Truth]:
        """What happens, in order of time."""
        return [Truth(k, self.start + t * self.seconds, np.array(p) @ self._turned.T) for k, t, p in _TRUTH]

    def rows(self, first: int, last: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """(m, 2) rows, (m,) event times and (m,) true clusters of the row numbers from ``first`` to below ``last``.

        Raises
        ------
        BadInputError : a negative row number.
        """
        if first < 0:
            raise BadInputError(f"row number {first} is negative", remedy="count rows from 0")
        last = min(last, self.n)
        if last <= first:
            return np.empty((0, 2)), np.empty(0), np.empty(0, np.int64)
        blocks = [self._block(b) for b in range(first // _BLOCK, -(-last // _BLOCK))]
        cut = slice(first % _BLOCK, first % _BLOCK + max(last - first, 0))
        X, times, labels = (np.concatenate(column)[cut] for column in zip(*blocks, strict=True))
        return X, times, labels

    def _block(self, number: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
        rng = np.random.default_rng([self.seed, 2, number])
        t = (number * _BLOCK + np.arange(_BLOCK)) / self.n
        masses = np.stack([home.mass(t) for home in _HOMES], axis=1)
        bounds = np.cumsum(masses, axis=1)
        drawn = rng.uniform(size=_BLOCK) * bounds[:, -1]
        labels = (drawn[:, None] >= bounds).sum(axis=1)
        places = np.stack([home.place(t) for home in _HOMES], axis=1)[np.arange(_BLOCK), labels]
        X = (places + rng.normal(scale=SPREAD, size=(_BLOCK, 2))) @ self._turned.T
        return X, self.start + t * self.seconds, labels.astype(np.int64)
