"""From Arrow batches to rows: vectors, arrays or several columns, with weights, event times and names of rows.

Runs in Spark's Python workers, and needs nothing of pyspark.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shoal.engines.shares import RowBatch
from shoal.errors import BadInputError, Rejects
from shoal.features.columns import is_number, is_vector, numbers
from shoal.model.cluster_model import unit_rows
from shoal.summary.intake import LARGEST

Mask = NDArray[np.bool_]
LARGEST_WEIGHT = 1e100


@dataclass(frozen=True)
class RowColumns:
    """Which columns hold the rows.

    >>> RowColumns(("features",), weight="w").names()
    ['features', 'w']
    """

    features: tuple[str, ...]
    """One column of vectors (``VectorUDT`` or an array of numbers), or several of numbers."""
    weight: str | None = None
    time: str | None = None
    """Event time: seconds as a number, or a timestamp or date."""
    id: str | None = None
    """A whole number that names a row for ever: a row that comes twice is one row of the sample."""
    invalid: Literal["error", "skip"] = "error"
    """What to do with rows that cannot be used: stop, or count them and go on."""
    cosine: bool = False
    """Scale rows to length 1."""

    def names(self) -> list[str]:
        """Columns to read, each once."""
        extra = (self.weight, self.time, self.id)
        return list(dict.fromkeys((*self.features, *(name for name in extra if name is not None))))


class RowReader:
    """Turns batches into rows and counts those refused.

    Parameters
    ----------
    columns : where the rows are.
    partition : for messages.
    width : numbers in a row; None: as many as the first row has.
    of : what rows are counted in, for messages.

    >>> reader = RowReader(RowColumns(("v",), invalid="skip"))
    >>> batch = pa.record_batch({"v": [[1.0, 2.0], None, [3.0, float("nan")]]})
    >>> reader.read(batch).X, reader.rejects.counts
    (array([[1., 2.]]), {'the row is null': 1, 'value is NaN or infinite': 1})
    """

    def __init__(
        self, columns: RowColumns, partition: int = 0, width: int | None = None, *, of: str = "partition"
    ) -> None:
        self.columns, self.width, self._of = columns, width, f"{of} {partition}"
        self.rejects = Rejects()
        self.rows = 0
        """Rows read so far, refused ones included."""

    def read(self, batch: pa.RecordBatch) -> RowBatch:
        """The rows of a batch that can be used.

        Raises
        ------
        BadInputError : a row that cannot be used, unless such rows are to be skipped; a column of another type.
        """
        n = batch.num_rows
        usable = np.ones(n, np.bool_)
        X = self._features(batch, usable)
        c = self.columns
        weights = self._extra(batch, c.weight, usable, _as_weights)
        times = self._extra(batch, c.time, usable, _as_times)
        ids = self._extra(batch, c.id, usable, _as_ids)
        if c.cosine:
            zeros = np.asarray(~X.any(axis=1), np.bool_)
            self._refuse("the row is all zeros, which has no direction", zeros, usable, c.features)
        self.rows += n
        kept = np.flatnonzero(usable)
        if len(kept) < n:
            X = X[kept]
            weights, times, ids = (None if a is None else a[kept] for a in (weights, times, ids))
        return RowBatch(unit_rows(X) if c.cosine and len(X) else X, weights, times, ids, kept)

    def _features(self, batch: pa.RecordBatch, usable: Mask) -> NDArray[Any]:
        names = self.columns.features
        if len(names) == 1 and not is_number(batch.column(names[0]).type):
            X = self._vectors(batch.column(names[0]), usable)
        else:
            X = _side_by_side([batch.column(name) for name in names], names)
        most = LARGEST[X.dtype]
        with np.errstate(invalid="ignore"):
            fits = np.abs(X).max(axis=1, initial=0.0) <= most  # False for NaN too
        if not fits.all():
            finite = np.isfinite(X).all(axis=1)
            self._refuse(
                "value is NaN or infinite", ~finite, usable, names, _where(X, ~np.isfinite(X), names)
            )
            too_large = finite & ~fits
            self._refuse(f"value is beyond {most:g}", too_large, usable, names)
            X = np.where(usable[:, None], X, 0.0).astype(X.dtype)
        return X

    def _vectors(self, column: Any, usable: Mask) -> NDArray[Any]:
        names = self.columns.features
        found = as_vectors(column, names[0])
        self._refuse("the row is null", found.lengths < 0, usable, names)
        if self.width is None and usable.any():
            self.width = int(found.lengths[np.flatnonzero(usable)[0]])
        width = self.width or 0
        other = usable & (found.lengths != width)
        if other.any():
            length = int(found.lengths[np.flatnonzero(other)[0]])
            reason = f"the row has {length} numbers, not {width}"
            self._refuse(reason, other, usable, names)
        if not width and usable.any():
            self._refuse("the row has no numbers", usable.copy(), usable, names)
        return found.matrix(usable, width)

    def _extra(
        self, batch: pa.RecordBatch, name: str | None, usable: Mask, convert: Callable[..., Any]
    ) -> NDArray[Any] | None:
        if name is None:
            return None
        values, wrong, reason = convert(batch.column(name), name)
        self._refuse(reason, wrong, usable, (name,))
        out: NDArray[Any] = values
        return out

    def _refuse(
        self, reason: str, wrong: Mask, usable: Mask, names: tuple[str, ...], where: str | None = None
    ) -> None:
        """Mark rows as not to be used, or stop at the first."""
        wrong = wrong & usable
        if not wrong.any():
            return
        row = self.rows + int(np.flatnonzero(wrong)[0]) + 1
        place = f"{where or _named(names)}, row {row} of {self._of}"
        if self.columns.invalid == "error":
            raise BadInputError(
                reason,
                place=place,
                remedy='mend or drop such rows, or set handleInvalid="skip" to count them',
            )
        usable &= ~wrong
        self.rejects.add(reason, int(wrong.sum()), place)


class Vectors(NamedTuple):
    """Lists of numbers as one flat array."""

    flat: NDArray[Any]
    lengths: NDArray[np.int64]
    """(n,) numbers of each row; -1 for null."""

    def matrix(self, usable: Mask, width: int) -> NDArray[Any]:
        """(n, width), zeros where a row is not usable."""
        if usable.all():
            return np.ascontiguousarray(self.flat.reshape(len(usable), width))
        out = np.zeros((len(usable), width), self.flat.dtype)
        of_usable = np.repeat(usable, np.maximum(self.lengths, 0))
        out[usable] = self.flat[of_usable].reshape(int(usable.sum()), width)
        return out


def as_vectors(column: Any, name: str) -> Vectors:
    """A column of arrays, or of Spark's vectors as Arrow has them, as numbers; nulls inside rows become NaN.

    Raises
    ------
    BadInputError : the column holds something else.

    >>> as_vectors(pa.array([[1.0], None, [2.0, 3.0]]), "v").lengths.tolist()
    [1, -1, 2]
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if is_vector(column.type):
        return _from_lists(column)
    if is_spark_vector(column.type):
        return _from_spark(column)
    raise BadInputError(
        f"is {column.type}, not vectors, arrays of numbers or numbers",
        place=f"column {name!r}",
        remedy="assemble a vector first, or name numeric columns in featuresCols",
    )


def is_spark_vector(kind: Any) -> bool:
    """Whether a type is how Spark stores ``VectorUDT``."""
    if not pa.types.is_struct(kind):
        return False
    return [kind.field(i).name for i in range(kind.num_fields)] == ["type", "size", "indices", "values"]


def _from_lists(column: Any) -> Vectors:
    if pa.types.is_fixed_size_list(column.type):
        lengths = np.full(len(column), column.type.list_size, np.int64)
        lengths[~_valid(column)] = -1
    else:
        lengths = np.asarray(pc.fill_null(pc.list_value_length(column), -1), np.int64)
    return Vectors(_floats(column.flatten()), lengths)


def _from_spark(column: Any) -> Vectors:
    kind, size, _, values = column.flatten()
    if kind.null_count == 0 and pc.min(kind).as_py() == 1:
        return _from_lists(values)
    return _with_sparse(column, np.asarray(pc.fill_null(kind, -1), np.int8), size)


def _with_sparse(column: Any, kind: NDArray[np.int8], size: Any) -> Vectors:
    """Some rows are sparse: written out one after the other."""
    _, _, indices, values = column.flatten()
    sizes = np.asarray(pc.fill_null(size, 0), np.int64)
    counts = np.asarray(pc.fill_null(pc.list_value_length(values), 0), np.int64)
    lengths = np.where(kind == 1, counts, np.where(kind == 0, sizes, -1))
    held, given = _floats(values.flatten()), np.asarray(indices.flatten(), np.int64)
    starts = np.concatenate([[0], np.cumsum(np.maximum(lengths, 0))])
    flat = np.zeros(int(starts[-1]))
    rows = np.repeat(np.arange(len(kind)), counts)
    within = np.arange(len(held)) - np.repeat(np.cumsum(counts) - counts, counts)
    sparse = kind[rows] == 0
    within[sparse] = given
    flat[starts[rows] + within] = held
    return Vectors(flat, lengths)


def _side_by_side(columns: list[Any], names: tuple[str, ...]) -> NDArray[Any]:
    if all(pa.types.is_float32(c.type) for c in columns):
        return np.stack([_floats(c) for c in columns], axis=1)
    return np.stack([numbers(c, name)[0] for c, name in zip(columns, names, strict=True)], axis=1)


def _floats(values: Any) -> NDArray[Any]:
    """float32 and float64 as they are, other numbers as float64; NaN for null."""
    if not (pa.types.is_float32(values.type) or pa.types.is_float64(values.type)):
        return numbers(values, "")[0]
    out: NDArray[Any] = np.asarray(values.to_numpy(zero_copy_only=False))
    return out


def _as_weights(column: Any, name: str) -> tuple[NDArray[np.float64], Mask, str]:
    values, _ = numbers(column, name)
    wrong = ~(values >= 0) | (values > LARGEST_WEIGHT)
    return np.where(wrong, 0.0, values), wrong, "the weight is null, NaN, negative or infinite"


def _as_times(column: Any, name: str) -> tuple[NDArray[np.float64], Mask, str]:
    kind = column.type
    if pa.types.is_temporal(kind):
        micros = column.cast(pa.timestamp("us", getattr(kind, "tz", None))).cast(pa.int64())
        values = numbers(micros, name)[0] / 1e6
    else:
        values, _ = numbers(column, name)
    wrong = ~np.isfinite(values)
    return np.where(wrong, 0.0, values), wrong, "the event time is null or not finite"


def _as_ids(column: Any, name: str) -> tuple[NDArray[np.int64], Mask, str]:
    if not pa.types.is_integer(column.type):
        raise BadInputError(f"is {column.type}", place=f"column {name!r}", remedy="an id is a whole number")
    values = np.asarray(pc.fill_null(column, 0).cast(pa.int64()), np.int64)
    return values, ~_valid(column), "the id is null"


def _valid(column: Any) -> Mask:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), np.bool_)


def _named(names: tuple[str, ...]) -> str:
    if len(names) == 1:
        return f"column {names[0]!r}"
    return f"columns {', '.join(repr(n) for n in names[:4])}{', ...' * (len(names) > 4)}"


def _where(X: NDArray[Any], wrong: Mask, names: tuple[str, ...]) -> str | None:
    """The first wrong value: its column, or its position in the vector."""
    if not wrong.any():
        return None
    j = int(np.nonzero(wrong)[1][0])
    return f"column {names[j]!r}" if len(names) > 1 else f"column {names[0]!r}, position {j}"
