"""``ClusterEvents``: one model for each window, with ids that live on from window to window, and what changed between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindows, TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from shoal.engines.beam.coders import Learned, LearnedCoder
from shoal.engines.beam.online_merger import EVENTS, MODELS
from shoal.engines.beam.rows import Fields
from shoal.engines.beam.solving import Solving
from shoal.engines.shares import framed, unframed
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import pack_model, unpack_model


class Followed(NamedTuple):
    """What :class:`ClusterEvents` answers, with the timestamps of the windows' ends; with ``per_key`` pairs of key and value."""

    models: Any
    """PCollection of :class:`~shoal.model.cluster_model.ClusterModel`."""
    events: Any
    """PCollection of :class:`~shoal.model.events.Event`."""


class ClusterEvents(beam.PTransform):  # type: ignore[misc]
    """Summaries of windows (:class:`~shoal.engines.beam.summaries.Summarise`) to models that follow one another, and events.

    Windows may arrive in any order: each waits until the watermark has passed its end, and they are followed by their time. A
    window that fires again is another version at the same time.

    Parameters
    ----------
    k : number of clusters, or the fewest and most.
    fields : those of the rows.
    per_key : elements are pairs of key and summary.

    Examples
    --------
    >>> hourly = rows | beam.WindowInto(FixedWindows(3600)) | Summarise()  # doctest: +SKIP
    >>> (hourly | ClusterEvents((2, 12))).events | beam.Map(print)  # doctest: +SKIP
    """

    def __init__(
        self, k: int | tuple[int, int], fields: Fields | None = None, *, per_key: bool = False
    ) -> None:
        super().__init__()
        self.per_key = per_key
        self._follow = FollowFn(Solving(k, fields or Fields()))

    def expand(self, pcoll: Any) -> Followed:
        """See :class:`Followed`."""
        keyed = pcoll if self.per_key else pcoll | "Key" >> beam.Map(_keyed)
        followed = (
            keyed
            | "Global" >> beam.WindowInto(GlobalWindows())
            | "Follow" >> beam.ParDo(self._follow).with_outputs(EVENTS, main=MODELS)
        )
        models, events = followed[MODELS], followed[EVENTS]
        if not self.per_key:
            models = models | "Models" >> beam.Values().with_output_types(ClusterModel)
            events = events | "Events" >> beam.Values()
        return Followed(models, events)


class FollowFn(beam.DoFn):  # type: ignore[misc]
    """(key, summary) to (key, model) in the order of event time, and to the output ``events`` (key, event)."""

    BEFORE = ReadModifyWriteStateSpec("before", BytesCoder())
    WAITING = BagStateSpec("waiting", BytesCoder())
    TURN = TimerSpec("turn", TimeDomain.WATERMARK)

    def __init__(self, solving: Solving) -> None:
        self.solving = solving

    def process(
        self,
        element: tuple[Any, Learned],
        stamp: Any = beam.DoFn.TimestampParam,
        waiting: Any = beam.DoFn.StateParam(WAITING),
        turn: Any = beam.DoFn.TimerParam(TURN),
    ) -> None:
        """Wait for its turn."""
        _, learned = element
        if learned.summary.is_empty:
            return
        waiting.add(framed(stamp.micros, LearnedCoder().encode(learned)))
        turn.set(Timestamp(micros=min(unframed(content)[0] for content in waiting.read())))

    @on_timer(TURN)  # type: ignore[untyped-decorator]
    def when_its_turn_comes(
        self,
        key: Any = beam.DoFn.KeyParam,
        now: Any = beam.DoFn.TimestampParam,
        before: Any = beam.DoFn.StateParam(BEFORE),
        waiting: Any = beam.DoFn.StateParam(WAITING),
        turn: Any = beam.DoFn.TimerParam(TURN),
    ) -> Iterator[Any]:
        """Follow the windows that are over."""
        all_waiting = sorted((unframed(content) for content in waiting.read()), key=lambda one: one[0])
        due = [one for one in all_waiting if one[0] <= now.micros] or all_waiting[:1]
        rest = all_waiting[len(due) :]
        waiting.clear()
        for micros, content in rest:
            waiting.add(framed(micros, content))
        if rest:
            turn.set(Timestamp(micros=rest[0][0]))
        for micros, content in due:
            yield from self._followed(key, micros, content, before)

    def _followed(self, key: Any, micros: int, content: bytes, before: Any) -> Iterator[Any]:
        held = before.read()
        successor, packed = unframed(held) if held else (None, b"")
        model = unpack_model(packed)[0] if packed else None
        found = self.solving.next(LearnedCoder().decode(content), model, successor, time=micros / 1e6)
        before.write(framed(found.successor, pack_model(found.model)))
        at = Timestamp(micros=micros)
        yield TimestampedValue((key, found.model), at)
        for event in found.events:
            yield beam.pvalue.TaggedOutput(EVENTS, TimestampedValue((key, event), at))


def _keyed(learned: Learned) -> tuple[None, Learned]:
    return None, learned
