"""A priority sample: the m rows of highest priority, and what each stands for.

Bottom-k sketch of Cohen and Kaplan (2007) with the estimator of Duffield, Lund and Thorup (2007): a row of
importance q has priority q / u with u uniform in (0, 1]; with ``tau`` the highest priority that was ever dropped,
a kept row stands for ``weight * max(1, tau / q)``. Which rows are kept depends on priorities only, so any order of
updates and merges keeps the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

FIELDS = ("X", "weights", "importance", "priority", "ids")


def row_bytes(d: int, dtype: np.dtype[np.floating]) -> int:
    """Bytes a kept row takes: the row, its weight, importance, priority and identity."""
    return d * dtype.itemsize + 4 * 8


@dataclass
class Rows:
    """Rows with what the sample needs to know of them."""

    X: NDArray[np.floating]
    """(n, d)."""
    weights: NDArray[np.float64]
    importance: NDArray[np.float64]
    priority: NDArray[np.float64]
    ids: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Rows:
        """Some of the rows."""
        return Rows(*(getattr(self, f)[index] for f in FIELDS))


class PrioritySample:
    """The m rows of highest priority among all offered, each identity once.

    Parameters
    ----------
    m : rows to keep.
    d : columns.
    slack : rows held beyond m before the surplus is dropped; no effect on the answer.
    """

    def __init__(self, m: int, d: int, dtype: np.dtype[np.floating], *, slack: int) -> None:
        self.m, self.slack = m, slack
        self.tau = 0.0
        self._n = 0
        self._store = _allocate(m + slack, d, dtype)  # the system gives memory only as it is written to

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return sum(getattr(self._store, f).nbytes for f in FIELDS)

    def offer(self, rows: Rows) -> None:
        """Consider rows; those whose priority beats ``tau`` are held."""
        index = np.flatnonzero(rows.priority > self.tau)
        while len(index):
            now, index = index[: self.slack], index[self.slack :]
            self._append(rows, now)
            if self._n > self.m:
                self.settle()
                index = index[rows.priority[index] > self.tau]

    def settle(self) -> None:
        """Drop all but the m highest priorities of distinct rows, and raise ``tau``."""
        self._drop_repeats()
        if self._n <= self.m:
            return
        priority = self._store.priority[: self._n]
        # m + 1 first: the highest dropped priority is the smallest of these
        cut = self._n - self.m - 1
        self.tau = max(self.tau, float(np.partition(priority, cut)[cut]))
        self._compact(priority > self.tau)  # strictly: rows tied at the cut all go, in any order of arrival

    def kept(self, most: int | None = None) -> Rows:
        """The kept rows, highest priority first; equal for equal samples whatever their history.

        ``most`` asks for the first so many only.
        """
        self.settle()
        return self._store.take(self._ranking(most))

    def _ranking(self, most: int | None) -> NDArray[np.intp]:
        priority = self._store.priority[: self._n]
        index = np.arange(self._n)
        if most is not None and most < self._n:
            index = np.argpartition(-priority, most - 1)[:most]
        weights, ids = self._store.weights[index], self._store.ids[index]
        return index[np.lexsort((weights, ids, -priority[index]))]

    def __len__(self) -> int:
        self.settle()
        return self._n

    def merge(self, other: PrioritySample) -> PrioritySample:
        """The sample of the rows offered to both; ``m`` is the smaller of the two."""
        mine, theirs = self.kept(), other.kept()
        dtype = np.result_type(mine.X.dtype, theirs.X.dtype)
        out = PrioritySample(min(self.m, other.m), mine.X.shape[1], dtype, slack=max(self.slack, other.slack))
        out.tau = max(self.tau, other.tau)
        out.offer(mine)
        out.offer(theirs)
        out.settle()
        return out

    def copy(self) -> Self:
        """An independent copy."""
        out = type(self)(self.m, self._store.X.shape[1], self._store.X.dtype, slack=self.slack)
        out.tau, out._n = self.tau, self._n
        for f in FIELDS:
            getattr(out._store, f)[: self._n] = getattr(self._store, f)[: self._n]
        return out

    def _append(self, rows: Rows, index: NDArray[np.intp]) -> None:
        needed = self._n + len(index)
        for f in FIELDS:
            np.take(
                getattr(rows, f), index, axis=0, out=getattr(self._store, f)[self._n : needed], mode="clip"
            )
        self._n = needed

    def _drop_repeats(self) -> None:
        """Keep one of the rows of equal identity; odd identities are of rows without a name and never equal."""
        ids = self._store.ids[: self._n]
        in_order = np.sort(ids)
        if not _repeats(in_order).any():
            return
        order = np.lexsort((-self._store.priority[: self._n], ids))  # of equal ids the highest priority first
        repeated = np.zeros(self._n, bool)
        ordered = ids[order]
        repeated[order[1:]] = _repeats(ordered)
        self._compact(~repeated)

    def _compact(self, keep: NDArray[np.bool_]) -> None:
        """Move kept rows from the end into the holes before it: no second copy of the store."""
        left = int(keep.sum())
        holes = np.flatnonzero(~keep[:left])
        movers = left + np.flatnonzero(keep[left:])
        for f in FIELDS:
            column = getattr(self._store, f)
            column[holes] = column[movers]
        self._n = left


def _repeats(ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Of ordered identities, which but the first are even and equal to the one before."""
    repeated: NDArray[np.bool_] = (ids[1:] == ids[:-1]) & (ids[1:] % 2 == 0)
    return repeated


def _allocate(n: int, d: int, dtype: np.dtype[np.floating]) -> Rows:
    weights, importance, priority = np.empty((3, n), np.float64)
    return Rows(np.empty((n, d), dtype), weights, importance, priority, np.empty(n, np.uint64))
