"""A priority sample: the m rows of highest priority, and what each stands for.

Bottom-k sketch of Cohen and Kaplan (2007) with the estimator of Duffield, Lund and Thorup (2007): a row of
importance q has priority q / u with u uniform in (0, 1]; with ``tau`` the highest priority that was ever dropped,
a kept row stands for ``weight * max(1, tau / q)``. Which rows are kept depends on priorities only, so any order of
updates and merges keeps the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.summary.forgetting import FORGOTTEN

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

    def aged(self, factor: float) -> Rows:
        """The same rows weighing ``factor`` times as much, without those that are forgotten."""
        weights = self.weights * factor
        older = Rows(self.X, weights, self.importance * factor, self.priority * factor, self.ids)
        return older if factor == 1.0 else older.take(weights >= FORGOTTEN)


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

    def age(self, factor: float) -> None:
        """Let what is held weigh ``factor`` times as much, a power of two; what is forgotten leaves."""
        held = slice(0, self._n)
        for f in ("weights", "importance", "priority"):
            getattr(self._store, f)[held] *= factor
        self.tau = aged_tau(self.tau, factor)
        keep = self._store.weights[held] >= FORGOTTEN
        if not keep.all():
            self._compact(keep)

    def settle(self) -> None:
        """Drop all but the m highest priorities of distinct rows, and raise ``tau``."""
        keep, self.tau = self._select(self._store.priority[: self._n], self._store.ids[: self._n])
        if not keep.all():
            self._compact(keep)

    def kept_ids(self) -> NDArray[np.uint64]:
        """Identities of the rows held, in no order."""
        return self._store.ids[: self._n].copy()

    def kept(self, most: int | None = None) -> Rows:
        """The kept rows, highest priority first; equal for equal samples whatever their history.

        ``most`` asks for the first so many only.
        """
        return self.look(None, most)[0]

    def look(self, also: Rows | None, most: int | None = None) -> tuple[Rows, float]:
        """What :meth:`kept` and ``tau`` would be had ``also`` been offered, without offering it."""
        self.settle()
        held = [self._store.take(slice(0, self._n)), *([] if also is None else [also])]
        priority = np.concatenate([r.priority for r in held])
        weights, ids = np.concatenate([r.weights for r in held]), np.concatenate([r.ids for r in held])
        keep, tau = self._select(priority, ids)
        index = np.flatnonzero(keep)
        if most is not None and most < len(index):
            index = index[np.argpartition(-priority[index], most - 1)[:most]]
        index = index[np.lexsort((weights[index], ids[index], -priority[index]))]
        return _gather(held, index), tau

    def __len__(self) -> int:
        self.settle()
        return self._n

    def _select(
        self, priority: NDArray[np.float64], ids: NDArray[np.uint64]
    ) -> tuple[NDArray[np.bool_], float]:
        """Which of some rows stay, and the new ``tau``."""
        keep: NDArray[np.bool_] = priority > self.tau
        repeated = _repeated(ids, priority)
        if repeated is not None:
            keep &= ~repeated
        surplus = int(keep.sum()) - self.m
        if surplus <= 0:
            return keep, self.tau
        tau = float(np.partition(priority[keep], surplus - 1)[surplus - 1])
        return keep & (priority > tau), tau  # strictly: rows tied at the cut all go, in any order of arrival

    def _append(self, rows: Rows, index: NDArray[np.intp]) -> None:
        needed = self._n + len(index)
        for f in FIELDS:
            getattr(self._store, f)[self._n : needed] = getattr(rows, f)[index]
        self._n = needed

    def _compact(self, keep: NDArray[np.bool_]) -> None:
        """Move kept rows from the end into the holes before it: no second copy of the store."""
        left = int(keep.sum())
        holes = np.flatnonzero(~keep[:left])
        movers = left + np.flatnonzero(keep[left:])
        for f in FIELDS:
            column = getattr(self._store, f)
            column[holes] = column[movers]
        self._n = left


def aged_tau(tau: float, factor: float) -> float:
    """A threshold after ageing; one that only forgotten rows could have raised is none.

    The weights are those of forgotten rows; priorities are larger by at most 2**64 (the draw) times an importance.
    """
    tau *= factor
    return tau if tau >= FORGOTTEN else 0.0


def _repeated(ids: NDArray[np.uint64], priority: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    """Rows whose identity another row of higher priority has; None if there are none, as is usual.

    Odd identities are of rows without a name, which are never taken for one another.
    """

    def twins(ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
        again: NDArray[np.bool_] = (ordered[1:] == ordered[:-1]) & (ordered[1:] % 2 == 0)
        return again

    if not twins(np.sort(ids)).any():
        return None
    order = np.lexsort((-priority, ids))  # of equal identities the highest priority first
    repeated = np.zeros(len(ids), bool)
    repeated[order[1:]] = twins(ids[order])
    return repeated


def _gather(parts: list[Rows], index: NDArray[np.intp]) -> Rows:
    """Rows of one or two parts by their position in both together, copied once."""
    if len(parts) == 1:
        return parts[0].take(index)
    first = len(parts[0])
    early = index < first
    columns = []
    for f in FIELDS:
        a, b = (getattr(part, f) for part in parts)
        column = np.empty((len(index), *a.shape[1:]), a.dtype)
        column[early], column[~early] = a[index[early]], b[index[~early] - first]
        columns.append(column)
    return Rows(*columns)


def _allocate(n: int, d: int, dtype: np.dtype[np.floating]) -> Rows:
    weights, importance, priority = np.empty((3, n), np.float64)
    return Rows(np.empty((n, d), dtype), weights, importance, priority, np.empty(n, np.uint64))
