"""Forgetting by event time: a row counts half as much every half-life, whenever it arrives.

Forward decay (Cormode, Shkapenyuk, Srivastava and Xu 2009): a row of event time t weighs ``2 ** ((t - L) / half_life)``
against a landmark L. Ageing then rewrites nothing, and a late row comes with its own age. So that weights stay numbers,
the landmark moves on by whole epochs of 64 half-lives, and what is held is scaled by a power of two, which is exact:
the order of arrival leaves no trace. What is older than about 900 half-lives weighs nothing at all.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError, DamagedFileError, ShoalError

EPOCH = 64
"""Half-lives between two landmarks."""
FUTURE = 86_400.0
"""Seconds an event time may lie ahead of this machine's clock. One row from the year 2099 would age all others away."""
FORGOTTEN = 2.0**-900
"""What weighs less than this against the landmark weighs nothing."""


class Clock:
    """Turns event times into weights relative to a landmark.

    Parameters
    ----------
    half_life : time after which a row counts half, in the unit of the times (seconds, if they are dates).

    A summary keeps one, calls :meth:`admit` for each batch, and scales what it holds when the landmark has moved.

    >>> clock = Clock(half_life=10.0)
    >>> weights, shift = clock.admit([0.0, 10.0], None)
    >>> (weights * clock.as_of_newest).tolist(), shift
    ([0.5, 1.0], 0)
    """

    def __init__(self, half_life: float) -> None:
        if not (isinstance(half_life, (int, float)) and math.isfinite(half_life) and half_life > 0):
            raise ShoalError(f"half_life={half_life} must be a positive, finite time")
        self.half_life = float(half_life)
        self.newest: float | None = None
        """Newest event time seen."""

    @property
    def landmark(self) -> int:
        """Number of the epoch at whose end a row would weigh 1."""
        return 0 if self.newest is None else int(self._epochs(np.array([self.newest]))[0])

    @property
    def as_of_newest(self) -> float:
        """Factor from weights relative to the landmark to weights as of the newest event time: 1 to 2**64."""
        return 1.0 if self.newest is None else float(1.0 / self._relative(np.array([self.newest]))[0])

    def admit(
        self, times: ArrayLike | None, weights: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], int]:
        """Weights of rows of these event times, and by how many epochs the landmark moved.

        What was held before is to be multiplied by :func:`shrink` of that number; so are rows that wait.

        Raises
        ------
        BadInputError : no times, or one that is not finite.
        """
        if times is None:
            raise BadInputError(
                "rows have no event times", remedy="a summary that forgets needs them: give times"
            )
        t = as_times(times)
        if weights is not None and len(weights) != len(t):
            raise BadInputError(f"{len(t)} event times for {len(weights)} rows")
        shift = self.advance(float(t.max())) if len(t) else 0
        lifted = self._relative(t)
        if weights is not None:
            lifted *= weights
        lifted[lifted < FORGOTTEN] = 0.0
        return lifted, shift

    def advance(self, time: float) -> int:
        """Let time pass without rows; answers by how many epochs the landmark moved."""
        first, before = self.newest is None, self.landmark
        self.newest = time if self.newest is None else max(self.newest, time)
        return 0 if first else self.landmark - before

    def merge(self, other: Clock) -> tuple[Clock, int, int]:
        """The later of two clocks, and the epochs each side's weights must shrink by.

        Raises
        ------
        ShoalError : the half-lives differ.
        """
        if self.half_life != other.half_life:
            raise ShoalError(f"half-lives differ: {self.half_life:g} and {other.half_life:g}")
        out = Clock(self.half_life)
        seen = [c.newest for c in (self, other) if c.newest is not None]
        out.newest = max(seen, default=None)
        mine, theirs = (0 if c.newest is None else out.landmark - c.landmark for c in (self, other))
        return out, mine, theirs

    def to_meta(self) -> dict[str, Any]:
        """Plain data for :mod:`shoal.summary.wire`."""
        return {"half_life": self.half_life, "newest": self.newest}

    @classmethod
    def from_meta(cls, meta: dict[str, Any]) -> Clock:
        """Inverse of :meth:`to_meta`; raises :class:`DamagedFileError`."""
        newest = meta["newest"]
        if newest is not None and not (isinstance(newest, float) and math.isfinite(newest)):
            raise DamagedFileError(f"the summary's newest event time is {newest!r}; use another copy")
        out = cls(meta["half_life"])
        out.newest = newest
        return out

    def _epochs(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.floor(times / (EPOCH * self.half_life)) + 1

    def _relative(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weight against the landmark. The part within the epoch is the same whichever the landmark is."""
        epochs = self._epochs(times)
        ends = epochs * (
            EPOCH * self.half_life
        )  # subtracted first: seconds since 1970 have few digits to spare
        within = np.exp2((times - ends) / self.half_life)
        behind = np.minimum(self.landmark - epochs, 1e6).astype(np.int32)
        out: NDArray[np.float64] = np.ldexp(within, -EPOCH * behind)
        return out


def shrink(shift: int) -> float:
    """Factor for weights when the landmark moves on by ``shift`` epochs: a power of two, or 0."""
    return math.ldexp(1.0, -EPOCH * min(shift, 1000))


def new_clock(half_life: float | None) -> Clock | None:
    """A clock, or None where nothing is forgotten."""
    return None if half_life is None else Clock(half_life)


def merge_clocks(a: Clock | None, b: Clock | None) -> tuple[Clock | None, int, int]:
    """As :meth:`Clock.merge`, for summaries of which both forget or neither does."""
    if a is None and b is None:
        return None, 0, 0
    if a is None or b is None:
        raise ShoalError(
            "a summary that forgets and one that does not cannot merge: give both the same half_life"
        )
    return a.merge(b)


def as_times(times: ArrayLike) -> NDArray[np.float64]:
    """(n,) event times as float64; dates become seconds since 1970 UTC.

    >>> as_times(np.array(["1970-01-01T00:01"], "datetime64[s]"))
    array([60.])
    """
    t = np.atleast_1d(np.asarray(times))
    if t.dtype.kind == "M":
        missing = np.isnat(t)
        t = np.where(missing, np.nan, t.astype("datetime64[us]").astype(np.int64) / 1e6)
    try:
        t = np.array(t, np.float64)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"event times of type {t.dtype}", remedy="give numbers or datetime64") from error
    if t.ndim != 1:
        raise BadInputError(f"event times have shape {t.shape}, not (n,)")
    wrong = np.flatnonzero(~(np.abs(t) < 1e15))
    if len(wrong):
        raise BadInputError(
            f"event time is {t[wrong[0]]}", place=f"row {wrong[0]}", remedy="drop such rows first"
        )
    return t
