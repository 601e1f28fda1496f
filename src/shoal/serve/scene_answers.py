"""Scenes as they are sent: made once for all who look at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shoal.serve.answers import to_json
from shoal.serve.models import Served

FRESH = 0.5
"""Seconds for which an answer is good: shares, names and outliers in it move on between versions."""


@dataclass(frozen=True)
class _Made:
    served: Served
    at: float
    body: bytes


class SceneAnswers:
    """The newest answer of each model.

    Parameters
    ----------
    make : what a version's answer says; takes a moment.
    """

    def __init__(self, make: Callable[[Served], dict[str, Any]]) -> None:
        self._make = make
        self._held: dict[str, _Made] = {}
        self._turn = threading.Lock()

    def fresh(self, served: Served) -> bytes | None:
        """The answer, if it was made just now."""
        held = self._held.get(served.name)
        if held is None or held.served is not served or time.monotonic() - held.at > FRESH:
            return None
        return held.body

    def get(self, served: Served) -> bytes:
        """The answer, made if need be; those who ask meanwhile get the same."""
        with self._turn:
            found = self.fresh(served)
            if found is None:
                found = to_json(self._make(served))
                self._held[served.name] = _Made(served, time.monotonic(), found)
            return found
