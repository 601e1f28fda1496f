"""A stream read ahead of its use: parsing the next chunk takes place while the last one is learned."""

from __future__ import annotations

import queue
import threading
from typing import Any

from shoal.sources.stream_protocol import Chunk, StreamSource

DEPTH = 2
"""Chunks held ready. Beyond that the source waits: nothing piles up in memory."""
_PATIENCE = 0.2


class ReadAhead:
    """The same chunks in the same order, polled on a thread of their own.

    The source is used by one thread at a time: ``committed`` waits until a poll has ended.
    """

    def __init__(self, source: StreamSource, max_rows: int) -> None:
        self._source, self._max_rows = source, max_rows
        self._ready: queue.Queue[Chunk | BaseException] = queue.Queue(maxsize=DEPTH)
        self._turn = threading.Lock()
        self._stop, self._ended = threading.Event(), threading.Event()
        self._wanted = threading.Event()
        """Somebody waits for a turn: locks are not fair, so the reader steps aside."""
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """Of the source."""
        return self._source.name

    def start(self, position: dict[str, Any] | None) -> None:
        """Start the source, and reading."""
        self._source.start(position)
        self._thread = threading.Thread(target=self._read, name="shoal-stream-reader", daemon=True)
        self._thread.start()

    def poll(self, max_rows: int, timeout: float) -> Chunk | None:
        """The next chunk, or None if there is none within ``timeout`` seconds; errors of the source come here."""
        ended = self._ended.is_set()  # looked at first: what was put before the end is in the queue then
        try:
            item = self._ready.get(block=not ended, timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(item, BaseException):
            raise item
        return item

    @property
    def finished(self) -> bool:
        """Whether the source is, and all of it was handed out."""
        return self._ended.is_set() and self._ready.empty()

    def committed(self, position: dict[str, Any]) -> None:
        """Tell the source."""
        self._wanted.set()
        with self._turn:
            self._wanted.clear()
            self._source.committed(position)

    def backlog(self) -> int | None:
        """Of the source."""
        return self._source.backlog()

    def close(self) -> None:
        """Stop reading and close the source."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        with self._turn:
            self._source.close()

    def _read(self) -> None:
        try:
            while not self._stop.is_set():
                if self._wanted.is_set():
                    self._stop.wait(0.001)
                    continue
                with self._turn:
                    chunk = self._source.poll(self._max_rows, _PATIENCE)
                    finished = self._source.finished
                if chunk is not None:
                    self._put(chunk)
                elif finished:
                    break
        except BaseException as error:
            self._put(error)
        self._ended.set()

    def _put(self, item: Chunk | BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=_PATIENCE)
            except queue.Full:
                continue
            return
