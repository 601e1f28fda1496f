"""Topics of a stream of texts: what :mod:`~shoal.engines.stream.learner` does, with the texts, words and names that go with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from shoal.engines.stream.learner import Learner, Outcome
from shoal.engines.stream.parts import Part
from shoal.engines.stream.settings import Span, StreamSettings
from shoal.errors import BadInputError, DamagedFileError
from shoal.features.spec import RecipeSpec
from shoal.model.cluster_model import Assignment
from shoal.model.pins import Pins
from shoal.sources.stream_embedded import VECTOR
from shoal.summary.coreset_state import identities
from shoal.text.curation import Curation
from shoal.text.text_notes import TextNotes
from shoal.text.topic_file import Saved, change_decisions, read_decisions, topic_path, write_topics
from shoal.text.topic_state import TopicSettings, TopicState
from shoal.text.topic_summary import TopicSummary
from shoal.text.topics import Topic

SAME_TOPIC = 0.7
"""Cosine between a topic and the place where somebody pinned it a while ago."""
LEARN_ROWS = 200
"""Texts of which the first topics are made."""


def topic_stream(
    column: str,
    topics: TopicSettings,
    *,
    time: str | None = None,
    time_unit: str = "s",
    half_life: Span | None = None,
    every: Span | None = None,
    keep: tuple[str, ...] = (),
    sample_rows: int = 20_000,
    max_bytes: int = 128 << 20,
    bucket: float | None = None,
) -> StreamSettings:
    """Settings of a stream of texts that an :class:`~shoal.sources.stream_embedded.EmbeddedSource` gives vectors.

    >>> topic_stream("text", TopicSettings(5), keep=("id",)).keep
    ('text', 'id')
    """
    if half_life is not None and half_life.seconds is None:
        raise BadInputError(f"half-life {half_life} is no time", remedy="write 10m, 6h or 7d")
    return StreamSettings(
        k=topics.k,
        criterion="silhouette",
        recipe=RecipeSpec(columns=(VECTOR,), metric="cosine", scale="none"),
        time=time,
        time_unit=time_unit,
        half_life=half_life,
        every=every or Span(rows=2_000),
        learn_rows=LEARN_ROWS,
        keep=tuple(dict.fromkeys((column, *keep))),
        sample_rows=sample_rows,
        max_bytes=max_bytes,
        seed=topics.seed,
        bucket=bucket,
    )


class TopicLearner(Learner):
    """Learns texts, and describes every new model.

    Parameters
    ----------
    column : of the texts.
    source : name and fingerprint of what makes the vectors.
    state : directory of the run, where people's decisions are found.
    """

    def __init__(
        self,
        settings: StreamSettings,
        topics: TopicSettings,
        column: str,
        source: tuple[str, str],
        state: Path,
    ) -> None:
        super().__init__(settings)
        self.column, self.source, self.state = column, source, state
        self.of = TopicState(topics)
        self._pinned: set[int] = set()
        self._read: dict[str, Any] = {}
        """Decisions as they were read last."""
        half_life = settings.half_life
        seconds = None if half_life is None else half_life.seconds or half_life.rows
        self.notes = TextNotes(half_life=None if seconds is None else float(seconds))
        self._unsaved = False

    @property
    def topics(self) -> list[Topic]:
        """As of the newest model, not of the rows since: so that a replay after a crash tells the same."""
        return self.of.remembered

    def _learn_some(self, part: Part, out: Outcome) -> None:
        texts = part.carried.column(self.column).to_pylist()
        times = self._times_for_decay(part)
        self.notes.update(identities(part.key, part.rows), texts, part.weights, times=times)
        super()._learn_some(part, out)
        if self.summary is not None and self.notes.needs_pruning(self.summary.rows):
            self.notes.prune(self.summary.held_ids())

    def _more_columns(self, found: Assignment) -> dict[str, Any]:
        names = {topic.id: topic.name for topic in self.topics}
        topics = [self.of.curation.topic_of(c) for c in found.ids.tolist()]
        return {"topic": np.array(topics, np.int64), "topic_name": [names.get(t, "") for t in topics]}

    def _pins(self) -> Pins | None:
        """People decide while the stream runs: before each model it is looked what they said."""
        told = read_decisions(self.state)
        if told is not None:
            self._read = told.to_dict()
            self.of.curation = told.renumbered(self._taken(told))
        k = self.settings.k
        self._successor.k = k if isinstance(k, tuple) else k + self.of.curation.added
        pins = self.of.curation.pinned()
        if self._pinned != set(pins.ids.tolist()) and self.model is not None:
            self._successor.expect(int((~np.isin(self.model.ids, pins.ids)).sum()))
        self._pinned = set(pins.ids.tolist())
        return pins if len(pins) else None

    def _taken(self, told: Curation) -> dict[int, int]:
        """New ids for parts that were split off by hand under ids which the stream has given out meanwhile."""
        if self.model is None:
            return {}
        out, new = {}, max(self.model.next_id, *told.pins, 0) + 1
        for cluster, centre in sorted(told.pins.items()):
            if cluster in self._pinned or cluster >= self.model.next_id:
                continue
            at = np.flatnonzero(self.model.ids == cluster)
            if len(at) and float(self.model.centres[at[0]] @ np.array(centre)) > SAME_TOPIC:
                continue
            out[cluster], new = new, new + 1
        return out

    def _solve(self, out: Outcome, crossing: float | None) -> None:
        waiting, self._waiting = self._waiting, []  # labels tell names, which are to be found first
        super()._solve(out, crossing)
        assert self.model is not None
        assert self.summary is not None
        self.of.summary = self._summary()
        self.of.follow_model(self.model, out.events)
        self.of.described()
        if self.of.curation.to_dict() != (self._read or Curation().to_dict()):
            self._decided()
        self._unsaved = True
        for part in waiting:
            self._label(part, out)

    def _summary(self) -> TopicSummary:
        assert self.summary is not None
        return TopicSummary.of_parts(self.summary, self.notes)

    def _decided(self) -> None:
        """What became of decisions: clusters that split or are gone. What people decide at this moment is not overwritten."""

        def change(now: Curation | None) -> Curation:
            return self.of.curation if now is None or now.to_dict() == self._read else now

        change_decisions(self.state, change)

    def extra(self) -> dict[str, bytes]:
        """The texts, and what is known of the topics."""
        held: Any = [] if self.summary is None else self.summary.held_ids()
        meta = json.dumps(self.of.to_meta() | {"source": list(self.source)}).encode()
        return {"notes": self.notes.to_bytes(held), "topics": meta}

    def restore_extra(self, extra: dict[str, bytes]) -> None:
        """Go on from :meth:`extra`.

        Raises
        ------
        DamagedFileError : this is no state of topics.
        """
        try:
            self.notes = TextNotes.from_bytes(extra["notes"])
            meta = json.loads(extra["topics"])
        except KeyError:
            raise DamagedFileError(
                f"{self.state} is the state of a stream of numbers, not of topics; choose another --state"
            ) from None
        name, fingerprint = meta["source"]
        if fingerprint != self.source[1]:
            raise BadInputError(
                f"was begun with vectors of {name}, not of {self.source[0]}",
                place=str(self.state),
                remedy="give the same --model, or begin anew in another --state",
            )
        summary = TopicSummary() if self.summary is None else self._summary()
        settings = self.of.settings
        self.of = TopicState.of_meta(meta, summary, self.model)
        self._pinned = set(self.of.curation.pins)
        self.of.settings = settings

    def saved(self, state: Path) -> None:
        """The newest topics as a file that other commands open."""
        if not self._unsaved or self.summary is None:
            return
        self.of.successor_from(
            self._successor, solved_at=self.summary.count
        )  # readers shall see the topics of the stream
        write_topics(topic_path(state), Saved(self.of, self.source))
        self._unsaved = False
