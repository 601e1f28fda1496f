"""The one pass: a Coreset for every partition, joined on the workers, one summary on the driver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.engines.spark import jobs
from shoal.engines.spark.columns import select_rows
from shoal.engines.spark.rows import RowBatch, RowColumns, RowReader
from shoal.errors import BadInputError, Rejects, ShoalError
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


def summarise(df: Any, columns: RowColumns, settings: SummarySettings) -> Summarised:
    """One pass over a DataFrame.

    Raises
    ------
    BadInputError : columns that cannot be rows, a row that cannot be used, rows of different widths, no rows at all.
    """
    settings.new()  # wrong settings are an error now, not in a worker
    replies = jobs.run(select_rows(df, columns), SummaryWork(columns, settings), join=JoinSummaries())
    found = joined(reply for _, reply in replies)
    if found is None or found.summary.is_empty:
        raise no_rows(found)
    found.summary.n_threads = None
    return found


def no_rows(found: Summarised | None) -> BadInputError:
    """The error for a DataFrame without a row that could be used."""
    refused = found.rejects.total if found is not None else 0
    said = (
        f"all {refused} rows were refused ({', '.join(found.rejects.counts)})"
        if found and refused
        else "it has no rows"
    )
    return BadInputError(said, place="the DataFrame", remedy="check its filter and its source")


def fill(summary: Coreset, batch: RowBatch) -> None:
    """Take a batch into a summary; rows with ids are the same rows wherever they are seen."""
    key = None if batch.ids is None else KEY
    summary.update(batch.X, batch.weights, key=key, rows=batch.ids, times=batch.times)


@dataclass(frozen=True)
class SummaryWork:
    """Fill one summary with a partition; an empty partition answers nothing."""

    columns: RowColumns
    settings: SummarySettings

    def __call__(self, partition: int, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
        """One reply: :func:`packed`."""
        reader, summary = RowReader(self.columns, partition), self.settings.new()
        for batch in batches:
            rows = reader.read(batch)
            if len(rows.X):
                fill(summary, rows)
        if reader.rows:
            yield packed(summary, reader.rejects)


@dataclass(frozen=True)
class JoinSummaries:
    """Merge what partitions answered."""

    def __call__(self, replies: Iterable[bytes]) -> bytes:
        """One reply of the same kind."""
        found = joined(replies)
        if found is None:
            raise ShoalError("nothing to merge")
        return packed(found.summary, found.rejects)


def packed(summary: Coreset, rejects: Rejects) -> bytes:
    """A reply: the count of refused rows, and the summary's own bytes."""
    return jobs.framed(rejects.to_dict(), summary.to_bytes())


def unpacked(reply: bytes) -> Summarised:
    """Inverse of :func:`packed`."""
    refused, content = jobs.unframed(reply)
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
