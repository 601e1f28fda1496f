"""Bodies of requests: their kind, and no more of them than is allowed, in one request and in all together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import Request

from shoal.serve.metrics import Metrics, Reason
from shoal.serve.refused import RefusedError
from shoal.serve.settings import Settings


class Waiting:
    """The requests with bodies that are worked on, or wait for it; beyond a bound others are sent away at once.

    A queue without a bound fills the memory, and answers only those who have given up.
    """

    def __init__(self, settings: Settings, metrics: Metrics, most: int | None = None) -> None:
        self._settings, self._metrics = settings, metrics
        self._most = settings.max_waiting if most is None else most
        self._closed = False
        self.count = 0
        self.bytes = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """A place among them, while the block runs.

        Raises
        ------
        RefusedError : 429 while all are taken; 503 if the service ends, or the block takes too long.
        """
        if self._closed:
            raise self.refused("closing", 503, "the service is ending", "ask again, or another one")
        if self.count >= self._most:
            raise self.refused(
                "requests", 429, f"{self.count} requests are waiting already", "ask again later"
            )
        place = Place(self)
        self.count += 1
        seconds = self._settings.request_seconds
        try:
            async with asyncio.timeout(seconds):
                yield place
        except TimeoutError:
            raise self.refused(
                "time", 503, f"the answer took over {seconds:g} s", "send less at a time"
            ) from None
        finally:
            self.count -= 1
            self.bytes -= place.bytes

    def open(self) -> None:
        """Take some again, after :meth:`close`."""
        self._closed = False

    def close(self) -> None:
        """Take no more; those that have a place keep it."""
        self._closed = True

    def hold(self, more: int) -> None:
        """Raises :class:`RefusedError` 429 if so many bytes more are too many."""
        if self.bytes + more > self._settings.max_waiting_bytes:
            raise self.refused(
                "bytes", 429, "the bodies of other requests fill the memory", "ask again later"
            )
        self.bytes += more

    def refused(self, reason: Reason, status: int, error: str, remedy: str) -> RefusedError:
        """The error for a request that is sent away, which is counted."""
        self._metrics.refused(reason)
        return RefusedError(status, error, remedy=remedy, **{"Retry-After": "1"})


class Place:
    """The place of one request, and the bytes of its body so far."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self.bytes = 0

    def hold(self, more: int) -> None:
        """Take room for so many bytes more, until the place is given up."""
        self._waiting.hold(more)
        self.bytes += more


def content_type(request: Request, kinds: Sequence[str]) -> str:
    """The content type, which must be one of ``kinds``.

    Raises
    ------
    RefusedError : 415.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in kinds:
        raise RefusedError(415, "this content type is not read", remedy=f"send {', '.join(kinds)}")
    check_encoding(request)
    return kind


def check_encoding(request: Request) -> None:
    """Raises :class:`RefusedError` 415 for a compressed body."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "compressed bodies are not read", remedy="send it as it is")


async def read_body(
    request: Request, settings: Settings, place: Place | None = None, *, most: int | None = None
) -> bytes:
    """The body, given up as soon as it is too long or too slow.

    Parameters
    ----------
    most : bytes it may have, where that is less than the service allows.

    Raises
    ------
    RefusedError : 413, 408; 429 if its place has no room for it.
    """
    parts: list[bytes] = []
    length, limit = 0, settings.max_body if most is None else min(most, settings.max_body)
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for part in request.stream():
                length += len(part)
                if length > limit:
                    raise RefusedError(
                        413,
                        f"the body is longer than {limit} bytes",
                        place="request",
                        remedy="send several requests" if most is None else "send less",
                    )
                if place is not None:
                    place.hold(len(part))
                if part:
                    parts.append(part)
    except TimeoutError:
        remedy = "send faster, or less at a time"
        raise RefusedError(408, f"the body took over {settings.body_seconds:g} s", remedy=remedy) from None
    return parts[0] if len(parts) == 1 else b"".join(parts)
