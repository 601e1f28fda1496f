"""Topics that go on: a summary, the clusters solved from it, what people decided about them, and how they came to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from shoal.errors import BadInputError, DamagedFileError, Rejects
from shoal.kernels import nearest
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel
from shoal.model.events import Event
from shoal.model.packed import pack_model, unpack_model
from shoal.model.pins import solution_of
from shoal.model.successor import Space, Successor
from shoal.solve.k_means import k_means
from shoal.summary import wire
from shoal.summary.protocol import WeightedPoints
from shoal.text.curation import Curation
from shoal.text.keywords import Keyword, name_of
from shoal.text.topic_summary import TopicSummary
from shoal.text.topics import Described, Topic, describe

AUTO = (5, 100)
"""Fewest and most topics where their number is to be found."""
_KIND = "topic state"
KEPT_EVENTS = 1_000


@dataclass(frozen=True)
class TopicSettings:
    """How topics are made.

    >>> TopicSettings(n_topics="auto").k
    (5, 100)
    """

    n_topics: int | tuple[int, int] | Literal["auto"] = "auto"
    """A number, the fewest and most, or ``auto``."""
    languages: tuple[str, ...] | None = None
    """ISO codes of languages whose stop words say nothing; None: as found."""
    n_keywords: int = 10
    n_texts: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        given: Any = AUTO if self.n_topics == "auto" else self.n_topics
        low, high = given if isinstance(given, (tuple, list)) and len(given) == 2 else (given, given)
        whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in (low, high))
        if not whole or not 1 <= low <= high:
            raise BadInputError(
                f"n_topics is {given!r}",
                remedy="give a number of at least 1, a range such as (5, 40), or 'auto'",
            )
        if self.n_keywords < 1 or self.n_texts < 0:
            raise BadInputError(f"n_keywords={self.n_keywords}, n_texts={self.n_texts}", remedy="give more")

    @property
    def k(self) -> int | tuple[int, int]:
        """For the solver."""
        given = AUTO if self.n_topics == "auto" else self.n_topics
        return (int(given[0]), int(given[1])) if isinstance(given, (tuple, list)) else int(given)


@dataclass
class TopicState:
    """All that is known of the topics of a stream.

    >>> state = TopicState(TopicSettings(n_topics=2))
    >>> _ = state.summary.update([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], ["lost card", "card lost", "exchange rate"])
    >>> [topic.name for topic in state.solve()]
    ['card · lost', 'exchange rate']
    """

    settings: TopicSettings
    summary: TopicSummary = field(default_factory=TopicSummary)
    curation: Curation = field(default_factory=Curation)
    rejects: Rejects = field(default_factory=Rejects)
    model: ClusterModel | None = None
    events: list[Event] = field(default_factory=list)
    """The last thousand."""

    def __post_init__(self) -> None:
        self._successor = self._new_successor()
        self._topics: list[Topic] = []
        self._described: Described | None = None
        self.decided_before: dict[str, Any] | None = None
        """Decisions as they were read from the directory of a stream."""
        self.home: tuple[Path, int] | None = None
        """That directory, and how many texts had been learned."""

    @property
    def is_current(self) -> bool:
        """Whether the topics are those of all texts seen."""
        return self.model is not None and self._successor.solved_at == self.summary.count

    def solve(self) -> list[Topic]:
        """The topics of all texts seen; those that live on keep their ids and names.

        Raises
        ------
        BadInputError : there are no texts yet.
        """
        self.refresh()
        return self.described().topics

    def decide(self, curation: Curation) -> None:
        """Take over decisions that were made elsewhere; the topics follow them when they are asked for."""
        if curation.pins.keys() != self.curation.pins.keys() or curation.added != self.curation.added:
            self._successor.solved_at = -1
        self.curation, self.decided_before = curation, curation.to_dict()
        if self.model is not None:
            self.settle()

    def use(self, settings: TopicSettings) -> None:
        """From now on these settings; the seed stays."""
        settings = replace(settings, seed=self.settings.seed)
        if settings == self.settings:
            return
        if settings.k != self.settings.k:
            self._successor.solved_at = -1
        self.settings, self._described = settings, None

    def refresh(self) -> ClusterModel:
        """The clusters of all texts seen, without words and names, which take as long again."""
        if not self.is_current:
            if not self.summary.vectors.weight > 0:
                raise BadInputError("there are no texts yet", remedy="give some first")
            self._successor.k = self._k()
            vectors = self.summary.vectors
            made = self._successor.next(
                vectors,
                Space("cosine", tuple(f"e{j}" for j in range(int(vectors.n_features or 0)))),
                self.model,
                time=self._now(),
                rejects=self.rejects,
                pins=self.curation.pinned(),
            )
            named = unpack_model(pack_model(made.model.replace(version="")))[0]  # named by its content
            self.follow_model(named, made.events)
        return self.solved()

    def follow_model(self, model: ClusterModel, events: Iterable[Event]) -> None:
        """Take in a model that was solved elsewhere, and what changed with it."""
        told = list(events)
        self.model = model
        self.events = [*self.events, *told][-KEPT_EVENTS:]
        self.curation.follow(told)
        self.curation.tidy(model.ids.tolist())
        self._described = None

    def successor_from(self, other: Successor, *, solved_at: int) -> None:
        """Go on as another successor would, with topics that are to stand for so many texts."""
        self._successor.restore(other.to_dict() | {"solved_at": solved_at})

    def continue_from(self, other: TopicState) -> None:
        """Take over how another's clusters came to be, to be solved anew."""
        self._successor, self._topics = other._successor, other._topics
        self._successor.solved_at = -1

    def forget_words(self) -> None:
        """Names, keywords and examples are to be found anew."""
        self._described = None

    @property
    def remembered(self) -> list[Topic]:
        """The topics as they were last described."""
        return self._topics

    def described(self) -> Described:
        """Topics of the model as it is, with the counts and positions they came from."""
        assert self.model is not None
        if self._described is None:
            self._described = describe(
                self.model,
                self.summary.sample(),
                self.curation,
                known=self.summary.notes.terms,
                languages=self.settings.languages,
                n_keywords=self.settings.n_keywords,
                n_texts=self.settings.n_texts,
                before=self._topics,
            )
            self._topics = self._described.topics
        return self._described

    def topic(self, number: int) -> Topic:
        """The topic of an id.

        Raises
        ------
        BadInputError : there is none.
        """
        topics = self.solve()
        for topic in topics:
            if topic.id == number:
                return topic
        known = ", ".join(str(t.id) for t in topics[:20])
        raise BadInputError(f"there is no topic {number}", remedy=f"the largest are {known}")

    def rename(self, number: int, name: str | None) -> None:
        """Give a topic a name that stays; None: its keywords name it again."""
        topic = self.topic(number)
        self.curation.rename(number, name)
        given = self.curation.names.get(number)
        now = replace(topic, name=given or name_of(topic.keywords), by_hand=given is not None)
        self._topics[self._topics.index(topic)] = now  # the list of what was described, too

    def merge_topics(self, numbers: Sequence[int]) -> None:
        """Make several topics one, under the id of the first.

        Raises
        ------
        BadInputError : fewer than two, or one that is not there.
        """
        if len(set(numbers)) < 2:
            raise BadInputError("merging takes at least two topics")
        for number in numbers:
            self.topic(number)
        self.curation.merge(numbers)
        self._described = None

    def pin(self, number: int, *, on: bool = True) -> None:
        """Let a topic stay where it is, whatever comes; with ``on=False`` let it go again."""
        topic, model = self.topic(number), self.solved()
        for cluster in topic.clusters:
            if on:
                at = model.ids.tolist().index(cluster)
                self.curation.pins.setdefault(cluster, model.centres[at].tolist())
            else:
                self.curation.pins.pop(cluster, None)
        self.settle()

    def split(self, number: int, into: int = 2) -> list[int]:
        """Make several topics of one, pinned so that they stay apart; answers their ids, of which the first is the old one.

        Raises
        ------
        BadInputError : fewer than two parts, or fewer texts than parts.
        """
        topic, model = self.topic(number), self.solved()
        if not isinstance(into, (int, np.integer)) or isinstance(into, bool):
            raise BadInputError(f"{into!r} parts", place=f"topic {number}", remedy="give a whole number")
        points = self.points()
        labels = nearest(points.X, model.centres.astype(points.X.dtype)).labels
        mine = np.isin(model.ids[labels], topic.clusters)
        different = len(np.unique(points.X[mine], axis=0))
        if not 2 <= into <= different:
            raise BadInputError(
                f"{into} parts of a topic of {different} different texts", place=f"topic {number}"
            )
        found = k_means(
            points.X[mine], into, weights=points.weights[mine], metric="cosine", seed=self.settings.seed
        )
        parts = found.centres[found.largest_first()]
        ids = [number, *range(model.next_id, model.next_id + into - 1)]
        others = ~np.isin(model.ids, topic.clusters)
        self.model = self.model_of(
            points, np.concatenate([model.centres[others], parts]), [*model.ids[others].tolist(), *ids]
        )
        self.curation.part(number)
        for cluster in topic.clusters:
            self.curation.pins.pop(cluster, None)
        self.curation.added += into - len(topic.clusters)
        for cluster, centre in zip(ids, parts, strict=True):
            self.curation.pins[cluster] = centre.tolist()
        self.events.append(
            Event("split", self._now(), ids[0], topic.weight, topic.share, (ids[0],), tuple(ids))
        )
        self.settle()
        return ids

    def merge(self, other: Self) -> TopicState:
        """The state of the texts of both; see :func:`shoal.text.topic_merge.merged`."""
        from shoal.text.topic_merge import merged

        return merged(self, other)

    def to_bytes(self) -> bytes:
        """Everything, checksummed."""
        arrays = {"summary": np.frombuffer(self.summary.to_bytes(), np.uint8)}
        if self.model is not None:
            arrays["model"] = np.frombuffer(pack_model(self.model), np.uint8)
        return wire.pack(_KIND, self.to_meta(), arrays)

    def to_meta(self) -> dict[str, Any]:
        """All but the summary and the model, as plain data."""
        return {
            "settings": asdict(self.settings),
            "curation": self.curation.to_dict(),
            "rejects": self.rejects.to_dict(),
            "events": [event.to_dict() for event in self.events],
            "successor": self._successor.to_dict(),
            "topics": [topic.to_dict() for topic in self._topics],
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`.

        Raises
        ------
        DamagedFileError, NewerFormatError : the bytes cannot be trusted.
        """
        meta, arrays = wire.unpack(_KIND, data)
        try:
            summary = TopicSummary.from_bytes(arrays["summary"].tobytes())
            model = unpack_model(arrays["model"].tobytes())[0] if "model" in arrays else None
            return cls.of_meta(meta, summary, model)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, (DamagedFileError, BadInputError)):
                raise
            raise DamagedFileError(f"the topics cannot be read: {error!r}; use another copy") from error

    @classmethod
    def of_meta(cls, meta: dict[str, Any], summary: TopicSummary, model: ClusterModel | None) -> Self:
        """From :meth:`to_meta` and the parts that are kept elsewhere."""
        settings = dict(meta["settings"])
        for name in ("n_topics", "languages"):
            if isinstance(settings[name], list):
                settings[name] = tuple(settings[name])
        out = cls(
            TopicSettings(**settings),
            summary,
            Curation.from_dict(meta["curation"]),
            Rejects.from_dict(meta["rejects"]),
            model,
            [Event.from_dict(event) for event in meta["events"]],
        )
        out._successor.restore(meta["successor"])
        out._topics = [_remembered(topic) for topic in meta["topics"]]
        return out

    def copy(self) -> TopicState:
        """Another that goes its own way."""
        return TopicState.from_bytes(self.to_bytes())

    def solved(self) -> ClusterModel:
        """The clusters as they are, which there must be."""
        assert self.model is not None
        return self.model

    def _new_successor(self) -> Successor:
        return Successor(self.settings.k, seed=self.settings.seed, criterion="silhouette")

    def _k(self) -> int | tuple[int, int]:
        k = self.settings.k
        return k if isinstance(k, tuple) else k + self.curation.added

    def _now(self) -> float:
        """Of events: the newest time there is, else the number of texts."""
        newest = self.summary.notes.newest
        return float(self.summary.count) if newest is None else newest

    def points(self) -> WeightedPoints:
        """Of the summary, all of some weight."""
        points = self.summary.vectors.points()
        heavy = points.weights > 0
        return WeightedPoints(points.X[heavy], points.weights[heavy])

    def model_of(self, points: WeightedPoints, centres: np.ndarray, ids: Iterable[int]) -> ClusterModel:
        """A model of centres that are given, under ids that are given."""
        model = self.solved()
        solution = solution_of(points, centres)
        order = solution.largest_first()
        made = build_model(
            points.X,
            points.weights,
            solution,
            provenance=model.provenance,
            metric="cosine",
            feature_names=model.feature_names,
            parent=model.version or None,
        )
        numbers = np.array(list(ids), np.int64)[order]
        named = made.replace(ids=numbers, next_id=max(model.next_id, int(numbers.max()) + 1))
        return unpack_model(pack_model(named))[0]

    def settle(self) -> None:
        """After a decision: the free centres are to be gone on from."""
        model = self.solved()
        pinned = np.isin(model.ids, list(self.curation.pins))
        self._successor.expect(int((~pinned).sum()))
        self._described = None


def _remembered(data: dict[str, Any]) -> Topic:
    words = tuple(Keyword(str(term), float(score)) for term, score in data["keywords"])
    return Topic(
        int(data["id"]),
        str(data["name"]),
        words,
        float(data["share"]),
        float(data["weight"]),
        tuple(data["texts"]),
        tuple(data["clusters"]),
        bool(data["by_hand"]),
        bool(data["pinned"]),
    )
