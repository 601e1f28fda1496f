"""``ClusterEvents``: one model for each window, with ids that live on from window to window, and what changed between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.coders import BytesCoder, VarIntCoder
from apache_beam.metrics import Metrics
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow, GlobalWindows, TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from shoal.engines.beam.coders import Learned, LearnedCoder
from shoal.engines.beam.elements import NAMESPACE
from shoal.engines.beam.online_merger import EVENTS, MODELS
from shoal.engines.beam.rows import Fields
from shoal.engines.beam.solving import Solving
from shoal.engines.shares import framed, unframed
from shoal.errors import BadInputError
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import pack_model, unpack_model

BACKLOG = 16
"""So many windows may wait, and each is still told as soon as it is over."""
_END = GlobalWindow().max_timestamp().micros


class Followed(NamedTuple):
    """What :class:`ClusterEvents` answers, with the timestamps of the windows' ends; with ``per_key`` pairs of key and value."""

    models: Any
    """PCollection of :class:`~shoal.model.cluster_model.ClusterModel`."""
    events: Any
    """PCollection of :class:`~shoal.model.events.Event`."""


class ClusterEvents(beam.PTransform):  # type: ignore[misc]
    """Summaries of windows (:class:`~shoal.engines.beam.summaries.Summarise`) to models that follow one another, and events.

    Windows may arrive in any order: each waits until the watermark has passed its end, and they are followed by their time.

    A window that fires again is another version at the same time if it holds more rows than when it was told, as panes that
    accumulate do. A pane of fewer rows would say that clusters died which only have no *late* rows, so it is left out, as is a
    window that comes when a later one has been told; both are counted in the metric ``shoal/late_windows``. In the global window
    there is no end to wait for: every pane is followed when it comes, at the time of its newest row.

    Parameters
    ----------
    k : number of clusters, or the fewest and most.
    fields : those of the rows.
    per_key : elements are pairs of key and summary.

    Raises
    ------
    BadInputError : a k that makes no sense.

    Examples
    --------
    >>> hourly = rows | beam.WindowInto(FixedWindows(3600)) | Summarise()  # doctest: +SKIP
    >>> (hourly | ClusterEvents((2, 12))).events | beam.Map(print)  # doctest: +SKIP
    """

    def __init__(
        self, k: int | tuple[int, int], fields: Fields | None = None, *, per_key: bool = False
    ) -> None:
        super().__init__()
        low, high = k if isinstance(k, tuple) else (k, k)
        if not 1 <= low <= high:
            raise BadInputError(f"k is {k}", remedy="give a number of at least 1, or a range such as (2, 12)")
        self.per_key = per_key
        self._follow = FollowFn(Solving(k, fields or Fields()))

    def expand(self, pcoll: Any) -> Followed:
        """See :class:`Followed`."""
        keyed = (
            pcoll
            if self.per_key
            else pcoll | "Key" >> beam.Map(_keyed).with_output_types(tuple[str, Learned])
        )
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
    """(key, summary) to (key, model) in the order of event time, and to the output ``events`` (key, event).

    What waits is read only when it is somebody's turn, never when something is added.
    """

    BEFORE = ReadModifyWriteStateSpec("before", BytesCoder())
    WAITING = BagStateSpec("waiting", BytesCoder())
    NEXT = ReadModifyWriteStateSpec("next", VarIntCoder())
    TURN = TimerSpec("turn", TimeDomain.WATERMARK)

    def __init__(self, solving: Solving) -> None:
        self.solving = solving
        self.late = Metrics.counter(NAMESPACE, "late_windows")

    def process(
        self,
        element: tuple[Any, Learned],
        stamp: Any = beam.DoFn.TimestampParam,
        before: Any = beam.DoFn.StateParam(BEFORE),
        waiting: Any = beam.DoFn.StateParam(WAITING),
        next_turn: Any = beam.DoFn.StateParam(NEXT),
        turn: Any = beam.DoFn.TimerParam(TURN),
    ) -> Iterator[Any]:
        """Wait for its turn."""
        key, learned = element
        if learned.summary.is_empty:
            return
        if stamp.micros >= _END:
            yield from self._followed(key, stamp.micros, learned, before)
            return
        waiting.add(framed([stamp.micros, learned.summary.count], LearnedCoder().encode(learned)))
        soonest = next_turn.read()
        if soonest is None or stamp.micros < soonest:
            soonest = stamp.micros
            next_turn.write(soonest)
        turn.set(Timestamp(micros=soonest))

    @on_timer(TURN)  # type: ignore[untyped-decorator]
    def when_its_turn_comes(
        self,
        key: Any = beam.DoFn.KeyParam,
        now: Any = beam.DoFn.TimestampParam,
        before: Any = beam.DoFn.StateParam(BEFORE),
        waiting: Any = beam.DoFn.StateParam(WAITING),
        next_turn: Any = beam.DoFn.StateParam(NEXT),
        turn: Any = beam.DoFn.TimerParam(TURN),
    ) -> Iterator[Any]:
        """Follow the windows that are over, by time, and panes of one window by their rows."""
        all_waiting = sorted((unframed(content) for content in waiting.read()), key=lambda one: one[0])
        due = [one for one in all_waiting if one[0][0] <= now.micros] or all_waiting[:1]
        rest = all_waiting[len(due) :]
        waiting.clear()
        next_turn.clear()
        for told, content in rest:
            waiting.add(framed(told, content))
        if rest:
            # one at a time, a long queue would be read and written again for each: the longer, the more at once
            soonest = rest[0 if len(rest) <= BACKLOG else len(rest) // 4][0][0]
            next_turn.write(soonest)
            turn.set(Timestamp(micros=soonest))
        for (micros, _), content in due:
            yield from self._followed(key, micros, LearnedCoder().decode(content), before)

    def _followed(self, key: Any, micros: int, learned: Learned, before: Any) -> Iterator[Any]:
        rows, endless = learned.summary.count, micros >= _END
        held = before.read()
        (successor, *told), packed = unframed(held) if held else ([None, -_END, 0], b"")
        if not endless and [micros, rows] <= told:
            self.late.inc()
            return
        model = unpack_model(packed)[0] if packed else None
        time = None if endless else micros / 1e6
        found = self.solving.next(learned, model, successor, time=time)
        before.write(framed([found.successor, micros, rows], pack_model(found.model)))
        at = Timestamp(micros=micros)
        yield TimestampedValue((key, found.model), at)
        for event in found.events:
            yield beam.pvalue.TaggedOutput(EVENTS, TimestampedValue((key, event), at))


def _keyed(learned: Learned) -> tuple[str, Learned]:
    return "", learned  # a key whose bytes Beam knows to be the same always
