"""What every source of rows looks like to the rest of Shoal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.errors import Rejects

PEEK_ROWS = 65_536
"""Rows in the first block from which recipes are learned; never depends on ``batch_rows``."""

EDGE_BYTES = 65_536
"""Bytes at each end of a file that go into its key."""


@dataclass(frozen=True)
class Batch:
    """A few rows of one file, with what identifies each of them.

    >>> b = Batch(pa.record_batch({"x": [1.0, 2.0]}), origin="a.csv", key=7, offset=10)
    >>> b.row_numbers.tolist()
    [10, 11]
    """

    table: pa.RecordBatch
    origin: str
    """The file as shown to a person (path or URI), used in error places."""
    key: int
    """uint64 identity of the file's content; the same wherever the file lies."""
    offset: int
    """0-based data-row number in the file of the first row."""
    rows: NDArray[np.int64] | None = None
    """(n,) 0-based data-row numbers where rows have been skipped; None: ``offset + arange(n)``."""

    @property
    def row_numbers(self) -> NDArray[np.int64]:
        """(n,) 0-based data-row number of every row in its file."""
        if self.rows is not None:
            return self.rows
        return np.arange(self.offset, self.offset + self.table.num_rows, dtype=np.int64)


class Source(Protocol):
    """A re-readable (or one-shot) stream of batches.

    Every call of :meth:`batches` is a fresh pass: ``rejects`` and ``bytes_read`` start again at nothing.
    """

    def schema(self) -> pa.Schema:
        """All columns and their types, from the first file that has any."""

    def peek(self, rows: int = PEEK_ROWS, columns: Sequence[str] | None = None) -> pa.Table:
        """The first ``rows`` good rows, whatever the batch size; consumes and counts nothing."""

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """One pass over all rows, with the named columns (None: all) in that order."""

    @property
    def total_bytes(self) -> int | None:
        """Bytes of everything there is to read, as stored; None if unknown (a pipe)."""

    @property
    def bytes_read(self) -> int:
        """How far the current pass is, in the unit of ``total_bytes``; never decreases within a pass."""

    @property
    def rejects(self) -> Rejects:
        """Rows the source itself refused in the current pass (not those a recipe refuses)."""

    @property
    def names(self) -> list[str]:
        """The files, as shown to a person."""


def content_key(name: str, size: int, head: bytes, tail: bytes) -> int:
    """64-bit identity of a file's content.

    blake2b (8-byte digest, read as a little-endian integer) over: the base name in UTF-8, a zero byte, the
    size in bytes as 8 little-endian bytes, the first 64 KiB and the last 64 KiB of the raw (still compressed)
    file; a file shorter than 64 KiB is both its own head and its own tail. Other engines must compute
    exactly this, so that a row has one identity wherever it is read.

    >>> content_key("a.csv", 3, b"x\\n1", b"x\\n1") == content_key("b.csv", 3, b"x\\n1", b"x\\n1")
    False
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in (name.encode(), b"\0", size.to_bytes(8, "little"), head[:EDGE_BYTES], tail[-EDGE_BYTES:]):
        digest.update(part)
    return int.from_bytes(digest.digest(), "little")
