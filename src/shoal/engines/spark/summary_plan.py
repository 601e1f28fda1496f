"""The one pass: a Coreset for every partition, joined on the workers, one summary on the driver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shoal.engines.shares import Summarised, SummarySettings, fill, joined, packed
from shoal.engines.spark import jobs
from shoal.engines.spark.columns import select_rows
from shoal.engines.spark.rows import RowColumns, RowReader
from shoal.errors import BadInputError, ShoalError


def summarise(df: Any, columns: RowColumns, settings: SummarySettings) -> Summarised:
    """One pass over a DataFrame.

    Raises
    ------
    BadInputError : columns that cannot be rows, a row that cannot be used, rows of different widths, no rows at all.
    """
    found = gathered(df, columns, settings)
    if found is None or found.summary.is_empty:
        raise no_rows(found)
    if not found.summary.weight > 0:
        raise no_weight()
    return found


def gathered(df: Any, columns: RowColumns, settings: SummarySettings) -> Summarised | None:
    """The same of rows that may be none, all refused, or without weight, as in a batch of a stream; None of no rows."""
    settings.new()  # wrong settings are an error now, not in a worker
    replies = jobs.run(select_rows(df, columns), SummaryWork(columns, settings), join=JoinSummaries())
    found = joined(reply for _, reply in replies)
    if found is not None:
        found.summary.n_threads = None
    return found


def no_weight() -> BadInputError:
    """The error for rows of which none counts."""
    return BadInputError(
        "the rows have no weight", place="the DataFrame", remedy="give some a weight above 0"
    )


def no_rows(found: Summarised | None) -> BadInputError:
    """The error for a DataFrame without a row that could be used."""
    refused = found.rejects.total if found is not None else 0
    said = (
        f"all {refused} rows were refused ({', '.join(found.rejects.counts)})"
        if found and refused
        else "it has no rows"
    )
    return BadInputError(said, place="the DataFrame", remedy="check its filter and its source")


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
