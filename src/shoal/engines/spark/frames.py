"""Spark DataFrames under a recipe: the first rows to learn it from, the columns to read, the summary of a partition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.engines.file_parts import Counted, packed
from shoal.engines.shares import SummarySettings
from shoal.engines.spark import jobs
from shoal.engines.spark.rows import as_vectors, is_spark_vector
from shoal.errors import BadInputError, Rejects
from shoal.features.recipe import Recipe
from shoal.features.spec import OnError, RecipeSpec
from shoal.features.where import Where
from shoal.sources.protocol import PEEK_ROWS

TABLE = "table:"
"""How a table of Spark's catalogue is named among files."""
FRAME = "the DataFrame"


@dataclass(frozen=True)
class FrameWork:
    """Summarise a partition of a DataFrame; an empty one answers nothing."""

    recipe: Recipe
    on_error: OnError
    settings: SummarySettings

    def __call__(self, partition: int, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
        """One reply: :func:`packed`."""
        summary, rejects, rows, filtered = self.settings.new(), Rejects(), 0, 0
        for batch in batches:
            found = self.recipe.apply(
                with_lists(batch),
                origin=f"partition {partition} of {FRAME}",
                rows=np.arange(rows, rows + batch.num_rows),
                rejects=rejects,
                on_error=self.on_error,
            )
            rows += batch.num_rows
            filtered += found.filtered
            summary.update(found.matrix, found.weight)
        if rows:
            yield packed(Counted(summary, rows, filtered, rejects))


def with_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch whose columns of Spark's vectors have become lists of numbers, as recipes take them.

    >>> vector = {"type": 0, "size": 3, "indices": [1], "values": [5.0]}
    >>> kind = pa.struct([("type", pa.int8()), ("size", pa.int32()), ("indices", pa.list_(pa.int32())),
    ...                   ("values", pa.list_(pa.float64()))])
    >>> with_lists(pa.record_batch({"v": pa.array([vector, None], kind)})).column("v").to_pylist()
    [[0.0, 5.0, 0.0], None]
    """
    if not any(is_spark_vector(field.type) for field in batch.schema):
        return batch
    columns = [
        _lists(column, name) if is_spark_vector(column.type) else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _lists(column: Any, name: str) -> pa.Array:
    found = as_vectors(column, name)
    ends = np.concatenate([[0], np.cumsum(np.maximum(found.lengths, 0))]).astype(np.int32)
    return pa.ListArray.from_arrays(ends, pa.array(found.flat), mask=pa.array(found.lengths < 0))


@dataclass(frozen=True)
class _Meant:
    """Only the rows that a condition takes, with lists for vectors."""

    where: str | None

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            plain = with_lists(batch)
            yield plain if self.where is None else plain.filter(pa.array(Where(self.where).mask(plain)))


def table_of(spark: Any, name: str) -> Any:
    """A table of Spark's catalogue, which is looked up now."""
    from pyspark.errors import AnalysisException

    try:
        df = spark.table(name)
        df.schema  # noqa: B018 - Connect looks it up only here
    except AnalysisException as error:
        said = str(error).splitlines()[0]
        raise BadInputError(
            f"cannot be used ({said})", place=f"{TABLE}{name}", remedy="write it as catalog.database.name"
        ) from error
    return df


def first_rows(chosen: Any, where: str | None) -> pa.Table:
    """The first block, as files have it: rows that the condition takes, with lists for vectors."""
    from pyspark.sql import types as t

    fields = [
        t.StructField(f.name, t.ArrayType(t.DoubleType()) if _is_vector(f.dataType) else f.dataType)
        for f in chosen.schema.fields
    ]
    if where is not None or any(_is_vector(f.dataType) for f in chosen.schema.fields):
        chosen = chosen.mapInArrow(_Meant(where), t.StructType(fields))
    with jobs.told():
        first: pa.Table = chosen.limit(PEEK_ROWS).toArrow()
    if not first.num_rows:
        said = "it has no rows" if where is None else f"no row meets the condition {where!r}"
        raise BadInputError(said, place=FRAME, remedy="check its filter, and the condition")
    return first


def columns_of(df: Any, recipe: RecipeSpec | Recipe) -> tuple[list[str], tuple[str, ...]]:
    """The columns to read, and those that could not become features where the choice was ours."""
    fields = {field.name: field.dataType for field in df.schema.fields}
    left_out: tuple[str, ...] = ()
    if isinstance(recipe, Recipe):
        wanted = list(recipe.columns_needed)
    else:
        extra = list(Where(recipe.where).columns) if recipe.where is not None else []
        extra += [recipe.weight] if recipe.weight else []
        chosen = recipe.columns
        if chosen is None:
            chosen = tuple(name for name, kind in fields.items() if _is_feature(kind))
            named = {*chosen, *extra, *recipe.one_hot}
            left_out = tuple(
                f"{name} ({'text' if kind.typeName() == 'string' else kind.simpleString()})"
                for name, kind in fields.items()
                if name not in named
            )
        wanted = list(dict.fromkeys((*chosen, *recipe.one_hot, *extra))) or list(fields)
    for name in wanted:
        if name not in fields:
            raise BadInputError.unknown_column(name, list(fields), place=FRAME)
    return wanted, left_out


def _is_feature(kind: Any) -> bool:
    from pyspark.sql import types as t

    if isinstance(kind, t.ArrayType):
        kind = kind.elementType
    return _is_vector(kind) or isinstance(kind, (t.NumericType, t.BooleanType))


def _is_vector(kind: Any) -> bool:
    return type(kind).__name__ == "VectorUDT"
