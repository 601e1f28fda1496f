"""What each shard of a stream does with its rows: keep the new ones, and hand on a summary of them now and then.

State is bytes of our own format: batches of rows in a bag, at most ``flush_rows`` of them, and the ids that were seen last.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.coders import BytesCoder
from apache_beam.metrics import Metrics
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Duration, Timestamp
from numpy.typing import NDArray

from shoal.engines.beam.coders import Learned
from shoal.engines.beam.elements import NAMESPACE
from shoal.engines.shares import RowBatch, SummarySettings, framed, packed, part_of, unframed
from shoal.errors import Rejects
from shoal.summary import wire

FIRST_ROWS = 64
"""A shard's first summary is of so few rows, so that there are clusters soon; the next ones of twice as many each time."""
_KIND = "beam.rows"
AT_THE_END = Timestamp(GlobalWindow().max_timestamp().micros // 1_000_000 - 2)
"""When the watermark says that the input ends: a little before the end of time, at which what comes next would be too late."""


@dataclass(frozen=True)
class Delta:
    """What a shard learned since its last delta."""

    shard: int
    epoch: str
    """Names the shard's state: a new one after a restart without the old."""
    sequence: int
    """1, 2, ...: one that comes again is not counted again."""
    content: bytes
    """:func:`shoal.engines.shares.packed`."""

    def to_bytes(self) -> bytes:
        """For the way to the merger."""
        return framed([self.shard, self.epoch, self.sequence], self.content)

    @classmethod
    def from_bytes(cls, data: bytes) -> Delta:
        """Inverse of :meth:`to_bytes`."""
        (shard, epoch, sequence), content = unframed(data)
        return cls(shard, epoch, sequence, content)


class LearnFn(beam.DoFn):  # type: ignore[misc]
    """((key, shard), rows) to (key, :class:`Delta` as bytes).

    Parameters
    ----------
    flush_rows : rows after which a summary is handed on.
    flush_seconds : time after which it is, by the clock of the machines.
    remember : ids kept to know a row that is delivered again.
    """

    ROWS = BagStateSpec("rows", BytesCoder())
    KNOWN = ReadModifyWriteStateSpec("known", BytesCoder())
    """How many rows are in the bag, what was refused, epoch and sequence."""
    SEEN = ReadModifyWriteStateSpec("seen", BytesCoder())
    SOON = TimerSpec("soon", TimeDomain.REAL_TIME)
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(
        self, settings: SummarySettings, flush_rows: int, flush_seconds: float | None, remember: int
    ) -> None:
        self.settings, self.flush_rows, self.flush_seconds = settings, flush_rows, flush_seconds
        self.remember = remember
        self.again = Metrics.counter(NAMESPACE, "delivered_again")

    def process(
        self,
        element: tuple[Any, bytes],
        rows: Any = beam.DoFn.StateParam(ROWS),
        known: Any = beam.DoFn.StateParam(KNOWN),
        seen: Any = beam.DoFn.StateParam(SEEN),
        soon: Any = beam.DoFn.TimerParam(SOON),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[Any]:
        """Keep what is new, and hand on when there is enough."""
        (key, shard), content = element
        batch, rejects = unpacked_rows(content)
        if batch.ids is not None:
            batch = self._new(batch, seen)
        state = _Known.read(known)
        state.rejects = state.rejects.merge(rejects)
        if len(batch.X):
            rows.add(packed_rows(batch, Rejects()))
            state.waiting += len(batch.X)
        if state.waiting >= min(self.flush_rows, FIRST_ROWS << min(state.sequence, 40)):
            yield from self._flushed(key, shard, rows, state)
            soon.clear()
        elif state.waiting or state.rejects.total:
            end.set(AT_THE_END)
            if self.flush_seconds is not None and not state.timed:
                state.timed = True
                soon.set(Timestamp.now() + Duration(self.flush_seconds))
        known.write(state.to_bytes())

    @on_timer(SOON)  # type: ignore[untyped-decorator]
    def when_time_is_up(
        self,
        key: Any = beam.DoFn.KeyParam,
        rows: Any = beam.DoFn.StateParam(ROWS),
        known: Any = beam.DoFn.StateParam(KNOWN),
    ) -> Iterator[Any]:
        """Hand on what waited long enough."""
        yield from self._timed(key, rows, known)

    @on_timer(END)  # type: ignore[untyped-decorator]
    def when_input_ends(
        self,
        key: Any = beam.DoFn.KeyParam,
        rows: Any = beam.DoFn.StateParam(ROWS),
        known: Any = beam.DoFn.StateParam(KNOWN),
    ) -> Iterator[Any]:
        """Hand on the rest of a pipeline that ends, or is drained."""
        yield from self._timed(key, rows, known)

    def _timed(self, key: Any, rows: Any, known: Any) -> Iterator[Any]:
        state = _Known.read(known)
        if state.waiting or state.rejects.total:
            model_key, shard = key
            yield from self._flushed(model_key, shard, rows, state)
            known.write(state.to_bytes())

    def _flushed(self, key: Any, shard: int, rows: Any, state: _Known) -> Iterator[Any]:
        learned = Learned(self.settings.new(), state.rejects)
        for content in rows.read():
            learned.take(unpacked_rows(content)[0], self.settings)
        rows.clear()
        state.sequence += 1
        state.waiting, state.rejects, state.timed = 0, Rejects(), False
        delta = Delta(shard, state.epoch, state.sequence, packed(learned.summary, learned.rejects))
        yield key, delta.to_bytes()

    def _new(self, batch: RowBatch, seen: Any) -> RowBatch:
        """The rows whose ids were not seen lately; remembers them."""
        ids: Any = batch.ids
        known = np.frombuffer(seen.read() or b"", np.int64)
        first = np.zeros(len(ids), np.bool_)
        first[np.unique(ids, return_index=True)[1]] = True
        new = first & ~np.isin(ids, known[np.isin(known, ids)])
        if new.any():
            seen.write(np.concatenate([known, ids[new]])[-self.remember :].tobytes())
        self.again.inc(int((~new).sum()))
        return batch if new.all() else part_of(batch, np.flatnonzero(new))


@dataclass
class _Known:
    """The small part of a shard's state."""

    epoch: str
    sequence: int = 0
    waiting: int = 0
    timed: bool = False
    rejects: Rejects = None  # type: ignore[assignment]

    @classmethod
    def read(cls, state: Any) -> _Known:
        data = state.read()
        if not data:
            return cls(uuid.uuid4().hex[:16], rejects=Rejects())
        told = json.loads(data)
        return cls(**told | {"rejects": Rejects.from_dict(told["rejects"])})

    def to_bytes(self) -> bytes:
        return json.dumps(vars(self) | {"rejects": self.rejects.to_dict()}).encode()


def packed_rows(batch: RowBatch, rejects: Rejects) -> bytes:
    """Rows, and how many were refused beside them, as bytes.

    >>> rows = RowBatch(np.eye(2), None, None, np.array([4, 5]), np.arange(2))
    >>> unpacked_rows(packed_rows(rows, Rejects()))[0].ids
    array([4, 5])
    """
    arrays: dict[str, NDArray[Any]] = {"X": batch.X}
    for name in ("weights", "times", "ids"):
        value = getattr(batch, name)
        if value is not None:
            arrays[name] = value
    return wire.pack(_KIND, {"rejects": rejects.to_dict()}, arrays)


def unpacked_rows(content: bytes) -> tuple[RowBatch, Rejects]:
    """Inverse of :func:`packed_rows`."""
    meta, arrays = wire.unpack(_KIND, content)
    X, get = arrays["X"], arrays.get
    rows = RowBatch(X, get("weights"), get("times"), get("ids"), np.arange(len(X)))
    return rows, Rejects.from_dict(meta["rejects"])
