"""What happens, for those who watch: kept for a while, and handed to every listener."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

KEPT = 10_000
KEPT_BYTES = 8 * 1024**2
"""Messages that are kept for listeners that come back, and their size."""
WAITING = 1_000
"""Messages that wait for a slow listener before it is let go."""
LISTENERS = 200


@dataclass(frozen=True)
class Message:
    """One thing that happened."""

    number: int
    """Counts up by one."""
    kind: str
    """``version``, ``change``, ``points``, ``alarm``, ``name``."""
    model: str
    text: str
    """The data with the model's name, as JSON: made once for all listeners, and a tenth of the size of its objects."""

    @property
    def data(self) -> dict[str, Any]:
        """What happened."""
        told: dict[str, Any] = json.loads(self.text)
        del told["model"]
        return told


class Listener:
    """One who watches, on one event loop.

    Parameters
    ----------
    number : the newest message when it came.
    old : messages it is to be told first.
    missed : whether some between those it knew and those it is told are no longer kept.
    """

    def __init__(self, number: int, old: list[Message], *, missed: bool) -> None:
        self.number, self.missed = number, missed
        self.ended = asyncio.Event()
        """Set when it was too slow, or the service ends."""
        self._old = deque(old)
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[Message | None] = asyncio.Queue()

    async def next(self) -> Message | None:
        """The next message, when it comes; None at the end."""
        return self._old.popleft() if self._old else await self._waiting.get()

    def hand(self, message: Message | None) -> None:
        """Give it a message, or the end, from any thread; raises :class:`RuntimeError` if its loop is gone."""
        self._loop.call_soon_threadsafe(self._put, message)

    def _put(self, message: Message | None) -> None:
        if self.ended.is_set():
            return
        if self._waiting.qsize() >= WAITING:
            while not self._waiting.empty():
                self._waiting.get_nowait()
            message = None
        if message is None:
            self.ended.set()
        self._waiting.put_nowait(message)


class Feed:
    """Messages, from any thread, to any number of listeners.

    Parameters
    ----------
    after : number before the first. Default the time in milliseconds: so a listener that returns after a restart has
        a number that is not kept, and learns that it missed something.

    >>> feed = Feed(after=0)
    >>> feed.tell("version", "houses", {"version": "2"}).number, [m.kind for m in feed.since(0)]
    (1, ['version'])
    """

    def __init__(self, after: int | None = None) -> None:
        self._kept: deque[Message] = deque()
        self._size = 0
        self._number = int(time.time() * 1000) if after is None else after
        self._is_open = True
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._listeners)

    def tell(self, kind: str, model: str, data: dict[str, Any]) -> Message:
        """Say that something happened.

        Raises
        ------
        ValueError : a number in ``data`` that is not finite.
        """
        text = json.dumps({"model": model} | data, allow_nan=False, separators=(",", ":"))
        with self._lock:
            message = Message(self._number + 1, kind, model, text)
            self._size += len(text)
            self._number += 1
            self._kept.append(message)
            while len(self._kept) > KEPT or self._size > KEPT_BYTES:
                self._size -= len(self._kept.popleft().text)
            self._hand_out(message)  # within the lock: two threads must not swap their messages
        return message

    def since(self, number: int) -> list[Message]:
        """Messages after that one, as far as they are kept."""
        with self._lock:
            return [m for m in self._kept if m.number > number]

    @contextmanager
    def listening(self, since: int | None = None) -> Iterator[Listener]:
        """A listener that is told everything from now on, or after the message it has seen last."""
        with self._lock:
            first = self._kept[0].number if self._kept else self._number + 1
            missed = since is not None and not first - 1 <= since <= self._number
            old = [] if since is None or missed else [m for m in self._kept if m.number > since]
            listener = Listener(self._number, old, missed=missed)
            self._listeners.add(listener)
            if not self._is_open:
                listener.hand(None)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def open(self) -> None:
        """Take listeners again, after :meth:`close`."""
        with self._lock:
            self._is_open = True

    def close(self) -> None:
        """Let all listeners go, and those to come too."""
        with self._lock:
            self._is_open = False
            self._hand_out(None)

    def _hand_out(self, message: Message | None) -> None:
        for listener in list(self._listeners):
            try:
                listener.hand(message)
            except RuntimeError:
                self._listeners.discard(listener)


async def server_sent(
    listener: Listener, model: str | None = None, beat: float = 15.0
) -> AsyncIterator[bytes]:
    """What a page reads: https://html.spec.whatwg.org/multipage/server-sent-events.html.

    Parameters
    ----------
    model : only messages about it.
    beat : seconds of silence after which a comment shows that the connection lives.
    """
    data = f'data: {{"number":{listener.number}}}\n\n'
    yield f"retry: 2000\nevent: hello\n{data}".encode()
    if listener.missed:
        yield f"id: {listener.number}\nevent: gap\n{data}".encode()
    while True:
        try:
            async with asyncio.timeout(beat):
                message = await listener.next()
        except TimeoutError:
            yield b": still here\n\n"
            continue
        if message is None:
            return
        if model is None or message.model == model:
            yield f"id: {message.number}\nevent: {message.kind}\ndata: {message.text}\n\n".encode()
