"""New records of a log that another process writes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_TAIL = 256
"""Bytes before the offset that must not have changed."""


class JsonTail:
    """New records of a log, one JSON object a line, which a restart of its writer may cut back.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log"; _ = path.write_text('{"a": 1}\\n{"a": 2}\\n{"a"')
    >>> tail = JsonTail(path); tail.read()
    [(1, {'a': 1}), (2, {'a': 2})]
    >>> tail.read(), tail.begins
    ([], False)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begins, self.other = True, False
        """Of the last read: whether it began with the first record, and whether of another file than before."""
        self._stamp: tuple[int, int, int] | None = None
        self._offset, self._lines, self._tail = 0, 0, b""

    def read(self) -> list[tuple[int, dict[str, Any]]]:
        """New records with their line numbers; what cannot be read is left out."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                stamp = status.st_ino, status.st_mtime_ns, status.st_size
                self.begins = self.other = False
                if stamp == self._stamp:
                    return []
                file.seek(self._offset - len(self._tail))
                self.other = self._stamp is not None and self._stamp[0] != status.st_ino
                if self._stamp is None or self.other or file.read(len(self._tail)) != self._tail:
                    self.begins, self._offset, self._lines, self._tail = True, 0, 0, b""
                    file.seek(0)
                data = file.read()
        except FileNotFoundError:
            self.begins = self.other = self._stamp is not None
            self._stamp, self._offset, self._lines, self._tail = None, 0, 0, b""
            return []
        whole = data[: data.rfind(b"\n") + 1]
        found = []
        for line in whole.splitlines():
            self._lines += 1
            try:
                record = json.loads(line, parse_constant=lambda _: None)
            except ValueError:
                continue
            if isinstance(record, dict):
                found.append((self._lines, record))
        self._offset += len(whole)
        self._tail = (self._tail + whole)[-_TAIL:]
        self._stamp = stamp
        return found
