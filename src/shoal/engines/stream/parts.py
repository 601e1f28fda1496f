"""Rows of a stream on their way: accepted by the recipe, with what labels will carry along."""

from __future__ import annotations

import json
import math
import time as clock
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shoal.errors import BadInputError, Rejects
from shoal.features.event_time import event_times
from shoal.features.recipe import Recipe
from shoal.features.troubles import Refused
from shoal.sources.stream_protocol import DeadLetter
from shoal.summary.forgetting import FUTURE
from shoal.summary.intake import LARGEST, MOST_WEIGHT

Told = tuple[NDArray[np.bool_], str]
"""(n,) rows that are refused, and why."""
TOO_LARGE = f"value beyond {LARGEST[np.dtype(np.float32)]:g} when scaled"


@dataclass(frozen=True)
class Piece:
    """Rows as a source gave them."""

    table: pa.RecordBatch
    origin: str
    key: int
    rows: NDArray[np.int64]
    """(n,) numbers of the rows in their source."""
    times: NDArray[np.float64] | None = None
    """(n,) event times the source itself knows."""
    dead: tuple[DeadLetter, ...] = ()
    """Records of this stretch that the source could not read."""


@dataclass(frozen=True)
class Part:
    """Rows as vectors."""

    matrix: NDArray[np.float32]
    weights: NDArray[np.float64] | None
    rows: NDArray[np.int64]
    times: NDArray[np.float64] | None
    carried: pa.RecordBatch
    """Columns of the input that go with the labels."""
    origin: str
    key: int

    def __len__(self) -> int:
        return len(self.rows)

    def slice(self, start: int, stop: int) -> Part:
        """Some of the rows."""
        at = slice(start, stop)
        return Part(
            self.matrix[at],
            None if self.weights is None else self.weights[at],
            self.rows[at],
            None if self.times is None else self.times[at],
            self.carried.slice(start, stop - start),
            self.origin,
            self.key,
        )


@dataclass(frozen=True)
class Accepted:
    """What came of a piece."""

    part: Part
    dead: list[DeadLetter]
    filtered: int


def accept(
    piece: Piece,
    recipe: Recipe,
    *,
    time: str | None,
    time_unit: str,
    timed: bool,
    keep: tuple[str, ...],
    rejects: Rejects,
) -> Accepted:
    """Vectors and event times of the good rows; the others are dead letters with a reason.

    Raises
    ------
    BadInputError : a column is missing altogether, or has a type that cannot be used.
    """
    refused: Refused = []
    found = recipe.apply(
        piece.table, origin=piece.origin, rows=piece.rows, rejects=rejects, on_error="skip", refused=refused
    )
    kept, matrix, weights = found.kept, found.matrix, found.weight
    told = out_of_range(matrix, weights, recipe)
    times = _times(piece, time, time_unit)
    if times is not None:
        told += _bad_times(times[kept], time or "the source's time")
    good = np.ones(len(kept), np.bool_)
    for mask, reason in told:
        fresh = piece.rows[kept[mask & good]]  # each is counted once, for the first reason found
        good &= ~mask
        if len(fresh):
            refused.append((fresh, reason))
            rejects.add(reason, len(fresh), f"{piece.origin}, row {fresh[0] + 1}")
    if not good.all():
        kept, matrix = kept[good], matrix[good]
        weights = None if weights is None else weights[good]
    if times is not None:
        times = times[kept]
    elif timed:
        raise BadInputError(
            "rows have no event times",
            place=piece.origin,
            remedy="name their column with --time, or count in rows",
        )
    carried = piece.table.select(_known(keep, piece)).take(pa.array(kept))
    part = Part(matrix, weights, piece.rows[kept], times, carried, piece.origin, piece.key)
    return Accepted(part, _letters(piece, refused), found.filtered)


def _times(piece: Piece, time: str | None, unit: str) -> NDArray[np.float64] | None:
    if time is None:
        return piece.times
    names = list(piece.table.schema.names)
    if time not in names:
        raise BadInputError.unknown_column(time, names, place=piece.origin)
    return event_times(piece.table.column(time), name=time, unit=unit)[0]


def out_of_range(
    matrix: NDArray[np.float32], weights: NDArray[np.float64] | None, recipe: Recipe
) -> list[Told]:
    """Rows that a summary would refuse, though the recipe makes vectors of them, with the reason.

    Parameters
    ----------
    matrix : (n, d) vectors. weights : (n,) or None.
    """
    told: list[Told] = []
    largest = LARGEST[np.dtype(np.float32)]
    if matrix.size and not (float(matrix.max()) <= largest and float(matrix.min()) >= -largest):
        large = np.abs(matrix) > largest
        names = recipe.feature_names
        told += [
            (large[:, j], f"{TOO_LARGE}, column {names[j]!r}")
            for j in np.flatnonzero(large.any(axis=0)).tolist()
        ]
    if weights is not None and (heavy := weights > MOST_WEIGHT).any():
        told.append((heavy, f"weight beyond {MOST_WEIGHT:g}, column {recipe.spec.weight!r}"))
    return told


def _bad_times(times: NDArray[np.float64], name: str) -> list[Told]:
    missing = np.isnan(times)
    ahead = ~missing & (times > clock.time() + FUTURE)
    told = [
        (missing, f"no event time in {name!r}"),
        (ahead, f"event time in {name!r} lies in the future; is the unit right?"),
    ]
    return [(mask, reason) for mask, reason in told if mask.any()]


def with_times_as_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same with dates, times and durations as text: Python has no word for all that Arrow has.

    >>> far = pa.array([10**18], pa.timestamp("us"))
    >>> with_times_as_text(pa.record_batch({"at": far})).to_pylist()
    [{'at': '<value out of range: 1000000000000000000>'}]
    """
    columns = [
        pc.cast(column, pa.string())
        if pa.types.is_temporal(column.type) and not _is_interval(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _is_interval(kind: Any) -> bool:
    return bool(pa.types.is_interval(kind))  # Arrow has no text for these, but Python has a word


def _known(names: tuple[str, ...], piece: Piece) -> list[str]:
    available = list(piece.table.schema.names)
    for name in names:
        if name not in available:
            raise BadInputError.unknown_column(name, available, place=piece.origin)
    return list(names)


def _letters(piece: Piece, refused: Refused) -> list[DeadLetter]:
    """All dead letters of a piece, in the order of its rows; those that belong to no row come last."""
    if not refused and not piece.dead:
        return []
    position = {int(row): i for i, row in enumerate(piece.rows)}
    letters = [(2**63 if letter.row is None else letter.row, letter) for letter in piece.dead]
    for rows, reason in refused:
        for row in rows.tolist():
            record = _record(piece.table.slice(position[row], 1))
            plain = {
                k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()
            }
            raw = json.dumps(plain, default=str, ensure_ascii=False)
            letters.append((row, DeadLetter(reason, f"{piece.origin}, row {row + 1}", raw, row)))
    return [letter for _, letter in sorted(letters, key=lambda pair: pair[0])]


def _record(row: pa.RecordBatch) -> dict[str, Any]:
    """One row as Python has it; a letter must not fail for values that it has no word for."""
    try:
        record: dict[str, Any] = with_times_as_text(row).to_pylist()[0]
    except (OverflowError, ValueError, pa.ArrowException):  # such as dates within lists
        record = {name: str(column) for name, column in zip(row.schema.names, row.columns, strict=True)}
    return record
