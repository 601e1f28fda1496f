"""What given centres cost on all rows, exactly: one job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.engines.spark import jobs
from shoal.engines.spark.columns import select_rows
from shoal.engines.spark.lloyd_steps import look
from shoal.engines.spark.rows import RowColumns, RowReader
from shoal.errors import BadInputError


class Measured(NamedTuple):
    """Exact figures of centres on all rows."""

    inertia: float
    counts: NDArray[np.float64]
    """(k,) weight of the rows nearest to each centre."""


def measure(df: Any, columns: RowColumns, centres: NDArray[np.float64]) -> Measured:
    """Weighted sum of squared distances to the nearest of (k, d) centres, and the weight of each cluster.

    Raises
    ------
    BadInputError : columns or rows that cannot be used, rows of another width, no rows.
    """
    need = RowColumns(columns.features, columns.weight, invalid=columns.invalid, cosine=columns.cosine)
    replies = jobs.run(select_rows(df, need), MeasureWork(need, centres))
    if not replies:
        raise BadInputError("it has no rows", place="the DataFrame", remedy="check its filter and its source")
    figures = np.sum([np.frombuffer(reply, "<f8") for _, reply in replies], axis=0)
    return Measured(float(figures[0]), figures[1:])


@dataclass(frozen=True)
class MeasureWork:
    """One reply: inertia and counts of a partition."""

    columns: RowColumns
    centres: NDArray[np.float64]

    def __call__(self, partition: int, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
        """Empty partitions answer nothing."""
        reader = RowReader(self.columns, partition, width=self.centres.shape[1])
        figures = np.zeros(1 + len(self.centres))
        for batch in batches:
            rows = reader.read(batch)
            found = look(rows.X, self.centres, rows.weights)
            figures[0] += found.inertia
            figures[1:] += found.counts
        if reader.rows:
            yield figures.astype("<f8").tobytes()
