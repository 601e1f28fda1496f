"""Keys of requests that an inbox has kept, and the number of its newest file: what makes a second request count once."""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from shoal.model.durable import replace_durably

_log = logging.getLogger(__name__)

MOST_KEYS = 10_000
_KEYS, _NEWEST = ".keys.jsonl", ".newest"


class InboxKeys:
    """The newest 10,000 keys.

    Those of a file are written before it has its name, and count only if that file, or a later one, was there.

    Parameters
    ----------
    folder : of the inbox.

    >>> import tempfile
    >>> keys = InboxKeys(Path(tempfile.mkdtemp()))
    >>> keys.read(0)
    0
    >>> keys.add(7, ["a"]); "a" in keys
    False
    >>> keys.count(7, ["a"]); "a" in keys
    True
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = folder / _KEYS
        self._held: OrderedDict[str, None] = OrderedDict()
        self._lines = 0

    def __contains__(self, key: str) -> bool:
        return key in self._held

    @property
    def size(self) -> int:
        """Bytes of the log."""
        return self._log.stat().st_size if self._log.exists() else 0

    def add(self, number: int, keys: Sequence[str]) -> None:
        """Write down the keys of a file that is going to have this number."""
        with self._log.open("ab") as file:
            file.write(json.dumps({"file": number, "keys": list(keys)}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._lines += 1

    def undo(self, size: int) -> None:
        """Back to what the log was before :meth:`add`."""
        os.truncate(self._log, size)

    def count(self, number: int, keys: Sequence[str]) -> None:
        """The file is there. What is written now is best effort: its rows are kept, whatever becomes of this."""
        self._take(keys)
        try:
            self._note_newest(number)
            if self._lines > 2 * MOST_KEYS:
                self._rewrite()
        except OSError as error:
            _log.warning("the keys of %s cannot be tidied: %s", self.folder, error)

    def read(self, newest: int) -> int:
        """Read the keys, but those of a file that a crash left without its name.

        Parameters
        ----------
        newest : number of the newest file that is there; others may have removed later ones.

        Returns
        -------
        The number of the newest file that ever was.
        """
        newest = max(newest, self._kept_before())
        if not self._log.exists():
            return newest
        entries = []
        for line in self._log.read_bytes().splitlines():
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue  # torn by a crash
        if entries and entries[-1]["file"] > newest:
            del entries[-1]  # the crash came before its file had its name
        for entry in entries:
            self._take(entry["keys"])
        self._rewrite()
        return newest

    def _take(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._held[key] = None
        while len(self._held) > MOST_KEYS:
            self._held.popitem(last=False)

    def _rewrite(self) -> None:
        entry = {"file": 0, "keys": list(self._held)}
        replace_durably(self._log, json.dumps(entry).encode() + b"\n")
        self._lines = 1

    def _note_newest(self, number: int) -> None:
        """Replace a few bytes in place, which a crash does not tear."""
        handle = os.open(self.folder / _NEWEST, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(handle, b"%012d\n" % number, 0)
            os.fsync(handle)
        finally:
            os.close(handle)

    def _kept_before(self) -> int:
        try:
            text = (self.folder / _NEWEST).read_text("ascii", "replace").strip()
        except FileNotFoundError:
            return 0
        return int(text) if text.isdecimal() else 0
