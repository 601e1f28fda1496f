"""Texts that grow while they are read, one after the other, as a stream: what followed files and pipes share."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from shoal.errors import BadInputError
from shoal.model.durable import replace_durably
from shoal.sources.blocks import FIRST_BLOCK
from shoal.sources.locate import name_format
from shoal.sources.options import ReadOptions
from shoal.sources.protocol import EDGE_BYTES
from shoal.sources.stream_protocol import Chunk, DeadLetter
from shoal.sources.stream_records import Mark, Portion, Records, dead_letter
from shoal.sources.stream_text import TextShape, check_follows, learn_shape, no_rows

_KIND = "growing"
LEARN_RECORDS = 100
LEARN_SECONDS = 2.0
"""Columns and types are learned from so many lines, or from what has come so long after the first."""
_NAP = 0.02


class Texts(Protocol):
    """Texts in a fixed order, of which the current one may still grow."""

    name: str
    """As shown to a person."""
    counts_on: bool
    """Whether rows are numbered through all texts; else each starts at 0."""

    def start(self, at: dict[str, Any] | None, offset: int) -> bool:
        """Go to the text of :meth:`to_dict`; False if it is gone and the one after it is current now."""

    def look(self, offset: int) -> bool:
        """Notice what has happened; True if the current text has been replaced by another since."""

    def read(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes of the current text; ``b""`` where there are none (yet)."""

    def ended(self) -> bool:
        """Whether nothing will be added to the current text."""

    def torn(self) -> str | None:
        """What is wrong with a last record without newline; None: nothing."""

    def next_text(self) -> bool:
        """Go to the text after the current one, if there is one by now."""

    def last(self) -> bool:
        """Whether no text will come after the current one."""

    def key(self, first: bytes) -> int:
        """uint64 identity of the current text, which starts with this record."""

    def news(self) -> tuple[DeadLetter, ...]:
        """What was lost since the last call."""

    def to_dict(self) -> dict[str, Any]:
        """The current text, as plain data."""

    def committed(self, at: dict[str, Any], offset: int) -> None:
        """Everything before this byte of that text is safe elsewhere."""

    def waiting(self, offset: int) -> int:
        """Bytes behind ``offset`` that are there."""

    def close(self) -> None:
        """Let go of files."""


class GrowingStream:
    """Complete records of growing texts; see :class:`shoal.sources.stream_protocol.StreamSource`.

    Columns and types are learned from the first 100 lines, or what has come two seconds after the first, and are
    kept in ``memo`` before the first row is given out, so that no restart can change them.

    Parameters
    ----------
    texts : the texts.
    options : how to read them.
    hint : a schema that decides columns and types.
    memo : a file for what was learned; None: it is kept in positions alone.
    """

    def __init__(
        self, texts: Texts, options: ReadOptions, hint: Any = None, memo: Path | None = None
    ) -> None:
        check_follows(options.encoding, texts.name)
        self._texts, self._options, self._hint, self._memo = texts, options, hint, memo
        self._shape: TextShape | None = None
        self._shape_dict: dict[str, Any] | None = None
        self._records: Records | None = None
        self._portion: Portion | None = None
        self._mark = Mark()
        self._key: int | None = None
        self._first_seen: float | None = None
        self._unlearned: tuple[DeadLetter, ...] = ()
        self._finished = False

    @property
    def name(self) -> str:
        """As shown to a person."""
        return self._texts.name

    @property
    def finished(self) -> bool:
        """Whether the last text is read to its end."""
        return self._finished

    def start(self, position: dict[str, Any] | None) -> None:
        """Begin with the first text, or just behind the chunk of that position."""
        self.close()
        self._finished, self._first_seen = False, None
        self._shape, self._key, self._mark = None, None, Mark()
        if position is None:
            self._texts.start(None, 0)
            return
        if position.get("kind") != _KIND:
            raise BadInputError(
                "the position belongs to another kind of source",
                place=self.name,
                remedy="name the same source as before, or another --state",
            )
        if position["shape"] is not None:
            self._set_shape(TextShape.from_dict(position["shape"]))
        mark = Mark.from_dict(position["mark"])
        if self._texts.start(position["text"], mark.offset):
            self._mark, self._key = mark, position["key"]
        else:
            self._begin_text(mark.done)

    def poll(self, max_rows: int, timeout: float) -> Chunk | None:
        """At most ``max_rows`` rows, or None if no complete record came within ``timeout`` seconds."""
        until = time.monotonic() + timeout
        while not self._finished:
            if self._portion is not None:
                return self._chunk(self._portion, max_rows)
            ended = self._texts.ended()
            if self._texts.look(self._offset):
                self._begin_text(self._row)
                ended = False
            learned = self._shape is not None or self._learn(ended)
            news, self._unlearned = self._texts.news() + self._unlearned, ()
            if news:
                return self._news(news)
            if learned:
                self._portion = self._next(max_rows, ended)
            if self._portion is None and not (ended and self._go_on()):
                left = until - time.monotonic()
                if left <= 0 or self._finished:
                    return None
                time.sleep(min(_NAP, left))
        return None

    @property
    def _offset(self) -> int:
        return self._mark.offset if self._records is None else self._records.offset

    @property
    def _row(self) -> int:
        return self._mark.row if self._records is None else self._records.row

    def _next(self, max_rows: int, ended: bool) -> Portion | None:
        if self._shape is None:
            return None
        if self._records is None:
            self._records = Records(
                self._texts.read, self._shape, self._texts.name, self._mark, torn=self._texts.torn
            )
        return self._records.next(max_rows, ended=ended)

    def _go_on(self) -> bool:
        """To the next text, if there is one."""
        row = self._row
        if self._texts.next_text():
            self._begin_text(row)
            return True
        self._finished = self._texts.last()
        return False

    def _begin_text(self, row: int) -> None:
        row = row if self._texts.counts_on else 0
        self._mark, self._key, self._records, self._portion = Mark(0, row, row), None, None, None

    def _chunk(self, portion: Portion, max_rows: int) -> Chunk:
        table, rows, dead, done = portion.take(max_rows)
        mark = self._mark if self._records is None else self._records.mark(done)
        if portion.spent:
            self._portion = None
        return Chunk(table, self.name, self._known_key(), rows, self._position(mark), dead)

    def _news(self, news: tuple[DeadLetter, ...]) -> Chunk:
        mark = self._mark if self._records is None else self._records.mark(self._row)
        schema = self._shape.schema if self._shape is not None else None
        table = no_rows(schema)
        rows = np.empty(0, dtype=np.int64)
        return Chunk(table, self.name, self._key or 0, rows, self._position(mark), news)

    def _position(self, mark: Mark) -> dict[str, Any]:
        at = self._texts.to_dict()
        return {
            "kind": _KIND,
            "text": at,
            "key": self._key,
            "mark": mark.to_dict(),
            "shape": self._shape_dict,
        }

    def _known_key(self) -> int:
        if self._key is None:
            start = 0 if self._records is None else self._records.body
            line, newline, _ = self._texts.read(start, EDGE_BYTES).partition(b"\n")
            self._key = self._texts.key(line + newline)
        return self._key

    def _learn(self, ended: bool) -> bool:
        """Columns and types from the start of the first text, once enough of it is there."""
        at = self._mark.offset
        head = self._texts.read(at, FIRST_BLOCK)
        if not head.strip():
            return False
        now = time.monotonic()
        self._first_seen = self._first_seen or now
        lines, torn = head.count(b"\n"), self._texts.torn()
        if lines == 0 and ended and torn is not None:
            self._unlearned = (dead_letter(torn, self.name, head),)
            self._mark = Mark(at + len(head), self._mark.row + 1, self._mark.row + 1)
            return False
        enough = self._hint is not None or lines > LEARN_RECORDS or len(head) >= FIRST_BLOCK or ended
        whole = ended and torn is None and len(head) < FIRST_BLOCK
        cut = len(head) if whole else head.rfind(b"\n") + 1
        if cut == 0 or not (enough or now - self._first_seen >= LEARN_SECONDS):
            return False
        known = self._remembered(head)
        if known is None:
            kind = text_kind(self.name, head, self._options)
            shape = learn_shape(
                kind, head[:cut], self._options, self.name, self._hint, self._options.encoding
            )
            if shape.kind == "csv" and shape.header is not False and head.count(b"\n") < 2 and not ended:
                return False
            self._set_shape(shape)
            self._remember(head)
        else:
            self._set_shape(known)
        return True

    def _set_shape(self, shape: TextShape) -> None:
        self._shape, self._shape_dict = shape, shape.to_dict()

    def _remembered(self, head: bytes) -> TextShape | None:
        """What was learned from the same text before a crash."""
        if self._memo is None or not self._memo.exists():
            return None
        try:
            data = json.loads(self._memo.read_text())
            same = data["name"] == self.name and data["first"] == _first_line(head)
            return TextShape.from_dict(data["shape"]) if same else None
        except (ValueError, KeyError, TypeError):
            return None

    def _remember(self, head: bytes) -> None:
        if self._memo is None:
            return
        data = {"name": self.name, "first": _first_line(head), "shape": self._shape_dict}
        self._memo.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(self._memo, json.dumps(data).encode())

    def committed(self, position: dict[str, Any]) -> None:
        """What was kept for a restart before ``position`` may go."""
        self._texts.committed(position["text"], int(position["mark"]["offset"]))

    def backlog(self) -> int | None:
        """Bytes that are there and not given out yet."""
        return self._texts.waiting(self._offset)

    def close(self) -> None:
        """Let go of files."""
        self._texts.close()
        self._records = self._portion = None


def text_kind(name: str, head: bytes, options: ReadOptions) -> str:
    """``jsonl`` or ``csv``, by the options, the name, or the first bytes.

    >>> text_kind("a.tsv", b"", ReadOptions()), text_kind("-", b'{"x": 1}', ReadOptions())
    ('csv', 'jsonl')
    """
    kind = options.format or name_format(Path(name).name)[0]
    if kind is None:
        kind = "jsonl" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[{")) else "csv"
    if kind not in ("csv", "tsv", "jsonl"):
        raise BadInputError(
            f"{kind} cannot be read while it grows", place=name, remedy="follow CSV or JSON lines"
        )
    return "jsonl" if kind == "jsonl" else "csv"


def _first_line(head: bytes) -> str:
    return head[:EDGE_BYTES].partition(b"\n")[0].decode("latin-1")
