"""Elements gathered into batches, for each key and window by itself, as kernels work on arrays and Beam hands out one element at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from apache_beam.utils.timestamp import MAX_TIMESTAMP, MIN_TIMESTAMP

BATCH_ROWS = 1024


class Group(NamedTuple):
    """Elements of one key and window."""

    key: Any
    window: Any
    elements: list[Any]
    stamps: list[Any]
    """Beam's timestamps."""
    extra: list[Any]
    """What else came with the first element, such as a side input."""

    def seconds(self) -> list[float]:
        """Event times in seconds; NaN where Beam has none."""
        return [seconds_of(stamp) for stamp in self.stamps]


class Gathering:
    """The elements of a bundle that still wait.

    >>> waiting = Gathering(rows=2)
    >>> waiting.add("k", "w", (1.0,), MIN_TIMESTAMP), waiting.add("k", "w", (2.0,), MIN_TIMESTAMP).elements
    (None, [(1.0,), (2.0,)])
    """

    def __init__(self, rows: int = BATCH_ROWS) -> None:
        self._rows = rows
        self._groups: dict[Any, Group] = {}
        self._last: Group | None = None
        """Elements come in runs of one key and window; hashing windows takes longer than all else here."""

    def add(self, key: Any, window: Any, element: Any, stamp: Any, extra: Any = None) -> Group | None:
        """Keep an element; answers its group when that is full, and forgets it."""
        group = self._last
        if group is None or window is not group.window or key is not group.key:
            group = self._groups.get((key, window))
            if group is None:
                group = self._groups[key, window] = Group(key, window, [], [], [extra])
            self._last = group
        group.elements.append(element)
        group.stamps.append(stamp)
        if len(group.elements) < self._rows:
            return None
        self._last = None
        return self._groups.pop((key, window))

    def rest(self) -> Iterator[Group]:
        """All that wait, when the bundle ends."""
        groups, self._groups, self._last = self._groups, {}, None
        yield from groups.values()


def seconds_of(stamp: Any) -> float:
    """A Beam timestamp in seconds since 1970; NaN for the ends of time, which mean that there is none."""
    if stamp is None or stamp <= MIN_TIMESTAMP or stamp >= MAX_TIMESTAMP:
        return math.nan
    return float(stamp.micros) / 1e6
