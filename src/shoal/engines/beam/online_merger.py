"""What makes one model of all shards of a key: merge their deltas, solve, keep ids, tell what changed, save.

State is one blob of our own format: the model, its summary within its byte budget, and the sequences of the shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from shoal.engines.beam.coders import Learned
from shoal.engines.beam.online_learner import Delta
from shoal.engines.beam.solving import Solving
from shoal.engines.beam.store import FileStore, store_of_key
from shoal.engines.shares import framed, unframed, unpacked
from shoal.errors import Rejects, ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.model.events import Event
from shoal.model.packed import pack_model, unpack_model
from shoal.summary.coreset import Coreset

MODELS, EVENTS = "models", "events"


class MergeDeltas(beam.DoFn):  # type: ignore[misc]
    """(key, delta) to (key, (number, model as bytes)), and to the output ``events`` (key, event).

    Parameters
    ----------
    solve_rows : new rows after which the summary is solved again.
    store : where versions go, and where a pipeline that is started anew goes on from; None: nowhere.
    per_key : each key has a folder of its own in the store.
    """

    STATE = ReadModifyWriteStateSpec("merged", BytesCoder())

    def __init__(
        self, solving: Solving, solve_rows: int, store: str | None, keep: int, *, per_key: bool
    ) -> None:
        self.solving, self.solve_rows, self.store, self.keep = solving, solve_rows, store, keep
        self.per_key = per_key

    def process(self, element: tuple[Any, bytes], state: Any = beam.DoFn.StateParam(STATE)) -> Iterator[Any]:
        """Merge one delta, once."""
        key, content = element
        delta = Delta.from_bytes(content)
        held = state.read()
        merged = Merged.from_bytes(held) if held else self._saved(key)
        if not merged.is_new(delta):
            return
        merged.add(delta)
        events: list[Event] = []
        if merged.is_due(self.solve_rows):
            model, events = merged.solve(self.solving)
            if self.store is not None:
                merged.number = self._of(key).publish(model, merged.summary, note=merged.note()).number
            yield key, (merged.number, pack_model(model))
        state.write(merged.to_bytes())
        for event in events:
            yield beam.pvalue.TaggedOutput(EVENTS, (key, event))

    def _saved(self, key: Any) -> Merged:
        """The newest version in the store: where an earlier pipeline stopped."""
        if self.store is None or self._of(key).newest() is None:
            return Merged()
        found = self._of(key).load()
        if found.summary is None:
            raise ShoalError(f"{found.path} holds a model without its summary, which cannot go on learning")
        return Merged.of(found.number, found.model, found.summary, found.note)

    def _of(self, key: Any) -> FileStore:
        path = str(self.store)
        return FileStore(store_of_key(path, key).path if self.per_key else path, self.keep)


@dataclass
class Merged:
    """What is known of a key."""

    number: int = 0
    """Of the newest version."""
    model: ClusterModel | None = None
    learned: Learned | None = None
    successor: dict[str, Any] | None = None
    shards: dict[str, list[Any]] = field(default_factory=dict)
    """Epoch and sequence of the last delta of each shard."""
    solved_at: int = 0

    @classmethod
    def of(cls, number: int, model: ClusterModel | None, summary: Coreset, note: dict[str, Any]) -> Merged:
        """From what was saved."""
        summary.n_threads = 1
        learned = Learned(summary, Rejects.from_dict(note["rejects"]))
        return cls(number, model, learned, note["successor"], dict(note["shards"]), note["solved_at"])

    @property
    def summary(self) -> Coreset | None:
        """Of all rows."""
        return None if self.learned is None else self.learned.summary

    def is_new(self, delta: Delta) -> bool:
        """False if it was merged before."""
        epoch, sequence = self.shards.get(str(delta.shard), ["", 0])
        return bool(epoch != delta.epoch or sequence < delta.sequence)

    def add(self, delta: Delta) -> None:
        """Merge it."""
        found = unpacked(delta.content)
        found.summary.n_threads = 1
        if self.learned is None:
            self.learned = Learned(*found)
        else:
            self.learned.add(Learned(*found))
        self.shards[str(delta.shard)] = [delta.epoch, delta.sequence]

    def is_due(self, solve_rows: int) -> bool:
        """Whether enough is new for another version."""
        if self.summary is None or self.summary.is_empty:
            return False
        return self.model is None or self.summary.count - self.solved_at >= solve_rows

    def solve(self, solving: Solving) -> tuple[ClusterModel, list[Event]]:
        """Make the next version; answers it, and what changed."""
        assert self.learned is not None
        found = solving.next(self.learned, self.model, self.successor)
        self.model, self.successor = found.model, found.successor
        self.number, self.solved_at = self.number + 1, self.learned.summary.count
        return found.model, found.events

    def note(self) -> dict[str, Any]:
        """Plain data to keep with a version."""
        refused = Rejects() if self.learned is None else self.learned.rejects
        return {
            "successor": self.successor,
            "shards": self.shards,
            "solved_at": self.solved_at,
            "rejects": refused.to_dict(),
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
