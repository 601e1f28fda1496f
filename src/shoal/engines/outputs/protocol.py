"""The contract of an output: what was written behind the last checkpoint is undone before it is written again."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from shoal.errors import BadInputError

Position = dict[str, Any]
"""How far an output is durable: plain data for JSON, kept in the checkpoint, understood by its own output only."""


@runtime_checkable
class Output(Protocol):
    """Takes labelled rows, and takes them back to a position after a crash.

    One run goes ``start(None)``, ``sync``, then any number of ``write`` and ``sync``, then ``close``. After a crash
    the next run goes ``start(position)`` with the position that was saved last, and writes all rows behind it again.
    Save a position only after ``sync`` has answered it, and save the very first one, taken right after
    ``start(None)``, before anything is written: an output that holds rows and has no position is taken for foreign.
    """

    def start(self, position: Position | None) -> None:
        """Go back to ``position``; None begins anew.

        Raises
        ------
        ShoalError : something that is not this output's is in the way, what the position speaks of is gone, another
            process is writing, or the disk or server refuses.
        """
        ...

    def write(self, table: pa.Table) -> None:
        """Add the rows of a table; all tables of an output have one schema.

        Raises
        ------
        ShoalError : as for ``start``. BadInputError : the table does not fit those before.
        """
        ...

    def sync(self) -> Position:
        """Make all rows written durable; answers the position behind them."""
        ...

    def close(self) -> None:
        """Let go of files and connections. Does not sync: what no ``sync`` has answered for may be missing."""
        ...


def read_position(position: Position, kind: str, *fields: str, place: str) -> tuple[int, ...]:
    """The counts in a position, checked to be of this kind of output.

    >>> read_position({"kind": "csv", "bytes": 7}, "csv", "bytes", place="a.csv")
    (7,)
    >>> read_position({"kind": "redis", "entries": 7}, "csv", "bytes", place="a.csv")
    Traceback (most recent call last):
    shoal.errors.BadInputError: a.csv: the checkpoint speaks of another kind of output ('redis', not 'csv'); ...
    """
    found = position.get("kind")
    if found != kind:
        raise BadInputError(
            f"the checkpoint speaks of another kind of output ({found!r}, not {kind!r})",
            place=place,
            remedy="go on with the output it was made with, or begin anew without the checkpoint",
        )
    counts = tuple(position.get(name) for name in fields)
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in counts):
        raise BadInputError(
            f"the checkpoint's position of the output cannot be read: {position!r}",
            place=place,
            remedy="begin anew without the checkpoint",
        )
    return tuple(int(n) for n in counts if n is not None)
