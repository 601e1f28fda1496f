"""What happens, for those who watch: kept for a while, and handed to every listener."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

KEPT = 10_000
WAITING = 1_000
"""Messages that wait for a slow listener before it is let go."""


@dataclass(frozen=True)
class Message:
    """One thing that happened."""

    number: int
    """Counts up by one."""
    kind: str
    """``version``, ``change``, ``points``, ``alarm``, ``name``."""
    model: str
    data: dict[str, Any]


class Feed:
    """Messages, from any thread, to any number of listeners.

    >>> feed = Feed()
    >>> feed.tell("version", "houses", {"version": "2"}).number, [m.kind for m in feed.since(0)]
    (1, ['version'])
    """

    def __init__(self) -> None:
        self._kept: deque[Message] = deque(maxlen=KEPT)
        self._number = 0
        self._lock = threading.Lock()
        self._listeners: dict[asyncio.Queue[Message | None], asyncio.AbstractEventLoop] = {}

    def tell(self, kind: str, model: str, data: dict[str, Any]) -> Message:
        """Say that something happened."""
        with self._lock:
            self._number += 1
            message = Message(self._number, kind, model, data)
            self._kept.append(message)
            listeners = list(self._listeners.items())
        for queue, loop in listeners:
            loop.call_soon_threadsafe(self._put, queue, message)
        return message

    def since(self, number: int) -> list[Message]:
        """Messages after that one, as far as they are kept."""
        with self._lock:
            return [m for m in self._kept if m.number > number]

    async def listen(self, since: int | None = None) -> AsyncIterator[Message]:
        """Messages as they come, those after ``since`` first; ends when the listener is too slow or the service ends."""
        queue: asyncio.Queue[Message | None] = asyncio.Queue(WAITING)
        with self._lock:
            old = [] if since is None else [m for m in self._kept if m.number > since]
            self._listeners[queue] = asyncio.get_running_loop()
        try:
            for message in old:
                yield message
            while (new := await queue.get()) is not None:
                yield new
        finally:
            with self._lock:
                self._listeners.pop(queue, None)

    def close(self) -> None:
        """Let all listeners go."""
        with self._lock:
            listeners = list(self._listeners.items())
        for queue, loop in listeners:
            loop.call_soon_threadsafe(self._put, queue, None)

    def _put(self, queue: asyncio.Queue[Message | None], message: Message | None) -> None:
        if queue.full():
            while not queue.empty():
                queue.get_nowait()
            message = None
        queue.put_nowait(message)
