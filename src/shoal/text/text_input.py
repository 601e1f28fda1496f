"""Texts as people have them: lists, arrays, columns of pandas, polars and Arrow; the empty ones counted and left out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError, Rejects
from shoal.text.embedding import clean

EMPTY = "empty text"


@dataclass(frozen=True)
class Texts:
    """The texts that can be used."""

    texts: list[str]
    kept: NDArray[np.intp]
    """Their positions in what was given."""
    given: int
    """How many were given."""
    rejects: Rejects

    def spread(self, values: NDArray[Any], missing: Any) -> NDArray[Any]:
        """(given,) values of all texts: ``missing`` for those that were left out."""
        if len(self.texts) == self.given:
            return values
        out = np.full(self.given, missing, values.dtype)
        out[self.kept] = values
        return out


def texts_of(given: Any) -> Texts:
    """Texts of a list, a NumPy array, or a column of pandas, polars or Arrow.

    None, NaN and texts of nothing but blanks are left out and counted.

    Raises
    ------
    BadInputError : a value that is no text, one text instead of many, a table instead of a column.

    >>> found = texts_of(["lost card", " ", None]); found.texts, found.kept, found.rejects.counts
    (['lost card'], array([0]), {'empty text': 2})
    """
    values = _values(given)
    texts, kept, rejects = [], [], Rejects()
    for i, value in enumerate(values):
        if is_missing(value):
            rejects.add(EMPTY, 1, f"text {i + 1}")
            continue
        if not isinstance(value, str):
            raise BadInputError(
                f"{type(value).__name__} is no text", place=f"text {i + 1}", remedy="give a column of texts"
            )
        text = clean(value)
        if not text.strip():
            rejects.add(EMPTY, 1, f"text {i + 1}")
            continue
        texts.append(text)
        kept.append(i)
    return Texts(texts, np.array(kept, np.intp), len(values), rejects)


def seconds_of(times: Any) -> NDArray[np.float64]:
    """(n,) seconds since 1970 of numbers, dates or ISO 8601 texts; NaN where there is none. Dates without a zone are UTC.

    Raises
    ------
    BadInputError : a value that is no time.

    >>> seconds_of(["1970-01-02", None, datetime(1970, 1, 1, 1)]).tolist()
    [86400.0, nan, 3600.0]
    """
    given = np.asarray(times) if not hasattr(times, "to_pylist") else np.array(times.to_pylist(), object)
    if given.dtype.kind == "M":
        whole = given.astype("datetime64[us]").astype(np.int64) / 1e6
        return np.where(np.isnat(given), np.nan, whole)
    if given.dtype.kind in "iuf":
        return given.astype(np.float64)
    return np.array([_moment(value, i) for i, value in enumerate(_values(times))], np.float64)


def _moment(value: Any, i: int) -> float:
    if is_missing(value):
        return math.nan
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value)
    raise BadInputError("is no time", place=f"time {i + 1}", remedy="give seconds, dates or ISO 8601 texts")


def is_missing(value: Any) -> bool:
    """None, NaN, and what pandas has for them."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def _values(given: Any) -> list[Any]:
    if isinstance(given, (str, bytes)):
        raise BadInputError("one text where many are due", remedy="give a list of texts")
    if hasattr(given, "columns") or getattr(given, "ndim", 1) != 1:
        raise BadInputError("a table where a column of texts is due", remedy='name the column: table["text"]')
    for method in ("to_pylist", "to_list", "tolist"):  # Arrow, pandas and polars, NumPy
        if hasattr(given, method):
            return list(getattr(given, method)())
    if isinstance(given, Iterable):
        return list(given)
    raise BadInputError(f"{type(given).__name__} holds no texts", remedy="give a list of texts")
