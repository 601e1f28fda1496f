"""Topics as people read them: a name, keywords, texts that stand for them, their share, and how they hang together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.kernels import nearest
from shoal.model.cluster_model import ClusterModel
from shoal.text.curation import Curation
from shoal.text.keywords import Keyword, TermCounts, keywords, name_of
from shoal.text.stop_words import languages_of, stop_words
from shoal.text.term_sketch import TermSketch
from shoal.text.tokens import normal_form
from shoal.text.topic_summary import TextSample

ALIKE = 0.95
"""Texts more similar than this say the same thing; one of them is enough."""
LOOKED_AT = 60
"""Texts nearest to the centre among which those that stand for a topic are found."""
STILL_FITS = 0.5
"""A name that the keywords gave stays while at least this share of its words are among the keywords."""


@dataclass(frozen=True)
class Topic:
    """One topic."""

    id: int
    """Never changes, and is never used again."""
    name: str
    keywords: tuple[Keyword, ...]
    """Best first."""
    share: float
    """Of the weight of all texts."""
    weight: float
    texts: tuple[str, ...]
    """That stand for it, the nearest to its centre first."""
    clusters: tuple[int, ...]
    """Ids of its clusters: one, or more where topics were merged by hand."""
    by_hand: bool = False
    """Whether a person gave the name."""
    pinned: bool = False
    """Whether a person fixed its place."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "id": self.id,
            "name": self.name,
            "share": self.share,
            "weight": self.weight,
            "keywords": [[k.term, round(k.score, 6)] for k in self.keywords],
            "texts": list(self.texts),
            "clusters": list(self.clusters),
            "by_hand": self.by_hand,
            "pinned": self.pinned,
        }


class Described(NamedTuple):
    """Topics, and what they were made from."""

    topics: list[Topic]
    """The largest first."""
    counts: TermCounts
    """One row for each topic, in that order."""
    positions: NDArray[np.int64]
    """(m,) topic of each text of the sample, as a position in that order."""
    languages: tuple[str, ...]


def describe(
    model: ClusterModel,
    sample: TextSample,
    curation: Curation,
    *,
    known: TermSketch | None = None,
    languages: Sequence[str] | None = None,
    n_keywords: int = 10,
    n_texts: int = 5,
    before: Iterable[Topic] = (),
) -> Described:
    """Words and texts for the clusters of a model.

    Parameters
    ----------
    known : terms of all texts, of which the sample is a part.
    languages : ISO codes of those whose stop words say nothing; default: as found in the terms.
    before : topics as they were: a name stays as long as its words fit.
    """
    labels = nearest(sample.X, model.centres.astype(sample.X.dtype)).labels
    order, members = _topics_of(model, curation)
    place = np.array([order.index(curation.topic_of(c)) for c in model.ids.tolist()], np.int64)
    positions = place[labels]
    if languages is None:
        languages = languages_of(known.items() if known is not None else _weights_of(sample))
    counts = TermCounts.of(sample.words, sample.weights, positions, len(order), stop=stop_words(languages))
    words = keywords(counts, n=n_keywords, known=known, total=float(sample.weights.sum()))
    total = float(model.weights.sum())
    old = {topic.id: topic for topic in before}
    topics = []
    for j, topic in enumerate(order):
        at = [i for i, c in enumerate(model.ids.tolist()) if c in members[topic]]
        weight = float(model.weights[at].sum())
        topics.append(
            Topic(
                topic,
                curation.names.get(topic) or _name(words[j], old.get(topic)),
                words[j],
                weight / total if total else 0.0,
                weight,
                tuple(typical(sample, np.flatnonzero(positions == j), model.centres[at], n_texts)),
                tuple(members[topic]),
                topic in curation.names,
                any(c in curation.pins for c in members[topic]),
            )
        )
    return Described(topics, counts, positions, tuple(languages))


def typical(sample: TextSample, mine: NDArray[np.intp], centres: NDArray[np.float64], n: int) -> list[str]:
    """The texts nearest to any of the centres, each saying something of its own."""
    if not len(mine):
        return []
    X = sample.X[mine]
    near = (X @ centres.T.astype(X.dtype)).max(axis=1)
    out: list[int] = []
    seen: set[str] = set()
    for i in np.argsort(-near, kind="stable")[:LOOKED_AT].tolist():
        said = normal_form(sample.texts[mine[i]]).strip()
        if not said or said in seen or (out and float((X[out] @ X[i]).max()) > ALIKE):
            continue
        seen.add(said)
        out.append(i)
        if len(out) == n:
            break
    return [sample.texts[mine[i]] for i in out]


def _topics_of(model: ClusterModel, curation: Curation) -> tuple[list[int], dict[int, list[int]]]:
    """Ids of the topics, the largest first, and the clusters of each."""
    members: dict[int, list[int]] = {}
    weights: dict[int, float] = {}
    for cluster, weight in zip(model.ids.tolist(), model.weights.tolist(), strict=True):
        topic = curation.topic_of(cluster)
        members.setdefault(topic, []).append(cluster)
        weights[topic] = weights.get(topic, 0.0) + weight
    return sorted(members, key=lambda t: (-weights[t], t)), members


def _name(words: tuple[Keyword, ...], before: Topic | None) -> str:
    if before is not None and not before.by_hand:
        old = before.name.split(" · ")
        now = {k.term for k in words}
        if sum(part in now for part in old) >= STILL_FITS * len(old):
            return before.name
    return name_of(words)


def _weights_of(sample: TextSample) -> dict[str, float]:
    out: dict[str, float] = {}
    for words, weight in zip(sample.words, sample.weights.tolist(), strict=True):
        for word in words:
            out[word] = out.get(word, 0.0) + weight
    return out
