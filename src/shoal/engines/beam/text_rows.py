"""From a pipeline's elements to texts: plain texts, or dicts, rows and named tuples that hold one; what is wrong with the others."""

from __future__ import annotations

import math
import os
import time as clock
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from shoal.engines.beam.rows import NO_TIME, Fields, Refused, field_of
from shoal.errors import BadInputError
from shoal.summary.forgetting import FUTURE
from shoal.summary.intake import LARGEST
from shoal.text.embedding import clean
from shoal.text.text_input import EMPTY, is_missing

TEXT = "text"
"""Field of the text where none is named."""


class TextRow(NamedTuple):
    """What one element says."""

    text: str
    id: int | str | None
    weight: float
    time: float
    """Seconds; NaN for none."""


class ReadTexts(NamedTuple):
    """What was found in some elements."""

    rows: list[TextRow]
    kept: list[int]
    """Positions of the elements that can be used."""
    refused: list[Refused]


def checked_fields(fields: Fields | None) -> Fields:
    """Fields of which at most one is the text.

    Raises
    ------
    BadInputError : more are named.
    """
    fields = fields or Fields()
    if len(fields.features) > 1:
        raise BadInputError(
            f"{len(fields.features)} fields are named as the text",
            remedy='name one: Fields(("text",), id="id")',
        )
    return fields


def read_rows(
    elements: Sequence[Any], fields: Fields, stamps: Sequence[float] | None = None, *, timed: bool = False
) -> ReadTexts:
    """Texts of the elements that can be used.

    Parameters
    ----------
    stamps : (n,) Beam's event times in seconds, NaN for none; default: there are none.
    timed : texts without an event time are refused.

    >>> found = read_rows(["lost card", " ", 7, {"text": "exchange rate"}], Fields())
    >>> [row.text for row in found.rows], [r.reason for r in found.refused]
    (['lost card', 'exchange rate'], ['empty text', "int has no field 'text'"])
    """
    rows, kept, refused = [], [], []
    for i, element in enumerate(elements):
        try:
            stamp = math.nan if stamps is None else stamps[i]
            rows.append(_row(element, fields, stamp, timed=timed))
            kept.append(i)
        except BadInputError as error:
            refused.append(Refused(i, error.problem))
    return ReadTexts(rows, kept, refused)


def text_of(element: Any, fields: Fields) -> str:
    """The text of an element, as language models read it.

    Raises
    ------
    BadInputError : it has none, or an empty one.
    """
    value = element
    if element is not None and (fields.features or not isinstance(element, str)):
        value = field_of(element, fields.features[0] if fields.features else TEXT)
    if is_missing(value):
        raise BadInputError(EMPTY)
    if not isinstance(value, str):
        raise BadInputError(f"{type(value).__name__} is no text")
    text = clean(value)
    if not text.strip():
        raise BadInputError(EMPTY)
    return text


def new_ids(n: int) -> list[int | str]:
    """Names for n texts that have none.

    By chance, as workers do not know of each other: anything made of the texts alone would take equal texts for one.
    """
    names: list[int | str] = np.frombuffer(os.urandom(8 * n), np.int64).tolist()
    return names


def _row(element: Any, fields: Fields, stamp: float, *, timed: bool) -> TextRow:
    return TextRow(
        text_of(element, fields),
        _id(element, fields.id),
        _weight(element, fields.weight),
        _time(element, fields.time, stamp, timed=timed),
    )


def _id(element: Any, name: str | None) -> int | str | None:
    if name is None:
        return None
    value = field_of(element, name)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)) and -(2**63) <= int(value) < 2**63:
        return int(value)
    raise BadInputError(f"field {name!r} is no id")


def _weight(element: Any, name: str | None) -> float:
    if name is None:
        return 1.0
    weight = _number(field_of(element, name), name)
    if not 0.0 <= weight <= LARGEST[np.dtype(np.float64)]:
        raise BadInputError(f"field {name!r} is NaN, negative or too large")
    return weight


def _time(element: Any, name: str | None, stamp: float, *, timed: bool) -> float:
    if name is None:
        if timed and not math.isfinite(stamp):
            raise BadInputError(NO_TIME)
        return stamp
    value = field_of(element, name)
    if is_missing(value):
        raise BadInputError(NO_TIME)
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    time = _number(value, name)
    if not -1e15 < time <= clock.time() + FUTURE:  # one such text would age all others away
        raise BadInputError(f"time in field {name!r} lies in the future, or is in no seconds")
    return time


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadInputError(f"field {name!r} is missing or no number") from None
