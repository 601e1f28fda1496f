"""Errors that name the place and the remedy, and the count of rows that were refused.

Every error a user can cause derives from :class:`ShoalError`; the command line prints its one line
and exits with code 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class ShoalError(ValueError):
    """Base of all errors that a user can mend."""


class BadInputError(ShoalError):
    """Data that cannot be used: says where, what and what to do.

    Parameters
    ----------
    problem : what is wrong, in one clause.
    place : where it is, such as ``"houses.csv, row 17, column 'rooms'"``.
    remedy : what the user can do.

    >>> str(BadInputError("value is NaN", place="a.csv, row 3, column 'x'", remedy="use --nulls mean"))
    "a.csv, row 3, column 'x': value is NaN; use --nulls mean"
    """

    def __init__(self, problem: str, *, place: str | None = None, remedy: str | None = None) -> None:
        self.problem, self.place, self.remedy = problem, place, remedy
        text = problem if place is None else f"{place}: {problem}"
        super().__init__(text if remedy is None else f"{text}; {remedy}")

    @classmethod
    def unknown_column(cls, missing: str, available: list[str], *, place: str | None = None) -> BadInputError:
        """An error for a column that is not there, with the nearest names that are."""
        import difflib

        near = difflib.get_close_matches(missing, available, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"available: {', '.join(available[:20])}"
        return cls(f"no column named {missing!r}", place=place, remedy=hint)


class DamagedFileError(ShoalError):
    """A file of Shoal's own whose checksum, size or structure is wrong."""


class NewerFormatError(ShoalError):
    """A file written by a newer release than the one reading it."""


MOST_REASONS = 100
OTHER_REASONS = "other reasons"


@dataclass
class Rejects:
    """Rows refused, by reason, with the first place each reason was seen.

    >>> log = Rejects()
    >>> log.add("NaN", 2, "a.csv, row 3, column 'x'"); log.add("NaN", 1, "a.csv, row 9, column 'y'")
    >>> log.total, log.first["NaN"]
    (3, "a.csv, row 3, column 'x'")
    """

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of rows refused for any reason."""
        return sum(self.counts.values())

    def add(self, reason: str, rows: int, place: str) -> None:
        """Count ``rows`` refused for ``reason``; ``place`` is kept if it is the first.

        After 100 reasons all others are one, so that what a stream keeps stays small.
        """
        if rows > 0:
            if reason not in self.counts and len(self.counts) >= MOST_REASONS:
                reason = OTHER_REASONS
            self.counts[reason] = self.counts.get(reason, 0) + rows
            self.first.setdefault(reason, place)

    def merge(self, other: Rejects) -> Rejects:
        """The counts of both, as a new object."""
        out = Rejects(dict(self.counts), dict(self.first))
        for reason, rows in other.counts.items():
            out.add(reason, rows, other.first[reason])
        return out

    def to_dict(self) -> dict[str, dict[str, object]]:
        """Plain data for JSON: ``{reason: {"rows": n, "first": place}}``."""
        return {r: {"rows": n, "first": self.first[r]} for r, n in sorted(self.counts.items())}

    @classmethod
    def from_dict(cls, data: Mapping[str, Mapping[str, object]]) -> Rejects:
        """Inverse of :meth:`to_dict`."""
        out = cls()
        for reason, entry in data.items():
            out.add(reason, int(str(entry["rows"])), str(entry["first"]))
        return out
