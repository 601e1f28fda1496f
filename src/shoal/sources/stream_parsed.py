"""A block of whole records once parsed: the good rows, and what is wrong with the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BadRecord:
    """A record that does not fit."""

    number: int
    """0-based number of the record in its block."""
    reason: str
    """The same for all records with this mistake, so that it can be counted."""
    column: str | None = None
    detail: str = ""
    """What the reason leaves open, such as ``": 'oops'"``."""
    raw: bytes = b""


@dataclass(frozen=True)
class ParsedBlock:
    """Good rows, and bad records in order."""

    table: Any
    """A ``pa.RecordBatch``."""
    count: int
    """Records in the block, good and bad."""
    bad: tuple[BadRecord, ...] = ()
    numbers: NDArray[np.int64] | None = None
    """(n,) 0-based number of each good row in the block; None: all records are good."""

    @property
    def row_numbers(self) -> NDArray[np.int64]:
        """(n,) 0-based number of each good row in the block.

        >>> ParsedBlock(None, 2).row_numbers
        array([0, 1])
        """
        return np.arange(self.count, dtype=np.int64) if self.numbers is None else self.numbers
