"""Standard input as a stream: copied to disk first, so that nothing that was accepted is lost by a crash."""

from __future__ import annotations

import os
import re
import select
import threading
import time
from pathlib import Path
from typing import Any

from shoal.errors import ShoalError
from shoal.model.durable import sync_folder
from shoal.sources.protocol import content_key
from shoal.sources.stream_protocol import DeadLetter

LIMIT = 256 << 20
"""Bytes that wait to be read before the pipe is no longer emptied."""
SEGMENT = 16 << 20
"""Bytes of one file of the spool."""
_PIECE = 1 << 20
_UNSYNCED = 4 << 20
"""Bytes that are written at most before they are made durable."""
_SEGMENT_NAME = re.compile(r"(\d{6,})-(\d{15,})\.spool")
_END_NAME = re.compile(r"(\d{6,})\.end")


class Spool:
    """Standard input, run after run, as texts on disk.

    Each run is a text of its own: what a crashed run had accepted is read first, then the input of this one. A
    record that a crash tore in two is a dead letter; whether its rest was in the pipe, nobody knows. Rows are
    numbered through all runs, and the key is always the same, so that the same input gives the same summary.

    Parameters
    ----------
    folder : where the copy is kept.
    descriptor : the open file to read, 0 for standard input.
    limit : bytes that may wait before the pipe is no longer emptied.
    """

    counts_on = True
    name = "-"

    def __init__(
        self, folder: Path, descriptor: int = 0, *, limit: int = LIMIT, segment: int = SEGMENT
    ) -> None:
        self._folder, self._descriptor, self._limit, self._segment = folder, descriptor, limit, segment
        self._session = self._live = 0
        self._copier: Copier | None = None
        self._opened: tuple[Path, int] | None = None

    def start(self, at: dict[str, Any] | None, offset: int) -> bool:
        """Go to the run of :meth:`to_dict` (None: the oldest there is), and begin to copy this run's input."""
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        there = sorted({session for session, _ in self._segments()})
        known = int(at["session"]) if at is not None else 0
        ended = [int(m[1]) for p in self._folder.iterdir() if (m := _END_NAME.fullmatch(p.name))]
        self._live = max([known, *there, *ended]) + 1
        self._session = known if at is not None else min([*there, self._live])
        self._copier = Copier(self._folder, self._live, self._descriptor, self._limit, self._segment)
        return True

    def _segments(self) -> list[tuple[int, int]]:
        """Run and first byte of every file of the spool, in order."""
        found = (_SEGMENT_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        return sorted((int(m[1]), int(m[2])) for m in found if m)

    def look(self, offset: int) -> bool:
        """Raises :class:`ShoalError` if the input can no longer be copied."""
        if self._copier is not None and self._copier.trouble is not None:
            raise ShoalError(
                f"standard input cannot be kept in {self._folder}: {self._copier.trouble}; make room, then start again"
            ) from self._copier.trouble
        return False

    def read(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes that are safe on disk."""
        if self._copier is not None and self._session == self._live:
            size = min(size, self._copier.durable - offset)
            self._copier.consumed = max(self._copier.consumed, offset)
        if size <= 0:
            return b""
        segment = self._segment_of(offset)
        if segment is None:
            return b""
        handle, start = segment
        return os.pread(handle, size, offset - start)

    def _segment_of(self, offset: int) -> tuple[int, int] | None:
        """The open file that holds a byte, and the byte it starts with."""
        starts = [s for session, s in self._segments() if session == self._session and s <= offset]
        if not starts:
            return None
        path = _segment_path(self._folder, self._session, starts[-1])
        if self._opened is None or self._opened[0] != path:
            self._close_segment()
            self._opened = (path, os.open(path, os.O_RDONLY))
        return self._opened[1], starts[-1]

    def ended(self) -> bool:
        """Whether the run is over: an earlier one, or the pipe was closed and all of it copied."""
        return self._session != self._live or (self._copier is not None and self._copier.ended)

    def torn(self) -> str | None:
        """Only where an input was closed in order may its last record lack a newline."""
        whole = (self._folder / _end_name(self._session)).exists()
        return None if whole else "the input broke off in this record"

    def next_text(self) -> bool:
        """Go to the next run that left anything, or to this one."""
        if self._session >= self._live:
            return False
        later = [session for session, _ in self._segments() if session > self._session]
        self._session = min([*later, self._live])
        self._close_segment()
        return True

    def last(self) -> bool:
        """Whether this run's input is the current text."""
        return self._session == self._live

    def key(self, first: bytes) -> int:
        """The same for every standard input."""
        return content_key("-", 0, b"", b"")

    def news(self) -> tuple[DeadLetter, ...]:
        """Nothing is ever lost here without being a record."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """The number of the run."""
        return {"session": self._session}

    def committed(self, at: dict[str, Any], offset: int) -> None:
        """Delete the files that hold nothing behind this byte of that run."""
        session, segments = int(at["session"]), self._segments()
        for i, (run, start) in enumerate(segments):
            following = segments[i + 1] if i + 1 < len(segments) else None
            whole = following is not None and following[0] == run and following[1] <= offset
            if run < session or (run == session and whole):
                _segment_path(self._folder, run, start).unlink(missing_ok=True)
        for path in self._folder.iterdir():
            end = _END_NAME.fullmatch(path.name)
            if end and int(end[1]) < session:
                path.unlink(missing_ok=True)

    def waiting(self, offset: int) -> int:
        """Bytes copied and not yet read, of the current run."""
        if self._session == self._live:
            return 0 if self._copier is None else max(0, self._copier.durable - offset)
        return sum(
            path.stat().st_size
            for session, start in self._segments()
            if session == self._session and start + self._segment > offset
            for path in [_segment_path(self._folder, session, start)]
        )

    def close(self) -> None:
        """Stop copying; what was copied stays."""
        if self._copier is not None:
            self._copier.stop()
            self._copier = None
        self._close_segment()

    def _close_segment(self) -> None:
        if self._opened is not None:
            os.close(self._opened[1])
            self._opened = None


class Copier:
    """A thread that copies an open file to segments on disk, and says how far they are durable."""

    def __init__(self, folder: Path, session: int, descriptor: int, limit: int, segment: int) -> None:
        self._folder, self._session, self._descriptor = folder, session, descriptor
        self._limit, self._segment = limit, segment
        self.durable = self.consumed = 0
        """Bytes safe on disk; bytes somebody has read."""
        self.ended = False
        self.trouble: OSError | None = None
        self._written = 0
        self._file: Any = None
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shoal-stdin", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after what was taken from the pipe is durable."""
        self._halt.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._halt.is_set():
                if self._written - self.consumed >= self._limit:
                    self._sync()
                    time.sleep(0.01)
                    continue
                # Nothing to be read is the time to make durable what was.
                idle = self._written == self.durable
                ready, _, _ = select.select([self._descriptor], [], [], 0.1 if idle else 0.0)
                if not ready:
                    self._sync()
                    continue
                data = os.read(self._descriptor, _PIECE)
                if not data:
                    self._end()
                    return
                self._write(data)
            self._sync()
        except OSError as error:
            self.trouble = error
        finally:
            if self._file is not None:
                self._file.close()

    def _write(self, data: bytes) -> None:
        if self._file is None or self._file.tell() >= self._segment:
            if self._file is not None:
                self._sync()
                self._file.close()
            self._file = _segment_path(self._folder, self._session, self._written).open("wb", buffering=0)
            sync_folder(self._folder)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._written += len(data)
        if self._written - self.durable >= _UNSYNCED:
            self._sync()

    def _sync(self) -> None:
        if self._written > self.durable:
            os.fsync(self._file.fileno())
            self.durable = self._written

    def _end(self) -> None:
        self._sync()
        (self._folder / _end_name(self._session)).touch()
        sync_folder(self._folder)
        self.ended = True


def _segment_path(folder: Path, session: int, start: int) -> Path:
    return folder / f"{session:06d}-{start:015d}.spool"


def _end_name(session: int) -> str:
    return f"{session:06d}.end"
