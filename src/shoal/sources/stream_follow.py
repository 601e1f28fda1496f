"""A file that grows, and that may be rotated or truncated, as the texts of a stream."""

from __future__ import annotations

import base64
import os
import re
import stat
import time
from pathlib import Path
from typing import Any

from shoal.errors import BadInputError
from shoal.sources.protocol import content_key
from shoal.sources.stream_protocol import DeadLetter

_HEAD = 256
"""First bytes by which a file is known again."""
SETTLE = 0.5
"""Seconds without growth after which a file that was renamed is taken for complete: its writer may still hold it."""


class FollowedFile:
    """The file under a name, and those that take its place.

    When another file appears under the name (rotation by renaming), the rest of the old one is read first, then the
    new one from its start; after a restart the old one is looked for next to it, by inode and first bytes. When the
    file was cut short (rotation by copying), its copy is looked for in the same way. Where rows may have been lost, a
    dead letter says so.

    Rotated files are the ones whose name is the file's with a dot or dash and digits: ``a.jsonl.1``,
    ``a.jsonl-20260101``. Those newer than the one just read come before the file itself.
    """

    counts_on = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        self._path = Path(path)
        self._rotated = re.compile(re.escape(self._path.name) + r"[.-]\d[\d.T-]*")
        self._news: list[DeadLetter] = []
        self._forget()
        self._generation = 0

    def _forget(self) -> None:
        self._handle: int | None = None
        self._status: os.stat_result | None = None
        self._head = b""
        self._replaced = False
        self._size, self._grew = 0, time.monotonic()

    def start(self, at: dict[str, Any] | None, offset: int) -> bool:
        """Go to the file of :meth:`to_dict`; False if it is gone and the one under the name is current now."""
        self.close()
        self._news.clear()
        self._generation = 0
        if at is None:
            return True
        self._generation = int(at["generation"])
        head = base64.b64decode(at["head"])
        if not head:
            return True
        found = self._find(head, offset, (int(at["device"]), int(at["inode"])))
        if found is None:
            self._generation += 1
            self._lost(
                f"the file was replaced or cut short while nobody read; what followed byte {offset} is lost"
            )
            return False
        self._open(found)
        self._replaced = found != self._path
        return True

    def _find(self, head: bytes, offset: int, inode: tuple[int, int] | None) -> Path | None:
        """The file that was being read: by inode, else by its first bytes, under its name or a rotated one."""

        def fits(path: Path) -> bool:
            try:
                with path.open("rb") as file:
                    return os.fstat(file.fileno()).st_size >= offset and file.read(len(head)) == head
            except OSError:
                return False

        here = [self._path, *self._siblings()]
        if inode is not None:
            same = [p for p in here if _inode(p) == inode]
            same = same or [p for p in _listed(self._path.parent) if _inode(p) == inode]
            if same and fits(same[0]):
                return same[0]
        return next((p for p in here if (inode is not None or p != self._path) and fits(p)), None)

    def _siblings(self) -> list[Path]:
        """Rotated files, the oldest first."""
        found = [p for p in _listed(self._path.parent) if self._rotated.fullmatch(p.name)]
        return sorted(found, key=lambda p: (_mtime(p), p.name))

    def _open(self, path: Path) -> bool:
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                kind = "is no file that can be followed"
                raise BadInputError(
                    kind, place=self.name, remedy="pipe it into standard input: shoal stream -"
                )
            self._handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise BadInputError(
                f"cannot be opened ({error})", place=self.name, remedy="check its rights"
            ) from error
        self._status = os.fstat(self._handle)
        self._head = os.pread(self._handle, _HEAD, 0)
        return True

    def look(self, offset: int) -> bool:
        """Notice growth, rotation and truncation; True if another text is current now."""
        if self._handle is None or self._status is None:
            self._open(self._path)
            return False
        now = os.fstat(self._handle)
        if now.st_size != self._size:
            shrunk = now.st_size < max(self._size, offset)
            self._size, self._grew = now.st_size, time.monotonic()
            if shrunk or not self._same_head():
                return self._cut_short(offset)
        if not self._replaced:
            named = _inode(self._path)
            self._replaced = named is not None and named != (now.st_dev, now.st_ino)
            self._grew = time.monotonic() if self._replaced else self._grew
        return False

    def _same_head(self) -> bool:
        if self._handle is None:
            return True
        head = os.pread(self._handle, _HEAD, 0)
        same = head.startswith(self._head)
        if same:
            self._head = head
        return same

    def _cut_short(self, offset: int) -> bool:
        """The file is another under the same inode; answers whether the old rows are gone from here."""
        copy = self._find(self._head, offset, None)
        self.close()
        if copy is not None:
            self._open(copy)
            self._replaced = True
            return False
        self._lost(f"the file was cut short; lines behind byte {offset} may be lost")
        self._generation += 1
        self._open(self._path)
        return True

    def _lost(self, reason: str) -> None:
        self._news.append(DeadLetter(reason, self.name, ""))

    def read(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``."""
        return b"" if self._handle is None else os.pread(self._handle, size, offset)

    def ended(self) -> bool:
        """Whether the current file was rotated away and has not grown for half a second."""
        return self._replaced and time.monotonic() - self._grew >= SETTLE

    def torn(self) -> str | None:
        """A last line without newline counts."""
        return None

    def next_text(self) -> bool:
        """Go to the file rotated away after the current one, or the one under the name."""
        if self._status is None or self._handle is None:
            return False
        current = os.fstat(self._handle)
        mine = (current.st_dev, current.st_ino)
        later = [p for p in self._siblings() if _mtime(p) > current.st_mtime_ns and _inode(p) != mine]
        target = later[0] if later else self._path
        if _inode(target) is None or _inode(target) == mine:
            return False
        self.close()
        if not self._open(target):
            return False
        self._replaced = target != self._path
        self._generation += 1
        return True

    def last(self) -> bool:
        """A followed file never ends."""
        return False

    def key(self, first: bytes) -> int:
        """blake2b of the file's base name, how many files came before it, and its first record."""
        return content_key(self._path.name, self._generation, first, b"")

    def news(self) -> tuple[DeadLetter, ...]:
        """What was lost since the last call."""
        news, self._news = tuple(self._news), []
        return news

    def to_dict(self) -> dict[str, Any]:
        """The current file: generation, inode and first bytes."""
        inode = (0, 0) if self._status is None else (self._status.st_dev, self._status.st_ino)
        head = base64.b64encode(self._head).decode()
        return {"generation": self._generation, "device": inode[0], "inode": inode[1], "head": head}

    def committed(self, at: dict[str, Any], offset: int) -> None:
        """Nothing is kept."""

    def waiting(self, offset: int) -> int:
        """Bytes of the current file behind ``offset``."""
        return 0 if self._handle is None else max(0, os.fstat(self._handle).st_size - offset)

    def close(self) -> None:
        """Close the file."""
        if self._handle is not None:
            os.close(self._handle)
        self._forget()


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _listed(folder: Path) -> list[Path]:
    try:
        return [p for p in folder.iterdir() if p.is_file()]
    except OSError:
        return []
