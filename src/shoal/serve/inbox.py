"""A folder that takes in rows for a stream: each request is on the disk, once, before it is acknowledged.

Rows lie in files ``176372640012.jsonl`` that appear whole under their name, as ``shoal stream FOLDER --follow`` reads
them. Requests that come at the same time share a file and its fsync (group commit, DeWitt et al. 1984). Numbers are
hundredths of seconds or more, so none comes twice even if all files are removed: a stream reads each name once.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from shoal.errors import ShoalError
from shoal.model.durable import sync_folder
from shoal.serve.inbox_keys import InboxKeys

GATHER = 0.05
"""Seconds between two files at least, for requests to gather: a folder of very many files is slow to look through."""
MOST_BYTES = 8 * 1024**2
"""Of a file; it is closed when it has so many."""
_SETTLED = 3.0
"""Seconds by which a file's time of change is put back: it is whole, so its reader need not wait until it rests."""
_NAME = re.compile(r"(\d{12})\.jsonl")
_TEMPORARY, _LOCK = ".tmp-", ".lock"

Outcome = Literal["accepted", "duplicate"]


class MaybeKeptError(OSError):
    """The disk failed at a moment after which nobody knows whether the rows are there when it comes back."""


@dataclass
class _Request:
    lines: bytes
    key: str | None
    done: Future[Outcome] = field(default_factory=Future)


class Inbox:
    """Rows that wait for a stream.

    Parameters
    ----------
    folder : made if it is not there; one process at a time writes to it.

    Raises
    ------
    ShoalError : another process writes to it, or it cannot be made.

    >>> import tempfile
    >>> inbox = Inbox(Path(tempfile.mkdtemp()))
    >>> inbox.add(b'{"x": 1.5}\\n', key="k1"), inbox.add(b'{"x": 1.5}\\n', key="k1")
    ('accepted', 'duplicate')
    >>> inbox.close(); [p.read_text() for p in inbox.files()]
    ['{"x": 1.5}\\n']
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
        except OSError as error:
            raise ShoalError(f"{self.folder} cannot take rows: {error.strerror or error}") from error
        for left in self.folder.glob(f"{_TEMPORARY}*"):
            left.unlink(missing_ok=True)
        self._sizes: dict[str, int] = {}
        self._total = 0
        self._count = threading.Lock()
        self.recount()
        newest = max((int(name[:12]) for name in self._sizes), default=0)
        self._keys = InboxKeys(self.folder)
        self._number = max(self._keys.read(newest), _by_the_clock())
        self._waiting: list[_Request] = []
        self._is_open = True
        self._turn = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="shoal-inbox", daemon=True)
        self._thread.start()

    def add(self, lines: bytes, *, key: str | None = None) -> Outcome:
        """Keep whole lines; they are safe when this returns. Blocks for a moment; call it from a thread.

        Parameters
        ----------
        key : of the request: a second one of the same key, among the newest 10,000, is not kept again.

        Raises
        ------
        MaybeKeptError : the disk failed when the rows were there. OSError : it refused, and nothing was kept.
        ShoalError : the inbox is closed.
        """
        request = _Request(lines, key)
        with self._turn:
            if not self._is_open:
                raise ShoalError("the service ends; nothing more is taken")
            self._waiting.append(request)
            self._turn.notify_all()
        return request.done.result()

    def files(self) -> list[Path]:
        """Complete files, in order."""
        return sorted(p for p in self.folder.iterdir() if _NAME.fullmatch(p.name))

    @property
    def count(self) -> int:
        """Number of complete files, as far as this process knows."""
        return len(self._sizes)

    @property
    def size(self) -> int:
        """Bytes of them."""
        return self._total

    def recount(self) -> None:
        """Look what is there, since others may remove files."""
        found = {}
        for path in self.files():
            with suppress(FileNotFoundError):
                found[path.name] = path.stat().st_size
        with self._count:
            self._sizes, self._total = found, sum(found.values())

    def remove(self, names: set[str]) -> None:
        """Remove files that were read; the newest stays."""
        with self._count:
            known = sorted(self._sizes)[:-1]
        for name in known:
            if name in names:
                (self.folder / name).unlink(missing_ok=True)
                with self._count:
                    self._total -= self._sizes.pop(name, 0)

    def close(self) -> None:
        """Finish what was begun."""
        with self._turn:
            self._is_open = False
            self._turn.notify_all()
        self._thread.join()
        self._lock.close()

    def _locked(self) -> BinaryIO:
        lock = (self.folder / _LOCK).open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise ShoalError(
                f"{self.folder} takes rows for another service; give each its own inbox"
            ) from error
        return lock

    def _run(self) -> None:
        last = -GATHER
        while True:
            with self._turn:
                while self._is_open and not self._waiting:
                    self._turn.wait()
                until = last + GATHER
                while self._is_open and self._size() < MOST_BYTES and (left := until - time.monotonic()) > 0:
                    self._turn.wait(left)
                group = self._next_group()
            if not group:
                return
            last = time.monotonic()
            self._settle(group)

    def _size(self) -> int:
        return sum(len(r.lines) for r in self._waiting)

    def _next_group(self) -> list[_Request]:
        """Requests of one file: as many as there are, up to the size of a file, at least one."""
        group: list[_Request] = []
        size = 0
        while self._waiting and (not group or size + len(self._waiting[0].lines) <= MOST_BYTES):
            group.append(self._waiting.pop(0))
            size += len(group[-1].lines)
        return group

    def _settle(self, group: list[_Request]) -> None:
        """Write a group and answer it, all or nothing."""
        fresh: list[_Request] = []
        new_keys: dict[str, None] = {}
        outcomes: list[Outcome] = []
        for request in group:
            known = request.key is not None and (request.key in self._keys or request.key in new_keys)
            outcomes.append("duplicate" if known else "accepted")
            if not known:
                fresh.append(request)
                if request.key is not None:
                    new_keys[request.key] = None
        try:
            if fresh:
                self._write((r.lines for r in fresh), list(new_keys))
        except BaseException as error:  # whoever waits must hear of it
            for request in group:
                request.done.set_exception(error)
            return
        for request, outcome in zip(group, outcomes, strict=True):
            request.done.set_result(outcome)

    def _write(self, blocks: Iterable[bytes], keys: list[str]) -> None:
        """A new file. Its keys come first: they count only if a file of that number or a later one is there."""
        number = max(self._number + 1, _by_the_clock())
        path = self.folder / f"{number:012d}.jsonl"
        temporary = self.folder / f"{_TEMPORARY}{path.name}"
        before: int | None = None
        try:
            with temporary.open("wb") as file:
                file.writelines(blocks)
                file.flush()
                size = file.tell()
                settled = time.time() - _SETTLED
                os.utime(file.fileno(), (settled, settled))
                os.fsync(file.fileno())
            if keys:
                before = self._keys.size
                self._keys.add(number, keys)
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            try:
                if before is not None:
                    self._keys.undo(before)
            except OSError:
                self._stop()  # a later file would make keys count whose rows were never kept
            raise
        self._number = number
        try:
            sync_folder(self.folder)
        except OSError as error:
            self._stop()  # nobody knows what reached the disk: the next start looks what is there
            raise MaybeKeptError(error.errno, error.strerror) from error
        with self._count:
            self._sizes[path.name] = size
            self._total += size
        self._keys.count(number, keys)

    def _stop(self) -> None:
        with self._turn:
            self._is_open = False
            for request in self._waiting:
                request.done.set_exception(ShoalError("the disk failed; nothing more is taken"))
            self._waiting.clear()


def _by_the_clock() -> int:
    return int(time.time() * 100)
