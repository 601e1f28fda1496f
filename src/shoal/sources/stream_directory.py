"""A directory that receives files: each once, in an order that is written down before it is used."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from shoal.errors import BadInputError
from shoal.model.durable import sync_folder
from shoal.sources.locate import Located, is_hidden, name_format
from shoal.sources.stream_protocol import DeadLetter

SETTLE = 2.0
"""Seconds for which a file must not have changed before it is taken for complete."""
_SCAN = 0.2
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".swp")


class ReceivedFiles:
    """The files of a directory (and its folders), in the order in which they were found complete.

    A file is complete when neither its size nor its time of change has moved for two seconds, by its own time of
    change if that lies in the past, else since it was first seen. So a file moved into place is taken at once if it
    was written two seconds ago or earlier. Those complete at the same look come by time of change, then name. The
    order goes to a log in ``state`` before the first row of a file is read, so that a restart sees the same order
    whatever came later. Each name is read once, even if the file is replaced or changed later.

    Ignored are names that start with a dot or underscore or end in .tmp, .part, .partial, .crdownload or .swp, and
    names whose ending is of no known format, unless the format is given.

    Parameters
    ----------
    follow : False: what is there at the first look, complete or not.
    any_name : take names of unknown format too.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        state: Path,
        *,
        follow: bool,
        any_name: bool = False,
        settle: float = SETTLE,
    ) -> None:
        self._folder, self._state, self._follow = Path(folder), state, follow
        self._any_name, self._settle = any_name, settle
        name = hashlib.blake2b(str(self._folder.resolve()).encode(), digest_size=6).hexdigest()
        self._log = state / f"received-{name}.jsonl"
        self._names: list[str] = []
        self._sizes: list[int] = []
        self._known: set[str] = set()
        self._seen: dict[str, tuple[int, int, float]] = {}
        self._scanned: float | None = None

    def start(self, number: int, name: str | None) -> int:
        """Read the order so far; raises :class:`BadInputError` if it does not hold the file of the position."""
        self._read_log()
        self._scanned = None
        if name is not None and (number >= len(self._names) or self._origin(self._names[number]) != name):
            raise BadInputError(
                f"does not name {name} as file {number + 1}",
                place=str(self._log),
                remedy="put the state directory back as it was, or begin anew in another --state",
            )
        return number

    def get(self, number: int) -> Located | DeadLetter | None:
        """File ``number``; a dead letter if it is gone; None if it has not come yet."""
        if number >= len(self._names):
            self._scan()
        if number >= len(self._names):
            return None
        path = self._folder / self._names[number]
        try:
            size = path.stat().st_size
        except OSError as error:
            reason = f"the file was gone before it was read ({error.strerror})"
            return DeadLetter(reason, self._origin(self._names[number]), "")
        return Located(str(path), str(path), pafs.LocalFileSystem(), size)

    def complete(self, number: int) -> bool:
        """Whether nothing is followed and all files are read."""
        return not self._follow and self._scanned is not None and number >= len(self._names)

    def done(self, number: int) -> None:
        """Nothing to be done: the order is kept, since it tells which names were read."""

    def waiting(self, number: int) -> int:
        """Bytes of the complete files from ``number`` on."""
        return sum(self._sizes[number:])

    def _origin(self, name: str) -> str:
        return str(self._folder / name)

    def _read_log(self) -> None:
        self._names, self._sizes = [], []
        if self._log.exists():
            data = self._log.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            if len(whole) < len(data):
                # A crash while it was written: those files were not begun.
                with self._log.open("r+b") as file:
                    file.truncate(len(whole))
            for line in whole.splitlines():
                entry = json.loads(line)
                self._names.append(str(entry["name"]))
                self._sizes.append(int(entry["size"]))
        self._known = set(self._names)

    def _scan(self) -> None:
        now = time.monotonic()
        if self._scanned is not None and (not self._follow or now - self._scanned < _SCAN):
            return
        self._scanned = now
        found = []
        seen: dict[str, tuple[int, int, float]] = {}
        for name, status in self._listed():
            size, changed = status.st_size, status.st_mtime_ns
            before = self._seen.get(name)
            since = before[2] if before is not None and before[:2] == (size, changed) else now
            seen[name] = (size, changed, since)
            age = time.time() - changed / 1e9
            if not self._follow or age >= self._settle or now - since >= self._settle:
                found.append((changed, name, size))
        self._seen = seen
        if found:
            self._append(sorted(found))

    def _append(self, found: list[tuple[int, str, int]]) -> None:
        fresh = not self._log.exists()
        self._state.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as file:
            for _, name, size in found:
                entry: dict[str, Any] = {"name": name, "size": size}
                file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            sync_folder(self._state)
        for _, name, size in found:
            self._names.append(name)
            self._sizes.append(size)
            self._known.add(name)
            self._seen.pop(name, None)

    def _listed(self) -> Iterator[tuple[str, os.stat_result]]:
        """New files that may be data, by their path in the directory."""
        own = self._state.resolve()
        for base, folders, names in os.walk(self._folder, onerror=self._refuse):
            folders[:] = [f for f in folders if not is_hidden(f) and Path(base, f).resolve() != own]
            for plain in names:
                path = Path(base, plain)
                name = path.relative_to(self._folder).as_posix()
                if name in self._known or not self._wanted(plain):
                    continue
                try:
                    status = path.stat()
                except OSError:
                    continue
                if status.st_size or not self._follow:
                    yield name, status

    def _wanted(self, name: str) -> bool:
        if is_hidden(name) or name.lower().endswith(_UNFINISHED):
            return False
        return self._any_name or name_format(name)[0] is not None

    def _refuse(self, error: OSError) -> None:
        """A missing folder is an error if it is the directory itself; another may just have been removed."""
        if Path(error.filename or "") == self._folder:
            raise BadInputError(
                f"cannot be listed ({error.strerror})",
                place=str(self._folder),
                remedy="check the path and its rights",
            )
