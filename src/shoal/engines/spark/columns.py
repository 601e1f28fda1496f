"""What a DataFrame must have before a job is sent: columns that exist, of types that can be rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shoal.engines.spark.rows import RowColumns
from shoal.errors import BadInputError

_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "boolean")


def select_rows(df: Any, columns: RowColumns) -> Any:
    """The columns that hold the rows, checked.

    Raises
    ------
    BadInputError : see :func:`checked_schema`.
    """
    checked_schema(df.schema, columns)
    return df.select(*[plain_column(df, name) for name in columns.names()])


def plain_column(df: Any, name: str) -> Any:
    """A column under its own name; vectors as arrays, which Spark hands to Arrow several times faster."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

    column = F.col(quoted(name))
    if type(df.schema[name].dataType).__name__ != "VectorUDT":
        return column
    return F.when(column.isNotNull(), vector_to_array(column)).alias(name)


def checked_schema(schema: Any, columns: RowColumns) -> None:
    """Look at names and types only.

    Raises
    ------
    BadInputError : a column that is not there, or of a type that cannot be used; with the remedy.
    """
    types = {field.name: field.dataType for field in schema.fields}
    for name in columns.names():
        if name not in types:
            raise BadInputError.unknown_column(name, list(types), place="the DataFrame")
    several = len(columns.features) > 1
    for name in columns.features:
        kind = types[name]
        if not (_is_number(kind) or (not several and _is_rows(kind))):
            raise _wrong(
                name,
                kind,
                "give numeric columns in featuresCols, or one column of vectors or arrays of numbers "
                "(VectorAssembler, or array(...))",
            )
    for extra in (columns.weight, columns.id):
        if extra is not None and not _is_number(types[extra]):
            raise _wrong(extra, types[extra], "weights are numbers and ids whole numbers; cast it first")
    time = columns.time
    if time is not None and not (_is_number(types[time]) or types[time].typeName() in _TIMES):
        raise _wrong(time, types[time], "an event time is a timestamp, a date or seconds as a number")


_TIMES = ("timestamp", "timestamp_ntz", "date")


def check_free(df: Any, names: Iterable[str]) -> None:
    """Raise BadInputError where a column we would add is there already."""
    for name in names:
        if name in df.columns:
            raise BadInputError(
                "is there already",
                place=f"column {name!r}",
                remedy="drop it, or choose another name for ours",
            )


def quoted(name: str) -> str:
    """A column name as Spark parses it back, dots and all.

    >>> quoted("a.b")
    '`a.b`'
    """
    return "`" + name.replace("`", "``") + "`"


def _is_number(kind: Any) -> bool:
    return kind.simpleString() in _NUMBERS or kind.typeName() == "decimal"


def _is_rows(kind: Any) -> bool:
    if type(kind).__name__ == "VectorUDT":
        return True
    return kind.typeName() == "array" and _is_number(kind.elementType)


def _wrong(name: str, kind: Any, remedy: str) -> BadInputError:
    return BadInputError(f"is {kind.simpleString()}", place=f"column {name!r}", remedy=remedy)
