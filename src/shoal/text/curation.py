"""What people decided about topics by hand, kept through all updates: names, mergers, pins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shoal.errors import BadInputError, DamagedFileError
from shoal.model.events import Event
from shoal.model.pins import Pins


@dataclass
class Curation:
    """Decisions about topics.

    A topic is a cluster, or several that were merged by hand; its id is that of the first of them.

    >>> c = Curation(); c.merge([3, 5]); c.rename(3, "cards"); c.topic_of(5), c.names
    (3, {3: 'cards'})
    """

    names: dict[int, str] = field(default_factory=dict)
    """Names given by hand, by topic."""
    groups: dict[int, int] = field(default_factory=dict)
    """Topic of each cluster that was merged into another."""
    pins: dict[int, list[float]] = field(default_factory=dict)
    """Centres of clusters that stay where they are."""
    added: int = 0
    """Clusters beyond the number asked for, as topics were split by hand."""

    def topic_of(self, cluster: int) -> int:
        """The topic of a cluster."""
        return self.groups.get(cluster, cluster)

    def clusters_of(self, topic: int, clusters: Iterable[int]) -> list[int]:
        """Those of the clusters that are of the topic."""
        return [c for c in clusters if self.topic_of(c) == topic]

    def rename(self, topic: int, name: str | None) -> None:
        """Give a name; None: the keywords name it again.

        Raises
        ------
        BadInputError : a name that is empty or longer than 200 characters.
        """
        if name is None:
            self.names.pop(topic, None)
            return
        if not isinstance(name, str):
            raise BadInputError(f"{name!r} is no name", place=f"topic {topic}", remedy="give a text")
        name = " ".join(name.split())
        if not 0 < len(name) <= 200:
            raise BadInputError("a name has 1 to 200 characters", place=f"topic {topic}")
        self.names[topic] = name

    def merge(self, topics: Iterable[int]) -> None:
        """Make several topics one, under the id and name of the first."""
        first, *others = dict.fromkeys(topics)
        for other in others:
            self.groups[other] = first
            for cluster, topic in self.groups.items():
                if topic == other:
                    self.groups[cluster] = first
            name = self.names.pop(other, None)
            if name is not None:
                self.names.setdefault(first, name)

    def part(self, topic: int) -> None:
        """Undo a merger: each cluster is a topic of its own again."""
        self.groups = {c: t for c, t in self.groups.items() if t != topic}

    def follow(self, events: Iterable[Event]) -> None:
        """A cluster that split off one of a merged topic belongs to that topic too."""
        for event in events:
            topics = {self.topic_of(parent) for parent in event.parents}
            if event.kind == "split" and len(topics) == 1:
                (topic,) = topics
                if any(self.topic_of(c) == topic != c for c in (*self.groups, *event.parents)):
                    for child in event.children:
                        if child != topic:
                            self.groups[child] = topic

    def tidy(self, clusters: Iterable[int]) -> None:
        """Forget what was decided about clusters that are gone."""
        alive = set(clusters)
        self.groups = {c: t for c, t in self.groups.items() if c in alive}
        topics = {self.topic_of(c) for c in alive}
        self.names = {t: name for t, name in self.names.items() if t in topics}
        self.pins = {c: centre for c, centre in self.pins.items() if c in alive}

    def renumbered(self, new: Mapping[int, int]) -> Curation:
        """The same decisions about clusters that have other ids now."""

        def of(cluster: int) -> int:
            return new.get(cluster, cluster)

        return Curation(
            {of(t): name for t, name in self.names.items()},
            {of(c): of(t) for c, t in self.groups.items()},
            {of(c): centre for c, centre in self.pins.items()},
            self.added,
        )

    def pinned(self) -> Pins:
        """For the solver."""
        order = sorted(self.pins)
        return Pins(np.array(order, np.int64), np.array([self.pins[c] for c in order], np.float64))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "names": {str(t): name for t, name in sorted(self.names.items())},
            "groups": {str(c): t for c, t in sorted(self.groups.items())},
            "pins": {str(c): list(centre) for c, centre in sorted(self.pins.items())},
            "added": self.added,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Curation:
        """Inverse of :meth:`to_dict`.

        Raises
        ------
        DamagedFileError : it is no such data.
        """
        try:
            return cls(
                {int(t): str(name) for t, name in data["names"].items()},
                {int(c): int(t) for c, t in data["groups"].items()},
                {int(c): [float(v) for v in centre] for c, centre in data["pins"].items()},
                int(data["added"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedFileError(f"the decisions about topics cannot be read: {error!r}") from error
