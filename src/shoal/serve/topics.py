"""Topics as a service shows them: their texts become vectors by the language model they were found with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.model.cluster_model import ClusterModel
from shoal.summary.coreset import Coreset
from shoal.text.curation import Curation
from shoal.text.embedding import Embedder
from shoal.text.loaded import loaded
from shoal.text.topic_file import read_topics
from shoal.text.topic_summary import TopicSummary
from shoal.text.topics import Topic


@dataclass(frozen=True, eq=False)
class ServedTopics:
    """What belongs to a model whose clusters are topics."""

    model: ClusterModel
    topics: tuple[Topic, ...]
    """The largest first."""
    curation: Curation
    """What people decided."""
    summary: TopicSummary
    embedder_name: str
    """Empty if the vectors were computed elsewhere."""

    @property
    def vectors(self) -> Coreset:
        """Summary of the vectors."""
        return self.summary.vectors

    def topic_ids(self) -> NDArray[np.int64]:
        """(k,) topic of each cluster of the model."""
        return np.array([self.curation.topic_of(c) for c in self.model.ids.tolist()], np.int64)

    def embedder(self) -> Embedder:
        """What makes vectors of texts, loaded once for the process.

        Raises
        ------
        BadInputError : the vectors of these topics were computed elsewhere.
        """
        if not self.embedder_name:
            raise BadInputError("the vectors of these topics were computed elsewhere", remedy="send vectors")
        return loaded(self.embedder_name)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) vectors of texts that are not empty."""
        return self.embedder().embed(texts)


def served_topics(path: Path) -> ServedTopics:
    """Topics of a file, or of a stream as of its newest model.

    Raises
    ------
    ShoalError : there are none yet. DamagedFileError, NewerFormatError : the file cannot be trusted.
    """
    from shoal.text.topic_model import GIVEN  # which loads scikit-learn

    saved = read_topics(path)
    state = saved.state
    model = state.refresh() if state.model is None else state.model
    topics = state.remembered or state.described().topics
    names = state.curation.names
    shown = tuple(replace(t, name=names[t.id], by_hand=True) if t.id in names else t for t in topics)
    name = saved.source[0]
    return ServedTopics(model, shown, state.curation, state.summary, "" if name in ("", GIVEN) else name)
