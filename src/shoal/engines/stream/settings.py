"""What a stream run is asked to do, and what of it may not change between a run and its continuation."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from shoal.errors import BadInputError
from shoal.features.event_time import UNITS
from shoal.features.spec import RecipeSpec
from shoal.solve.follow import Criterion

_SECONDS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
STREAM_ROWS = 20_000
"""Rows the summary of a stream keeps: it is solved again and again, so it is smaller than that of a table."""


@dataclass(frozen=True)
class Span:
    """A stretch of a stream: so many rows, or so many seconds of event time.

    >>> Span.parse("10m"), str(Span.parse("5000 rows"))
    (Span(rows=None, seconds=600.0), '5000 rows')
    """

    rows: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Span:
        """From ``500``, ``500 rows``, ``90s``, ``10m``, ``6h``, ``7d``.

        Raises
        ------
        BadInputError : it is none of these.
        """
        found = re.fullmatch(
            r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([a-z]*)\s*", text.replace("_", "").replace(",", "")
        )
        number, unit = (found[1], found[2]) if found else ("", "")
        try:
            if unit in ("", "row", "rows") and int(float(number)) >= 1:
                return cls(rows=int(float(number)))
            if unit in _SECONDS and float(number) > 0:
                return cls(seconds=float(number) * _SECONDS[unit])
        except (ValueError, OverflowError):
            pass
        raise BadInputError(
            f"{text!r} is no stretch of a stream", remedy="write 5000 rows, 90s, 10m, 6h or 7d"
        )

    def __str__(self) -> str:
        return f"{self.rows} rows" if self.rows is not None else f"{self.seconds:g}s"


@dataclass(frozen=True)
class StreamSettings:
    """How a stream is learned.

    >>> StreamSettings(k=(2, 8), half_life=Span.parse("1h"), time="at").timed
    True
    """

    k: int | tuple[int, int] = 8
    """Number of clusters, or the fewest and most to choose among at every solve."""
    criterion: Criterion = "votes"
    """By what k is chosen among a range."""
    recipe: RecipeSpec = field(default_factory=RecipeSpec)
    time: str | None = None
    """Column of event times; None: the source's own, where it has them."""
    time_unit: str = "s"
    """Unit of event times that are numbers."""
    half_life: Span | None = None
    """After which a row counts half; None: nothing is forgotten."""
    learn_rows: int = 1000
    """Rows from which scales and categories are learned, and the first model is solved."""
    every: Span = field(default_factory=lambda: Span(rows=20_000))
    """Between two solves; the first come earlier, at doubling distances."""
    keep: tuple[str, ...] = ()
    """Columns of the input that labels carry along."""
    sample_rows: int = STREAM_ROWS
    max_bytes: int = 64 << 20
    seed: int = 0
    bucket: float | None = None
    """Seconds of event time per summary in the store for time travel; None: no store."""
    bucket_rows: int = 5000
    drift: bool = True
    """Watch distances and shares."""
    n_threads: int | None = None

    def __post_init__(self) -> None:
        low, high = self.k_range
        if low < 1 or high < low:
            raise BadInputError(
                f"k is {self.k}", remedy="give a number of at least 1, or a range such as 2:12"
            )
        if self.learn_rows < 1:
            raise BadInputError(f"learn_rows is {self.learn_rows}", remedy="give at least 1")
        if self.time_unit not in UNITS:
            raise BadInputError(f"time unit is {self.time_unit!r}", remedy=f"use one of {', '.join(UNITS)}")
        if self.bucket is not None and self.bucket <= 0:
            raise BadInputError(f"bucket is {self.bucket} seconds", remedy="give a positive time, such as 1h")

    @property
    def k_range(self) -> tuple[int, int]:
        """Fewest and most clusters."""
        return self.k if isinstance(self.k, tuple) else (self.k, self.k)

    @property
    def timed(self) -> bool:
        """Whether event times are needed."""
        spans = (self.half_life, self.every)
        return self.bucket is not None or any(s is not None and s.seconds is not None for s in spans)

    def fixed(self) -> dict[str, Any]:
        """What a continued run must have in common with its beginning, as plain data."""
        return {
            "recipe": self.recipe.to_dict(),
            "time": self.time,
            "time_unit": self.time_unit,
            "half_life": str(self.half_life),
            "learn_rows": self.learn_rows,
            "sample_rows": self.sample_rows,
            "max_bytes": self.max_bytes,
            "seed": self.seed,
            "bucket": self.bucket,
            "bucket_rows": self.bucket_rows,
        }
