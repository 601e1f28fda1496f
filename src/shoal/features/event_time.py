"""Event times from a column: dates, ISO 8601 texts and numbers become seconds since 1970 UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.features.columns import is_number, is_text

TimeUnit = Literal["s", "ms", "us", "ns"]
UNITS: tuple[str, ...] = get_args(TimeUnit)
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_LARGEST = 1e15
"""What :mod:`shoal.summary.forgetting` takes."""


def event_times(column: Any, *, name: str, unit: str = "s") -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n,) seconds since 1970 UTC, and an (n,) mask of the values that are no time (NaN in the result).

    Parameters
    ----------
    column : Arrow array of dates, timestamps, numbers in ``unit``, or ISO 8601 texts (UTC where they name no zone).

    Raises
    ------
    BadInputError : a column of another type.

    >>> event_times(pa.array(["1970-01-01T00:01:00Z", "noon"]), name="t")
    (array([60., nan]), array([False,  True]))
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micro = column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False).cast(pa.int64())
        seconds = _floats(micro) / 1e6
    elif is_number(kind):
        seconds = _floats(column.cast(pa.float64(), safe=False)) / _PER_SECOND[unit]
    elif is_text(kind):
        seconds = _from_text(column, unit)
    elif pa.types.is_null(kind):
        seconds = np.full(len(column), np.nan)
    else:
        raise BadInputError(
            f"is of type {kind}", place=f"column {name!r}", remedy="event times are dates, numbers or texts"
        )
    bad = ~(np.abs(seconds) < _LARGEST)
    return np.where(bad, np.nan, seconds), bad


def parse_time(text: str) -> float:
    """Seconds since 1970 UTC of one ISO 8601 text.

    Raises
    ------
    ValueError : it is none.

    >>> parse_time("1970-01-02"), parse_time("1970-01-01T01:00+01:00")
    (86400.0, 0.0)
    """
    when = datetime.fromisoformat(text.strip())
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()


def _floats(column: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.array(
        pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64
    )
    return values


def _from_text(column: Any, unit: str) -> NDArray[np.float64]:
    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("us")):  # with a zone, without
        try:
            return _floats(column.cast(kind).cast(pa.int64())) / 1e6
        except pa.ArrowInvalid:
            continue
    return np.array([_one(value, unit) for value in column.to_pylist()], np.float64)


def _one(value: str | None, unit: str) -> float:
    if value is None:
        return np.nan
    try:
        return parse_time(value)
    except ValueError:
        pass
    try:
        return float(value) / _PER_SECOND[unit]
    except ValueError:
        return np.nan
