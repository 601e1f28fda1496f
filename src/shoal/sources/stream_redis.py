"""A Redis stream, read as a consumer group: what was not acknowledged comes again after a crash."""

from __future__ import annotations

import importlib
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import numpy as np

from shoal.errors import BadInputError, ShoalError
from shoal.model.durable import replace_durably
from shoal.sources.options import ReadOptions
from shoal.sources.protocol import content_key
from shoal.sources.stream_growing import LEARN_RECORDS, LEARN_SECONDS
from shoal.sources.stream_protocol import Chunk
from shoal.sources.stream_records import dead_letter
from shoal.sources.stream_redis_entries import EntryId, EntryShape, Fields, learn_entries

T = TypeVar("T")
_KIND = "redis"
_ACK_AT_ONCE = 1000
_READ_AT_ONCE = 10_000
_LONGEST_WAIT = 5.0
_GIVE_UP = 30.0
"""Seconds without the server after which a stream that is not followed is given up."""


class RedisStream:
    """A Redis stream; see :class:`shoal.sources.stream_protocol.StreamSource`.

    A consumer group is created (with the stream, if need be) at the stream's first entry. After a restart the
    entries that this consumer was given and that are not acknowledged come first, in order, then new ones. Entries
    are acknowledged once their rows are committed. When the server goes away, it is tried again with growing pauses;
    when it comes back without its data, the group is made again behind the last entry read.

    Rows are numbered ``ms * 2^20 + count`` by the entry's id; the key is a hash of the stream's name.

    Parameters
    ----------
    url : ``redis://[user:password@]host[:port]/db?stream=NAME[&group=shoal][&consumer=shoal]``, or
        ``redis://host:port/db/NAME``; ``rediss://`` for TLS.
    follow : wait for more, instead of ending with the entry that is the last at ``start``.
    memo : a file for the columns learned; None: they are kept in positions alone.

    Raises :class:`BadInputError` if the address names no stream, :class:`ShoalError` if the package redis is absent.
    """

    def __init__(
        self, url: str, *, follow: bool, options: ReadOptions, hint: Any = None, memo: Path | None = None
    ) -> None:
        self._address = Address(url)
        self._follow, self._options, self._hint, self._memo = follow, options, hint, memo
        self._redis = _package()
        self._key = content_key(self._address.stream, 0, b"", b"")
        self._client: Any = None
        self._reset()

    def _reset(self) -> None:
        self._shape: EntryShape | None = None
        self._shape_dict: dict[str, Any] | None = None
        self._last: EntryId | None = None
        """The last entry fetched."""
        self._given: EntryId | None = None
        """The last entry handed out."""
        self._end: EntryId | None = None
        self._held: deque[tuple[EntryId, Fields]] = deque()
        self._unacknowledged: deque[EntryId] = deque()
        self._replaying = True
        self._exhausted = False
        self._first_seen: float | None = None
        self._wait, self._not_before = 0.1, 0.0
        self._down_since: float | None = None
        self._lag: tuple[float, int | None] = (0.0, None)

    @property
    def name(self) -> str:
        """The address without its password."""
        return self._address.shown

    @property
    def finished(self) -> bool:
        """Whether a stream that is not followed is read to the entry that was its last at the start."""
        return not self._follow and self._exhausted and not self._held

    def start(self, position: dict[str, Any] | None) -> None:
        """Begin with the group's first entry, or just behind the chunk of that position.

        Raises :class:`ShoalError` if the server cannot be reached or refuses.
        """
        self.close()
        self._reset()
        if position is not None:
            if position.get("kind") != _KIND or position.get("stream") != self._address.stream:
                raise BadInputError(
                    "the position belongs to another source",
                    place=self.name,
                    remedy="name the same source as before, or another --state",
                )
            self._last = self._given = EntryId.parse(position["id"])
            self._set_shape(EntryShape.from_dict(position["shape"]))
        self._client = self._redis.Redis.from_url(
            self._address.server, protocol=2, socket_connect_timeout=10, socket_timeout=30, retry=_no_retry()
        )
        try:
            self._make_group()
            last = self._client.xinfo_stream(self._address.stream)["last-generated-id"]
            self._end = EntryId.parse(last)
            if self._given is not None:
                self._acknowledge_pending(self._given)
        except self._redis.exceptions.RedisError as error:
            raise ShoalError(
                f"{self.name}: the server cannot be used: {error}; see that it runs and holds a stream"
            ) from error

    def _make_group(self) -> None:
        begin = "0" if self._last is None else str(self._last)
        try:
            self._client.xgroup_create(self._address.stream, self._address.group, id=begin, mkstream=True)
        except self._redis.exceptions.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _acknowledge_pending(self, until: EntryId) -> None:
        """Entries that were committed and whose acknowledgement a crash prevented."""
        a = self._address
        while True:
            found = self._client.xpending_range(
                a.stream, a.group, min="-", max=str(until), count=_ACK_AT_ONCE, consumername=a.consumer
            )
            if not found:
                return
            self._client.xack(a.stream, a.group, *(entry["message_id"] for entry in found))

    def poll(self, max_rows: int, timeout: float) -> Chunk | None:
        """At most ``max_rows`` rows; None if no entry came within ``timeout`` seconds, or the server is away."""
        until = time.monotonic() + timeout
        while True:
            if self._held and (self._shape is not None or self._learn()):
                return self._chunk(max_rows)
            left = max(0.0, until - time.monotonic())
            self._trying(partial(self._fetch, max_rows, left), left)
            ready = self._held and (self._shape is not None or self._learn())
            if not ready and (self.finished or time.monotonic() >= until):
                return None

    def _fetch(self, max_rows: int, wait: float) -> None:
        """Entries into ``held``: first those given to this consumer before, then new ones."""
        a = self._address
        count = max(1, min(max_rows, _READ_AT_ONCE))
        if self._replaying:
            begin = "0" if self._last is None else str(self._last)
            found = self._client.xreadgroup(a.group, a.consumer, {a.stream: begin}, count=count)
            self._replaying = self._hold(found)
            if self._replaying:
                return
        if not self._follow and self._end is not None and (self._last or EntryId(0, 0)) >= self._end:
            self._exhausted = True
            return
        if self._shape is None and self._held:
            wait = min(wait, 0.1)
        block = None if not self._follow else max(1, int(min(wait, 1.0) * 1000))
        found = self._client.xreadgroup(a.group, a.consumer, {a.stream: ">"}, count=count, block=block)
        self._exhausted = not self._hold(found) and not self._follow

    def _hold(self, found: Any) -> bool:
        entries = [
            entry
            for _, entries in (found.items() if isinstance(found, dict) else found or ())
            for entry in entries
        ]
        for entry in entries:
            number = EntryId.parse(entry[0])
            self._held.append((number, entry[1] or {}))
            self._unacknowledged.append(number)
            self._last = number
        return bool(entries)

    def _trying(self, act: Callable[[], T], patience: float) -> T | None:
        """Do it, unless the server is away; then wait a while, longer each time, and read again what was pending."""
        errors = self._redis.exceptions
        pause = self._not_before - time.monotonic()
        if pause > 0:
            time.sleep(min(pause, patience))
            if pause > patience:
                return None
        try:
            result = act()
        except errors.ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise ShoalError(f"{self.name}: the server refuses: {error}") from error
            self._trying(self._make_group, patience)
            return None
        except (errors.ConnectionError, errors.TimeoutError) as error:
            now = time.monotonic()
            self._down_since = self._down_since or now
            if isinstance(error, errors.AuthenticationError) or (
                not self._follow and now - self._down_since > _GIVE_UP
            ):
                raise ShoalError(
                    f"{self.name}: the server cannot be reached: {error}; see that it runs"
                ) from error
            self._not_before, self._wait = now + self._wait, min(2 * self._wait, _LONGEST_WAIT)
            # The answer that was lost may have held entries that are ours now.
            self._replaying = True
            return None
        self._wait, self._down_since = 0.1, None
        return result

    def _learn(self) -> bool:
        """Columns and types from the first entries, once there are enough or they have waited long enough."""
        now = time.monotonic()
        self._first_seen = self._first_seen or now
        enough = len(self._held) >= LEARN_RECORDS or self._exhausted
        if not enough and now - self._first_seen < LEARN_SECONDS:
            return False
        first = str(self._held[0][0])
        known = self._remembered(first)
        if known is not None:
            self._set_shape(known)
            return True
        head = list(self._held)[: 10 * LEARN_RECORDS]
        ids, entries = [number for number, _ in head], [fields for _, fields in head]
        self._set_shape(learn_entries(ids, entries, self._options, self.name, self._hint))
        if self._memo is not None:
            data = {"name": self.name, "first": first, "shape": self._shape_dict}
            self._memo.parent.mkdir(parents=True, exist_ok=True)
            replace_durably(self._memo, json.dumps(data).encode())
        return True

    def _set_shape(self, shape: EntryShape) -> None:
        self._shape, self._shape_dict = shape, shape.to_dict()

    def _remembered(self, first: str) -> EntryShape | None:
        try:
            data = json.loads(self._memo.read_text()) if self._memo is not None else {}
            same = data["name"] == self.name and data["first"] == first
            return EntryShape.from_dict(data["shape"]) if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _chunk(self, max_rows: int) -> Chunk | None:
        if self._shape is None:
            return None
        taken = [self._held.popleft() for _ in range(min(max(max_rows, 1), len(self._held)))]
        ids = [number for number, _ in taken]
        parsed = self._shape.parse([fields for _, fields in taken])
        good = parsed.row_numbers.tolist()
        rows = np.array([ids[i].row for i in good], dtype=np.int64)
        times = np.array([ids[i].seconds for i in good]) if self._shape.clock else None
        dead = tuple(
            replace(
                dead_letter(
                    bad.reason,
                    f"{self.name}, entry {ids[bad.number]}"
                    + ("" if bad.column is None else f", field {bad.column!r}"),
                    bad.raw,
                ),
                row=ids[bad.number].row,
            )
            for bad in parsed.bad
        )
        self._given = ids[-1]
        position = {
            "kind": _KIND,
            "stream": self._address.stream,
            "id": str(self._given),
            "shape": self._shape_dict,
        }
        return Chunk(parsed.table, self.name, self._key, rows, position, dead, times)

    def committed(self, position: dict[str, Any]) -> None:
        """Acknowledge all entries up to that of ``position``; if the server is away, the next time."""
        until = EntryId.parse(position["id"])
        a = self._address
        while self._unacknowledged and self._unacknowledged[0] <= until:
            first = islice(self._unacknowledged, _ACK_AT_ONCE)
            some = [str(number) for number in first if number <= until]
            if self._trying(partial(self._client.xack, a.stream, a.group, *some), 0.0) is None:
                return
            for _ in some:
                self._unacknowledged.popleft()

    def backlog(self) -> int | None:
        """Entries behind the group's last one, where the server knows (from Redis 7 on); asked every two seconds."""
        now = time.monotonic()
        if self._client is not None and now - self._lag[0] > 2.0 and now >= self._not_before:
            self._lag = (now, self._trying(self._ask_lag, 0.0))
        lag = self._lag[1]
        return None if lag is None else lag + len(self._held)

    def _ask_lag(self) -> int | None:
        for group in self._client.xinfo_groups(self._address.stream):
            if group["name"] == self._address.group.encode() and group.get("lag") is not None:
                return int(group["lag"])
        return None

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


class Address:
    """A stream's address, taken apart.

    >>> a = Address("redis://:secret@db:6379/0?stream=clicks&group=g"); a.stream, a.group, a.server, a.shown
    ('clicks', 'g', 'redis://:secret@db:6379/0', 'redis://db:6379/0?stream=clicks')
    >>> Address("redis://db/1/clicks").shown
    'redis://db/1?stream=clicks'
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        host = parts.netloc.rpartition("@")[2]
        path, named = parts.path, None
        if parts.scheme != "unix":
            database, _, rest = path.lstrip("/").partition("/")
            if database and not database.isdigit():
                database, rest = "", path.lstrip("/")
            path, named = f"/{database}" if database else "", unquote(rest) or None
        stream = query.pop("stream", "") or named
        if not stream:
            place = urlunsplit((parts.scheme, host, parts.path, "", ""))
            raise BadInputError("names no stream", place=place, remedy="add ?stream=NAME")
        self.stream = stream
        self.group = query.pop("group", "") or "shoal"
        self.consumer = query.pop("consumer", "") or "shoal"
        self.server = urlunsplit((parts.scheme, parts.netloc, path, urlencode(query), ""))
        self.shown = f"{parts.scheme}://{host}{path}?stream={stream}"


def _package() -> Any:
    try:
        return importlib.import_module("redis")
    except ImportError as error:
        raise ShoalError(
            "reading Redis streams needs the package redis: pip install 'shoal[redis]'"
        ) from error


def _no_retry() -> Any:
    """What is to be tried again, and when, is decided here: a read that is repeated blindly skips entries."""
    return importlib.import_module("redis.retry").Retry(
        importlib.import_module("redis.backoff").NoBackoff(), 0
    )
