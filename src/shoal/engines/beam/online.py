"""``OnlineClusters``: clusters of an unbounded input, learned, labelled and followed in one pipeline.

Rows go to the shards of their key, which keep them for a while and hand on summaries (:mod:`~shoal.engines.beam.online_learner`).
One merger of each key solves, numbers versions and gives ids that stay (:mod:`~shoal.engines.beam.online_merger`). Each version goes
to all shards' labellers (:mod:`~shoal.engines.beam.online_labeller`). All state is in the global window: windows are for reports.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam import coders
from apache_beam.transforms.window import GlobalWindows

from shoal.engines.beam.elements import DEAD, ROWS, Batch, ToBatches
from shoal.engines.beam.online_labeller import LabelFn, Letter, packed_elements
from shoal.engines.beam.online_learner import LearnFn, packed_rows
from shoal.engines.beam.online_merger import EVENTS, MODELS, MergeDeltas
from shoal.engines.beam.rows import Fields
from shoal.engines.beam.solving import Solving, checked_k
from shoal.engines.beam.store import FileStore
from shoal.engines.shares import SummarySettings, part_of
from shoal.engines.stream.settings import STREAM_ROWS
from shoal.errors import BadInputError, Rejects
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import unpack_model

_LEARN, _LABEL = "learn", "label"


class OnlineResult(NamedTuple):
    """What :class:`OnlineClusters` answers; with ``per_key`` all but the last are pairs of key and value."""

    labels: Any
    """PCollection of ``PredictionResult(example, ClusterLabel, version)``, with the elements' own timestamps."""
    models: Any
    """PCollection of :class:`~shoal.model.cluster_model.ClusterModel`, one for each version."""
    events: Any
    """PCollection of :class:`~shoal.model.events.Event`: what changed with each version."""
    dead_letters: Any
    """PCollection of :class:`~shoal.engines.beam.elements.DeadLetter`."""


class OnlineClusters(beam.PTransform):  # type: ignore[misc]
    """Clusters of a stream that goes on for ever.

    Parameters
    ----------
    k : number of clusters, or the fewest and most: then each version asks how many there are, and changes for clear reasons only.
    fields : where the numbers are in an element; with an ``id`` an element that is delivered again counts once, as long as its id
        is among the last ``remember`` of its shard.
    half_life : seconds of event time after which a row counts half; None: nothing is forgotten.
    per_key : elements are pairs of key and row, and each key has clusters of its own.
    shards : workers that learn and label the rows of one key.
    flush_rows, flush_seconds : a shard hands on what it learned after so many rows (fewer at first), or so many seconds of
        processing time; None: no timer by the clock, for runners that have none.
    solve_rows : new rows after which there is another version; 0: with every summary that is handed on.
    sample_rows, max_bytes : size of a key's summary, which is its state; it does not grow with the stream.
    store : folder on any of Beam's file systems where versions are kept (:class:`~shoal.engines.beam.store.FileStore`), ``keep`` of
        them; a pipeline that is started anew goes on from the newest.
    wait_rows : rows of each shard that wait for the first version; those beyond are labelled -1. Rows that wait do not hold the
        watermark: windows behind the labels may have closed when they come.
    labels : False saves the work of labelling.

    Raises
    ------
    BadInputError : settings that make no sense. Elements that cannot be used are counted in ``shoal/refused`` and handed out.

    Examples
    --------
    >>> found = messages | OnlineClusters((2, 12), Fields("embedding", id="id"), half_life=3600.0)  # doctest: +SKIP
    >>> found.events | beam.Map(print)  # doctest: +SKIP
    """

    def __init__(
        self,
        k: int | tuple[int, int],
        fields: Fields | None = None,
        *,
        half_life: float | None = None,
        per_key: bool = False,
        shards: int = 1,
        flush_rows: int = 5_000,
        flush_seconds: float | None = 5.0,
        solve_rows: int = 0,
        sample_rows: int = STREAM_ROWS,
        max_bytes: int = 64 << 20,
        seed: int = 0,
        remember: int = 20_000,
        store: str | None = None,
        keep: int = 10,
        wait_rows: int = 10_000,
        labels: bool = True,
        n_features: int | None = None,
    ) -> None:
        super().__init__()
        least = {"shards": (shards, 1), "flush_rows": (flush_rows, 1), "remember": (remember, 1)}
        for name, (value, low) in (
            least | {"solve_rows": (solve_rows, 0), "wait_rows": (wait_rows, 0)}
        ).items():
            if value < low:
                raise BadInputError(f"{name}={value}", remedy=f"give at least {low}")
        if flush_seconds is not None and not flush_seconds > 0:
            raise BadInputError(f"flush_seconds={flush_seconds}", remedy="give a positive time, or None")
        if store is not None:
            FileStore(store, keep)  # wrong ones are an error now, not in a worker
        k = checked_k(k)
        high = k[1] if isinstance(k, tuple) else k
        self.fields, self.per_key, self.shards, self.labels = fields or Fields(), per_key, shards, labels
        self.wait_rows = wait_rows
        settings = SummarySettings(max(high, 64), sample_rows, max_bytes, seed, half_life)
        settings.new()
        self._read = ToBatches(
            self.fields,
            width=n_features,
            timed=half_life is not None,
            per_key=per_key,
            keep_elements=True,
        )
        self._learn = LearnFn(settings, flush_rows, flush_seconds, remember)
        self._merge = MergeDeltas(Solving(k, self.fields), settings, solve_rows, store, keep, per_key=per_key)
        self._store = store

    def expand(self, pcoll: Any) -> OnlineResult:
        """See :class:`OnlineResult`."""
        kind = pcoll.element_type
        coder = coders.registry.get_coder(_of_pair(kind) if self.per_key else kind)
        read = (
            pcoll
            | "Global" >> beam.WindowInto(GlobalWindows())
            | "Read" >> beam.ParDo(self._read).with_outputs(DEAD, main=ROWS)
        )
        shard = beam.ParDo(ToShards(self.shards, coder, labels=self.labels))
        spread = read[ROWS] | "Shard" >> shard.with_outputs(_LEARN, _LABEL)
        deltas = spread[_LEARN] | "Learn" >> beam.ParDo(self._learn)
        merged = deltas | "Merge" >> beam.ParDo(self._merge).with_outputs(EVENTS, main=MODELS)
        models = merged[MODELS] | "Open" >> beam.MapTuple(_opened)
        events, labels, dead = merged[EVENTS], None, read[DEAD]
        if self.labels:
            told = merged[MODELS] | "Tell all" >> beam.FlatMapTuple(_to_all, shards=self.shards)
            both = (spread[_LABEL], told) | "Both" >> beam.Flatten()
            label = LabelFn(self.fields, coder, self.wait_rows, self._store, per_key=self.per_key)
            labelled = both | "Label" >> beam.ParDo(label).with_outputs(DEAD, main=_LABEL)
            labels, dead = labelled[_LABEL], (dead, labelled[DEAD]) | "Dead" >> beam.Flatten()
        if not self.per_key:
            models = models | "Models" >> beam.Values().with_output_types(ClusterModel)
            events = events | "Events" >> beam.Values()
            labels = None if labels is None else labels | "Labels" >> beam.Values()
        return OnlineResult(labels, models, events, dead)


class ToShards(beam.DoFn):  # type: ignore[misc]
    """(key, batch) to ((key, shard), rows as bytes) for learning and for labelling: by id where there are ids, so that a row that is
    delivered again meets the shard that knows it; else anywhere."""

    def __init__(self, shards: int, coder: coders.Coder, *, labels: bool) -> None:
        self.shards, self.coder, self.labels = shards, coder, labels

    def process(self, element: tuple[Any, Batch]) -> Iterator[Any]:
        """Split a batch."""
        key, batch = element
        rows, rejects = batch.rows, batch.rejects
        if rows.ids is None:
            to = np.full(len(rows.X), random.randrange(self.shards))  # noqa: S311 - any shard will do
        else:
            to = (rows.ids.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) % np.uint64(
                self.shards
            )
        targets = np.unique(to).tolist() or [0]
        for shard in targets:
            index = np.flatnonzero(to == shard)
            part = part_of(rows, index)
            place = (key, int(shard))
            yield beam.pvalue.TaggedOutput(_LEARN, (place, packed_rows(part, rejects)))
            rejects = Rejects()  # counted once
            if self.labels and len(index):
                elements, stamps = ([some[i] for i in index] for some in (batch.elements, batch.stamps))  # type: ignore[index]
                letter = Letter(0, packed_elements(elements, stamps, self.coder))
                yield beam.pvalue.TaggedOutput(_LABEL, (place, letter))


def _opened(key: Any, made: tuple[int, bytes]) -> tuple[Any, ClusterModel]:
    return key, unpack_model(made[1])[0]


def _to_all(key: Any, made: tuple[int, bytes], shards: int = 1) -> Iterator[Any]:
    for shard in range(shards):
        yield (key, shard), Letter(*made)


def _of_pair(kind: Any) -> Any:
    parts = getattr(kind, "tuple_types", None) or getattr(kind, "__args__", None)
    return parts[1] if parts and len(parts) == 2 else Any
