"""Everyone who finds topics: ours, k-means, BERTopic as it comes and online, EVoC, BIRCH."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import Birch, KMeans, MiniBatchKMeans
from sklearn.decomposition import IncrementalPCA

from benchmarks import THREADS
from benchmarks.topics import AUTO, BERTOPIC, EVOC, EVOC_K, FEWER, KMEANS, KMEANS_10, MINI, ONLINE, OURS
from benchmarks.topics import BIRCH as BIRCH_NAME
from benchmarks.topics_data import TextSet
from shoal.text.topic_model import TopicModel
from shoal.text.topic_summary import SAMPLE_ROWS

BATCH = 1_000
ASKED = 30
"""Keywords asked of ours, so that ten of them are single words."""
FEWER_ROWS = 5_000
BIRCH_THRESHOLD = 0.7
"""As in the guide of Beam to clustering texts; with the default of 0.5 nearly every title is an entry of its own."""
Labels = NDArray[np.int64]
Words = list[list[str]]


class Online(Protocol):
    """What learns texts in batches."""

    def learn(self, texts: list[str], X: NDArray[np.float32]) -> None:
        """One more batch."""

    def label(self, texts: list[str], X: NDArray[np.float32]) -> Labels:
        """Topics under the system's own ids."""

    def words(self) -> Words:
        """Keywords of each topic, best first; none if it has none."""


class Ours:
    """``TopicModel`` with the vectors given."""

    def __init__(self, k: Any, seed: int = 0, rows: int = SAMPLE_ROWS, asked: int = ASKED) -> None:
        self.model = TopicModel(k, sample_rows=rows, n_keywords=asked, random_state=seed)

    def learn(self, texts: list[str], X: NDArray[np.float32]) -> None:
        """One more batch."""
        self.model.partial_fit(texts, vectors=X)

    def label(self, texts: list[str], X: NDArray[np.float32]) -> Labels:
        """Its ids; solves first."""
        return self.model.transform(texts, vectors=X)

    def words(self) -> Words:
        """Words and bigrams."""
        return [[word.term for word in topic.keywords] for topic in self.model.topics_]


class BertopicOnline:
    """``BERTopic.partial_fit`` with the parts that its documentation takes, and k clusters.

    It gets float64: from float32 IncrementalPCA makes either, and MiniBatchKMeans fails when the kind changes.
    """

    def __init__(self, k: int, seed: int = 0) -> None:
        from bertopic import BERTopic
        from bertopic.vectorizers import OnlineCountVectorizer

        self.model = BERTopic(
            umap_model=IncrementalPCA(n_components=5),
            hdbscan_model=MiniBatchKMeans(n_clusters=k, random_state=seed),
            vectorizer_model=OnlineCountVectorizer(stop_words="english", decay=0.01),
        )

    def learn(self, texts: list[str], X: NDArray[np.float32]) -> None:
        """One more batch."""
        self.model.partial_fit(texts, embeddings=X.astype(np.float64))

    def label(self, texts: list[str], X: NDArray[np.float32]) -> Labels:
        """Its ids."""
        return np.asarray(self.model.transform(texts, embeddings=X.astype(np.float64))[0], np.int64)

    def words(self) -> Words:
        """Of all topics but noise."""
        return _words_of(self.model)


class Sklearn:
    """A clusterer of scikit-learn with ``partial_fit``, which knows no words."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def learn(self, texts: list[str], X: NDArray[np.float32]) -> None:
        """One more batch."""
        self.model.partial_fit(X)

    def label(self, texts: list[str], X: NDArray[np.float32]) -> Labels:
        """Its ids."""
        return np.asarray(self.model.predict(X), np.int64)

    def words(self) -> Words:
        """None."""
        return []


class Found(NamedTuple):
    """What a contender makes of a set."""

    labels: Labels
    words: Words


Fit = Callable[[TextSet, int], Found]
ONLINE_MAKERS: dict[str, Callable[[int, int], Online]] = {
    OURS: Ours,
    AUTO: lambda k, seed: Ours("auto", seed),
    FEWER: lambda k, seed: Ours(k, seed, FEWER_ROWS),
    ONLINE: BertopicOnline,
    MINI: lambda k, seed: Sklearn(MiniBatchKMeans(k, random_state=seed)),
    BIRCH_NAME: lambda k, seed: Sklearn(Birch(threshold=BIRCH_THRESHOLD, n_clusters=k)),
}


def one_pass(who: str) -> Fit:
    """Batches of 1,000, then labels of all."""

    def fit(one: TextSet, seed: int) -> Found:
        model = ONLINE_MAKERS[who](one.k, seed)
        for at in range(0, len(one.texts), BATCH):
            model.learn(one.texts[at : at + BATCH], one.X[at : at + BATCH])
        return Found(model.label(one.texts, one.X), model.words())

    return fit


def lloyd(starts: int) -> Fit:
    """scikit-learn's on all vectors."""

    def fit(one: TextSet, seed: int) -> Found:
        model = KMeans(one.k, n_init=starts, random_state=seed).fit(one.X)
        return Found(model.labels_.astype(np.int64), [])

    return fit


def bertopic(one: TextSet, seed: int) -> Found:
    """UMAP, HDBSCAN and c-TF-IDF as they come: without a seed, so that UMAP may use all threads."""
    import numba
    from bertopic import BERTopic

    numba.set_num_threads(THREADS)
    model = BERTopic()
    topics, _ = model.fit_transform(one.texts, one.X)
    return Found(np.asarray(topics, np.int64), _words_of(model))


def evoc(told: bool) -> Fit:
    """Its defaults, or told k."""

    def fit(one: TextSet, seed: int) -> Found:
        import numba
        from evoc import EVoC

        numba.set_num_threads(THREADS)
        model = EVoC(approx_n_clusters=one.k if told else None, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Found(np.asarray(model.fit_predict(one.X), np.int64), [])

    return fit


ALONE: dict[str, Fit] = {
    OURS: one_pass(OURS),
    AUTO: one_pass(AUTO),
    FEWER: one_pass(FEWER),
    KMEANS: lloyd(1),
    KMEANS_10: lloyd(10),
    MINI: one_pass(MINI),
    EVOC: evoc(told=False),
    EVOC_K: evoc(told=True),
}
LATER: dict[str, Fit] = {BERTOPIC: bertopic, ONLINE: one_pass(ONLINE)}
"""They load PyTorch, which slows the others' threads."""


def _words_of(model: Any) -> Words:
    topics = model.get_topics().items()
    return [[word for word, _ in found if word] for topic, found in topics if topic >= 0]
