"""``TopicLabeller``: what a worker needs of a topic model to label texts, without its sample and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shoal.engines.topics import Source, embedded
from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import pack_model, unpack_model
from shoal.summary import wire
from shoal.text.embedding import Embedder
from shoal.text.topic_model import GIVEN, OUTLIER, TopicModel

_KIND = "topic labeller"
NO_NAME = ""
"""Of outliers."""


class Labelled(NamedTuple):
    """Topics of m texts."""

    topics: NDArray[np.int64]
    """(m,) ids; -1 for outliers, where there is a threshold."""
    names: list[str]
    similarities: NDArray[np.float64]
    """(m,) cosine similarity to the centre of the nearest cluster."""
    outlier_scores: NDArray[np.float64]
    """(m,) in [0, 1]: the share of all texts learned that lie less far out."""
    kept: list[int]
    """(m,) positions in what was given."""
    refused: dict[int, str]
    """Why the others could not be labelled, by position."""


@dataclass(frozen=True)
class TopicLabeller:
    """Labels texts as :meth:`TopicModel.assign` does, and travels in little space.

    >>> model = TopicModel(2, embedder="hashed").fit(["lost card", "card lost", "exchange rate", "what exchange rate"])
    >>> labeller = TopicLabeller.from_bytes(TopicLabeller.of(model).to_bytes())
    >>> labeller.labels(["the exchange rate"], model._embedder()).names
    ['exchange rate']
    """

    clusters: ClusterModel
    topics: dict[int, int]
    """Topic of each cluster."""
    names: dict[int, str]
    """By topic."""
    source: Source
    embedder: str | None
    """Name by which workers load it."""
    device: str | None = None
    threshold: float = np.inf
    """Outlier score above which a text belongs to no topic."""

    @classmethod
    def of(cls, model: TopicModel, embedder: str | None = None) -> Self:
        """What labels like a model.

        Parameters
        ----------
        embedder : its name on the workers; default: as the model has it.

        Raises
        ------
        ShoalError : the vectors were given, so there is nothing that makes such of texts.
        """
        topics, clusters = model.topics_, model.model_
        rate = model.outlier_rate
        return cls(
            clusters,
            {cluster: topic.id for topic in topics for cluster in topic.clusters},
            {topic.id: topic.name for topic in topics},
            model._source,
            embedder or _name_of_embedder(model),
            model.device,
            clusters.outlier_threshold(rate) if rate > 0 else np.inf,
        )

    def labels(self, texts: Sequence[str], embedder: Embedder) -> Labelled:
        """Topics of n cleaned texts of which none is empty.

        Raises
        ------
        ShoalError : another embedder than that of the topics.
        """
        given = self.source[0] == GIVEN
        if embedder.width != self.clusters.n_features or not (
            given or embedder.fingerprint == self.source[1]
        ):
            raise ShoalError(
                f"the topics are of {self.source[0]}, and a worker has {embedder.name}, which cannot be compared"
            )
        found = embedded(embedder, texts)
        if not found.kept:
            return Labelled(np.empty(0, np.int64), [], np.empty(0), np.empty(0), [], found.refused)
        near = self.clusters.assign(found.X, n_threads=1)
        topics = np.array([self.topics[c] for c in near.ids.tolist()], np.int64)
        topics[near.outlier_scores > self.threshold] = OUTLIER
        names = [self.names.get(topic, NO_NAME) for topic in topics.tolist()]
        return Labelled(topics, names, 1.0 - near.distances, near.outlier_scores, found.kept, found.refused)

    def to_bytes(self) -> bytes:
        """All of it, checksummed."""
        meta: dict[str, Any] = {
            "topics": sorted(self.topics.items()),
            "names": sorted(self.names.items()),
            "source": list(self.source),
            "embedder": self.embedder,
            "device": self.device,
            "threshold": None if np.isinf(self.threshold) else self.threshold,
        }
        return wire.pack(_KIND, meta, {"clusters": np.frombuffer(pack_model(self.clusters), np.uint8)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`.

        Raises
        ------
        DamagedFileError, NewerFormatError : the bytes cannot be trusted.
        """
        meta, arrays = wire.unpack(_KIND, data)
        try:
            clusters = unpack_model(arrays["clusters"].tobytes())[0]
            name, fingerprint = meta["source"]
            threshold = np.inf if meta["threshold"] is None else float(meta["threshold"])
            topics, names = dict(meta["topics"]), dict(meta["names"])
            told = (name, fingerprint), meta["embedder"], meta["device"]
            return cls(clusters, topics, names, *told, threshold)
        except (KeyError, TypeError) as error:
            raise DamagedFileError(f"the topics cannot be read: {error!r}; use another copy") from error


@lru_cache(maxsize=8)
def labeller_of(data: bytes) -> TopicLabeller:
    """The labeller of its bytes, read once for each process."""
    return TopicLabeller.from_bytes(data)


def _name_of_embedder(model: TopicModel) -> str | None:
    if model.embedder is None and model._source[0] != GIVEN:
        return None
    name = model.embedder if isinstance(model.embedder, str) else model._source[0]
    if name == GIVEN:
        raise BadInputError(
            "the topics are of vectors that were given", remedy="name the embedder that made them"
        )
    return str(name)
