"""Answers about rows, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.errors import ShoalError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Labels:
    """What the service says of n rows; rows it left out have id -1 and NaN."""

    ids: IntArray
    """(n,) cluster."""
    distances: FloatArray
    """(n,) to its centre."""
    second_distances: FloatArray
    """(n,) to the second nearest; infinity if there is one centre only."""
    outlier_scores: FloatArray
    """(n,) in [0, 1]: the share of all rows seen that lie less far out."""
    version: str
    """Of the model."""
    names: tuple[str | None, ...] | None = None
    """(n,) of the topics, where the clusters are topics."""
    nearest: IntArray | None = None
    """(n, m) the nearest clusters, if so many were asked for; -1 where there are fewer."""
    nearest_distances: FloatArray | None = None
    """(n, m)."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances of n rows to all k clusters."""

    ids: IntArray
    """(k,)."""
    distances: FloatArray
    """(n, k); NaN for rows the service left out."""
    version: str


def read_labels(body: bytes, headers: Mapping[str, str]) -> Labels:
    """Labels from an Arrow stream.

    Raises
    ------
    ShoalError : it is none.
    """
    table = _table(body)
    if "id" not in table.schema.names:
        raise ShoalError("the answer has no labels; is this a service of Shoal's?")
    lists = {name: _matrix(table, name) for name in ("nearest", "nearest_distances")}
    nearest, distances = lists["nearest"], lists["nearest_distances"]
    names = tuple(table.column("name").to_pylist()) if "name" in table.schema.names else None
    return Labels(
        ids=_ids(table.column("id")),
        distances=_floats(table, "distance"),
        second_distances=_floats(table, "second_distance"),
        outlier_scores=_floats(table, "outlier_score"),
        version=headers.get("x-model-version", ""),
        names=names,
        nearest=None if nearest is None else np.where(np.isnan(nearest), -1, nearest).astype(np.int64),
        nearest_distances=distances,
    )


def read_distances(body: bytes, headers: Mapping[str, str]) -> Distances:
    """Distances from an Arrow stream, whose columns are named by cluster."""
    table = _table(body)
    try:
        ids = np.array([int(name) for name in table.schema.names], np.int64)
    except ValueError as error:
        raise ShoalError("the answer has no distances; is this a service of Shoal's?") from error
    columns = [_floats(table, i) for i in range(table.num_columns)]
    distances = np.stack(columns, axis=1) if columns else np.empty((table.num_rows, 0))
    return Distances(ids, distances, headers.get("x-model-version", ""))


def _table(body: bytes) -> pa.Table:
    try:
        return pa.ipc.open_stream(body).read_all()
    except (pa.ArrowException, OSError, EOFError) as error:
        raise ShoalError(f"the answer is no Arrow stream: {str(error)[:100]}") from error


def _ids(column: pa.ChunkedArray) -> IntArray:
    filled: IntArray = column.cast(pa.int64()).fill_null(-1).to_numpy()
    return filled


def _floats(table: pa.Table, name: str | int) -> FloatArray:
    if isinstance(name, str) and name not in table.schema.names:
        return np.full(table.num_rows, np.nan)
    filled: FloatArray = table.column(name).cast(pa.float64()).fill_null(float("nan")).to_numpy()
    return filled


def _matrix(table: pa.Table, name: str) -> FloatArray | None:
    """Lists as an array, NaN where one is shorter; ids are small enough for it."""
    if name not in table.schema.names:
        return None
    rows: list[list[Any] | None] = table.column(name).to_pylist()
    width = max((len(row) for row in rows if row), default=0)
    full: list[list[Any]] = [[*(row or ()), *[None] * (width - len(row or ()))] for row in rows]
    return np.array(full, np.float64).reshape(len(rows), width)
