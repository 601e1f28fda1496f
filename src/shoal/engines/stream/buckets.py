"""Summaries of time buckets: open ones take rows, closed ones go to the store with the next checkpoint."""

from __future__ import annotations

import math

import numpy as np

from shoal.engines.stream.parts import Part
from shoal.summary.coreset import Coreset

MOST_OPEN = 48
"""Buckets open at a time; rows that come so scattered close the oldest."""


class Buckets:
    """One small summary per stretch of event time.

    Parameters
    ----------
    seconds : length of a bucket.
    new : builds an empty summary.
    """

    def __init__(self, seconds: float, rows: int, k_max: int, seed: int, n_threads: int | None) -> None:
        self.seconds = seconds
        self._settings = {"rows": rows, "k_max": k_max, "seed": seed, "n_threads": n_threads}
        self.open: dict[float, Coreset] = {}
        self.closed: list[tuple[float, Coreset]] = []
        """Start and summary, to be stored."""

    def add(self, part: Part) -> None:
        """Take in rows, each in the bucket of its own time."""
        assert part.times is not None
        numbers = np.floor(part.times / self.seconds)
        first, last = numbers.min(), numbers.max()
        if first == last:
            self._put(float(first), part, None)
            return
        for number in np.unique(numbers):
            self._put(float(number), part, numbers == number)

    def close_before(self, newest: float) -> None:
        """Close what ended more than one bucket ago: most late rows have come by then, others make a piece of their own."""
        limit = (math.floor(newest / self.seconds) - 1) * self.seconds
        for start in sorted(self.open):
            if start < limit:
                self._close(start)

    def close_all(self) -> None:
        """Close every bucket, at the end of a stream."""
        for start in sorted(self.open):
            self._close(start)

    def _put(self, number: float, part: Part, mask: np.ndarray | None) -> None:
        start = number * self.seconds
        if start not in self.open:
            if len(self.open) >= MOST_OPEN:
                self._close(min(self.open))
            self.open[start] = Coreset(**self._settings)  # type: ignore[arg-type]
        pick = slice(None) if mask is None else mask
        weights = None if part.weights is None else part.weights[pick]
        self.open[start].update(part.matrix[pick], weights, key=part.key, rows=part.rows[pick])

    def _close(self, start: float) -> None:
        self.closed.append((start, self.open.pop(start)))
