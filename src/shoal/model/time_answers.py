"""What a time store answers: windows, and what it holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from shoal.summary.coreset import Coreset

Span = tuple[float, float]


@dataclass(frozen=True)
class Window:
    """The summary of an interval, and which interval that is."""

    summary: Coreset
    start: float
    end: float
    """The interval covered: that asked for, or more where one of its edges lies inside a bucket."""
    asked: Span
    buckets: tuple[Span, ...]
    """Intervals of the buckets merged; some may lie within others."""
    gaps: bool
    """Whether rows of this time may have been dropped for want of room."""

    @property
    def widened(self) -> bool:
        """Whether more than the interval asked for is covered."""
        return (self.start, self.end) != self.asked


@dataclass(frozen=True)
class Level:
    """What is held at one resolution."""

    resolution: float
    """Seconds per bucket."""
    start: float
    end: float
    buckets: int
    files: int
    rows: int
    """Rows seen."""
    kept: int
    """Rows in the samples."""
    bytes: int


@dataclass(frozen=True)
class GivenUp:
    """What was given up for want of room, or lost."""

    how: str
    """``coarsened``, ``thinned``, ``dropped`` or ``damaged``."""
    times: int
    rows: int
    """Rows seen that it concerned, each time."""
    start: float
    end: float


@dataclass(frozen=True)
class Holdings:
    """What a store holds: all of :meth:`TimeStore.describe`."""

    bucket: float
    levels: tuple[Level, ...]
    """Finest first."""
    given_up: tuple[GivenUp, ...]
    start: float | None
    end: float | None
    rows: int
    kept: int
    bytes: int
    """Of summary files; the catalogue adds about a megabyte at most."""
    disk_budget: int | None
    metric: str | None

    @property
    def over_budget(self) -> bool:
        """Whether the newest bucket, or pieces that are not settled, alone take more than the budget."""
        return self.disk_budget is not None and self.bytes > self.disk_budget

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"over_budget": self.over_budget}


def told(seconds: float) -> str:
    """A time of a store for people, as UTC; a plain number if no date can be that.

    >>> told(0.0), told(1e20)
    ('1970-01-01T00:00:00', '1e+20')
    """
    try:
        text = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g}"
    return text
