"""A folder that takes in rows for a stream: each request is on the disk, once, before it is acknowledged.

Rows lie in files ``176372640012.jsonl`` that appear whole under their name, as ``shoal stream FOLDER --follow`` reads
them. Requests that come at the same time share a file and its fsync (group commit, DeWitt et al. 1984). Numbers are
hundredths of seconds or more, so none comes twice even if all files are removed: a stream reads each name once.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from shoal.errors import ShoalError
from shoal.model.durable import replace_durably, sync_folder

GATHER = 0.05
"""Seconds between two files at least, for requests to gather: a folder of very many files is slow to look through."""
MOST_BYTES = 8 * 1024**2
"""Of a file; it is closed when it has so many."""
MOST_KEYS = 10_000
_SETTLED = 3.0
"""Seconds by which a file's time of change is put back: it is whole, so its reader need not wait until it rests."""
_NAME = re.compile(r"(\d{12})\.jsonl")
_TEMPORARY, _KEYS, _LOCK = ".tmp-", ".keys.jsonl", ".lock"

Outcome = Literal["accepted", "duplicate"]


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
        newest = max((int(p.name[:12]) for p in self.files()), default=0)
        self._number = max(newest, _by_the_clock())
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._key_lines = 0
        self._read_keys(newest)
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
        OSError : the disk refused, and nothing was kept. ShoalError : the inbox is closed.
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
        log, size = self.folder / _KEYS, None
        try:
            with temporary.open("wb") as file:
                file.writelines(blocks)
                file.flush()
                settled = time.time() - _SETTLED
                os.utime(file.fileno(), (settled, settled))
                os.fsync(file.fileno())
            if keys:
                size = log.stat().st_size if log.exists() else 0
                self._add_keys(log, number, keys)
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            self._undo_keys(log, size)
            raise
        self._number = number
        try:
            sync_folder(self.folder)
        except OSError:
            self._stop()  # nobody knows what reached the disk: the next start looks what is there
            raise
        for key in keys:
            self._keys[key] = None
        while len(self._keys) > MOST_KEYS:
            self._keys.popitem(last=False)
        if self._key_lines > 2 * MOST_KEYS:
            self._write_keys()

    def _add_keys(self, log: Path, number: int, keys: list[str]) -> None:
        with log.open("ab") as file:
            file.write(json.dumps({"file": number, "keys": keys}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._key_lines += 1

    def _undo_keys(self, log: Path, size: int | None) -> None:
        try:
            if size is not None:
                os.truncate(log, size)
        except OSError:
            self._stop()  # a later file would make keys count whose rows were never kept

    def _stop(self) -> None:
        with self._turn:
            self._is_open = False
            for request in self._waiting:
                request.done.set_exception(ShoalError("the disk failed; nothing more is taken"))
            self._waiting.clear()

    def _read_keys(self, newest: int) -> None:
        """Keys of requests that were kept; those of a file that a crash left without its name are forgotten."""
        log = self.folder / _KEYS
        if not log.exists():
            return
        entries = []
        for line in log.read_bytes().splitlines():
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue  # torn by a crash
        if entries and entries[-1]["file"] > newest:
            del entries[-1]  # the crash came before its file had its name
        for entry in entries:
            self._keys |= dict.fromkeys(entry["keys"])
        while len(self._keys) > MOST_KEYS:
            self._keys.popitem(last=False)
        self._write_keys()

    def _write_keys(self) -> None:
        entry = {"file": 0, "keys": list(self._keys)}
        replace_durably(self.folder / _KEYS, json.dumps(entry).encode() + b"\n")
        self._key_lines = 1


def _by_the_clock() -> int:
    return int(time.time() * 100)
