"""What happened to the clusters of each model served, and telling the feed when something does."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from shoal.errors import ShoalError
from shoal.model.events import Event
from shoal.serve.event_sources import EventSource, Fresh, Shares, source_of
from shoal.serve.feed import Feed
from shoal.serve.models import Models, Served
from shoal.serve.periodic import every

_log = logging.getLogger(__name__)

KEPT_EVENTS = 20_000
"""Newest events of a model that pages are made of; older ones stay in its log."""
KEPT_SHARES = 1200
TIMES, IDS = 300, 200
"""Most times of a history, and most clusters: those with the highest peaks."""
_POINTS = 60


@dataclass
class _Told:
    """What is known of one model."""

    source: EventSource
    home: tuple[Any, ...]
    events: deque[tuple[int, Event]] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    shares: list[Shares] = field(default_factory=list)
    told: int | None = None
    """Number of the newest event the feed knows; None before the first look."""
    is_dated: bool | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def dated(self) -> bool:
        if self.is_dated is not None:
            return self.is_dated
        return any(s.time != s.rows for s in self.shares)


class Happenings:
    """Events and shares of all models, read as they are written.

    Parameters
    ----------
    on_poll : called with every model served, each time all are looked at.
    on_event : called with the name of a model and the kind of each new event.
    """

    def __init__(
        self,
        models: Models,
        feed: Feed,
        on_poll: Callable[[Served], None] = lambda _: None,
        on_event: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:
        self._models, self._feed, self._on_poll, self._on_event = models, feed, on_poll, on_event
        held = [served for name in models.names if (served := models.get(name)) is not None]
        self._versions = {served.name: (served.version, served.model.version) for served in held}
        self._told: dict[str, _Told] = {}
        self._complaints: dict[str, str] = {}
        self._lock = threading.Lock()
        models.on_change.append(self._changed)

    def page(
        self,
        name: str,
        *,
        kind: str | None = None,
        cluster: int | None = None,
        since: float | None = None,
        until: float | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> dict[str, Any]:
        """Events, the newest first; ``next`` is None at the oldest of the 20,000 that are at hand.

        Parameters
        ----------
        cluster : parents and children count. since, until : times, the first inclusive.
        before : only of smaller numbers: ``next`` of the page before.
        """
        served, told = self._looked(name)
        found: list[dict[str, Any]] = []
        if served is None or told is None:
            return {"events": [], "next": None}
        with told.lock:
            events = list(told.events)
        for number, raw in reversed(events):
            if before is not None and number >= before:
                continue
            event = _shown(raw, served)
            if kind is not None and event.kind != kind:
                continue
            if cluster is not None and cluster not in (event.cluster, *event.parents, *event.children):
                continue
            if (since is not None and event.time < since) or (until is not None and event.time >= until):
                continue
            if len(found) == limit:
                return {"events": found, "next": found[-1]["seq"]}
            found.append(as_data(number, event, served))
        return {"events": found, "next": None}

    def history(self, name: str) -> dict[str, Any]:
        """Shares of all clusters over time, at most 300 times."""
        served, told = self._looked(name)
        if served is None or told is None:
            return {"dated": False, "times": [], "ids": [], "shares": []}
        with told.lock:
            held, dated = _spread(_one_each(told.shares), TIMES), told.dated
        rows = [_by_shown_id(s, served) for s in held]
        peaks: dict[int, float] = {}
        for row in rows:
            for i, share in row.items():
                peaks[i] = max(peaks.get(i, 0.0), share)
        ids = sorted(sorted(peaks, key=lambda i: (-peaks[i], i))[:IDS])
        return {
            "dated": dated,
            "times": [s.time for s in held],
            "ids": ids,
            "shares": [[round(row.get(i, 0.0), 6) for i in ids] for row in rows],
        }

    def series(self, name: str) -> dict[int, list[tuple[float, float]]]:
        """Of each cluster the shares it had, at most 60, the oldest first."""
        served, told = self._looked(name)
        if served is None or told is None:
            return {}
        with told.lock:
            held = _spread(_one_each(told.shares), _POINTS)
        out: dict[int, list[tuple[float, float]]] = {}
        for shares in held:
            for i, share in _by_shown_id(shares, served).items():
                out.setdefault(i, []).append((shares.time, share))
        return out

    def dated(self, name: str) -> bool:
        """Whether times are seconds since 1970; else they are rows."""
        told = self._looked(name)[1]
        return told is not None and told.dated

    def now(self, name: str) -> float | None:
        """Time of the newest model."""
        told = self._looked(name)[1]
        return told.shares[-1].time if told is not None and told.shares else None

    def poll(self) -> None:
        """Look at all models, and tell the feed."""
        for name in self._models.names:
            served = self._looked(name)[0]
            if served is not None:
                self._on_poll(served)

    def watching(self, seconds: float = 1.0) -> AbstractContextManager[None]:
        """Poll every so often, on a thread, while the block runs."""
        return every(seconds, self.poll, name="shoal-happenings")

    def _changed(self, served: Served) -> None:
        version = served.version, served.model.version
        if self._versions.get(served.name) != version:  # else it is only called otherwise
            self._versions[served.name] = version
            self._feed.tell("version", served.name, {"version": served.version})

    def _looked(self, name: str) -> tuple[Served | None, _Told | None]:
        served = self._models.get(name)
        if served is None:
            return None, None
        home = served.home, served.kind
        with self._lock:
            told = self._told.get(name)
            if told is None or told.home != home:
                told = self._told[name] = _Told(source_of(self._models, served), home)
        with told.lock:
            try:
                fresh = told.source.look()
                self._complaints.pop(name, None)
            except (ShoalError, OSError) as error:
                if self._complaints.get(name) != str(error):
                    _log.warning("the events of %r cannot be read: %s", name, error)
                self._complaints[name] = str(error)
                return served, told
            self._take(served, told, fresh)
        return served, told

    def _take(self, served: Served, told: _Told, fresh: Fresh) -> None:
        if fresh.begins:
            told.events.clear()
            told.shares.clear()
        told.events.extend(fresh.events)
        told.shares += fresh.shares
        while len(told.shares) > KEPT_SHARES:  # every other of the older half
            told.shares = told.shares[: KEPT_SHARES // 2 : 2] + told.shares[KEPT_SHARES // 2 :]
        told.is_dated = fresh.dated if fresh.dated is not None else told.is_dated
        newest = told.events[-1][0] if told.events else 0
        if told.told is None or (fresh.begins and fresh.other):
            told.told = newest  # what was there already is no news
        else:
            for number, event in fresh.events:
                if number > told.told:
                    data = as_data(number, _shown(event, served), served)
                    self._feed.tell("change", served.name, data)
                    self._on_event(served.name, event.kind)
            told.told = max(told.told, newest)
        for alarm in fresh.alarms:
            told_at, text = alarm.get("time"), str(alarm.get("message", ""))[:500]
            self._feed.tell("alarm", served.name, {"time": told_at, "text": text})


def as_data(number: int, event: Event, served: Served) -> dict[str, Any]:
    """An event for JSON."""
    text = str(event)
    if served.topics is not None:
        text = text.replace("cluster", "topic").replace("of the weight", "of the texts")
    return {
        "seq": number,
        "kind": event.kind,
        "time": event.time,
        "cluster": event.cluster,
        "share": event.share,
        "parents": list(event.parents),
        "children": list(event.children),
        "text": text,
        "detail": dict(event.detail),
    }


def _shown(event: Event, served: Served) -> Event:
    """With the ids of topics, where clusters are shown as those."""
    if served.topics is None:
        return event
    of = served.topics.curation.topic_of
    return replace(
        event,
        cluster=of(event.cluster),
        parents=tuple(dict.fromkeys(of(i) for i in event.parents)),
        children=tuple(dict.fromkeys(of(i) for i in event.children)),
    )


def _by_shown_id(shares: Shares, served: Served) -> dict[int, float]:
    out: dict[int, float] = {}
    for i, share in zip(shares.ids, shares.shares, strict=False):
        shown = i if served.topics is None else served.topics.curation.topic_of(i)
        out[shown] = out.get(shown, 0.0) + share
    return out


def _one_each(shares: list[Shares]) -> list[Shares]:
    """The last of those of one time: models made anew from the same rows."""
    return [s for s, after in zip(shares, [*shares[1:], None]) if after is None or after.time != s.time]


def _spread(shares: list[Shares], most: int) -> list[Shares]:
    """At most so many, evenly, the newest always."""
    if len(shares) <= most:
        return list(shares)
    return [shares[i] for i in np.linspace(0, len(shares) - 1, most).round().astype(int).tolist()]
