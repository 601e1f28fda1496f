"""Texts from files of any format that Shoal reads, and from plain lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.engines.reading import Progress
from shoal.errors import BadInputError, Rejects
from shoal.features.columns import is_number, is_text, numbers
from shoal.features.event_time import event_times
from shoal.features.where import Where
from shoal.sources.files import FileSource
from shoal.sources.locate import COMPRESSIONS, Located, locate
from shoal.sources.options import SKIP_ROW, FileLog, ReadOptions, shown
from shoal.sources.protocol import Batch
from shoal.text.text_input import EMPTY

TEXT = "text"
"""Name of the column that plain lines make."""
BLOCK = 1024
"""Texts handed on at a time: few enough for the progress to move, enough for a language model to work well."""
_NO_DELIMITER = "\x01"


class TextBlock(NamedTuple):
    """A few rows of one file."""

    texts: list[str | None]
    times: NDArray[np.float64] | None
    ids: list[str] | None
    weights: NDArray[np.float64] | None
    batch: Batch
    """The same rows with all columns that were read."""


@dataclass
class TextFiles:
    """Files as blocks of texts.

    Parameters
    ----------
    sources : paths, globs, directories, URIs, ``-``.
    column : of the texts; None: the only one there is.
    time, id, weight : columns that belong to them.
    where : condition on rows.
    lines : whether each line is one text; so it is for files called ``.txt`` where nothing else was said.
    keep : further columns to read; ``["*"]`` for all.
    drop_empty : leave out rows without a text, and count them.

    Raises
    ------
    BadInputError : no such file or column, a column that is no text, several that might be meant.
    """

    sources: Sequence[str]
    column: str | None = None
    time: str | None = None
    id: str | None = None
    weight: str | None = None
    where: str | None = None
    lines: bool = False
    limit: int | None = None
    keep: Sequence[str] = ()
    drop_empty: bool = True
    read: ReadOptions = field(default_factory=ReadOptions)
    rejects: Rejects = field(default_factory=Rejects)
    """What was left out so far, and why."""
    filtered: int = 0
    rows: int = 0

    def __post_init__(self) -> None:
        files = locate(self.sources)
        said = (self.column, self.read.names, self.read.delimiter, self.read.format)
        self.lines = self.lines or (all(map(is_lines, files)) and not any(v is not None for v in said))
        if self.lines:
            self.read = replace(
                self.read, format="csv", names=(TEXT,), header=False, delimiter=_NO_DELIMITER, quote=None
            )
        self._where = None if self.where is None else Where(self.where)
        first = FileSource(files, self.read)
        self.guessed = self.column is None and not self.lines
        self.column = self._text_column(first)
        self.carried = list(first.schema().names) if list(self.keep) == ["*"] else list(self.keep)
        conditions = () if self._where is None else self._where.columns
        parsed = frozenset(n for n in (self.time, self.weight, *conditions) if n is not None)
        as_text = frozenset(() if self._where is None else self._where.text_columns)
        self._source = FileSource(files, replace(self.read, parsed=parsed, text_columns=as_text))

    @property
    def names(self) -> list[str]:
        """The files, as shown to a person."""
        return self._source.names

    def blocks(self, watch: Callable[[Progress], None] | None = None) -> Iterator[TextBlock]:
        """All texts in order; ``watch`` is told after each block was used."""
        began, left = monotonic(), self.limit
        before = 0
        for batch in self._source.batches(self._needed()):
            after, done, n = self._source.bytes_read, 0, max(batch.table.num_rows, 1)
            for part in _parts(batch):
                kept = self._usable(part)
                if left is not None:
                    kept = _sliced(kept, slice(0, left))
                    left -= kept.table.num_rows
                if kept.table.num_rows:
                    self.rows += kept.table.num_rows
                    yield self._block(kept)
                done += part.table.num_rows
                if watch is not None:
                    position = before + (after - before) * done // n
                    watch(Progress(self.rows, position, self._source.total_bytes, monotonic() - began))
                if left == 0:
                    break
            before = after
            if left == 0:
                break
        self.rejects = self.rejects.merge(self._source.rejects)

    def _needed(self) -> list[str]:
        conditions = () if self._where is None else self._where.columns
        wanted = (self.column, self.time, self.id, self.weight, *conditions, *self.carried)
        return list(dict.fromkeys(name for name in wanted if name is not None))

    def _usable(self, batch: Batch) -> Batch:
        """Rows that meet the condition and have all they need."""
        table = batch.table
        good = np.ones(table.num_rows, bool)
        if self._where is not None:
            good = self._where.mask(table)
            self.filtered += int((~good).sum())
        if self.drop_empty:
            filled = np.array([bool(t and t.strip()) for t in _texts(table.column(self.column))], bool)
            self._count(batch, good & ~filled, EMPTY)
            good &= filled
        for name, fits in (("time", _has_time), ("weight", _has_weight), ("id", _has_value)):
            column = getattr(self, name)
            if column is None:
                continue
            bad = good & ~fits(table.column(column), column)
            if bad.any() and self.read.on_error == "raise":
                at = int(np.flatnonzero(bad)[0])
                log = FileLog(batch.origin, "raise", self.rejects)
                place = log.place(int(batch.row_numbers[at]), column)
                raise BadInputError(
                    f"{shown(table.column(column)[at].as_py())} is no {name}", place=place, remedy=SKIP_ROW
                )
            self._count(batch, bad, f"no {name}")
            good &= ~bad
        return _sliced(batch, good)

    def _count(self, batch: Batch, bad: NDArray[np.bool_], reason: str) -> None:
        if bad.any():
            first = int(batch.row_numbers[int(np.flatnonzero(bad)[0])]) + 1
            self.rejects.add(reason, int(bad.sum()), f"{batch.origin}, row {first}")

    def _block(self, batch: Batch) -> TextBlock:
        table = batch.table
        times = None if self.time is None else event_times(table.column(self.time), name=self.time)[0]
        weights = None if self.weight is None else numbers(table.column(self.weight), self.weight)[0]
        ids = None if self.id is None else [str(v) for v in table.column(self.id).to_pylist()]
        return TextBlock(_texts(table.column(self.column)), times, ids, weights, batch)

    def _text_column(self, source: FileSource) -> str:
        schema, place = source.schema(), source.names[0]
        available: list[str] = list(schema.names)
        texts = [name for name in available if is_text(schema.field(name).type)]
        for name in (self.column, self.time, self.id, self.weight):
            if name is not None and name not in available:
                raise BadInputError.unknown_column(name, available, place=place)
        if self.column is not None:
            kind = schema.field(self.column).type
            if not is_text(kind) and not self.lines:
                what = "numbers" if is_number(kind) else str(kind)
                remedy = f"columns of text are {_listed(source, texts)}" if texts else "no column holds text"
                raise BadInputError(f"holds {what}, no texts", place=f"{place}, column {self.column!r}", remedy=remedy)  # fmt: skip
            return self.column
        if self.lines:
            return TEXT
        other = {self.time, self.id, self.weight}
        texts = [name for name in texts if name not in other]
        if len(texts) == 1:
            return texts[0]
        if not texts:
            raise BadInputError(
                f"no column holds text; there are {', '.join(available[:20])}", place=place,
                remedy="name the texts with --text-column, or use --lines if each line is a text",
            )  # fmt: skip
        raise BadInputError(
            f"several columns hold text: {_listed(source, texts)}", place=place,
            remedy=f"say which one, such as --text-column {_longest(source, texts)!r}",
        )  # fmt: skip


def is_lines(file: Located) -> bool:
    """Whether a file's name says that its lines are texts.

    >>> [is_lines(Located(name, name)) for name in ("titles.txt", "titles.TXT.gz", "titles.csv")]
    [True, True, False]
    """
    name = file.basename.lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return name.endswith(".txt")


def looks_delimited(texts: Sequence[str | None]) -> str | None:
    """The tab or semicolon that parts every line into the same number of columns, where there is one.

    >>> looks_delimited(["i feel well;joy", "i feel low;sadness"] * 10), looks_delimited(["a; b", "c"] * 10)
    (';', None)
    """
    said = [text for text in texts if text]
    for mark in ("\t", ";"):
        found = {text.count(mark) for text in said}
        if len(said) >= 10 and len(found) == 1 and found != {0}:
            return mark
    return None


def _parts(batch: Batch) -> Iterator[Batch]:
    for start in range(0, batch.table.num_rows, BLOCK):
        yield _sliced(batch, slice(start, start + BLOCK))


def _sliced(batch: Batch, which: slice | NDArray[np.bool_]) -> Batch:
    rows = batch.row_numbers[which]
    if isinstance(which, slice):
        return replace(batch, table=batch.table.slice(which.start, len(rows)), rows=rows)
    return replace(batch, table=batch.table.filter(pa.array(which)), rows=rows)


def _texts(column: Any) -> list[str | None]:
    return [None if v is None else str(v) for v in column.to_pylist()]


def _has_time(column: Any, name: str) -> NDArray[np.bool_]:
    return ~event_times(column, name=name)[1]


def _has_weight(column: Any, name: str) -> NDArray[np.bool_]:
    values = numbers(column, name)[0]
    return np.isfinite(values) & (values >= 0)


def _has_value(column: Any, name: str) -> NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)


def _listed(source: FileSource, names: list[str]) -> str:
    examples = _examples(source, names[:8])
    return ", ".join(f"{name} (such as {shown(examples[name], 30)})" for name in names[:8])


def _longest(source: FileSource, names: list[str]) -> str:
    return max(names, key=lambda name: len(_examples(source, names)[name]))


def _examples(source: FileSource, names: list[str]) -> dict[str, str]:
    rows = source.peek(20, names)
    return {name: next((str(v) for v in rows.column(name).to_pylist() if v), "") for name in names}
