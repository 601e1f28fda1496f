"""Rows into summaries: one for each share of a file, merged as they fill, so that hosts do not change the outcome.

What a summary keeps depends a little on the rows it has seen before. Summaries of shares that are the same on one host
and on ten, merged in any order, are the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from shoal.errors import BadInputError
from shoal.sagemaker.channels import FINISHED, Rows
from shoal.summary.coreset import Coreset


@dataclass
class Intake:
    """What a host has read so far.

    Parameters
    ----------
    new : makes an empty summary.
    hosts : that share the data: where rows are forgotten, the clock runs on by so many with each row.
    start : of that clock.

    >>> intake = Intake(Coreset)
    >>> for share in (0, 1):
    ...     intake.take(Rows(np.ones((2, 1), np.float32), 7, np.arange(2) + 2 * share, "a", share, 2 + 2 * share))
    >>> intake.whole().count, intake.done
    (4, {'a': 4})
    """

    new: Callable[[], Coreset]
    hosts: int = 1
    start: float = 0.0
    closed: list[Coreset] = field(default_factory=list)
    """Summaries of whole shares, merged so far that each is less than half of the one before."""
    open: Coreset | None = None
    """Summary of the share that is being read."""
    share: str = ""
    """The file and number of that share."""
    done: dict[str, int] = field(default_factory=dict)
    """Rows dealt with by file, as :class:`shoal.sagemaker.channels.Rows` has it."""
    width: int = 0
    """Numbers in a row; 0: not known yet."""
    first: str = ""
    """Where they are as many: a file, or a channel."""
    rows: int = 0
    """Rows taken."""
    fresh: int = 0
    """Those of them that no checkpoint knew."""

    def take(self, rows: Rows) -> None:
        """Take in a batch.

        Raises
        ------
        BadInputError : rows of another width than those before; else as :meth:`Coreset.update`.
        """
        share = f"{rows.file}#{rows.share}"
        if self.open is not None and (share != self.share or rows.upto == FINISHED):
            self._close()
        n = len(rows.X)
        if n:
            self._check_width(rows)
            if self.open is None:
                self.open, self.share = self.new(), share
            forgets = self.open.half_life is not None
            times = self.start + (self.rows + np.arange(n)) * float(self.hosts) if forgets else None
            self.open.update(rows.X, key=rows.key, rows=rows.numbers, times=times)
            self.rows += n
            self.fresh += n
        self.done[rows.file] = rows.upto

    def whole(self) -> Coreset:
        """The summary of all rows so far."""
        return merged([*self.closed, *([self.open] if self.open is not None else [])], self.new)

    def settled(self) -> Coreset:
        """The summary of all shares that are complete."""
        self.closed = [merged(self.closed, self.new)]
        return self.closed[0]

    def _check_width(self, rows: Rows) -> None:
        if not self.width:
            self.width, self.first = rows.X.shape[1], rows.name
        check_same((rows.X.shape[1], rows.name), (self.width, self.first))

    def _close(self) -> None:
        if self.open is not None:
            self.closed.append(self.open)
            self.open = None
        while len(self.closed) > 1 and _held(self.closed[-2]) <= 2 * _held(self.closed[-1]):
            last = self.closed.pop()
            self.closed[-1] = self.closed[-1].merge(last)


def check_same(found: tuple[int, str], known: tuple[int, str]) -> None:
    """Raises :class:`BadInputError` if rows of two places differ in width."""
    if found[0] != known[0]:
        raise BadInputError(
            f"has {found[0]} features in a row, {known[1]} has {known[0]}",
            place=found[1],
            remedy="give all objects the same features",
        )


def merged(summaries: Iterable[Coreset], new: Callable[[], Coreset]) -> Coreset:
    """All of them as one; of none, an empty one."""
    out: Coreset | None = None
    for summary in summaries:
        out = summary if out is None else out.merge(summary)
    return new() if out is None else out


def _held(summary: Coreset) -> int:
    return min(summary.count, summary.rows)
