"""Running a stream on this machine: poll, learn, label, write, checkpoint; from the last checkpoint after any crash.

The order is what makes it exact. Outputs are made durable first, then the checkpoint replaces the one before in one
step, and only then the source hears that its rows are safe. After a crash everything behind the checkpoint is cut off
and made again from the same rows, by a learner that does not care how they are batched.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.engines.outputs.dead_letters import DeadLetters
from shoal.engines.outputs.json_log import JsonLog
from shoal.engines.outputs.protocol import Output
from shoal.engines.stream.checkpoint import Checkpoint, locked
from shoal.engines.stream.learner import Learner, Outcome
from shoal.engines.stream.parts import Piece
from shoal.engines.stream.recent import RECENT, Recent
from shoal.engines.stream.settings import StreamSettings
from shoal.engines.stream.state import MODELS
from shoal.engines.stream.versions import Versions
from shoal.errors import BadInputError, DamagedFileError
from shoal.features.recipe import Recipe
from shoal.model.cluster_model import ClusterModel
from shoal.model.drift import Alarm
from shoal.model.events import Event
from shoal.model.time_store import TimeStore
from shoal.sources.stream_ahead import ReadAhead
from shoal.sources.stream_protocol import Chunk, StreamSource

EVENTS, ALARMS, HISTORY = "events.jsonl", "alarms.jsonl", "history.jsonl"
DEAD, BUCKETS = "dead_letters.jsonl", "buckets"


@dataclass(frozen=True)
class Status:
    """How a run is doing, for whoever watches."""

    read: int
    learned: int
    rejected: int
    """Dead letters so far."""
    waiting: int
    """Rows that wait for the first model."""
    model: ClusterModel | None
    models: int
    backlog: int | None
    """Bytes or records still to come, if the source knows."""
    seconds: float
    events: tuple[Event, ...] = ()
    """New ones."""
    alarms: tuple[Alarm, ...] = ()


@dataclass
class RunOptions:
    """What may change from run to run."""

    max_rows: int = 65_536
    """Rows of a micro-batch at most."""
    checkpoint_seconds: float = 10.0
    keep_models: int = 100
    disk_budget: int | None = None
    """Bytes for the time store."""
    watch: Callable[[Status], None] | None = None
    stopped: Callable[[], bool] = field(default=lambda: False)
    poll_seconds: float = 0.2


class StreamRun:
    """One run over a source, with everything it keeps in ``state``: what ``shoal stream`` does.

    Parameters
    ----------
    labels : where labelled rows go; None: nowhere.
    recipe : a learned one, to be used instead of learning one from the first rows.
    learner : default a :class:`~shoal.engines.stream.learner.Learner` of these settings.
    """

    def __init__(
        self,
        source: StreamSource,
        settings: StreamSettings,
        state: Path,
        *,
        labels: Output | None = None,
        recipe: Recipe | None = None,
        learner: Learner | None = None,
        options: RunOptions | None = None,
    ) -> None:
        self.settings, self.state = settings, state
        self.options = options or RunOptions()
        self.source = ReadAhead(source, self.options.max_rows)
        self.learner = learner or Learner(settings, recipe)
        self._labels = labels
        self._events, self._alarms = JsonLog(state / EVENTS), JsonLog(state / ALARMS)
        self._history = JsonLog(state / HISTORY)
        self._dead = DeadLetters(state / DEAD)
        self._versions = Versions(state / MODELS, self.options.keep_models)
        self._recent = self.learner.recent = Recent(state / RECENT)
        self._number = 0
        self._store: TimeStore | None = None
        self._position: dict[str, Any] | None = None
        self._began = self._saved = time.monotonic()
        self._dirty = False
        self._damage = ""

    def run(self) -> Status:
        """Until the source is finished or ``stopped`` says so; answers the last status.

        Raises
        ------
        ShoalError : the state belongs to other settings or is in use, an output is in the way, the data cannot be used.
        """
        with ExitStack() as stack:
            stack.enter_context(locked(self.state))
            self._open(stack)
            while not self.options.stopped():
                chunk = self.source.poll(self.options.max_rows, self.options.poll_seconds)
                if chunk is not None:
                    self._take(chunk)
                elif self.source.finished:
                    self._emit(self.learner.finish())
                    break
                else:
                    self._tell(Outcome())
                if time.monotonic() - self._saved >= self.options.checkpoint_seconds:
                    self._save_if_possible()
            self._save_if_possible()
            self._recent.write_if_due(ends=True)
            return self._status(Outcome())

    def _open(self, stack: ExitStack) -> None:
        known = Checkpoint.read(self.state)
        at: dict[str, Any] = {} if known is None else known.meta["at"]
        if known is not None:
            self._check_settings(known.meta["settings"])
            self._number = known.number
            learner = known.meta["learner"]
            solves = int(learner["solves"])
            model = self._versions.read(solves) if solves else None
            self.learner.restore(learner, known.summary, known.buckets, model)
            self.learner.restore_extra(known.extra)
            self._position = known.meta["position"]
        self._versions.drop_after(self.learner.solves)
        for name, log in self._outputs().items():
            stack.callback(log.close)
            log.start(at.get(name))
        if self.settings.bucket is not None:
            self._store = TimeStore(
                self.state / BUCKETS,
                bucket=self.settings.bucket,
                rows=self.settings.bucket_rows,
                disk_budget=self.options.disk_budget,
            )
            stack.callback(self._store.close)
            self._store.remove_pieces(lambda name: int(name.partition("-")[0]) > self._number)
        stack.callback(self.source.close)
        self.source.start(self._position)
        if known is None or not set(self._outputs()) <= set(at):
            self._save()  # what is in the outputs from now on is ours
        if known is not None and self._position is not None:
            self.source.committed(
                self._position
            )  # a crash may have come between checkpoint and acknowledgement

    def _outputs(self) -> dict[str, Any]:
        logs: dict[str, Any] = {"events": self._events, "alarms": self._alarms, "history": self._history}
        logs["dead"] = self._dead
        return logs if self._labels is None else logs | {"labels": self._labels}

    def _check_settings(self, before: dict[str, Any]) -> None:
        now = self.settings.fixed()
        for name, value in now.items():
            if before.get(name) != value:
                raise BadInputError(
                    f"was begun with {name} {before.get(name)!r}, not {value!r}",
                    place=str(self.state),
                    remedy="give the same options, or begin anew in another --state",
                )

    def _take(self, chunk: Chunk) -> None:
        piece = Piece(chunk.table, chunk.origin, chunk.key, chunk.rows, chunk.times, chunk.dead)
        outcome = self.learner.feed([piece])
        self._position = chunk.position
        self._dirty = True
        self._emit(outcome)

    def _emit(self, outcome: Outcome) -> None:
        if self._labels is not None:
            for table in outcome.labels:
                self._labels.write(table)
        for letter in outcome.dead:
            self._dead.add(self.source.name, letter.place, letter.reason, letter.raw)
        self._events.append(e.to_dict() for e in outcome.events)
        self._alarms.append(a.to_dict() for a in outcome.alarms)
        self._history.append(outcome.history)
        first = self.learner.solves - len(outcome.models) + 1
        for i, model in enumerate(outcome.models):
            self._versions.write(first + i, model)
        self._dirty |= bool(outcome.models)
        self._tell(outcome)

    def _save_if_possible(self) -> None:
        self._saved = time.monotonic()
        if self._dirty and not self.learner.has_waiting:
            self._save()

    def _save(self) -> None:
        number = self._number + 1
        buckets = self.learner.buckets
        if buckets is not None and self._store is not None:
            if self.learner.recipe is not None:
                recipe = self.learner.recipe
                self._store.set_recipe(recipe.to_dict(), recipe.spec.metric)
            for i, (start, summary) in enumerate(buckets.closed):
                self._store.add(start, summary, piece=f"{number}-{i}")
            buckets.closed.clear()
        at = {name: log.sync() for name, log in self._outputs().items()}
        meta = {
            "settings": self.settings.fixed(),
            "learner": self.learner.to_meta(),
            "position": self._position,
            "at": at,
            "source": self.source.name,
        }
        learner = self.learner
        open_buckets = {} if buckets is None else buckets.open
        Checkpoint(number, meta, learner.summary, open_buckets, learner.extra()).write(self.state)
        learner.saved(self.state)
        self._number, self._dirty = number, False
        if self._position is not None:
            self.source.committed(self._position)
        self._versions.thin(self.learner.solves)
        if self._store is not None:
            self._settle(self._store)

    def _settle(self, store: TimeStore) -> None:
        """Merge old buckets. A file that somebody damaged is told, once; it does not stop the stream."""
        try:
            store.settle(now=self.learner.newest)
            self._damage = ""
        except DamagedFileError as error:
            if str(error) != self._damage:
                self._damage = str(error)
                self._alarms.append([{"kind": "store", "time": self.learner.newest, "message": self._damage}])

    def _tell(self, outcome: Outcome) -> None:
        self._recent.write_if_due()
        if self.options.watch is not None:
            self.options.watch(self._status(outcome))

    def _status(self, outcome: Outcome) -> Status:
        learner = self.learner
        return Status(
            read=learner.read,
            learned=learner.learned,
            rejected=self._dead.total,
            waiting=learner.waiting_rows,
            model=learner.model,
            models=learner.solves,
            backlog=self.source.backlog(),
            seconds=time.monotonic() - self._began,
            events=tuple(outcome.events),
            alarms=tuple(outcome.alarms),
        )
