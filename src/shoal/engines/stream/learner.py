"""A stream in memory: rows in; labels, dead letters, events, alarms and models out. What it becomes depends on the
rows and their order alone, not on how they were batched or when: so a replay after a crash makes the same again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.engines.stream.buckets import Buckets
from shoal.engines.stream.parts import Part, Piece, accept
from shoal.engines.stream.recent import Recent, shown_columns
from shoal.engines.stream.schedule import Schedule
from shoal.engines.stream.settings import Span, StreamSettings
from shoal.errors import Rejects
from shoal.features.recipe import Recipe
from shoal.model.cluster_model import Assignment, ClusterModel
from shoal.model.drift import Alarm, DriftWatch
from shoal.model.events import Event
from shoal.model.pins import Pins
from shoal.model.successor import Successor
from shoal.sources.stream_protocol import DeadLetter
from shoal.summary.coreset import Coreset


@dataclass
class Outcome:
    """What came of some rows."""

    labels: list[pa.Table] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    models: list[ClusterModel] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    """Of each model: its number, time, rows learned, and the share of every cluster."""


class Learner:
    """Learns and labels in the same pass.

    Rows are labelled by the model of the rows before them, and then learned. The first rows wait until the recipe and
    the first model are there.
    """

    def __init__(self, settings: StreamSettings, recipe: Recipe | None = None) -> None:
        self.settings, self.recipe = settings, recipe
        self.summary: Coreset | None = None
        self.buckets: Buckets | None = None
        self.model: ClusterModel | None = None
        self.solves = 0
        """Models made so far; labels name the model by its number."""
        self.read = self.learned = self.filtered = 0
        self.rejects = Rejects()
        self.newest: float | None = None
        self.origins: list[str] = []
        self.recent: Recent | None = None
        """Told of rows that are labelled; what it does with them changes nothing here."""
        self._schedule = Schedule(settings.learn_rows, settings.every)
        self._successor = Successor(
            settings.k, seed=settings.seed, criterion=settings.criterion, n_threads=settings.n_threads
        )
        self._drift: DriftWatch | None = None
        self._held: list[Piece] = []
        """Rows from which the recipe is to be learned."""
        self._waiting: list[Part] = []
        """Rows that are learned and wait for the first model to be labelled."""

    @property
    def has_waiting(self) -> bool:
        """Whether rows were taken in whose labels are still to come: no moment for a checkpoint."""
        return bool(self._held or self._waiting)

    @property
    def waiting_rows(self) -> int:
        """How many."""
        held = sum(len(p.rows) for p in self._held)
        return held + sum(len(p) for p in self._waiting)

    def feed(self, pieces: Iterable[Piece]) -> Outcome:
        """Take in rows, in the order of the stream.

        Raises
        ------
        BadInputError : a column is missing altogether, or no recipe can be learned.
        """
        out = Outcome()
        for piece in pieces:
            self.read += piece.table.num_rows
            for ready in self._with_recipe(piece):
                self._take(ready, out)
        return out

    def finish(self) -> Outcome:
        """The stream has ended: what waits is learned and labelled as it is, and a last model is made."""
        out = Outcome()
        if self._held:
            self._learn_recipe(sum(p.table.num_rows for p in self._held))
            for piece in self._release():
                self._take(piece, out)
        if self.learned and (self.model is None or self._successor.solved_at != self.learned):
            self._solve(out, self.newest)
        if self.buckets is not None:
            self.buckets.close_all()
        return out

    def _with_recipe(self, piece: Piece) -> Iterable[Piece]:
        """The piece, once there is a recipe; the rows that were held come first."""
        if self.recipe is not None:
            return [piece]
        self._held.append(piece)
        wanted = self.settings.learn_rows
        if sum(p.table.num_rows for p in self._held) < wanted:
            return []
        self._learn_recipe(wanted)
        return self._release()

    def _learn_recipe(self, rows: int) -> None:
        """From exactly so many rows, however they were batched."""
        s = self.settings
        block = pa.Table.from_batches([p.table for p in self._held]).slice(0, rows)
        if s.recipe.columns is None:  # the time of a row, and its id, say nothing of what it is like
            aside = {s.time, *s.keep} - {*s.recipe.one_hot, s.recipe.weight, None}
            block = block.drop_columns([name for name in block.column_names if name in aside])
        self.recipe = s.recipe.learn(block, place=self._held[0].origin, on_error="skip")

    def _release(self) -> list[Piece]:
        held, self._held = self._held, []
        return held

    def _take(self, piece: Piece, out: Outcome) -> None:
        s = self.settings
        assert self.recipe is not None
        done = accept(
            piece,
            self.recipe,
            time=s.time,
            time_unit=s.time_unit,
            timed=s.timed,
            keep=s.keep,
            rejects=self.rejects,
        )
        out.dead += done.dead
        self.filtered += done.filtered
        if piece.origin not in self.origins:
            self.origins = [*self.origins[-99:], piece.origin]
        if self.recent is not None:
            self.recent.came(piece, waits=self.model is None)
        self._learn(done.part, out)

    def _learn(self, part: Part, out: Outcome) -> None:
        """Label and learn, stopping at every row before which a solve is due."""
        start = 0
        while start < len(part):
            ahead = part.slice(start, len(part))
            until = self._schedule.rows_until(self.learned, ahead)
            if until <= 0:
                crossing = None if ahead.times is None else float(ahead.times[0])
                self._solve(out, crossing)
                continue
            head = ahead.slice(0, min(until, len(ahead)))
            self._learn_some(head, out)
            start += len(head)

    def _learn_some(self, part: Part, out: Outcome) -> None:
        if self.model is None:
            self._waiting.append(part)
        else:
            self._label(part, out)
        times = self._times_for_decay(part)
        self._fill().update(part.matrix, part.weights, key=part.key, rows=part.rows, times=times)
        if part.times is not None:
            latest = float(part.times.max())
            self.newest = latest if self.newest is None else max(self.newest, latest)
        if self.buckets is not None:
            self.buckets.add(part)
        self.learned += len(part)

    def _times_for_decay(self, part: Part) -> np.ndarray | None:
        half_life = self.settings.half_life
        if half_life is None or half_life.seconds is not None:
            return part.times
        return np.arange(self.learned, self.learned + len(part), dtype=np.float64)

    def _fill(self) -> Coreset:
        """The summary, made when the first row comes."""
        if self.summary is None:
            s = self.settings
            half_life = None if s.half_life is None else s.half_life.seconds or s.half_life.rows
            self.summary = Coreset(
                k_max=max(s.k_range[1], 64),
                rows=s.sample_rows,
                max_bytes=s.max_bytes,
                seed=s.seed,
                n_threads=s.n_threads,
                half_life=None if half_life is None else float(half_life),
            )
            if s.bucket is not None:
                self.buckets = self._new_buckets(s.bucket)
        return self.summary

    def _new_buckets(self, seconds: float) -> Buckets:
        s = self.settings
        return Buckets(seconds, s.bucket_rows, max(s.k_range[1], 64), s.seed, s.n_threads)

    def _label(self, part: Part, out: Outcome) -> None:
        assert self.model is not None
        found = self.model.assign(part.matrix, n_threads=self.settings.n_threads)
        n = len(part)
        columns: dict[str, Any] = {
            "source": pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), [part.origin]),
            "row": part.rows + 1,
        }
        if part.times is not None:
            columns["time"] = part.times
        columns |= {
            "cluster": found.ids,
            "distance": found.distances,
            "second_distance": found.second_distances,
            "outlier_score": found.outlier_scores,
            "model": np.full(n, self.solves, np.int64),
        } | self._more_columns(found)
        names = part.carried.schema.names
        carried = {f"{c}_in" if c in columns else c: part.carried.column(c) for c in names}
        out.labels.append(pa.table(carried | columns))
        if self.recent is not None and self.recipe is not None:
            shown = shown_columns(self.recipe, names)
            self.recent.labelled(part, found, self.model, self.solves, shown)
        if self._drift is not None:
            at = (
                np.arange(self.learned, self.learned + n, dtype=np.float64)
                if part.times is None
                else part.times
            )
            out.alarms += self._drift.update(found.positions, found.distances, at)

    def _more_columns(self, found: Assignment) -> dict[str, Any]:
        """What a subclass says of labelled rows besides."""
        return {}

    def _pins(self) -> Pins | None:
        """Centres that a subclass wants to stay where they are."""
        return None

    def _solve(self, out: Outcome, crossing: float | None) -> None:
        """A new model from the summary; ids and events by what it has in common with the one before."""
        assert self.summary is not None
        assert self.recipe is not None
        now = float(self.learned) if self.newest is None else self.newest
        made = self._successor.next(
            self.summary,
            self.recipe.space,
            self.model,
            time=now,
            filtered=self.filtered,
            rejects=self.rejects,
            sources=tuple(self.origins),
            pins=self._pins(),
        )
        self.solves += 1
        seen = [t for t in (self.newest, crossing) if t is not None]
        self._schedule.solved(self.learned, max(seen, default=None))
        self.model = made.model
        out.events += made.events
        out.models.append(made.model)
        out.history.append(self._history(made.model, now))
        if self.settings.drift:
            if self._drift is None:
                self._drift = DriftWatch(made.model, block=_drift_block(self.settings.every))
            else:
                self._drift.rebase(made.model)
        if self.buckets is not None and self.newest is not None:
            self.buckets.close_before(self.newest)
        waiting, self._waiting = self._waiting, []
        for part in waiting:
            self._label(part, out)

    def _history(self, model: ClusterModel, now: float) -> dict[str, Any]:
        shares = model.weights / model.weights.sum()
        ids = model.ids.tolist()
        return {
            "model": self.solves,
            "time": now,
            "rows": self.learned,
            "ids": ids,
            "shares": [round(float(s), 6) for s in shares],
            "inertia": model.inertia / float(model.weights.sum()),
        }

    def extra(self) -> dict[str, bytes]:
        """What a subclass keeps in a checkpoint besides."""
        return {}

    def restore_extra(self, extra: dict[str, bytes]) -> None:
        """Go on from :meth:`extra`; called after :meth:`restore`."""

    def saved(self, state: Path) -> None:
        """A checkpoint was written: a subclass may put files for readers into the state directory."""

    def to_meta(self) -> dict[str, Any]:
        """Everything but the summaries and the model, as plain data.

        Only to be called when nothing waits.
        """
        assert not self.has_waiting
        return {
            "recipe": None if self.recipe is None else self.recipe.to_dict(),
            "solves": self.solves,
            "read": self.read,
            "learned": self.learned,
            "filtered": self.filtered,
            "rejects": self.rejects.to_dict(),
            "newest": self.newest,
            "origins": self.origins,
            "schedule": self._schedule.to_dict(),
            "successor": self._successor.to_dict(),
            "drift": None if self._drift is None else self._drift.to_dict(),
        }

    def restore(
        self,
        meta: dict[str, Any],
        summary: Coreset | None,
        buckets: dict[float, Coreset],
        model: ClusterModel | None,
    ) -> None:
        """Go on from :meth:`to_meta`."""
        self.recipe = None if meta["recipe"] is None else Recipe.from_dict(meta["recipe"])
        self.solves, self.model = int(meta["solves"]), model
        self.read, self.learned, self.filtered = (int(meta[n]) for n in ("read", "learned", "filtered"))
        self.rejects = Rejects.from_dict(meta["rejects"])
        self.newest = meta["newest"]
        self.origins = list(meta["origins"])
        self._schedule = self._schedule.restored(meta["schedule"])
        self._successor.restore(meta["successor"])
        if meta["drift"] is not None and self.settings.drift and model is not None:
            self._drift = DriftWatch.from_dict(meta["drift"], model)
        if summary is not None:
            summary.n_threads = self.settings.n_threads
            self.summary = summary
        if self.settings.bucket is not None and summary is not None:
            self.buckets = self._new_buckets(self.settings.bucket)
            self.buckets.open = dict(buckets)


def _drift_block(every: Span) -> int:
    """Rows a drift test takes together: its warm-up of 20 blocks must be over well before the next model."""
    rows = 4000 if every.rows is None else every.rows
    return min(500, max(25, rows // 40))
