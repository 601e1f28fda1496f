"""What makes one model of all shards of a key: merge their deltas, solve, keep ids, tell what changed, save.

State is one blob of our own format: the model, its summary within its byte budget, and the sequences of the shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.utils.timestamp import Duration

from shoal.engines.beam.coders import Learned
from shoal.engines.beam.online_learner import AT_THE_END, Delta
from shoal.engines.beam.solving import Solving
from shoal.engines.beam.store import FileStore, store_of_key
from shoal.engines.shares import SummarySettings, framed, unframed, unpacked
from shoal.errors import BadInputError, Rejects
from shoal.model.cluster_model import ClusterModel
from shoal.model.events import Event
from shoal.model.packed import pack_model, unpack_model
from shoal.summary.coreset import Coreset

MODELS, EVENTS = "models", "events"
NOTE = {"successor", "shards", "solved_at", "rejects", "events"}
"""What is kept with a version."""
NO_DELTA: tuple[str, int, list[int]] = ("", 0, [])


class MergeDeltas(beam.DoFn):  # type: ignore[misc]
    """(key, delta) to (key, (number, model as bytes)), and to the output ``events`` (key, event).

    Parameters
    ----------
    solve_rows : new rows after which the summary is solved again.
    store : where versions go, and where a pipeline that is started anew goes on from; None: nowhere.
    per_key : each key has a folder of its own in the store.
    """

    STATE = ReadModifyWriteStateSpec("merged", BytesCoder())

    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(
        self,
        solving: Solving,
        settings: SummarySettings,
        solve_rows: int,
        store: str | None,
        keep: int,
        *,
        per_key: bool,
    ) -> None:
        self.solving, self.solve_rows, self.store, self.keep = solving, solve_rows, store, keep
        self.settings, self.per_key = settings, per_key

    def process(
        self,
        element: tuple[Any, bytes],
        state: Any = beam.DoFn.StateParam(STATE),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[Any]:
        """Merge one delta, once."""
        key, content = element
        delta = Delta.from_bytes(content)
        held = state.read()
        merged = Merged.from_bytes(held) if held else self._saved(key, delta)
        is_new = merged.is_new(delta)
        if merged.model is not None and not held:
            # an earlier pipeline's last version, or that of this bundle when it failed: the labellers have not heard of it
            yield key, (merged.number, pack_model(merged.model))
            yield from _told(key, [] if is_new else merged.events)
        if is_new:
            merged.add(delta)
            if merged.is_due(self.solve_rows):
                yield from self._solved(key, merged)
            elif merged.is_due(1):
                end.set(AT_THE_END + Duration(0.5))  # after the last deltas, before the last labels
        if is_new or not held:
            state.write(merged.to_bytes())

    @on_timer(END)  # type: ignore[untyped-decorator]
    def when_input_ends(
        self, key: Any = beam.DoFn.KeyParam, state: Any = beam.DoFn.StateParam(STATE)
    ) -> Iterator[Any]:
        """What was merged since the last version makes another."""
        merged = Merged.from_bytes(state.read())
        if merged.is_due(1):
            yield from self._solved(key, merged)
            state.write(merged.to_bytes())

    def _solved(self, key: Any, merged: Merged) -> Iterator[Any]:
        model = merged.solve(self.solving)
        if self.store is not None:
            merged.number = self._of(key).publish(model, merged.summary, note=merged.note()).number
        yield key, (merged.number, pack_model(model))
        yield from _told(key, merged.events)

    def _saved(self, key: Any, delta: Delta) -> Merged:
        """The newest version in the store: where an earlier pipeline stopped.

        Raises
        ------
        BadInputError : what it holds was learned from other rows or with other settings.
        """
        if self.store is None or self._of(key).newest() is None:
            return Merged()
        found = self._of(key).load()
        if found.summary is None or not found.note.keys() >= NOTE:
            raise BadInputError(
                "this version was not made by OnlineClusters, which cannot go on from it",
                place=found.path,
                remedy="give another store",
            )
        self._check(found.path, found.summary, delta)
        return Merged.of(found.number, found.model, found.summary, found.note)

    def _check(self, path: str, summary: Coreset, delta: Delta) -> None:
        told = {"half_life": summary.half_life, "seed": summary.seed}
        for name, value in told.items():
            if value != getattr(self.settings, name):
                raise BadInputError(
                    f"was learned with {name}={value}, not {getattr(self.settings, name)}",
                    place=path,
                    remedy=f"give {name}={value}, or another store",
                )
        width = unpacked(delta.content).summary.n_features
        if width not in (None, summary.n_features):
            raise BadInputError(
                f"was learned from rows of {summary.n_features} numbers, and these have {width}",
                place=path,
                remedy="give the same fields, or another store",
            )

    def _of(self, key: Any) -> FileStore:
        path = str(self.store)
        return FileStore(store_of_key(path, key).path if self.per_key else path, self.keep)


def _told(key: Any, events: list[Event]) -> Iterator[Any]:
    for event in events:
        yield beam.pvalue.TaggedOutput(EVENTS, (key, event))


@dataclass
class Merged:
    """What is known of a key."""

    number: int = 0
    """Of the newest version."""
    model: ClusterModel | None = None
    learned: Learned | None = None
    successor: dict[str, Any] | None = None
    shards: dict[str, list[Any]] = field(default_factory=dict)
    """Of each shard its epoch, the sequence up to which all deltas are merged, and those beyond: they may come in any order."""
    solved_at: int = 0
    events: list[Event] = field(default_factory=list)
    """Told with the newest version."""

    @classmethod
    def of(cls, number: int, model: ClusterModel | None, summary: Coreset, note: dict[str, Any]) -> Merged:
        """From what was saved."""
        summary.n_threads = 1
        learned = Learned(summary, Rejects.from_dict(note["rejects"]))
        told = [Event.from_dict(event) for event in note["events"]]
        return cls(number, model, learned, note["successor"], dict(note["shards"]), note["solved_at"], told)

    @property
    def summary(self) -> Coreset | None:
        """Of all rows."""
        return None if self.learned is None else self.learned.summary

    def is_new(self, delta: Delta) -> bool:
        """False if it was merged before."""
        epoch, done, beyond = self.shards.get(str(delta.shard), NO_DELTA)
        return bool(epoch != delta.epoch or (delta.sequence > done and delta.sequence not in beyond))

    def add(self, delta: Delta) -> None:
        """Merge it."""
        found = unpacked(delta.content)
        found.summary.n_threads = 1
        if self.learned is None:
            self.learned = Learned(*found)
        else:
            self.learned.add(Learned(*found))
        epoch, done, beyond = self.shards.get(str(delta.shard), NO_DELTA)
        if epoch != delta.epoch:
            done, beyond = 0, []
        ahead = sorted([*beyond, delta.sequence])
        while ahead and ahead[0] == done + 1:
            done = ahead.pop(0)
        self.shards[str(delta.shard)] = [delta.epoch, done, ahead]

    def is_due(self, solve_rows: int) -> bool:
        """Whether enough is new for another version."""
        if self.summary is None or not self.summary.weight > 0:
            return False
        return self.model is None or self.summary.count - self.solved_at >= max(solve_rows, 1)

    def solve(self, solving: Solving) -> ClusterModel:
        """Make the next version."""
        assert self.learned is not None
        found = solving.next(self.learned, self.model, self.successor)
        self.model, self.successor, self.events = found.model, found.successor, found.events
        self.number, self.solved_at = self.number + 1, self.learned.summary.count
        return found.model

    def note(self) -> dict[str, Any]:
        """Plain data to keep with a version."""
        refused = Rejects() if self.learned is None else self.learned.rejects
        return {
            "successor": self.successor,
            "shards": self.shards,
            "solved_at": self.solved_at,
            "rejects": refused.to_dict(),
            "events": [event.to_dict() for event in self.events],
        }

    def to_bytes(self) -> bytes:
        """For state."""
        summary = b"" if self.summary is None else self.summary.to_bytes()
        model = b"" if self.model is None else pack_model(self.model)
        told = self.note() | {"number": self.number, "model": len(model)}
        return framed(told, model + summary)

    @classmethod
    def from_bytes(cls, data: bytes) -> Merged:
        """Inverse of :meth:`to_bytes`."""
        note, content = unframed(data)
        size = note["model"]
        model = unpack_model(content[:size])[0] if size else None
        return cls.of(note["number"], model, Coreset.from_bytes(content[size:]), note)
