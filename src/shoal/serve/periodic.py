"""Work that is done again and again while a service runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)


@contextmanager
def every(seconds: float, work: Callable[[], object], *, name: str) -> Iterator[None]:
    """Do it at once and every so often, on a thread of this name, while the block runs; what fails is logged and tried again.

    >>> import time
    >>> done = []
    >>> with every(0.001, lambda: done.append(1), name="count"):
    ...     while len(done) < 3:
    ...         time.sleep(0.001)
    """
    ended = threading.Event()

    def run() -> None:
        while True:
            try:
                work()
            except Exception:  # a thread that dies would leave what it looks after as it is, for ever
                _log.exception("%s failed", name)
            if ended.wait(seconds):
                return

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5.0)
