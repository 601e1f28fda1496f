"""A log of plain records, a line of JSON each, exactly once like any output."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from shoal.engines.outputs.appended_file import AppendedFile
from shoal.engines.outputs.protocol import Position


class JsonLog:
    """Events and alarms of a stream: few, and of changing shape, so they are written one by one.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "events.jsonl"
    >>> log = JsonLog(path); log.start(None); log.append([{"kind": "born", "cluster": 3}])
    >>> _ = log.sync(); log.close(); path.read_text()
    '{"kind": "born", "cluster": 3}\\n'
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = AppendedFile(path, "json-log")

    def start(self, position: Position | None) -> None:
        """Cut the file back to ``position``; errors as :class:`AppendedFile` has them."""
        self._file.start(position)

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records."""
        lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        self._file.append([line.encode("utf-8", "replace") for line in lines])

    def sync(self) -> Position:
        """Make the records durable."""
        return self._file.sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
