"""Arrow columns as float64 blocks, with NaN for what is missing and a mask for what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shoal.errors import BadInputError

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Numeric:
    """One column of numbers; booleans count as 0 and 1."""

    name: str

    @property
    def width(self) -> int:
        """Number of features."""
        return 1

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The column's own name."""
        return (self.name,)

    def encode(self, column: Any) -> tuple[FloatArray, Mask]:
        """(n, 1) values, NaN where missing or wrong, and an (n,) mask of values that are no number."""
        values, wrong = numbers(column, self.name)
        return values[:, None], wrong


@dataclass(frozen=True)
class Vector:
    """One column of lists of ``width`` numbers."""

    name: str
    width: int

    @property
    def feature_names(self) -> tuple[str, ...]:
        """``name[0]``, ``name[1]``, ..."""
        return tuple(f"{self.name}[{i}]" for i in range(self.width))

    def encode(self, column: Any) -> tuple[FloatArray, Mask]:
        """(n, width) values, NaN where missing or wrong, and an (n,) mask of lists of another length."""
        return vectors(column, self.width, self.name)


def is_vector(kind: Any) -> bool:
    """Whether a type is a list of numbers.

    >>> is_vector(pa.list_(pa.float32(), 4)), is_vector(pa.list_(pa.string()))
    (True, False)
    """
    listed = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(listed and is_number(kind.value_type))


def is_number(kind: Any) -> bool:
    """Whether a type holds plain numbers (decimals and booleans too; not dates)."""
    of = pa.types
    return bool(of.is_integer(kind) or of.is_floating(kind) or of.is_decimal(kind) or of.is_boolean(kind))


def is_text(kind: Any) -> bool:
    """Whether a type holds text, dictionary-encoded or not."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def plain(column: Any) -> Any:
    """A column with string views (as polars hands out) turned into strings, for which Arrow has all kernels.

    >>> plain(pa.array(["a"], pa.string_view())).type
    DataType(string)
    """
    if pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    if pa.types.is_dictionary(column.type) and pa.types.is_string_view(column.type.value_type):
        return pa.DictionaryArray.from_arrays(column.indices, column.dictionary.cast(pa.string()))
    return column


def plain_batch(batch: Any) -> Any:
    """A record batch whose columns are all :func:`plain`."""
    columns = [plain(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def numbers(column: Any, name: str) -> tuple[FloatArray, Mask]:
    """A column as (n,) float64 with NaN for null, and an (n,) mask of texts that are no number.

    Raises :class:`BadInputError` for dates and other types that are no numbers at all.

    >>> values, wrong = numbers(pa.array(["1", None, "x"]), "a")
    >>> values.tolist(), wrong.tolist()
    ([1.0, nan, nan], [False, False, True])
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_text(column.type):
        return _from_text(column)
    if pa.types.is_temporal(column.type):
        remedy = "turn it into a number first (seconds, hour of day), or leave it out of --columns"
        raise BadInputError(f"is {column.type}, a point in time", place=f"column {name!r}", remedy=remedy)
    if not (is_number(column.type) or pa.types.is_null(column.type)):
        raise BadInputError(
            f"is {column.type}, not a number", place=f"column {name!r}", remedy="leave it out of --columns"
        )
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    column = column.cast(pa.float64(), safe=False)
    values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    return values, np.zeros(len(values), dtype=np.bool_)


def _from_text(column: Any) -> tuple[FloatArray, Mask]:
    column = pc.utf8_trim_whitespace(column.cast(pa.string()))
    column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    try:
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        values = np.array([_number_or_nan(v) for v in column.to_pylist()], dtype=np.float64)
    values = np.asarray(values, dtype=np.float64)
    says_nan = np.asarray(pc.equal(pc.utf8_lower(pc.fill_null(column, "nan")), "nan"), dtype=np.bool_)
    return values, np.isnan(values) & ~says_nan


def _number_or_nan(text: str | None) -> float:
    try:
        return float("nan" if text is None or "_" in text else text)
    except ValueError:
        return float("nan")


def vectors(column: Any, width: int, name: str) -> tuple[FloatArray, Mask]:
    """A list column as (n, width) float64 with NaN for what is missing, and an (n,) mask of other lengths.

    >>> values, wrong = vectors(pa.array([[1.0, 2.0], None, [3.0]]), 2, "v")
    >>> values.tolist(), wrong.tolist()
    ([[1.0, 2.0], [nan, nan], [nan, nan]], [False, False, True])
    """
    if not is_vector(column.type):
        raise BadInputError(
            f"is {column.type}, not lists of numbers", place=f"column {name!r}", remedy="mend the data"
        )
    present = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    if pa.types.is_fixed_size_list(column.type):
        lengths = np.full(len(column), column.type.list_size)
    else:
        lengths = np.asarray(pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False))
    fits = present & (lengths == width)
    # flatten() obeys offsets, slices and nulls; all that is left has the same length.
    flat, _ = numbers((column if fits.all() else column.filter(pa.array(fits))).flatten(), name)
    if fits.all():
        # A copy only where Arrow's own memory was handed out, which is read-only.
        return np.require(flat, requirements="W").reshape(-1, width), np.zeros(len(column), dtype=np.bool_)
    out = np.full((len(column), width), np.nan)
    out[fits] = flat.reshape(-1, width)
    return out, np.asarray(present & ~fits, dtype=np.bool_)
