"""What is wrong with the rows of a batch, collected first and then raised or counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError, Rejects
from shoal.features.spec import OnError

Mask = NDArray[np.bool_]
Refused = list[tuple[NDArray[np.int64], str]]
"""Data-row numbers with the reason they were refused for."""


@dataclass(frozen=True)
class _Trouble:
    mask: Mask
    reason: str
    column: str | None
    remedy: str
    shown: Any
    allowed: bool


@dataclass
class Troubles:
    """Bad rows of (part of) a batch; each is counted once, for the first reason found.

    >>> log = Rejects()
    >>> troubles = Troubles("a.csv", np.array([7, 8]), log, "skip")
    >>> troubles.note(np.array([False, True]), "infinite value", column="x")
    >>> troubles.settle().tolist(), log.first
    ([True, False], {'infinite value': "a.csv, row 9, column 'x'"})
    """

    origin: str
    rows: NDArray[np.int64]
    """(n,) 0-based data-row numbers."""
    rejects: Rejects
    on_error: OnError
    refused: Refused | None = None
    """Takes the rows that are left out, one by one, where somebody wants to keep them as dead letters."""
    _found: list[_Trouble] = field(default_factory=list)

    def note(
        self,
        mask: Mask,
        reason: str,
        *,
        column: str | None = None,
        remedy: str = "mend it or use --on-error skip",
        shown: Any = None,
        allowed: bool = False,
    ) -> None:
        """Rows where ``mask`` (n,) is true are bad; ``allowed``: they may be left out even under ``raise``."""
        if mask.any():
            self._found.append(_Trouble(mask, reason, column, remedy, shown, allowed))

    def note_cells(
        self,
        mask: Mask,
        reason: str,
        names: tuple[str, ...],
        *,
        remedy: str = "mend it or use --on-error skip",
    ) -> None:
        """As :meth:`note` for an (n, d) mask over the columns ``names``."""
        if mask.any():
            for j in np.flatnonzero(mask.any(axis=0)).tolist():
                self.note(mask[:, j], reason, column=names[j], remedy=remedy)

    def settle(self) -> Mask:
        """(n,) rows that are good; raises for the first bad row under ``raise``, else counts."""
        bad = np.zeros(len(self.rows), dtype=np.bool_)
        first: tuple[int, _Trouble] | None = None
        for trouble in self._found:
            fresh = trouble.mask & ~bad
            bad |= trouble.mask
            if not fresh.any():
                continue
            row = int(fresh.argmax())
            if self.on_error == "raise" and not trouble.allowed:
                first = (row, trouble) if first is None or row < first[0] else first
            else:
                self.rejects.add(trouble.reason, int(fresh.sum()), self._place(row, trouble))
                if self.refused is not None:
                    where = "" if trouble.column is None else f", column {trouble.column!r}"
                    self.refused.append((self.rows[fresh], trouble.reason + where))
        if first is not None:
            row, trouble = first
            value = "" if trouble.shown is None else f": {str(trouble.shown[row].as_py())[:40]!r}"
            raise BadInputError(
                f"{trouble.reason}{value}", place=self._place(row, trouble), remedy=trouble.remedy
            )
        return ~bad

    def _place(self, row: int, trouble: _Trouble) -> str:
        place = f"{self.origin}, row {int(self.rows[row]) + 1}"
        return place if trouble.column is None else f"{place}, column {trouble.column!r}"
