"""What a person is told of clusters of texts: each change in a line, with a text that stands for the cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.ml.inference.base import PredictionResult
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.utils.timestamp import Duration

from shoal.engines.beam.online_learner import AT_THE_END
from shoal.model.events import Event

LENGTH = 80
FADES = 1.001
"""Texts make way for newer ones: a distance grows by so much with each text that is seen."""
MOST = 1000
"""Clusters whose text is kept, those that were heard of last; and events that wait for one."""
GONE = 256
"""Clusters of which it is known that they died, as labels may come after the news."""


Keyed = tuple[str, tuple[str, str]]
"""All under one key, as state belongs to keys: what it is, an event or a text, and its JSON."""


class TellChanges(beam.PTransform):  # type: ignore[misc]
    """Events and labels of :class:`~shoal.engines.beam.online.OnlineClusters` to lines of text, one for each event.

    State is one short text for each cluster.

    Parameters
    ----------
    timed : whether events have times; else they have the number of texts seen.
    """

    def __init__(self, *, timed: bool = True) -> None:
        super().__init__()
        self.timed = timed

    def expand(self, both: tuple[Any, Any]) -> Any:
        """``(events, labels)`` to lines."""
        events, labels = both
        told = events | "Event" >> beam.Map(_event).with_output_types(Keyed)
        texts = labels | "Text" >> beam.Map(_text).with_output_types(Keyed)
        return (texts, told) | "Both" >> beam.Flatten() | "Tell" >> beam.ParDo(TellFn(self.timed))


class TellFn(beam.DoFn):  # type: ignore[misc]
    """A text of a cluster is remembered, an event told as soon as a text of its cluster is known."""

    STATE = ReadModifyWriteStateSpec("told", BytesCoder())
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(self, timed: bool) -> None:
        self.timed = timed

    def process(
        self,
        element: Keyed,
        state: Any = beam.DoFn.StateParam(STATE),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[str]:
        """One line for an event."""
        kind, content = element[1]
        known = _Known(**json.loads(state.read() or b"{}"))
        if kind == "text":
            known.add(*json.loads(content))
        else:
            known.waiting.append(json.loads(content))
            end.set(AT_THE_END + Duration(1))
        for event, texts in known.ready():
            yield line_of(event, texts, timed=self.timed)
        state.write(json.dumps(vars(known)).encode())

    @on_timer(END)  # type: ignore[untyped-decorator]
    def when_input_ends(self, state: Any = beam.DoFn.StateParam(STATE)) -> Iterator[str]:
        """What still waits for a text is told without."""
        known = _Known(**json.loads(state.read() or b"{}"))
        for data in known.waiting:
            yield line_of(Event.from_dict(data), {}, timed=self.timed)
        state.clear()


@dataclass
class _Known:
    """A text for each cluster with its distance, and events that wait for one."""

    texts: dict[str, list[Any]] = field(default_factory=dict)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)

    def add(self, cluster: str, distance: float, text: str) -> None:
        """A text that was labelled; the nearest stands for its cluster."""
        if int(cluster) in self.gone:
            return
        held = self.texts.pop(cluster, None)
        if held is None or distance < held[0]:
            held = [distance, text]
        else:
            held[0] *= FADES
        self.texts[cluster] = held
        if len(self.texts) > MOST:
            del self.texts[next(iter(self.texts))]

    def ready(self) -> Iterator[tuple[Event, dict[int, str]]]:
        """Events whose cluster has a text now, or will have none any more."""
        texts = {int(cluster): str(text) for cluster, (_, text) in self.texts.items()}
        waiting, self.waiting = self.waiting, []
        for position, data in enumerate(waiting):
            event = Event.from_dict(data)
            hopeless = event.cluster in self.gone or position < len(waiting) - MOST
            if event.kind == "died":
                yield event, texts
                self.texts.pop(str(event.cluster), None)
                self.gone = [*self.gone, event.cluster][-GONE:]
            elif event.cluster in texts or hopeless:
                yield event, texts
            else:
                self.waiting.append(data)


def line_of(event: Event, texts: dict[int, str], *, timed: bool = True) -> str:
    """The event, when it was, and a text of the cluster.

    >>> line_of(Event("born", 60.0, 3, 40.0, 0.1), {3: "on a boat trip to denmark"})
    '1970-01-01 00:01:00  cluster 3 born (10.0% of the weight): “on a boat trip to denmark”'
    """
    when = f"after {event.time:,.0f} texts"
    if timed:
        when = datetime.fromtimestamp(event.time, UTC).strftime("%Y-%m-%d %H:%M:%S")
    text = texts.get(event.cluster)
    return f"{when}  {event}" + (f": “{text}”" if text else "")


def _event(event: Event) -> Keyed:
    return "", ("event", json.dumps(event.to_dict()))


def _text(result: PredictionResult) -> Keyed:
    label, text = result.inference, result.example["text"]
    short = text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"
    return "", ("text", json.dumps([str(int(label)), label.distance, short]))
