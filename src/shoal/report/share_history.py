"""The clusters of a stream over time: their shares, and the order in which their bands are stacked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.model.events import Event

Shares = Any
"""A :class:`ShareHistory`, a table with the columns time, cluster and share, or (times, ids, shares) as arrays."""


@dataclass(frozen=True)
class ShareHistory:
    """Shares of the clusters at each of t times; zero where a cluster is not alive."""

    times: NDArray[np.float64]
    """(t,) ascending; seconds since 1970 where ``dated``."""
    ids: NDArray[np.int64]
    """(c,) every cluster that ever had a share."""
    shares: NDArray[np.float64]
    """(t, c)."""
    dated: bool = False

    @classmethod
    def of(cls, data: Shares) -> ShareHistory:
        """From any of the forms of :data:`Shares`; NaN and missing rows mean "not alive".

        Raises
        ------
        BadInputError : shapes that do not fit, columns that are not there, a share below zero, the same cluster
            twice at one time.

        >>> table = pa.table({"time": [2.0, 1.0, 2.0], "cluster": [7, 7, 9], "share": [0.75, 1.0, 0.25]})
        >>> history = ShareHistory.of(table); history.ids.tolist(), history.shares.tolist()
        ([7, 9], [[1.0, 0.0], [0.75, 0.25]])
        """
        if isinstance(data, ShareHistory):
            return data
        times, ids, shares = _of_table(data) if isinstance(data, pa.Table) else data
        dated = np.asarray(times).dtype.kind == "M"
        seconds = as_seconds(times)
        numbers, matrix = np.asarray(ids, np.int64), np.array(shares, np.float64)
        if matrix.size == 0:
            matrix = matrix.reshape(len(seconds), len(numbers))
        if matrix.shape != (len(seconds), len(numbers)):
            raise BadInputError(
                f"shares have shape {matrix.shape}, not ({len(seconds)}, {len(numbers)}) as times and ids have"
            )
        if not np.isfinite(seconds).all():
            raise BadInputError("a time of the shares is missing or not finite")
        if len(np.unique(numbers)) < len(numbers):
            raise BadInputError("a cluster id occurs twice among the shares")
        matrix[np.isnan(matrix)] = 0.0
        if matrix.size and not (matrix.min() >= 0 and np.isfinite(matrix).all()):
            raise BadInputError("a share is negative or infinite")
        order = np.argsort(seconds, kind="stable")
        ever = matrix.any(axis=0)
        return cls(seconds[order], numbers[ever], matrix[order][:, ever], dated)

    def largest(self, most: int) -> tuple[ShareHistory, NDArray[np.float64], int]:
        """The ``most`` clusters with the highest peaks, the share (t,) of all others, and how many those are."""
        peaks = self.shares.max(axis=0, initial=0.0)
        kept = np.sort(np.argsort(-peaks, kind="stable")[:most])
        others = np.delete(self.shares, kept, axis=1)
        few = ShareHistory(self.times, self.ids[kept], self.shares[:, kept], self.dated)
        return few, others.sum(axis=1), others.shape[1]


def as_seconds(times: Any) -> NDArray[np.float64]:
    """Times as numbers; dates as seconds since 1970."""
    values = np.asarray(times)
    if values.dtype.kind == "M":
        seconds = values.astype("datetime64[us]").astype(np.int64) / 1e6
        return np.where(np.isnat(values), np.nan, seconds)
    return values.astype(np.float64)


def _of_table(table: pa.Table) -> tuple[Any, Any, NDArray[np.float64]]:
    for name in ("time", "cluster", "share"):
        if name not in table.column_names:
            raise BadInputError.unknown_column(name, table.column_names, place="table of shares")
    columns = [table.column(name).to_numpy() for name in ("time", "cluster", "share")]
    if table.column("time").null_count or table.column("cluster").null_count:
        raise BadInputError("a time or cluster is missing", place="table of shares")
    times, row = np.unique(columns[0], return_inverse=True)
    ids, column = np.unique(columns[1].astype(np.int64), return_inverse=True)
    if len(np.unique(row * max(len(ids), 1) + column)) < len(row):
        raise BadInputError("the same cluster occurs twice at one time", place="table of shares")
    matrix = np.zeros((len(times), len(ids)))
    matrix[row, column] = columns[2].astype(np.float64)
    return times, ids, matrix


def stacking(ids: Sequence[int], events: Iterable[Event]) -> list[int]:
    """All ids, in an order that puts what splits off beside its parent and what is merged beside its heir.

    >>> split = Event("split", 5.0, 1, mass=40.0, share=0.1, parents=(1,), children=(1, 9))
    >>> stacking([1, 2, 9], [split])
    [1, 9, 2]
    """
    after: dict[int, list[int]] = {}
    before: dict[int, list[int]] = {}
    parted: set[int] = set()
    for event in sorted(events, key=lambda e: -e.time):  # bands that are gone by then do not part two
        for parent, child in split_pairs(event):
            if child not in parted:
                parted.add(child)
                after.setdefault(parent, []).append(child)
        for gone, heir in merge_pairs(event):
            if gone not in parted:
                parted.add(gone)
                before.setdefault(heir, []).append(gone)
    placed: dict[int, None] = {}
    known = {int(i) for i in ids}
    waiting = [(i, False) for i in (*sorted(known - parted), *sorted(known))][::-1]
    seen: set[int] = set()
    while waiting:
        cluster, ready = waiting.pop()
        if ready:
            placed[cluster] = None
        elif cluster not in seen:
            seen.add(cluster)
            waiting += [(i, False) for i in reversed(after.get(cluster, []))]
            waiting.append((cluster, True))
            waiting += [(i, False) for i in reversed(before.get(cluster, []))]
    return [i for i in placed if i in known]


def split_pairs(event: Event) -> list[tuple[int, int]]:
    """(parent, child) of a split, children with a new id only."""
    if event.kind != "split":
        return []
    parents = event.parents or (event.cluster,)
    return [(parents[0], child) for child in event.children if child not in parents]


def merge_pairs(event: Event) -> list[tuple[int, int]]:
    """(gone, heir) of a merge, without the parent that kept its id."""
    if event.kind != "merged":
        return []
    heir = event.children[0] if event.children else event.cluster
    return [(gone, heir) for gone in event.parents if gone != heir]
