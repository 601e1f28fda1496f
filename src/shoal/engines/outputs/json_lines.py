"""Rows as lines of JSON, appended to a file or to standard output."""

from __future__ import annotations

import os
import sys
from typing import IO

import pyarrow as pa

from shoal.engines.outputs.appended_file import AppendedFile
from shoal.engines.outputs.json_text import json_lines
from shoal.engines.outputs.protocol import Position, read_position


class JsonLinesOutput:
    """One file of JSON lines, exactly once: a position is a number of bytes, and what is behind it is cut off.

    How values are written is told in :mod:`shoal.engines.outputs.json_text`.

    >>> import pyarrow as pa, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels.jsonl"
    >>> out = JsonLinesOutput(path); out.start(None); out.write(pa.table({"cluster": [3, 1]}))
    >>> position = out.sync(); out.write(pa.table({"cluster": [8]})); out.close()
    >>> again = JsonLinesOutput(path); again.start(position); again.close()
    >>> path.read_text()
    '{"cluster":3}\\n{"cluster":1}\\n'
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = AppendedFile(path, "json-lines")

    def start(self, position: Position | None) -> None:
        """Cut the file back to ``position``; errors as :class:`AppendedFile` has them."""
        self._file.start(position)

    def write(self, table: pa.Table) -> None:
        """Append a line for each row."""
        self._file.append(json_lines(table))

    def sync(self) -> Position:
        """Make the lines durable."""
        return self._file.sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class StandardOutput:
    """JSON lines on standard output, **at least once**: what a pipe has swallowed cannot be taken back.

    After a crash the rows behind the last checkpoint are printed again; a reader that minds drops lines by their
    row identity. Durability is the reader's affair, so ``sync`` only empties the buffer.
    """

    def __init__(self, stream: IO[bytes] | None = None) -> None:
        self._stream = sys.stdout.buffer if stream is None else stream
        self._rows = 0

    def start(self, position: Position | None) -> None:
        """Go on counting from ``position``."""
        self._rows = 0
        if position is not None:
            (self._rows,) = read_position(position, "standard-output", "rows", place="standard output")

    def write(self, table: pa.Table) -> None:
        """Print a line for each row; a closed pipe is a BrokenPipeError."""
        for block in json_lines(table):
            self._stream.write(block)
        self._rows += table.num_rows

    def sync(self) -> Position:
        """Hand everything to the reader."""
        self._stream.flush()
        return {"kind": "standard-output", "rows": self._rows}

    def close(self) -> None:
        """Hand everything to the reader; the stream stays open."""
        self._stream.flush()
