"""What workers make of their shares of the rows, and how the shares become one summary and one solution; of all engines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError, Rejects
from shoal.solve.k_means import k_means
from shoal.solve.lloyd import Metric, Solution, lloyd
from shoal.summary.coreset import DEFAULT_BYTES, Coreset
from shoal.summary.protocol import WeightedPoints

KEY = 0x5340A1
"""Key of the ids that users give: equal on all engines, so that a row is the same row everywhere."""


@dataclass(frozen=True)
class SummarySettings:
    """What all partitions' summaries have in common; see :class:`~shoal.summary.coreset.Coreset`."""

    k_max: int = 64
    rows: int | None = None
    max_bytes: int = DEFAULT_BYTES
    seed: int = 0
    half_life: float | None = None
    """Seconds."""

    def new(self) -> Coreset:
        """An empty summary; workers have one thread each."""
        return Coreset(
            k_max=self.k_max,
            rows=self.rows,
            max_bytes=self.max_bytes,
            seed=self.seed,
            half_life=self.half_life,
            n_threads=1,
        )


class Summarised(NamedTuple):
    """A summary of all rows, and what was refused."""

    summary: Coreset
    rejects: Rejects


class RowBatch(NamedTuple):
    """The rows of one batch that can be used."""

    X: NDArray[Any]
    """(n, d) float32 or float64."""
    weights: NDArray[np.float64] | None
    times: NDArray[np.float64] | None
    """(n,) seconds."""
    ids: NDArray[np.int64] | None
    kept: NDArray[np.intp]
    """(n,) positions in the batch."""


def part_of(rows: RowBatch, index: NDArray[np.intp]) -> RowBatch:
    """Some of the rows."""
    return RowBatch(*(None if a is None else a[index] for a in rows))  # type: ignore[arg-type]


def fill(summary: Coreset, batch: RowBatch) -> None:
    """Take a batch into a summary; rows with ids are the same rows wherever they are seen."""
    key = None if batch.ids is None else KEY
    summary.update(batch.X, batch.weights, key=key, rows=batch.ids, times=batch.times)


def packed(summary: Coreset, rejects: Rejects) -> bytes:
    """A reply: the count of refused rows, and the summary's own bytes."""
    return framed(rejects.to_dict(), summary.to_bytes())


def unpacked(reply: bytes) -> Summarised:
    """Inverse of :func:`packed`."""
    refused, content = unframed(reply)
    return Summarised(Coreset.from_bytes(content), Rejects.from_dict(refused))


def joined(replies: Iterable[bytes]) -> Summarised | None:
    """The summary of all of them; None of none.

    Raises
    ------
    BadInputError : partitions whose rows differ in width.
    """
    out: Summarised | None = None
    for reply in replies:
        now = unpacked(reply)
        if out is None:
            out = now
            continue
        check_widths(out.summary, now.summary)
        out = Summarised(out.summary.merge(now.summary), out.rejects.merge(now.rejects))
    return out


def check_widths(a: Coreset, b: Coreset) -> None:
    """Raises :class:`BadInputError` where the rows of two summaries differ in width."""
    widths = a.n_features, b.n_features
    if None not in widths and widths[0] != widths[1]:
        raise BadInputError(
            f"some rows have {widths[0]} numbers, others {widths[1]}",
            place="the features column",
            remedy="make all rows of one length",
        )


def ordered(points: WeightedPoints) -> WeightedPoints:
    """The points in an order of their own, so that what is solved does not depend on which partition came first."""
    X: NDArray[Any] = np.ascontiguousarray(points.X)
    if not len(X):
        return points
    as_bytes = X.view(np.dtype((np.void, X.dtype.itemsize * X.shape[1]))).ravel()
    ranks = np.unique(as_bytes, return_inverse=True)[1]
    order = np.lexsort((points.weights, ranks))
    return WeightedPoints(X[order], points.weights[order])


def solved(
    summary: Coreset, k: int, *, metric: Metric = "euclidean", start: NDArray[Any] | None = None
) -> Solution:
    """k centres of a summary; with ``start`` on from those centres.

    Raises
    ------
    BadInputError : fewer rows than clusters, or fewer that differ.
    """
    points = ordered(summary.points())
    if start is not None:
        found = lloyd(points.X, start, weights=points.weights, metric=metric, n_threads=summary.n_threads)
    else:
        found = k_means(
            points.X,
            k,
            weights=points.weights,
            metric=metric,
            seed=summary.seed,
            n_threads=summary.n_threads,
        )
    distinct = int((found.counts > 0).sum())
    if distinct < k:
        raise BadInputError(
            f"k={k} clusters asked of rows of which only {distinct} differ",
            remedy=f"choose k up to {distinct}",
        )
    return found


def framed(told: Any, content: bytes) -> bytes:
    """A reply of plain data and bytes: the length of the data as JSON, the JSON, the bytes.

    >>> unframed(framed({"rows": 2}, b"xy"))
    ({'rows': 2}, b'xy')
    """
    text = json.dumps(told).encode()
    return len(text).to_bytes(8, "little") + text + content


def unframed(reply: bytes) -> tuple[Any, bytes]:
    """Inverse of :func:`framed`."""
    start = 8 + int.from_bytes(reply[:8], "little")
    return json.loads(reply[8:start]), reply[start:]
