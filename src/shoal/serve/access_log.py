"""One line for each request: what was asked, how it ended, and never what was sent."""

from __future__ import annotations

import json
import queue
import re
import secrets
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from fastapi import Request

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_LONGEST = 200
MOST_LINES = 10_000
"""Lines that wait to be written."""
_KEY = "shoal.noted"


@dataclass
class Noted:
    """What becomes known of a request while it is answered."""

    id: str
    rows: int | None = None
    model: str | None = None
    version: str | None = None
    bytes_in: int = 0
    bytes_out: int = 0


def note(scope: Any, noted: Noted) -> None:
    """Keep what is known of a request where its route finds it."""
    scope[_KEY] = noted


def noted_of(request: Request) -> Noted:
    """What is known of a request so far, for its route to add to."""
    found = request.scope.get(_KEY)
    return found if isinstance(found, Noted) else Noted(request_id(""))


def request_id(asked: str) -> str:
    """The id a client gave, if it is one that may stand in a log, or else a new one.

    >>> request_id("job-17.3"), len(request_id("two\\nlines"))
    ('job-17.3', 16)
    """
    return asked if _ID.fullmatch(asked) else secrets.token_hex(8)


class LineWriter:
    """Writes lines to standard error from a thread of its own: a reader that has stopped must not stop the service.

    Lines that find no room are left out and counted.
    """

    def __init__(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue(MOST_LINES)
        self._lost = 0
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None

    def write(self, line: str) -> None:
        """Hand over a line without its end."""
        if self._thread is None:
            with self._turn:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="shoal-log", daemon=True)
                    self._thread.start()
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._lost += 1

    def flush(self, seconds: float = 1.0) -> None:
        """Wait until what was handed over is written, for so long at most."""
        until = time.monotonic() + seconds
        while self._lines.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.005)

    def _work(self) -> None:
        while True:
            line = self._lines.get()
            lost, self._lost = self._lost, 0
            with suppress(OSError, ValueError):  # answers go on when nobody reads the log any more
                if lost:
                    sys.stderr.write(f"{lost} lines of the log were left out: nobody read them\n")
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
            self._lines.task_done()


class AccessLog:
    """Writes a line for each request.

    Parameters
    ----------
    form : ``json`` for machines, ``text`` for people, ``none`` for nobody.
    stream : where to; None is standard error, on a thread.

    >>> log = AccessLog("text", sys.stdout)
    >>> log.request(Noted("7f", rows=3), "GET", "/odd\\npath", 404, 0.0015)
    20... 7f GET "/odd\\npath" 404 1.5 ms rows=3 bytes_in=0 bytes_out=0
    """

    def __init__(self, form: Literal["json", "text", "none"], stream: TextIO | None = None) -> None:
        self._form, self._stream = form, stream
        self._writer = LineWriter()

    def flush(self) -> None:
        """Wait a moment until all lines are written."""
        self._writer.flush()

    def request(self, noted: Noted, method: str, route: str, status: int, seconds: float) -> None:
        """Write the line of one request."""
        if self._form == "none":
            return
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "id": noted.id,
            "method": method[:_LONGEST],
            "route": route[:_LONGEST],
            "status": status,
            "ms": round(seconds * 1000, 2),
            "rows": noted.rows,
            "model": None if noted.model is None else noted.model[:_LONGEST],
            "version": noted.version,
            "bytes_in": noted.bytes_in,
            "bytes_out": noted.bytes_out,
        }
        line = json.dumps(entry) if self._form == "json" else _for_people(entry)
        if self._stream is None:
            self._writer.write(line)
        else:
            self._stream.write(line + "\n")


def _for_people(entry: dict[str, Any]) -> str:
    head = " ".join(_word(entry[key]) for key in ("time", "id", "method", "route", "status"))
    rest = ("rows", "model", "version", "bytes_in", "bytes_out")
    tail = " ".join(f"{key}={_word(entry[key])}" for key in rest if entry[key] is not None)
    return f"{head} {entry['ms']} ms {tail}"


def _word(value: Any) -> str:
    """As it is where that is one plain word, else quoted: no request writes a line of its own."""
    text = str(value)
    return text if text and text.isascii() and text.isprintable() and " " not in text else json.dumps(text)
