"""Groups of rows by key, beginning with the key's model: read batch by batch, so that a large one need not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from shoal.engines.spark.columns import quoted
from shoal.engines.spark.labels import labels_of
from shoal.engines.spark.rows import RowColumns, RowReader
from shoal.errors import BadInputError, ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import unpack_model

Key = tuple[pa.Scalar, ...]
MODEL, TURN = "_shoal_model", "_shoal_turn"
LABELS = {"prediction": "integer", "distance": "double", "outlier_score": "double"}
OfGroup = Callable[[Key, Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


class Group:
    """A group of rows that begins with its model, if it has one."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self.batches = batches
        self.model: bytes | None = None
        self._first = next(batches, None)
        if self._first is not None:
            self._first = self._without_models(self._first, fresh=True)

    def rows(self) -> Iterator[pa.RecordBatch]:
        """The rows, batch by batch."""
        if self._first is not None and self._first.num_rows:
            yield self._first
        for batch in self.batches:
            rows = self._without_models(batch, fresh=False)
            if rows.num_rows:
                yield rows

    def _without_models(self, batch: pa.RecordBatch, *, fresh: bool) -> pa.RecordBatch:
        turns = np.asarray(batch.column(TURN))
        models = int((turns == 0).sum())
        if models > 1 or (models and not (fresh and turns[0] == 0)):
            raise ShoalError("a key has several models; keep one row of each key in the table of models")
        if models:
            self.model = batch.column(MODEL)[0].as_py()
        rows: pa.RecordBatch = batch.slice(models)
        return rows


@dataclass(frozen=True)
class Labelling:
    """The rows of a group that begins with its model, with labels."""

    names: tuple[str, ...]
    """Columns to hand on."""
    columns: RowColumns
    outputs: tuple[str, str, str]

    def __call__(self, key: Key, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batch by batch."""
        group = Group(batches)
        model = None if group.model is None else unpack_model(group.model)[0]
        reader = None
        if model is not None:
            check_names(model, self.columns)
            columns = replace(self.columns, cosine=model.metric == "cosine")
            reader = RowReader(columns, width=model.n_features)
        for batch in group.rows():
            read = None if reader is None else reader.read(batch)
            labels = labels_of(model, read, batch.num_rows)
            kept = [in_utc(batch.column(name)) for name in self.names]
            yield pa.RecordBatch.from_arrays([*kept, *labels], names=[*self.names, *self.outputs])


def check_names(model: ClusterModel, columns: RowColumns) -> None:
    """That a model is of the same columns, in the same order, where it has names for them.

    Raises
    ------
    BadInputError : it is of others.
    """
    named = columns.features if len(columns.features) > 1 else ()
    if model.feature_names and named and model.feature_names != named:
        raise BadInputError(
            f"the model is of {', '.join(model.feature_names)}, not of {', '.join(named)}",
            remedy="name the same columns in the same order",
        )


def with_models(df: Any, models_df: Any, keys: tuple[str, ...]) -> Any:
    """Rows and models in one DataFrame. Not a cogroup, whose groups must fit in memory."""
    for name in (*keys, "model"):
        if name not in models_df.columns:
            raise BadInputError.unknown_column(name, list(models_df.columns), place="the table of models")
    kinds = {f.name: f.dataType for f in df.schema.fields}
    names = [F.col(quoted(name)).cast(kinds[name]).alias(name) for name in keys]
    models = models_df.select(*names, F.col("model").alias(MODEL), F.lit(0).alias(TURN))
    rows = df.withColumn(MODEL, F.lit(None).cast("binary")).withColumn(TURN, F.lit(1))
    return rows.unionByName(models, allowMissingColumns=True)


def by_key(df: Any, keys: tuple[str, ...], group: OfGroup, schema: Any, first: str | None = None) -> Any:
    """What ``group`` makes of each key's rows, those with the smallest ``first`` before the others.

    Grouping keeps an order that begins with the key; if some release did not, a model would come after rows, and
    :class:`Group` would stop.
    """
    names = tuple(df.columns)
    # grouping takes no names with dots
    plain = df.select(*[F.col(quoted(name)).alias(f"c{i}") for i, name in enumerate(names)])
    at = [F.col(f"c{names.index(key)}") for key in keys]
    if first is not None:
        plain = plain.repartition(*at).sortWithinPartitions(*at, F.col(f"c{names.index(first)}"))
    return plain.groupBy(*at).applyInArrow(_renamed(group, names), schema)


def _renamed(group: OfGroup, names: tuple[str, ...]) -> OfGroup:
    """A function of the form that tells Spark by its types to hand over batches, not whole groups."""

    def of_group(key: tuple[pa.Scalar, ...], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return group(key, (batch.rename_columns(list(names)) for batch in batches))

    return of_group


def in_utc(column: pa.Array) -> pa.Array:
    """Timestamps come in the session's zone and are wanted in UTC; nested ones too."""
    kind = _zoned(column.type)
    return column if kind == column.type else column.cast(kind)


def _zoned(kind: Any) -> Any:
    """
    >>> _zoned(pa.list_(pa.timestamp("us", "Asia/Tokyo")))
    ListType(list<item: timestamp[us, tz=UTC]>)
    """
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_zoned(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([f.with_type(_zoned(f.type)) for f in kind])
    if pa.types.is_map(kind):
        return pa.map_(_zoned(kind.key_type), kind.item_field.with_type(_zoned(kind.item_type)))
    return kind
