"""The newest labelled rows of a stream, for whoever watches it: a small file that is replaced now and then.

Best effort, and no part of what a run promises: it tells of a sample, loses some in a crash, and is never read again
by the stream itself.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.engines.stream.parts import Part, Piece, with_times_as_text
from shoal.features.columns import Vector
from shoal.features.recipe import Recipe
from shoal.model.cluster_model import Assignment, ClusterModel

_log = logging.getLogger(__name__)

RECENT = "recent.arrow"
ROWS, OUTLIERS = 200, 50
"""Rows of the file, and how many of them may be there because they lie far out."""
RATE = 0.01
"""Share of rows that counts as far out."""
_EVERY = 1.0
"""Seconds between two writes at least."""
_PAUSE, _FEW = 0.25, 100
"""Seconds between two stretches that are sampled, unless rows come so few at a time: taking some costs like labelling many."""
_COLUMNS, _LONGEST = 24, 300
"""Most columns of a row that are shown, and most characters of a value."""

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("time", pa.float64()),
        ("cluster", pa.int64()),
        ("model", pa.int64()),
        ("distance", pa.float64()),
        ("outlier_score", pa.float64()),
        ("far", pa.bool_()),
        ("vector", pa.list_(pa.float32())),
        ("values", pa.string()),
    ]
)
"""Columns of the file, the newest row last; ``values`` is a JSON object of the row's own columns."""


@dataclass
class _Picked:
    """A few rows of one part."""

    numbers: dict[str, NDArray[Any]]
    """By column of the file, (n,) each; (n, d) the vectors."""
    values: list[tuple[NDArray[np.int64], pa.RecordBatch]]
    """Rows as the source gave them, and which of these they are."""

    def __len__(self) -> int:
        return len(self.numbers["row"])

    def table(self, kept: NDArray[np.int64]) -> pa.Table:
        """Some of the rows, as the file has them."""
        n = len(kept)
        texts: list[str | None] = [None] * len(self)
        wanted = np.zeros(len(self), bool)
        wanted[kept] = True
        for at, batch in self.values:
            these = np.flatnonzero(wanted[at])
            records = batch.take(pa.array(these)).to_pylist()
            for i, record in zip(at[these].tolist(), records, strict=True):
                texts[i] = json.dumps({name: _plain(value) for name, value in record.items()})
        columns: list[Any] = [pa.array(self.numbers[name][kept]) for name in SCHEMA.names[:-2]]
        columns[1] = pa.array(self.numbers["time"][kept], from_pandas=True)  # NaN: there is none
        vectors = self.numbers["vector"][kept]
        offsets = pa.array(np.arange(n + 1, dtype=np.int32) * vectors.shape[1])
        columns.append(pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel())))
        columns.append(pa.array([texts[i] for i in kept.tolist()], pa.string()))
        return pa.Table.from_arrays(columns, schema=SCHEMA)


class Recent:
    """Chooses rows to show as they are labelled: the farthest out, and an even sample of the others.

    Parameters
    ----------
    path : of the file.
    clock : seconds, for tests.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self._clock = path, clock
        self._written, self._sampled = -_EVERY, -_PAUSE
        self._pieces: list[Piece] = []
        self._far: list[_Picked] = []
        self._even: list[_Picked] = []
        self._before = SCHEMA.empty_table()
        self._bar = 0.0
        """Score of the last of the farthest rows; what is not above it is not among them."""
        self._stride, self._skip = 1, 0
        self._has_told = False

    def came(self, piece: Piece, *, waits: bool) -> None:
        """Rows as the source gave them; they are kept until the next come, or while they wait for a model."""
        self._pieces = [*self._pieces, piece] if waits else [piece]

    def labelled(
        self, part: Part, found: Assignment, model: ClusterModel, number: int, shown: Sequence[str]
    ) -> None:
        """Choose among rows that were labelled.

        Parameters
        ----------
        number : of the model.
        shown : columns of the source to show.
        """
        try:
            self._choose(part, found, model, number, shown)
        except Exception as error:  # whatever it is: what is only for show must not end a stream
            self._let_go(error)

    def _choose(
        self, part: Part, found: Assignment, model: ClusterModel, number: int, shown: Sequence[str]
    ) -> None:
        scores = found.outlier_scores
        far = np.flatnonzero(scores > max(model.outlier_threshold(RATE), self._bar))
        if len(far):
            far = np.sort(far[np.argsort(-scores[far], kind="stable")[:OUTLIERS]])
            self._far.append(self._picked(far, part, found, number, shown, far=True))
            self._raise_bar()
        now = self._clock()
        if len(part) > _FEW and now - self._sampled < _PAUSE:
            return
        self._sampled = now
        while len(part) > ROWS * self._stride:
            self._stride *= 2
        even = np.arange(self._skip, len(part), self._stride)
        self._skip = (self._skip - len(part)) % self._stride
        if len(even):
            self._even.append(self._picked(even, part, found, number, shown, far=False))
            while sum(map(len, self._even)) > 2 * ROWS:  # every other stands for all, of those to come too
                self._stride *= 2
                self._even = [_thinned(p) for p in self._even]

    def write_if_due(self, *, ends: bool = False) -> None:
        """Replace the file if there are new rows, at most once a second, and at the end. What fails is left out."""
        now = self._clock()
        if not (self._far or self._even) or not (ends or now - self._written >= _EVERY):
            return
        self._written = now
        try:
            self._write()
        except Exception as error:  # a disk that is full stops the stream elsewhere, in better words
            self._let_go(error)

    def _let_go(self, error: Exception) -> None:
        """Forget the rows at hand, one of which may be the reason."""
        if not self._has_told:
            _log.warning("%s is left out: %r", self.path, error)
        self._has_told = True
        self._far, self._even = [], []
        self._bar = 0.0

    def _write(self) -> None:
        self._raise_bar()
        far = [np.flatnonzero(p.numbers["outlier_score"] >= self._bar) for p in self._far]
        room = ROWS - min(OUTLIERS, sum(map(len, far)))
        chosen = np.linspace(0, max(sum(map(len, self._even)) - 1, 0), room).astype(np.int64)
        new, start = [self._before], 0
        for p in self._even:
            new.append(p.table(np.unique(chosen[(chosen >= start) & (chosen < start + len(p))] - start)))
            start += len(p)
        farthest = [p.table(kept) for p, kept in zip(self._far, far, strict=True)]
        new.append(pa.concat_tables([SCHEMA.empty_table(), *farthest])[-OUTLIERS:])
        self._before = pa.concat_tables(new)[-ROWS:].combine_chunks()
        if sum(map(len, far)) < OUTLIERS:  # else the next second begins with the bar of this one
            self._bar = 0.0
        self._far, self._even = [], []
        self._stride, self._skip = max(1, self._stride // 2), 0
        _replace(self.path, self._before)

    def _raise_bar(self) -> None:
        """Find the score of the last of the farthest, and let parts go of which none is among them."""
        if sum(map(len, self._far)) > OUTLIERS:
            scores = np.concatenate([p.numbers["outlier_score"] for p in self._far])
            self._bar = float(np.partition(scores, -OUTLIERS)[-OUTLIERS])
            self._far = [p for p in self._far if p.numbers["outlier_score"].max() >= self._bar]

    def _picked(
        self,
        at: NDArray[np.int64],
        part: Part,
        found: Assignment,
        number: int,
        shown: Sequence[str],
        *,
        far: bool,
    ) -> _Picked:
        n = len(at)
        numbers = {
            "row": part.rows[at],
            "time": np.full(n, np.nan) if part.times is None else part.times[at],
            "cluster": found.ids[at],
            "model": np.full(n, number, np.int64),
            "distance": found.distances[at],
            "outlier_score": found.outlier_scores[at],
            "far": np.full(n, far),
            "vector": np.ascontiguousarray(part.matrix[at], np.float32),
        }
        return _Picked(numbers, self._values(part, part.rows[at], shown))

    def _values(
        self, part: Part, rows: NDArray[np.int64], shown: Sequence[str]
    ) -> list[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """Rows as the source gave them, without those that are no longer there."""
        out = []
        for piece in self._pieces:
            if piece.origin != part.origin or not len(piece.rows):
                continue
            at = np.minimum(np.searchsorted(piece.rows, rows), len(piece.rows) - 1)
            mine = np.flatnonzero(piece.rows[at] == rows)
            names = [name for name in shown if name in piece.table.schema.names][:_COLUMNS]
            if len(mine) and names:
                chosen = piece.table.select(names).take(pa.array(at[mine]))
                out.append((mine, with_times_as_text(chosen)))
        return out


def shown_columns(recipe: Recipe, carried: Sequence[str]) -> tuple[str, ...]:
    """What to show of a row: the columns that the recipe uses, but no vectors, and those that labels carry along."""
    vectors = {block.name for block in recipe.blocks if isinstance(block, Vector)}
    return tuple(dict.fromkeys(name for name in (*recipe.columns_needed, *carried) if name not in vectors))


def read_recent(path: Path) -> pa.Table | None:
    """The rows of a file, of :data:`SCHEMA`; None if there is none, or it cannot be used.

    >>> import tempfile
    >>> read_recent(Path(tempfile.mkdtemp()) / RECENT) is None
    True
    """
    try:
        with pa.ipc.open_file(pa.py_buffer(path.read_bytes())) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (OSError, pa.ArrowException):
        return None
    return table if table.schema == SCHEMA else None


def _thinned(picked: _Picked) -> _Picked:
    """Every other row."""
    values = []
    for at, batch in picked.values:
        kept = np.flatnonzero(at % 2 == 0)
        values.append((at[kept] // 2, batch.take(pa.array(kept))))
    return _Picked({name: column[::2] for name, column in picked.numbers.items()}, values)


def _replace(path: Path, table: pa.Table) -> None:
    """Whole for every reader, but not synced: after a loss of power it is made anew."""
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(table)
    temporary.replace(path)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value[:_LONGEST]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return str(value)[:_LONGEST]
