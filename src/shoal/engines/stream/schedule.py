"""When to solve: at row numbers or event times that depend on the stream alone, never on batches or the clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from shoal.engines.stream.parts import Part
from shoal.engines.stream.settings import Span


@dataclass
class Schedule:
    """The first solve after ``first`` rows, then at doubling distances until they reach ``every``.

    >>> s = Schedule(first=100, every=Span(rows=300)); due = []
    >>> for _ in range(4):
    ...     due.append(s.due); s.solved(s.due, None)
    >>> due
    [100, 200, 400, 700]
    """

    first: int
    every: Span
    due: int = 0
    """Rows learned at which the next solve is due; where time decides, of the first solve only."""
    tick: float | None = None
    """Event time at which the next solve is due."""

    def __post_init__(self) -> None:
        self.due = self.due or self.first

    def rows_until(self, learned: int, part: Part) -> int:
        """How many rows of a part come before the next solve; its length or more if none is due within it."""
        if self.tick is None:
            return self.due - learned
        assert part.times is not None  # the settings demand them
        late = np.flatnonzero(part.times >= self.tick)
        return int(late[0]) if len(late) else len(part) + 1

    def solved(self, learned: int, newest: float | None) -> None:
        """Note a solve after ``learned`` rows."""
        if self.every.rows is not None:
            self.due = learned + min(learned, self.every.rows)
        elif self.every.seconds is not None and newest is not None:
            self.tick = (math.floor(newest / self.every.seconds) + 1) * self.every.seconds

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"due": self.due, "tick": self.tick}

    def restored(self, data: dict[str, Any]) -> Self:
        """The schedule as it was when :meth:`to_dict` was called; a new ``every`` holds from the next solve on."""
        self.due = int(data["due"])
        self.tick = data["tick"] if self.every.seconds is not None else None
        return self
