"""Finished files, one after the other, as a stream that can be taken up again at any row."""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from shoal.errors import BadInputError
from shoal.sources.locate import Located
from shoal.sources.options import ReadOptions
from shoal.sources.stream_one_file import OneFile, open_one
from shoal.sources.stream_protocol import Chunk, DeadLetter
from shoal.sources.stream_records import Mark, Portion, dead_letter
from shoal.sources.stream_text import TextShape, no_rows

_KIND = "files"
_NOTHING = pa.schema([])
_NO_NUMBERS = np.empty(0, dtype=np.int64)


class Catalogue(Protocol):
    """Which file comes first, second, and so on; the answer for a number never changes."""

    def start(self, number: int, name: str | None) -> int:
        """Begin with file ``number``, which had that name; answers the number it has now."""

    def get(self, number: int) -> Located | DeadLetter | None:
        """File ``number`` (or why it cannot be read); None: not there yet, or never."""

    def complete(self, number: int) -> bool:
        """Whether file ``number`` and those behind it will never come."""

    def done(self, number: int) -> None:
        """Files below ``number`` are dealt with for good."""

    def waiting(self, number: int) -> int:
        """Bytes of file ``number`` and those behind it that are known."""


class NamedFiles:
    """The files that a path, glob or URI names now, in sorted order.

    >>> NamedFiles([Located("a.csv", "a.csv")]).complete(1)
    True
    """

    def __init__(self, files: list[Located]) -> None:
        self._files = files

    def start(self, number: int, name: str | None) -> int:
        """The number of the file with that name; raises :class:`BadInputError` if it is gone."""
        if name is None:
            return number
        found = next((i for i, file in enumerate(self._files) if file.origin == name), None)
        if found is None:
            raise BadInputError(
                "the stream stopped in this file, and it is gone",
                place=name,
                remedy="put it back, or begin anew in another --state",
            )
        return found

    def get(self, number: int) -> Located | None:
        """File ``number``."""
        return self._files[number] if number < len(self._files) else None

    def complete(self, number: int) -> bool:
        """Whether there are so many files at all."""
        return number >= len(self._files)

    def done(self, number: int) -> None:
        """Nothing to be done."""

    def waiting(self, number: int) -> int:
        """Bytes of file ``number`` and those behind it."""
        return sum(file.size for file in self._files[number:])


class FilesStream:
    """Files of any format as a stream; see :class:`shoal.sources.stream_protocol.StreamSource`.

    Columns and types are those of the first file (a column that a later file lacks is null, one that only it has
    is ignored). A record that does not fit, a damaged part of a file, and a file that cannot be read at all are
    dead letters. A position names the file and its content: a file that was changed meanwhile is an error.

    Parameters
    ----------
    name : as shown to a person.
    catalogue : which files, in which order.
    hint : a schema that decides columns and types instead of the first file.
    strict : whether a file that cannot be read is an error.

    >>> import tempfile, pathlib
    >>> from shoal.sources.locate import locate
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.csv"; _ = path.write_text("x\\n1\\n2\\n3\\n")
    >>> stream = FilesStream("a.csv", NamedFiles(locate([path])), ReadOptions())
    >>> stream.start(None); chunk = stream.poll(2, 0.0); chunk.table.to_pylist()
    [{'x': 1.0}, {'x': 2.0}]
    >>> stream.start(chunk.position); stream.poll(2, 0.0).rows, stream.poll(2, 0.0), stream.finished
    (array([2]), None, True)
    """

    def __init__(
        self,
        name: str,
        catalogue: Catalogue,
        options: ReadOptions,
        hint: Any = None,
        *,
        strict: bool = True,
    ) -> None:
        self._name, self._catalogue, self._options, self._hint = name, catalogue, options, hint
        self._strict = strict
        self._shape: TextShape | None = None
        self._shape_dict: dict[str, Any] | None = None
        self._number = 0
        self._file: OneFile | None = None
        self._located: Located | None = None
        self._key = 0
        self._portion: Portion | None = None
        self._waiting = (0.0, 0)

    @property
    def name(self) -> str:
        """As shown to a person."""
        return self._name

    def start(self, position: dict[str, Any] | None) -> None:
        """Begin at the first file, or just behind the chunk of that position.

        Raises :class:`BadInputError` if the file of the position is gone or was changed, unless it had been read.
        """
        self.close()
        self._number, self._shape, self._shape_dict = 0, None, None
        if position is None:
            self._number = self._catalogue.start(0, None)
            return
        if position.get("kind") != _KIND:
            raise BadInputError(
                "the position belongs to another kind of source",
                place=self._name,
                remedy="name the same source as before, or another --state",
            )
        if position["shape"] is not None:
            self._set_shape(TextShape.from_dict(position["shape"]))
        self._number = self._catalogue.start(int(position["file"]), position["name"])
        if position["end"]:
            self._number += 1
        elif position["mark"] is not None:
            self._resume(Mark.from_dict(position["mark"]), int(position["key"]))

    def _resume(self, mark: Mark, key: int) -> None:
        located = self._catalogue.get(self._number)
        if isinstance(located, Located):
            if located.key() != key:
                raise BadInputError(
                    "the stream stopped in this file, and it was changed since",
                    place=located.origin,
                    remedy="put the old one back, or begin anew in another --state",
                )
            self._open(located, mark)

    def _set_shape(self, shape: TextShape) -> None:
        self._shape, self._shape_dict = shape, shape.to_dict()

    def poll(self, max_rows: int, timeout: float) -> Chunk | None:
        """At most ``max_rows`` rows; None if no file with more came within ``timeout`` seconds."""
        until = time.monotonic() + timeout
        while True:
            if self._portion is not None and self._file is not None and self._located is not None:
                return self._chunk(self._file, self._located, self._portion, max_rows)
            if self._file is not None:
                self._advance(max_rows)
                continue
            found = self._catalogue.get(self._number)
            if isinstance(found, Located):
                letter = self._try_open(found)
            else:
                letter = found
            if letter is not None:
                return self._only_dead(letter)
            if found is None:
                left = until - time.monotonic()
                if left <= 0 or self.finished:
                    return None
                time.sleep(min(0.05, left))

    def _try_open(self, found: Located) -> DeadLetter | None:
        try:
            self._open(found, Mark())
        except BadInputError as error:
            if self._strict and self._shape is None:
                raise
            return dead_letter(error.problem, error.place or found.origin)
        except OSError as error:
            return dead_letter(f"cannot be read ({error})", found.origin)
        return None

    def _open(self, located: Located, mark: Mark) -> None:
        self._key = located.key()
        self._file = open_one(located, self._options, self._shape, mark, self._hint)
        self._located = located
        if self._shape is None:
            self._set_shape(self._file.shape)

    def _advance(self, max_rows: int) -> None:
        """The next portion of the current file; without one the file is done."""
        if self._file is not None:
            self._portion = self._file.next(max_rows)
            if self._portion is None:
                self._close_file()
                self._number += 1

    def _chunk(self, file: OneFile, located: Located, portion: Portion, max_rows: int) -> Chunk:
        table, rows, dead, done = portion.take(max_rows)
        mark = file.mark(done)
        key, number = self._key, self._number
        if portion.spent:
            self._portion = None
            self._advance(max_rows)
        position = {
            "kind": _KIND,
            "file": number,
            "name": located.origin,
            "key": key,
            "mark": mark.to_dict(),
            "end": self._file is None,
            "shape": self._shape_dict,
        }
        return Chunk(table, located.origin, key, rows, position, dead)

    def _only_dead(self, letter: DeadLetter) -> Chunk:
        """A file that cannot be read; the number behind it is the place to go on."""
        located = self._catalogue.get(self._number)
        name = located.origin if isinstance(located, Located) else None
        position = {
            "kind": _KIND,
            "file": self._number,
            "name": name,
            "key": 0,
            "mark": None,
            "end": True,
            "shape": self._shape_dict,
        }
        self._number += 1
        table = no_rows(self._shape.schema if self._shape is not None else _NOTHING)
        return Chunk(table, letter.place, 0, _NO_NUMBERS, position, (letter,))

    @property
    def finished(self) -> bool:
        """Whether all files there are, or will be, are read."""
        return self._file is None and self._catalogue.complete(self._number)

    def committed(self, position: dict[str, Any]) -> None:
        """Files before that of ``position`` are done for good."""
        self._catalogue.done(int(position["file"]))

    def backlog(self) -> int | None:
        """Bytes of the known files that are not read yet, about."""
        now = time.monotonic()
        if now - self._waiting[0] > 1.0:
            self._waiting = (now, self._catalogue.waiting(self._number))
        read = self._file.bytes_read if self._file is not None else 0
        return max(0, self._waiting[1] - read)

    def close(self) -> None:
        """Close the current file."""
        self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._located = self._portion = None
