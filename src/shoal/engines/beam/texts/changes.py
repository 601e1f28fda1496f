"""What a person is told of topics of texts: each change in a line, with the topic's words and a text that stands for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
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
from shoal.engines.beam.texts.naming import kept, names_of
from shoal.model.events import Event

LENGTH = 80
"""Characters of a text that are told."""
SAID = 240
"""Characters of a text in which words for the names are looked for."""
SAID_TEXTS = 300
"""Texts kept for the names, in all."""
ENOUGH = 3
"""Texts of a topic without which its name would be chance."""
SURE = 6
"""Texts of a topic with which its name is more than a first guess, and stays while its words fit."""
PATIENCE = 20
"""Texts of any topic after which an event waits no longer for so many of its own."""
FADES = 1.001
"""Texts make way for newer ones: a distance grows by so much with each text that is seen."""
MOST = 1000
"""Clusters whose text is kept, those that were heard of last; and events that wait for one."""
GONE = 256
"""Clusters of which it is known that they died, as labels may come after the news."""


_NUMBER = re.compile(r"(?<![\d.])\d+(?![\d.%])")
Keyed = tuple[str, tuple[str, str]]
"""All under one key, as state belongs to keys: what it is, an event or a text, and its JSON."""


class TellChanges(beam.PTransform):  # type: ignore[misc]
    """Events and labels of :class:`~shoal.engines.beam.online.OnlineClusters` to lines of text, one for each event.

    State is one short text for each cluster, its name, and the few hundred texts last seen, which names are made from.

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
    """Texts of a cluster are remembered, an event told as soon as a few texts of its cluster are known."""

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
            known.waiting.append([json.loads(content), 0])
            end.set(AT_THE_END + Duration(1))
        yield from known.lines(known.ready(), timed=self.timed)
        state.write(json.dumps(vars(known)).encode())

    @on_timer(END)  # type: ignore[untyped-decorator]
    def when_input_ends(self, state: Any = beam.DoFn.StateParam(STATE)) -> Iterator[str]:
        """What still waits is told with the texts there are, if any."""
        known = _Known(**json.loads(state.read() or b"{}"))
        yield from known.lines([Event.from_dict(data) for data, _ in known.waiting], timed=self.timed)
        state.clear()


@dataclass
class _Known:
    """A text for each cluster with its distance, the texts last seen of each, names, and events that wait."""

    texts: dict[str, list[Any]] = field(default_factory=dict)
    said: dict[str, list[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    waiting: list[list[Any]] = field(default_factory=list)
    """Events, each with the number of texts that came since."""
    gone: list[int] = field(default_factory=list)

    def add(self, cluster: str, distance: float, text: str, said: str = "") -> None:
        """A text that was labelled; the nearest stands for its cluster."""
        self.waiting = [[data, came + 1] for data, came in self.waiting]
        if int(cluster) in self.gone:
            return
        held = self.texts.pop(cluster, None)
        if held is None or distance < held[0]:
            held = [distance, text]
        else:
            held[0] *= FADES
        self.texts[cluster] = held
        self.said = kept({**self.said, cluster: [*self.said.get(cluster, []), said or text]}, SAID_TEXTS)
        if len(self.texts) > MOST:
            self._forget(next(iter(self.texts)))

    def ready(self) -> list[Event]:
        """Events whose cluster has texts now, or will have none any more."""
        waiting, self.waiting = self.waiting, []
        out = []
        for position, (data, came) in enumerate(waiting):
            event = Event.from_dict(data)
            hopeless = event.cluster in self.gone or position < len(waiting) - MOST
            has = len(self.said.get(str(event.cluster), []))
            if event.kind == "died":
                self.gone = [*self.gone, event.cluster][-GONE:]
                out.append(event)
            elif hopeless or has >= ENOUGH or (has and came >= PATIENCE):
                out.append(event)
            else:
                self.waiting.append([data, came])
        return out

    def lines(self, events: Sequence[Event], *, timed: bool) -> Iterator[str]:
        """A line for each event; names are made anew only where there is something to tell."""
        if not events:
            return
        said = {int(cluster): texts for cluster, texts in self.said.items()}
        before = {int(cluster): name for cluster, name in self.names.items()}
        names = names_of(said, before)
        texts = {int(cluster): str(text) for cluster, (_, text) in self.texts.items()}
        self.names = {str(c): name for c, name in names.items() if len(said[c]) >= SURE}
        for event in events:
            yield line_of(event, texts, before | names, timed=timed)
            if event.kind == "died":
                self._forget(str(event.cluster))

    def _forget(self, cluster: str) -> None:
        for held in (self.texts, self.said, self.names):
            held.pop(cluster, None)


def line_of(
    event: Event, texts: dict[int, str], names: Mapping[int, str] | None = None, *, timed: bool = True
) -> str:
    """The event, when it was, the topic's name and a text of it.

    >>> line_of(Event("born", 60.0, 3, 40.0, 0.1), {3: "on a boat trip to denmark"}, {3: "boat trip"})
    '1970-01-01 00:01:00  topic 3 ‘boat trip’ born (10.0% of the weight): “on a boat trip to denmark”'
    """
    when = f"after {event.time:,.0f} texts"
    if timed:
        when = datetime.fromtimestamp(event.time, UTC).strftime("%Y-%m-%d %H:%M:%S")
    text = texts.get(event.cluster)
    return f"{when}  {said_of(event, names or {})}" + (f": “{text}”" if text else "")


def said_of(event: Event, names: Mapping[int, str]) -> str:
    """The event in words, of topics by their names.

    >>> said_of(Event("split", 60.0, 7, 40.0, 0.1, (7,), (7, 12)), {7: "card", 12: "card · lost"})
    'topic 7 ‘card’ split into 7 ‘card’ and 12 ‘card · lost’ (10.0% of the weight)'
    """

    def named(cluster: int) -> str:
        return f"{cluster} ‘{names[cluster]}’" if cluster in names else str(cluster)

    words = str(event).replace("clusters ", "topics ", 1).replace("cluster ", "topic ", 1)
    about = {event.cluster, *event.parents, *event.children}
    # numbers of topics stand alone, those of shares have a point or a sign behind them
    return _NUMBER.sub(lambda m: named(int(m[0])) if int(m[0]) in about else m[0], words)


def _event(event: Event) -> Keyed:
    return "", ("event", json.dumps(event.to_dict()))


def _text(result: PredictionResult) -> Keyed:
    label, text = result.inference, result.example["text"]
    short = text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"
    return "", ("text", json.dumps([str(int(label)), label.distance, short, text[:SAID]]))
