"""What a reader of one file looks like, whatever the format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_BATCH_BYTES = 32 << 20
"""No batch is meant to hold more bytes than this, however wide its rows."""


class Piece(NamedTuple):
    """Consecutive rows of a file."""

    table: Any
    """A ``pa.RecordBatch``."""
    offset: int
    """0-based data-row number of the first row of the piece, good or bad."""
    rows: NDArray[np.int64] | None
    """(n,) data-row numbers where bad rows were left out."""


class FileReader(Protocol):
    """One pass over one open file."""

    @property
    def schema(self) -> Any:
        """All columns of the file."""

    @property
    def position(self) -> int:
        """Raw bytes read so far, about."""

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """The file's rows in order, with (at least) the named columns."""

    def close(self) -> None:
        """Close the file."""


_ASIDE = {b"shoal.aside": b"1"}


def aside(field: Any) -> Any:
    """A column that becomes no feature by itself: it is read where it is asked for by name."""
    return field.with_metadata(_ASIDE)


def offered(schema: Any) -> Any:
    """The columns that are not set aside.

    >>> import pyarrow as pa
    >>> offered(pa.schema([pa.field("x", pa.int8()), aside(pa.field("label", pa.int8()))])).names
    ['x']
    """
    kept = [field for field in schema if not _ASIDE.items() <= (field.metadata or {}).items()]
    return schema if len(kept) == len(schema) else pa.schema(kept, schema.metadata)


def block_size_for(batch_rows: int, block_bytes: int, block_rows: int) -> int:
    """Bytes of text that hold about ``batch_rows`` rows, judged by the last block; 64 KiB to 8 MiB.

    >>> block_size_for(1000, 10_000, 10)
    1000000
    """
    return int(min(max(batch_rows * block_bytes / max(block_rows, 1), 1 << 16), 8 << 20))


def rows_that_fit(batch_rows: int, row_bytes: float) -> int:
    """At most ``batch_rows``, fewer where rows are wide, so that a batch stays within 32 MiB.

    >>> rows_that_fit(65_536, 4096)
    8192
    """
    return max(1, min(batch_rows, int(_BATCH_BYTES / max(row_bytes, 1))))


def sliced(piece: Piece, batch_rows: int) -> Iterator[Piece]:
    """The piece in slices of at most ``batch_rows`` rows (no copies).

    >>> import pyarrow as pa
    >>> whole = Piece(pa.record_batch({"x": [1, 2, 3]}), 5, None)
    >>> [(p.offset, p.table.num_rows) for p in sliced(whole, 2)]
    [(5, 2), (7, 1)]
    """
    for start in range(0, piece.table.num_rows, batch_rows):
        part = piece.table.slice(start, batch_rows)
        if piece.rows is None:
            yield Piece(part, piece.offset + start, None)
        else:
            rows = piece.rows[start : start + batch_rows]
            yield Piece(part, int(rows[0]), rows)
