"""Live messages: server-sent events, read as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    """One thing that happened."""

    kind: str
    """``version``, ``change``, ``points``, ``alarm``, ``name``; ``gap`` where messages were missed for good."""
    number: int | None
    data: dict[str, Any]


class MessageReader:
    r"""Messages from a stream, and where to go on after a break.

    >>> reader = MessageReader()
    >>> parts = [b'id: 7\nevent: version\ndata: {"model":', b' "houses"}\n\n: still here\n\n']
    >>> [message.data for part in parts for message in reader.feed(part)], reader.last
    ([{'model': 'houses'}], 7)
    """

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        """Number of the last message."""
        self.pause = 1.0
        """Seconds to wait before coming back."""
        self.start()

    def start(self) -> None:
        """Forget what of a message had come before a break."""
        self._rest = b""
        self._kind, self._number = "", ""
        self._data: list[str] = []

    def headers(self) -> dict[str, str]:
        """Of the request that goes on where the stream broke."""
        resume = {} if self.last is None else {"last-event-id": str(self.last)}
        return {"accept": "text/event-stream"} | resume

    def feed(self, part: bytes) -> Iterator[Message]:
        """The messages that some bytes complete."""
        # split at line feeds alone: a text may hold other characters that end lines
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            yield from self._line(line.decode("utf-8", "replace").removesuffix("\r"))

    def _line(self, line: str) -> Iterator[Message]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            yield from self._complete()
        elif name == "event":
            self._kind = value
        elif name == "id":
            self._number = value
        elif name == "data":
            self._data.append(value)
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) < 6:
            self.pause = int(value) / 1000

    def _complete(self) -> Iterator[Message]:
        kind, number, text = self._kind, self._number, "\n".join(self._data)
        self._kind, self._number, self._data = "", "", []
        if number.isascii() and number.isdigit() and len(number) < 19:
            self.last = int(number)
        try:
            data = json.loads(text)
        except ValueError:
            return
        if not isinstance(data, dict):
            return
        if kind == "hello":  # where a stream begins; another after a break tells nothing new
            if self.last is None and isinstance(data.get("number"), int):
                self.last = data["number"]
            return
        yield Message(kind or "message", self.last if number else None, data)
