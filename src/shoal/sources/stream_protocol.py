"""What a place that rows keep coming from looks like to the engine: chunks with positions that survive a crash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class DeadLetter:
    """A record that could not be used."""

    reason: str
    place: str
    raw: str
    """The record as text, cut at 64 KiB."""
    row: int | None = None
    """Its number among the rows of its place, where it has one."""


@dataclass(frozen=True)
class Chunk:
    """Some rows, and where to go on after them."""

    table: pa.RecordBatch
    """Parsed rows; the schema never changes during a stream (missing keys are null)."""
    origin: str
    """Where they come from, as shown to a person."""
    key: int
    """uint64 identity of that place, equal after a restart."""
    rows: NDArray[np.int64]
    """(n,) numbers of the rows in that place, unique and stable after a restart."""
    position: dict[str, Any]
    """Plain data: reading from here goes on just behind this chunk."""
    dead: tuple[DeadLetter, ...] = ()
    times: NDArray[np.float64] | None = None
    """(n,) seconds since 1970 at which the source received each row, where it knows."""


@runtime_checkable
class StreamSource(Protocol):
    """Rows in an order that never depends on timing: from one position the same rows come again, however chunked."""

    @property
    def name(self) -> str:
        """As shown to a person."""
        ...

    def start(self, position: dict[str, Any] | None) -> None:
        """Begin at the beginning (None), or just behind the chunk of that position."""
        ...

    def poll(self, max_rows: int, timeout: float) -> Chunk | None:
        """At most ``max_rows`` rows, or None if nothing came within ``timeout`` seconds."""
        ...

    @property
    def finished(self) -> bool:
        """Whether no more will ever come."""
        ...

    def committed(self, position: dict[str, Any]) -> None:
        """Everything up to ``position`` is safe: acknowledge it, delete what was kept for it."""
        ...

    def backlog(self) -> int | None:
        """Bytes or records waiting; None if unknown."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
