"""Rows as entries of a Redis stream, numbered so that no row can be entered twice."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa

from shoal.engines.outputs.columns import check_names, flat, one_array
from shoal.engines.outputs.protocol import Position, read_position
from shoal.errors import BadInputError, DamagedFileError, ShoalError

T = TypeVar("T")
OURS = re.compile(rb"1-(\d+)")
"""Entry ids: the first part is always 1, which no clock gives, the second counts rows from 1."""
ENTRIES_PER_TRIP = 1_000
WAITS = (0.1, 0.3, 1.0, 3.0, 5.0)
"""Seconds between attempts while the server cannot be reached."""


class RedisStreamOutput:
    """One entry per row in a Redis stream, exactly once.

    Row n has the id ``1-n``. After a crash the stream may be ahead of the checkpoint; the rows it has already are
    skipped as they come again, which is right because the engine makes the same rows from the same checkpoint.
    A field holds a value as text (numbers with the fewest digits that read back the same, times ISO 8601, lists
    and structs as JSON); missing values, NaN and infinity have no field. How durable an entry is, the server's
    own settings decide (``appendonly``, ``appendfsync``); a server that forgot entries is noticed at ``start``.

    Parameters
    ----------
    url : ``redis://[user:password@]host[:port]/db?stream=NAME``, or ``rediss://`` for TLS. ``&maxlen=N`` as below.
    maxlen : entries the stream keeps at least; older ones go. Default: all are kept.

    Raises
    ------
    BadInputError : the address names no stream. ShoalError : the package ``redis`` is not installed.
    """

    def __init__(self, url: str, *, maxlen: int | None = None) -> None:
        self._url, self.stream, in_url = _address(url)
        self.maxlen = maxlen if maxlen is not None else in_url
        if self.maxlen is not None and self.maxlen < 1:
            raise BadInputError(f"maxlen={self.maxlen} must be at least 1", place=self.place)
        self._redis = _package()
        self._client: Any = None
        self._written = 0
        self._there = 0
        """Entries the stream holds or held; more than were written while a replay is skipped."""

    @property
    def place(self) -> str:
        """The address without its password."""
        parts = urlsplit(self._url)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}?stream={self.stream}"

    def start(self, position: Position | None) -> None:
        """Go on behind ``position``; None wants no stream of that name.

        Raises
        ------
        BadInputError : the stream holds entries of others, or of a run this is not a part of.
        DamagedFileError : the server has forgotten entries that the checkpoint speaks of.
        """
        self.close()
        known = 0
        if position is not None:
            (known,) = read_position(position, "redis-stream", "entries", place=self.place)
        # retries are ours: a pipeline sent twice would meet its own entries
        self._client = self._redis.Redis.from_url(
            self._url, retry=_no_retry(), socket_timeout=30, socket_connect_timeout=10
        )
        there = self._trying(lambda: self._last(self._client))
        if position is None and there:
            raise BadInputError(
                f"the stream already holds entries (the last is 1-{there})",
                place=self.place,
                remedy="choose another stream, delete it, or go on from its checkpoint",
            )
        if there < known:
            raise DamagedFileError(
                f"{self.place}: the last entry is 1-{there}, the checkpoint knows of 1-{known}: the server has lost "
                "entries; begin anew with another stream, or restore the server's data"
            )
        self._written, self._there = known, there

    def write(self, table: pa.Table) -> None:
        """Add an entry for each row that is not there yet.

        Raises
        ------
        ShoalError : the server cannot be reached or refuses, or somebody else writes to the stream.
        """
        check_names(table.column_names)
        if self._client is None:
            raise ShoalError(f"{self.place}: the output is not open; call start first")
        skipped = min(max(self._there - self._written, 0), table.num_rows)
        self._written += skipped
        for entries in _entries(table.slice(skipped)):
            self._send(entries)

    def sync(self) -> Position:
        """The position; every entry was acknowledged by the server when it was written.

        Raises
        ------
        BadInputError : the server lost entries since, or somebody else writes to the stream.
        """
        if self._client is None:
            raise ShoalError(f"{self.place}: the output is not open; call start first")
        self._trying(lambda: self._checked(self._last(self._client), {max(self._written, self._there)}))
        return {"kind": "redis-stream", "entries": self._written}

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _send(self, entries: list[dict[str, str]]) -> None:
        first, last = self._written, self._written + len(entries)
        allowed = {first}

        def attempt() -> None:
            with self._client.pipeline(transaction=True) as trip:
                trip.watch(self.stream)
                there = self._checked(self._last(trip), allowed)
                allowed.add(last)  # if the answer to this attempt is lost, the next may find it came through
                if there == last:
                    return
                # all or none: a server short of memory must not refuse one entry and take the next
                trip.multi()
                for number, entry in enumerate(entries, first + 1):
                    trip.xadd(self.stream, entry, id=f"1-{number}", maxlen=self.maxlen, approximate=True)
                trip.execute()

        try:
            self._trying(attempt)
        except BaseException:
            self.close()  # how far it came is found out by the next start
            raise
        self._written = self._there = last

    def _trying(self, act: Callable[[], T]) -> T:
        """Do it, again after a while if the connection breaks or somebody else changed the stream meanwhile."""
        errors = self._redis.exceptions
        for wait in (*WAITS, None):
            try:
                return act()
            except (errors.AuthenticationError, errors.AuthorizationError) as error:
                raise self._refused(error) from error
            except (errors.ConnectionError, errors.TimeoutError, errors.WatchError) as error:
                if wait is None:
                    raise ShoalError(
                        f"{self.place}: the server cannot be reached: {error}; see that it runs, then start again "
                        "from the checkpoint"
                    ) from error
                time.sleep(wait)
            except errors.RedisError as error:
                raise self._refused(error) from error
        raise AssertionError("the last attempt returns or raises")

    def _checked(self, there: int, allowed: set[int]) -> int:
        """The last entry, if it is one this run has made; a server may come back without its data."""
        if there not in allowed:
            raise BadInputError(
                f"the last entry is 1-{there}, this run is at 1-{min(allowed)}: somebody else writes to the stream, "
                "or the server lost entries",
                place=self.place,
                remedy="stop the other writer and start again from the checkpoint",
            )
        return there

    def _refused(self, error: Exception) -> ShoalError:
        return ShoalError(
            f"{self.place}: the server refuses: {error}; mend that and start again from the checkpoint"
        )

    def _last(self, client: Any) -> int:
        """Number of the last entry that was ever in the stream, trimmed ones included."""
        try:
            last = client.xinfo_stream(self.stream)["last-generated-id"]
        except self._redis.exceptions.ResponseError as error:
            if "no such key" in str(error):
                return 0
            if "WRONGTYPE" not in str(error):
                raise
            remedy = "choose another name"
            raise BadInputError("the key is not a stream", place=self.place, remedy=remedy) from error
        match = OURS.fullmatch(last)
        if match is None and last != b"0-0":
            raise BadInputError(
                f"the stream holds entries of others (the last is {last.decode()})",
                place=self.place,
                remedy="choose another stream",
            )
        return int(match[1]) if match else 0


def _entries(table: pa.Table) -> Iterator[list[dict[str, str]]]:
    names = table.column_names
    text = [
        flat(one_array(column), name).cast(pa.large_string())
        for name, column in zip(names, table.columns, strict=True)
    ]
    for start in range(0, table.num_rows, ENTRIES_PER_TRIP):
        columns = [t.slice(start, ENTRIES_PER_TRIP).to_pylist() for t in text]
        rows = [
            {name: value for name, value in zip(names, row, strict=True) if value is not None}
            for row in zip(*columns, strict=True)
        ]
        yield [row or {names[0]: ""} for row in rows]  # Redis knows no entry without fields


def _address(url: str) -> tuple[str, str, int | None]:
    """The address for the client, the stream and its length."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    stream, maxlen = query.pop("stream", ""), query.pop("maxlen", None)
    query.pop("decode_responses", None)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.scheme not in ("redis", "rediss") or not stream:
        raise BadInputError("names no stream", place=shown, remedy="write redis://host:port/db?stream=NAME")
    if maxlen is not None and not (maxlen.isascii() and maxlen.isdigit()):
        raise BadInputError(f"maxlen={maxlen!r} is not a number", place=shown)
    return urlunsplit(parts._replace(query=urlencode(query))), stream, None if maxlen is None else int(maxlen)


def _package() -> Any:
    try:
        return importlib.import_module("redis")
    except ImportError as error:
        raise ShoalError("writing to Redis needs the package 'redis'; pip install 'shoal[redis]'") from error


def _no_retry() -> Any:
    return importlib.import_module("redis.retry").Retry(
        importlib.import_module("redis.backoff").NoBackoff(), 0
    )
