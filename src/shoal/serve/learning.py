"""Where rows go that a stream shall learn, and the files that it has learned."""

from __future__ import annotations

import json
import logging
import threading
import time
from functools import cached_property
from pathlib import Path

from shoal.engines.stream.checkpoint import CHECKPOINT, Checkpoint
from shoal.errors import ShoalError
from shoal.serve.inbox import Inbox

_log = logging.getLogger(__name__)

MOST_UNREAD = 1 << 30
"""Bytes that may wait for the stream."""
MOST_FILES = 1000
"""Files that may lie there though they are learned; very many are slow to look through."""
_LOOK = 2.0
"""Seconds between two looks for files that are learned."""


class Learning:
    """Where rows for one stream go.

    Parameters
    ----------
    folder : of the inbox. state : of the stream.
    """

    def __init__(self, folder: Path, state: Path | None) -> None:
        self.folder, self.state = folder, state
        self._lock = threading.Lock()
        self._tidies = threading.Lock()
        self._looked = 0.0
        self._tidied: tuple[int, int] | None = None
        """The checkpoint after which files were removed last."""
        self._time: tuple[str, str] | None = None
        self._knows_time = False

    @cached_property
    def _inbox(self) -> Inbox:
        return Inbox(self.folder)

    @property
    def inbox(self) -> Inbox:
        """Opened when the first row comes; errors as :class:`Inbox` has them."""
        with self._lock:
            return self._inbox

    @property
    def time(self) -> tuple[str, str] | None:
        """Column of event times that the stream was begun with, and its unit."""
        with self._lock:
            if not self._knows_time and self.state is not None:
                known = Checkpoint.read(self.state)
                if known is not None:
                    told = known.meta["settings"]
                    self._time = None if told["time"] is None else (told["time"], told["time_unit"])
                    self._knows_time = True
            return self._time

    def has_room(self) -> bool:
        """Whether less than a gibibyte waits. Where there is more, or very many files, those learned are removed."""
        inbox = self.inbox
        if inbox.size > MOST_UNREAD or inbox.count > MOST_FILES:
            self._tidy(inbox)
        return inbox.size <= MOST_UNREAD

    def _tidy(self, inbox: Inbox) -> None:
        """Remove files that are in a checkpoint; one request does it, and none waits for that."""
        if not self._tidies.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._looked < _LOOK:
                return
            if inbox.size > MOST_UNREAD:
                inbox.recount()  # others may have removed some
            stamp = self._stamp()
            if stamp is not None and stamp != self._tidied:
                inbox.remove(self._read())
                self._tidied = stamp
        except (ShoalError, OSError) as error:  # no reason to refuse rows while there is room
            _log.warning("files that are learned cannot be removed: %s", error)
        finally:
            self._looked = time.monotonic()
            self._tidies.release()

    def _stamp(self) -> tuple[int, int] | None:
        """What tells one checkpoint from another; None: there is none."""
        try:
            held = (self.state or Path()).joinpath(CHECKPOINT).stat()
        except OSError:
            return None
        return None if self.state is None else (held.st_ino, held.st_mtime_ns)

    def close(self) -> None:
        """Finish what was begun."""
        if "_inbox" in vars(self):
            self._inbox.close()

    def _read(self) -> set[str]:
        """Names of the files that the stream's checkpoint is behind."""
        known = None if self.state is None else Checkpoint.read(self.state)
        at = None if known is None else known.meta["position"]
        if (
            not at
            or at.get("kind") != "files"
            or Path(at["name"] or "").parent.resolve() != self.folder.resolve()
        ):
            return set()
        names: list[str] = []
        for log in (self.state or Path()).glob("received-*.jsonl"):
            held = [json.loads(line)["name"] for line in log.read_bytes().splitlines() if line.endswith(b"}")]
            if Path(at["name"]).name in held:
                names = held
        return set(names[: at["file"] + bool(at["end"])])
