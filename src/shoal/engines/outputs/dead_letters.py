"""Messages that could not be used, kept whole with the reason, and counted."""

from __future__ import annotations

import base64
import json
import math
import os
from datetime import UTC, datetime
from typing import Any

from shoal.engines.outputs.appended_file import AppendedFile
from shoal.engines.outputs.protocol import Position
from shoal.errors import BadInputError

MOST_KINDS = 1000
"""Reasons counted apart."""


class DeadLetters:
    """A file of JSON lines ``{time, source, place, reason, raw}``, exactly once, like any output.

    Bytes that are UTF-8 are kept as text, others as ``{"base64": ...}``, so that every message can be put back.
    The file is made by ``start`` even if nothing ever dies.

    Parameters
    ----------
    path : the file.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "dead.jsonl"
    >>> dead = DeadLetters(path); dead.start(None)
    >>> dead.add("redis://h/0?stream=s", "message 5-0", "not JSON", b"{", time="2026-11-21T05:00:00+00:00")
    >>> dead.counts, dead.total
    ({'not JSON': 1}, 1)
    >>> _ = dead.sync(); dead.close(); json.loads(path.read_text())["raw"]
    '{'
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = AppendedFile(path, "dead-letters")
        self._counts: dict[str, int] = {}

    @property
    def counts(self) -> dict[str, int]:
        """Messages by reason since the stream began, those before a restart included."""
        return dict(self._counts)

    @property
    def total(self) -> int:
        """All messages since the stream began."""
        return sum(self._counts.values())

    def start(self, position: Position | None) -> None:
        """Cut file and counts back to ``position``; errors as :class:`AppendedFile` has them."""
        counts = (position or {}).get("counts", {})
        if not isinstance(counts, dict) or not all(type(n) is int and n >= 0 for n in counts.values()):
            raise BadInputError(
                f"the checkpoint's counts of dead letters cannot be read: {counts!r}",
                place=str(self._file.path),
                remedy="begin anew without the checkpoint",
            )
        self._file.start(position)
        self._counts = dict(counts)

    def add(self, source: str, place: str, reason: str, raw: Any, *, time: str | None = None) -> None:
        """Keep a message.

        Parameters
        ----------
        source : where it came from.
        place : which one it is there, such as a message id, row or offset.
        reason : why it cannot be used; counted without what stands in brackets or behind a colon.
        raw : the message: bytes, a string, or plain data.
        time : when, ISO 8601; by default now, in UTC.
        """
        letter = {
            "time": time or datetime.now(UTC).isoformat(timespec="milliseconds"),
            "source": source,
            "place": place,
            "reason": reason,
            "raw": _kept(raw),
        }
        self._file.append([_line(letter)])
        kind = _kind(reason)
        if kind not in self._counts and len(self._counts) >= MOST_KINDS:
            kind = "other reasons"
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def sync(self) -> Position:
        """Make the letters durable."""
        return self._file.sync() | {"counts": self.counts}

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _kind(reason: str) -> str:
    """A reason without what is special to one message, so that counts stay few however long the stream.

    >>> _kind("not a JSON object (it is '[1]')"), _kind("not a number: 'x'")
    ('not a JSON object', 'not a number')
    """
    return reason.partition(" (")[0].partition(": ")[0]


def _line(letter: dict[str, Any]) -> bytes:
    try:
        return (json.dumps(letter, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can hold
        return (json.dumps(letter) + "\n").encode()


def _kept(raw: Any) -> Any:
    """The message as plain data for JSON, nothing of it lost."""
    if isinstance(raw, bytes | bytearray | memoryview):
        data = bytes(raw)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(data).decode("ascii")}
    if isinstance(raw, dict):
        return {k if isinstance(k, str) else str(_kept(k)): _kept(v) for k, v in raw.items()}
    if isinstance(raw, list | tuple):
        return [_kept(v) for v in raw]
    if raw is None or isinstance(raw, str | bool | int) or (isinstance(raw, float) and math.isfinite(raw)):
        return raw
    return str(raw)
