"""Named pipes as the service feeds them: made late, filled slowly, and sometimes never."""

from __future__ import annotations

import io
import os
import select
import threading
import time
from pathlib import Path
from typing import Any

from shoal.errors import BadInputError

FIFO_PATIENCE = 60.0
"""Seconds a named pipe may take to appear."""


class NamedPipe(io.RawIOBase):
    """A named pipe that may not be there yet, and whose end comes early when the job is to stop.

    Raises
    ------
    BadInputError : it does not appear within a minute.
    """

    def __init__(self, path: Path, stop: threading.Event, patience: float = FIFO_PATIENCE) -> None:
        super().__init__()
        self._stop, self._handle = stop, -1
        end = time.monotonic() + patience
        while not stop.is_set() and self._handle < 0:
            try:
                # without waiting for the writer: poll does that, and looks up from time to time
                self._handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            except FileNotFoundError as error:
                if time.monotonic() > end:
                    raise BadInputError(
                        f"the named pipe did not appear within {patience:g} s", place=str(path)
                    ) from error
                time.sleep(0.05)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Bytes read; 0 at the end, or when the job is to stop."""
        poll = select.poll()
        if self._handle >= 0:
            poll.register(self._handle, select.POLLIN)
        while self._handle >= 0 and not self._stop.is_set():
            if poll.poll(200):  # milliseconds
                data = os.read(self._handle, len(buffer))
                buffer[: len(data)] = data
                return len(data)
        return 0

    def close(self) -> None:
        """Close the pipe; its writer learns of it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        super().close()
