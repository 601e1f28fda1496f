"""Requests that were refused, and which of them are worth another try."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

from shoal.errors import ShoalError

_LONGEST = 30.0
"""Seconds waited before another try, whatever the service asks for."""


class RequestError(ShoalError):
    """A request that the service refused.

    >>> error = RequestError(422, "value is nan", place="request, row 2", remedy="mend the row")
    >>> str(error), error.status
    ('request, row 2: value is nan; mend the row (422)', 422)
    """

    def __init__(
        self, status: int, error: str, *, place: str | None = None, remedy: str | None = None
    ) -> None:
        self.status, self.error, self.place, self.remedy = status, error, place, remedy
        text = error if place is None else f"{place}: {error}"
        super().__init__(f"{text if remedy is None else f'{text}; {remedy}'} ({status})")


class NoAnswerError(ShoalError):
    """A service that does not answer, after every try."""


def refusal(status: int, body: bytes) -> RequestError:
    """The error in an answer, also in one that another server on the way made.

    >>> str(refusal(502, b"<html>Bad gateway</html>"))
    'the server answered with 502 (502)'
    """
    try:
        told = json.loads(body)
        parts = [told.get(name) for name in ("error", "place", "remedy")]
    except (ValueError, AttributeError):
        parts = [None, None, None]
    error, place, remedy = (part if isinstance(part, str) else None for part in parts)
    return RequestError(status, error or f"the server answered with {status}", place=place, remedy=remedy)


def pause_after(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds to wait before a refused request is sent again; None if that is no use.

    >>> pause_after(429, {"retry-after": "2"}), pause_after(503, {}), pause_after(500, {"retry-after": "2"})
    (2.0, None, None)
    """
    if status not in (429, 503):
        return None
    try:
        asked = float(headers.get("retry-after", ""))
    except ValueError:
        return None  # the service has no version yet, or there is a date, which needs both clocks right
    return min(max(asked, 0.0), _LONGEST) if asked == asked else None


def pause_before(attempt: int) -> float:
    """Seconds to wait before try number ``attempt`` = 1, 2, ... after no answer came: longer each time, and never alike."""
    longest: float = min(0.1 * 2.0**attempt, _LONGEST)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - only spreads the tries


class Tries:
    """The tries of one request that may be sent again: how long to wait before the next, or the error after the last."""

    def __init__(self, most: int) -> None:
        self._left, self._count = most, 0

    def after_refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> float:
        """Seconds to wait.

        Raises
        ------
        RequestError : another try is of no use, or there were enough.
        """
        pause = pause_after(status, headers)
        if pause is None or self._count >= self._left:
            raise refusal(status, body)
        self._count += 1
        return pause

    def after_silence(self, error: Exception, address: str) -> float:
        """Seconds to wait after no answer came.

        Raises
        ------
        NoAnswerError : there were enough tries.
        """
        if self._count >= self._left:
            raise NoAnswerError(f"{address} does not answer: {error or type(error).__name__}") from error
        self._count += 1
        return pause_before(self._count)
