"""Where a model's events and the shares of its clusters over time are written down: read from where the last look ended."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from shoal.engines.stream.run import ALARMS, EVENTS, HISTORY
from shoal.engines.stream.state import is_stream_state
from shoal.model.cluster_model import ClusterModel
from shoal.model.events import Event
from shoal.model.packed import unpack_model, unpack_note
from shoal.model.store import ModelStore
from shoal.serve.json_tail import JsonTail
from shoal.serve.models import Models, Served
from shoal.text.topic_file import read_topics

PER_VERSION = 1 << 20
"""Events of a version of a store are numbered from its number times this."""


@dataclass(frozen=True)
class Shares:
    """The clusters of one model."""

    time: float
    ids: list[int]
    shares: list[float]
    rows: float
    """Learned by then; where times are rows, the same."""


@dataclass
class Fresh:
    """What came since the last look."""

    events: list[tuple[int, Event]] = field(default_factory=list)
    """With their numbers, which only grow."""
    alarms: list[dict[str, Any]] = field(default_factory=list)
    shares: list[Shares] = field(default_factory=list)
    begins: bool = False
    """Whether this is everything, and what was known before is to be forgotten."""
    other: bool = False
    """Whether it is another log than before, not the old one cut back and grown again."""
    dated: bool | None = None
    """Whether times are seconds since 1970; None: what the shares say."""


class EventSource(Protocol):
    """One place to look at."""

    def look(self) -> Fresh:
        """What is new; may raise :class:`ShoalError` or :class:`OSError`."""
        ...


class StreamLogs:
    """The logs in the directory of a stream; an event's number is its line."""

    def __init__(self, home: Path) -> None:
        self._events, self._alarms = JsonTail(home / EVENTS), JsonTail(home / ALARMS)
        self._history = JsonTail(home / HISTORY)

    def look(self) -> Fresh:
        """New lines. The other logs follow when the events are read anew."""
        fresh = Fresh(events=[(n, e) for n, data in self._events.read() if (e := _event(data))])
        fresh.begins, fresh.other = self._events.begins, self._events.other
        history = self._history.read()
        if self._history.begins or fresh.begins:
            if not (self._history.begins and fresh.begins):  # only one of them was cut back: both anew
                self._events, self._history = JsonTail(self._events.path), JsonTail(self._history.path)
                fresh.events = [(n, e) for n, data in self._events.read() if (e := _event(data))]
                history = self._history.read()
            fresh.begins = True
        fresh.shares = [s for _, data in history if (s := _shares(data))]
        fresh.alarms = [data for _, data in self._alarms.read()]
        if self._alarms.begins:
            fresh.alarms = []
        return fresh


class StoreNotes:
    """Versions of a store, with the notes of those that publish; where there are none, ids are compared."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = 0
        self._before: ClusterModel | None = None
        self._time: float | None = None
        self._is_dated: bool | None = None

    def look(self) -> Fresh:
        """Versions since the last look, of those that are kept."""
        fresh = Fresh(begins=self._seen == 0, other=self._seen == 0)
        new: list[tuple[ClusterModel, float | None]] = []
        for number, path in _versions(self._folder):
            if number <= self._seen:
                continue
            try:
                model, note = self._read(number, path)
            except FileNotFoundError:
                continue  # swept away while we looked
            told = note.get("events")
            events = [e for data in told if (e := _event(data))] if isinstance(told, list) else None
            compared = self._compared(model) if events is None else events
            fresh.events += [(number * PER_VERSION + i, e) for i, e in enumerate(compared, start=1)]
            new.append((model, max((e.time for e in events or ()), default=None)))
            self._seen, self._before = number, model
        for model, at in new:
            if at is not None:
                self._is_dated = at != float(model.provenance.rows_seen)
        # a version in which nothing happened is as old as the one before it, where times are dates
        first = next((at for _, at in new if at is not None), None)
        for model, at in new:
            rows = float(model.provenance.rows_seen)
            known = [t for t in (at, self._time, first) if t is not None] if self._is_dated else [rows]
            self._time = known[0]
            fresh.shares.append(shares_of(model, self._time, rows))
        fresh.dated = self._is_dated
        return fresh

    def _compared(self, model: ClusterModel) -> list[Event]:
        if self._before is None:
            return []
        at = self._time if self._is_dated else None
        return came_and_went(self._before, model, float(model.provenance.rows_seen) if at is None else at)

    def _read(self, number: int, path: Path) -> tuple[ClusterModel, dict[str, Any]]:
        if path.is_dir():
            stored = ModelStore(self._folder).load(number, with_summary=False)
            return stored.model, stored.note
        data = path.read_bytes()
        return unpack_model(data)[0], unpack_note(data)


class TopicEvents:
    """What a topic file tells of itself; it keeps the newest few, so they are numbered as they are seen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._known: list[Event] = []
        self._number = 0

    def look(self) -> Fresh:
        """Events since the last look."""
        status = self._path.stat()
        fresh = Fresh(begins=self._stamp is None, other=self._stamp is None)
        if self._stamp == (status.st_ino, status.st_mtime_ns):
            return fresh
        self._stamp = status.st_ino, status.st_mtime_ns
        saved = read_topics(self._path)
        events, new = list(saved.state.events), 0
        if self._known:
            last = self._known[-1]
            new = next((i + 1 for i in range(len(events) - 1, -1, -1) if events[i] == last), 0)
        for event in events[new:]:
            self._number += 1
            fresh.events.append((self._number, event))
        self._known = events[-1:]
        model = saved.state.model
        if model is not None:
            rows = float(model.provenance.rows_seen)
            at = events[-1].time if events else rows
            fresh.shares.append(shares_of(model, at, rows))
        return fresh


class Compared:
    """What the service itself saw change from version to version, at the time it saw it."""

    def __init__(self, models: Models, name: str) -> None:
        self._models, self._name = models, name
        self._before: Served | None = None
        self._number = 0

    def look(self) -> Fresh:
        """Clusters that came or went."""
        served = self._models.get(self._name)
        if served is None or served is self._before:
            return Fresh()
        now, fresh = time.time(), Fresh(begins=self._before is None, other=self._before is None, dated=True)
        if self._before is not None:
            for event in came_and_went(self._before.model, served.model, now):
                self._number += 1
                fresh.events.append((self._number, event))
        fresh.shares.append(shares_of(served.model, now, float(served.model.provenance.rows_seen)))
        self._before = served
        return fresh


def source_of(models: Models, served: Served) -> EventSource:
    """Where the events of a model come from."""
    if is_stream_state(served.home):
        return StreamLogs(served.home)
    if served.kind == "store":
        return StoreNotes(served.home)
    if served.kind == "topics":
        return TopicEvents(served.home)
    return Compared(models, served.name)


def came_and_went(before: ClusterModel, after: ClusterModel, at: float) -> list[Event]:
    """Births and deaths, by the ids of two models."""
    out = []
    for model, kind, others in ((before, "died", after.ids), (after, "born", before.ids)):
        total = float(model.weights.sum()) or 1.0
        for c in np.flatnonzero(~np.isin(model.ids, others)).tolist():
            weight = float(model.weights[c])
            out.append(Event(kind, float(at), int(model.ids[c]), weight, weight / total))  # type: ignore[arg-type]
    return out


def shares_of(model: ClusterModel, at: float, rows: float) -> Shares:
    """The shares of a model's clusters."""
    total = float(model.weights.sum()) or 1.0
    return Shares(at, model.ids.tolist(), [round(float(w) / total, 6) for w in model.weights], rows)


def _event(data: dict[str, Any]) -> Event | None:
    try:
        event = Event.from_dict(data)
        str(event)  # what it says may need details that are not there
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    return event if np.isfinite([event.time, event.share, event.mass]).all() else None


def _shares(data: dict[str, Any]) -> Shares | None:
    try:
        ids, shares = [int(i) for i in data["ids"]], [float(s) for s in data["shares"]]
        return Shares(float(data["time"]), ids, shares, float(data["rows"]))
    except (LookupError, TypeError, ValueError):
        return None


def _versions(folder: Path) -> Iterable[tuple[int, Path]]:
    """Versions of a store, of either kind, in order; of two of one number, the one that came first."""
    store = ModelStore(folder)
    numbers = store.numbers()
    if numbers:
        return [(n, store.path(n)) for n in numbers]
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("v*-*.shoal"), key=lambda p: p.stat().st_mtime):
        number = path.name[1:].partition("-")[0]
        if number.isdigit():
            found.setdefault(int(number), path)
    return sorted(found.items())
