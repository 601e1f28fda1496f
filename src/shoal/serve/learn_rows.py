"""Bodies of requests as JSON lines for a stream, each row checked as the model would take it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from shoal.engines.stream.parts import out_of_range
from shoal.errors import BadInputError, Rejects
from shoal.features.event_time import event_times
from shoal.features.recipe import Recipe
from shoal.features.troubles import Refused
from shoal.serve.columns import MEND, PLACE, TEXT, wanted_columns
from shoal.serve.learn_columns import Sent, columns_of
from shoal.serve.models import Served
from shoal.summary.intake import LARGEST

_MEND = MEND.replace("have null for it", "leave it out")
_LARGEST = LARGEST[np.dtype(np.float32)]


@dataclass(frozen=True)
class Lines:
    """The rows of a request."""

    text: bytes
    """One JSON object a line."""
    accepted: int
    skipped: int


def lines_of(
    served: Served | None,
    kind: str,
    body: bytes,
    *,
    time: tuple[str, str] | None = None,
    max_rows: int = 100_000,
    on_error: Literal["raise", "skip"] = "raise",
) -> Lines:
    """Turn a body into lines.

    Parameters
    ----------
    served : whose columns the rows need; None: there is no model yet, and any are taken.
    kind : content type, as for labels.
    time : column of event times that the stream needs too, and its unit.

    Raises
    ------
    BadInputError : with the row, column and remedy. TooManyRowsError : more than ``max_rows``.

    >>> lines_of(None, "application/json", b'{"rows": [{"x": 1}, {"x": 2.5}]}').text
    b'{"x": 1}\\n{"x": 2.5}\\n'
    """
    wanted = () if served is None else wanted_columns(served)
    sent = columns_of(kind, body, wanted, time=None if time is None else time[0], max_rows=max_rows)
    good = np.ones(sent.count, bool)
    if served is not None:
        unfit: set[int] = set()
        arrays = {
            w.name: w.array(sent.columns[w.name], unfit if on_error == "skip" else None) for w in wanted
        }
        good[list(unfit)] = False
        good &= _good(served, arrays, on_error)
        sent.columns.update((name, array.to_pylist()) for name, array in arrays.items())
    if time is not None:
        good &= _timed(sent, *time, on_error)
    kept = np.flatnonzero(good).tolist() if on_error == "skip" else range(sent.count)
    try:
        return Lines(_text(sent, kept), len(kept), sent.count - len(kept))
    except RecursionError as error:
        raise BadInputError("is nested too deeply", place=PLACE, remedy="send plain values") from error


def _text(sent: Sent, kept: Iterable[int]) -> bytes:
    columns = [(name, [_plain(v) for v in values]) for name, values in sent.columns.items()]
    lines = []
    for i in kept:
        row = _plain(sent.rows[i]) if sent.rows else {}
        lines.append(json.dumps(row | {name: values[i] for name, values in columns}, allow_nan=False))
    return "".join(f"{line}\n" for line in lines).encode()


def _good(served: Served, arrays: dict[str, pa.Array], on_error: Literal["raise", "skip"]) -> Any:
    """(n,) whether the model takes each row; those that it filters out are taken."""
    n = len(next(iter(arrays.values())))
    if served.topics is not None:
        good = np.array([bool(t and t.strip()) for t in arrays[TEXT].to_pylist()])
        _refuse(good, "the text is empty", None, on_error)
        return good
    if served.recipe is not None:
        return _good_by_recipe(served.recipe, arrays, on_error)
    good = np.ones(n, bool)
    for name, array in arrays.items():
        values = np.abs(np.asarray(array.to_numpy(zero_copy_only=False), np.float64))
        _refuse(np.isfinite(values), "value is missing or not finite", name, on_error)
        _refuse(values <= _LARGEST, f"value beyond {_LARGEST:g}", name, on_error)
        good &= values <= _LARGEST
    return good


def _good_by_recipe(recipe: Recipe, arrays: dict[str, pa.Array], on_error: Literal["raise", "skip"]) -> Any:
    batch = pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    n = batch.num_rows
    refused: Refused = []
    try:
        found = recipe.apply(
            batch, origin=PLACE, rows=np.arange(n), rejects=Rejects(), on_error=on_error, refused=refused
        )
    except BadInputError as error:
        remedy = _MEND if error.remedy and "--" in error.remedy else error.remedy
        raise BadInputError(error.problem, place=error.place, remedy=remedy) from error
    good = np.ones(n, bool)
    for rows, _ in refused:
        good[rows] = False
    for mask, reason in out_of_range(found.matrix, found.weight, recipe):
        fine = np.ones(n, bool)
        fine[found.kept[mask]] = False
        _refuse(fine, reason, None, on_error)
        good &= fine
    return good


def _timed(sent: Sent, name: str, unit: str, on_error: str) -> Any:
    """(n,) whether each row has an event time."""
    found = sent.columns
    if name not in found:
        raise BadInputError.unknown_column(name, list(found)[:200], place=PLACE)
    try:
        bad = event_times(pa.array([_plain(v) for v in found[name]]), name=name, unit=unit)[1]
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise BadInputError(
            f"no event times ({str(error)[:100]})",
            place=f"{PLACE}, column {name!r}",
            remedy="send numbers or ISO 8601 texts",
        ) from error
    _refuse(~bad, "no event time", name, on_error)
    return ~bad


def _refuse(good: Any, problem: str, column: str | None, on_error: str) -> None:
    if on_error == "raise" and not good.all():
        place = f"{PLACE}, row {int(good.argmin()) + 1}"
        raise BadInputError(
            problem, place=place if column is None else f"{place}, column {column!r}", remedy=_MEND
        )


def _plain(value: Any) -> Any:
    """What JSON has a word for; missing and infinite numbers have none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, str):
        return _clean(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, dict):
        return {_clean(str(k)): _plain(v) for k, v in value.items()}
    return str(value)


def _clean(text: str) -> str:
    """Without halves of characters, which JSON can write and no file can."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
