"""``TopicModel``: topics of texts in one pass, which merge, follow the stream and keep their names."""

from __future__ import annotations

import os
import time as clock
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from shoal.errors import BadInputError, ShoalError
from shoal.kernels import as_floats
from shoal.model.cluster_model import ClusterModel, unit_rows
from shoal.model.events import Event
from shoal.summary.forgetting import FUTURE
from shoal.text.embedding import Embedder, load_embedder
from shoal.text.over_time import TopicTimes, over_time
from shoal.text.stop_words import stop_words
from shoal.text.text_input import Texts, seconds_of, texts_of
from shoal.text.topic_file import Saved, read_topics, save_topics
from shoal.text.topic_state import TopicSettings, TopicState
from shoal.text.topic_summary import SAMPLE_ROWS, TopicSummary
from shoal.text.topic_tree import Node, topic_tree
from shoal.text.topics import Topic

OUTLIER = -1
GIVEN = "vectors that were given"
_BLOCK = 1024
"""Texts embedded at a time."""


class TopicLabels(NamedTuple):
    """What :meth:`TopicModel.assign` answers for n texts."""

    topics: NDArray[np.int64]
    """(n,) id of the topic; -1 for empty texts, and for outliers where there is a threshold."""
    similarities: NDArray[np.float64]
    """(n,) cosine similarity to the centre of the nearest cluster."""
    outlier_scores: NDArray[np.float64]
    """(n,) in [0, 1]: the share of all texts seen that lie less far out."""
    clusters: NDArray[np.int64]
    """(n,) id of the cluster; differs from the topic where topics were merged by hand."""


class Found(NamedTuple):
    """A topic that a search found."""

    topic: Topic
    similarity: float


class TopicModel(BaseEstimator):  # type: ignore[misc]
    """Topics of texts: clusters of their vectors, with names, keywords, examples and a history.

    ``partial_fit`` takes texts in any number of batches, in bounded memory; topics are solved when they are asked for, and
    those that live on keep their ids and names. Every text has a home and a score of how odd it is there.

    Parameters
    ----------
    n_topics : a number, a range such as ``(5, 40)``, or ``"auto"``: 5 to 100, as the silhouette finds them.
    embedder : name of what computes vectors, see :func:`~shoal.text.embedding.load_embedder`, or an object that does; not
        needed where vectors are given.
    languages : ISO codes of languages whose stop words are no keywords; default: those found in the texts.
    half_life : seconds after which a text counts half, by its time; ``partial_fit`` then needs ``times``.
    outlier_rate : share of texts that belong to no topic and are labelled -1; by default every text has one.
    sample_rows, max_bytes : size of the summary.
    n_keywords, n_texts : told of each topic.
    cache : folder where vectors are kept between runs.
    device : for the language model.
    random_state : seed; only models of equal seed merge.

    Attributes
    ----------
    topics_ : list of :class:`~shoal.text.topics.Topic`, the largest first. labels_ : (n,) topic of each text, after ``fit``
    only. events_ : list of :class:`~shoal.model.events.Event`. n_texts_seen_ : int. rejects_ : what was left out, and why.
    model_ : :class:`~shoal.model.cluster_model.ClusterModel`.

    Examples
    --------
    >>> texts = ["my card is lost", "lost my card", "card lost today", "exchange rate of today", "what exchange rate"]
    >>> model = TopicModel(2, embedder="hashed").fit(texts)
    >>> [topic.name for topic in model.topics_], model.labels_
    (['card · lost · today', 'exchange rate · today'], array([0, 0, 0, 1, 1]))
    """

    def __init__(
        self,
        n_topics: int | tuple[int, int] | Literal["auto"] = "auto",
        *,
        embedder: str | Embedder | None = None,
        languages: Sequence[str] | None = None,
        half_life: float | None = None,
        outlier_rate: float = 0.0,
        sample_rows: int = SAMPLE_ROWS,
        max_bytes: int = 128 << 20,
        n_keywords: int = 10,
        n_texts: int = 5,
        cache: str | Path | None = None,
        device: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.n_topics = n_topics
        self.embedder = embedder
        self.languages = languages
        self.half_life = half_life
        self.outlier_rate = outlier_rate
        self.sample_rows = sample_rows
        self.max_bytes = max_bytes
        self.n_keywords = n_keywords
        self.n_texts = n_texts
        self.cache = cache
        self.device = device
        self.random_state = random_state

    def fit(
        self,
        texts: Any,
        y: Any = None,
        *,
        vectors: ArrayLike | None = None,
        times: ArrayLike | None = None,
        ids: Sequence[int | str] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Forget what was learned, learn texts and label them; parameters as for :meth:`partial_fit`."""
        found = texts_of(texts)
        with self._all_or_nothing():
            self._begin()
            X = self._vectors(found, vectors)
            self._learn(found, X, times, ids, sample_weight)
            self.labels_ = self._labels(found, X).topics
        return self

    def partial_fit(
        self,
        texts: Any,
        y: Any = None,
        *,
        vectors: ArrayLike | None = None,
        times: ArrayLike | None = None,
        ids: Sequence[int | str] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn one more batch of n texts.

        Parameters
        ----------
        texts : list, array, or column of pandas, polars or Arrow. Empty ones are left out and counted.
        vectors : (n, d) computed elsewhere; all calls must then give them, or have an embedder of the same width.
        times : (n,) seconds since 1970, dates, or ISO 8601 texts; without forgetting some may be missing (NaN, None).
        ids : (n,) numbers or texts that name each text for ever, so that one that comes again is one row of the sample.
        sample_weight : (n,).

        Raises
        ------
        BadInputError : what is no text, lengths that differ, vectors that cannot be used.
        ShoalError : the embedder cannot be loaded.
        """
        found = texts_of(texts)
        with self._all_or_nothing():
            if not hasattr(self, "state_"):
                self._begin()
            self._learn(found, self._vectors(found, vectors), times, ids, sample_weight)
            self._forget_labels()
        return self

    def transform(self, texts: Any, *, vectors: ArrayLike | None = None) -> NDArray[np.int64]:
        """(n,) id of the topic of each text; -1 for empty ones, and for outliers where there is a threshold."""
        return self.assign(texts, vectors=vectors).topics

    def fit_transform(self, texts: Any, y: Any = None, **given: Any) -> NDArray[np.int64]:
        """Fit, and the topics of the same texts."""
        labels: NDArray[np.int64] = self.fit(texts, **given).labels_
        return labels

    def assign(self, texts: Any, *, vectors: ArrayLike | None = None) -> TopicLabels:
        """Topic, similarity and outlier score of each text."""
        self._need_state()
        found = texts_of(texts)
        return self._labels(found, self._vectors(found, vectors))

    @property
    def topics_(self) -> list[Topic]:
        """The topics, the largest first."""
        return self._need_state().solve()

    @property
    def model_(self) -> ClusterModel:
        """The clusters."""
        return self._need_state().refresh()

    @property
    def events_(self) -> list[Event]:
        """What happened to the clusters: the last thousand events."""
        self._need_state().refresh()
        return self.state_.events

    @property
    def n_texts_seen_(self) -> int:
        """Texts learned."""
        return self._need_state().summary.count

    @property
    def rejects_(self) -> Any:
        """What was left out, and why."""
        return self._need_state().rejects

    def merge(self, other: Self) -> Self:
        """A new model of the texts of both: topics, words, examples and what people decided.

        Ids are those of this model. Models that grew from the same one count its texts twice, unless texts have ids.

        Raises
        ------
        ShoalError : vectors of different embedders, seeds or half-lives.
        """
        mine, theirs = self._need_state(), other._need_state()
        empty = "" in (self._source[0], other._source[0])
        if not empty and self._source[1] != other._source[1]:
            raise ShoalError(f"vectors of {self._source[0]} and of {other._source[0]} cannot be compared")
        out = type(self)(**self.get_params(deep=False))
        out.state_, out._loaded = mine.merge(theirs), self._loaded
        out._source = self._source if self._source[0] else other._source
        return out

    def tree(self) -> Node:
        """The hierarchy of the topics, with keywords at every fork."""
        state = self._need_state()
        state.solve()
        return topic_tree(
            self.model_, state.described(), known=state.summary.notes.terms, n_keywords=self.n_keywords
        )

    def over_time(self, bins: int = 24) -> TopicTimes:
        """How much was said about each topic in stretches of time, estimated from the sample.

        Raises
        ------
        BadInputError : texts were learned without times.
        """
        state = self._need_state()
        topics, sample = state.solve(), state.summary.sample()
        ids = tuple(topic.id for topic in topics)
        positions = state.described().positions
        return over_time(sample.times, sample.weights, positions, ids, bins=bins, half_life=self.half_life)

    def search(self, query: str | None = None, n: int = 5, *, vector: ArrayLike | None = None) -> list[Found]:
        """The topics nearest to a text, the best first."""
        direction, model = self._direction(query, vector), self.model_
        near = model.centres @ direction / np.linalg.norm(model.centres, axis=1)
        of = dict(zip(model.ids.tolist(), near.tolist(), strict=True))
        found = [Found(topic, max(of[c] for c in topic.clusters)) for topic in self.topics_]
        return sorted(found, key=lambda f: -f.similarity)[:n]

    def search_texts(
        self, query: str | None = None, n: int = 5, *, vector: ArrayLike | None = None
    ) -> list[tuple[str, float]]:
        """The texts of the sample nearest to a text, each with its similarity, the best first."""
        direction, sample = self._direction(query, vector), self._need_state().summary.sample()
        near = sample.X @ direction
        found: dict[str, float] = {}
        for i in np.argsort(-near, kind="stable").tolist():
            found.setdefault(sample.texts[i], float(near[i]))
            if len(found) == n:
                break
        return list(found.items())

    def rename(self, topic: int, name: str | None) -> Self:
        """Give a topic a name that stays; None: its keywords name it again."""
        self._need_state().rename(topic, name)
        return self

    def merge_topics(self, topics: Iterable[int]) -> Self:
        """Make several topics one, under the id of the first; new texts follow."""
        self._need_state().merge_topics(list(topics))
        self._forget_labels()
        return self

    def split_topic(self, topic: int, into: int = 2) -> list[int]:
        """Make several topics of one, which stay apart; answers their ids."""
        self._forget_labels()
        return self._need_state().split(topic, into)

    def pin(self, topic: int) -> Self:
        """Let a topic stay where it is, whatever texts come."""
        self._need_state().pin(topic)
        return self

    def unpin(self, topic: int) -> Self:
        """Let it follow its texts again."""
        self._need_state().pin(topic, on=False)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one file, in one step; nothing is pickled. The directory of a stream takes up what was decided by
        hand with its next model.

        Raises
        ------
        ShoalError : the file cannot be written, or is something else.
        """
        state = self._need_state()
        state.solve()
        save_topics(Path(path), Saved(state, self._source, float(self.outlier_rate)))

    @classmethod
    def load(cls, path: str | os.PathLike[str], **changes: Any) -> Self:
        """A model that was saved, or the topics of a stream by its directory; it goes on learning.

        Parameters
        ----------
        changes : parameters to set anew, such as ``embedder``, ``cache`` or ``device``.

        Raises
        ------
        ShoalError : there is no such file. DamagedFileError, NewerFormatError : it cannot be trusted.
        """
        saved = read_topics(Path(path))
        return cls.of_state(saved.state, saved.source, **{"outlier_rate": saved.outlier_rate} | changes)

    @classmethod
    def of_state(cls, state: TopicState, source: tuple[str, str], **changes: Any) -> Self:
        """A model of what was learned elsewhere, such as by the workers of a pipeline; it goes on learning.

        Parameters
        ----------
        source : name and fingerprint of what made the vectors.
        changes : parameters to set beyond those of the state, such as ``embedder`` or ``outlier_rate``.
        """
        s, vectors = state.settings, state.summary.vectors
        out = cls(s.n_topics, languages=s.languages, n_keywords=s.n_keywords, n_texts=s.n_texts)
        name = source[0]
        out.set_params(half_life=vectors.half_life, sample_rows=vectors.rows, max_bytes=vectors.max_bytes)
        out.set_params(embedder=None if name in ("", GIVEN) else name, random_state=s.seed)
        out.set_params(**changes)
        out.state_, out._source, out._loaded = state, source, None
        return out

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "state_")

    def _begin(self) -> None:
        if not 0.0 <= self.outlier_rate < 1.0:
            raise BadInputError(f"outlier_rate is {self.outlier_rate}", remedy="give a share such as 0.05")
        settings = self._settings()
        k = settings.k if isinstance(settings.k, int) else settings.k[1]
        summary = TopicSummary(
            rows=self.sample_rows,
            max_bytes=self.max_bytes,
            seed=settings.seed,
            half_life=self.half_life,
            k_max=max(k, 128),
        )
        self.state_ = TopicState(settings, summary)
        self._source = ("", "")
        """Name and fingerprint of what made the vectors."""
        self._loaded: Embedder | None = None
        self._forget_labels()

    def _settings(self) -> TopicSettings:
        given = self.languages
        languages = (given,) if isinstance(given, str) else None if given is None else tuple(given)
        stop_words(languages or ())  # unknown ones are an error now
        seed = 0 if self.random_state is None else int(self.random_state)
        return TopicSettings(self.n_topics, languages, self.n_keywords, self.n_texts, seed=seed)

    def _need_state(self) -> TopicState:
        """What was learned, under the parameters as they are now."""
        if not hasattr(self, "state_"):
            raise AttributeError("nothing was learned yet: call fit or partial_fit first")
        self.state_.use(self._settings())
        return self.state_

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """A call that fails leaves what was there before."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _forget_labels(self) -> None:
        if hasattr(self, "labels_"):
            del self.labels_

    def _learn(
        self,
        found: Texts,
        X: NDArray[Any],
        times: ArrayLike | None,
        ids: Sequence[int | str] | None,
        weights: ArrayLike | None,
    ) -> None:
        state, kept = self.state_, found.kept
        when = None if times is None else _some(seconds_of(times), found, "times")
        if when is not None and (late := np.flatnonzero(when > clock.time() + FUTURE)).size:
            raise BadInputError(
                "its time lies in the future",
                place=f"text {int(kept[late[0]]) + 1}",
                remedy="are the times in seconds? leave it out, or mend its time",
            )
        names = None if ids is None else _some(np.asarray(ids, object), found, "ids").tolist()
        w = None if weights is None else _some(np.asarray(weights, np.float64), found, "sample_weight")
        if len(kept):
            state.summary.update(X, found.texts, w, ids=names, times=when)
        state.rejects = state.rejects.merge(found.rejects)

    def _vectors(self, found: Texts, vectors: ArrayLike | None) -> NDArray[Any]:
        """(m, d) unit vectors of the texts that can be used."""
        if vectors is not None:
            rows = as_floats(vectors)
            if len(rows) != found.given:
                raise BadInputError(f"{len(rows)} vectors for {found.given} texts")
            self._comes_from((GIVEN, ""), rows.shape[1])
            return unit_rows(rows[found.kept])
        embedder = self._embedder()
        self._comes_from((embedder.name, embedder.fingerprint), embedder.width)
        if not found.texts:
            return np.empty((0, embedder.width), np.float32)
        blocks = range(0, len(found.texts), _BLOCK)
        return np.concatenate([embedder.embed(found.texts[i : i + _BLOCK]) for i in blocks])

    def _embedder(self) -> Embedder:
        if self._loaded is None:
            given = self.embedder
            if given is None or isinstance(given, (str, Path)):
                given = load_embedder(
                    None if given is None else str(given), device=self.device, cache=self.cache
                )
            self._loaded = given
        return self._loaded

    def _comes_from(self, source: tuple[str, str], width: int) -> None:
        """Vectors must be of one embedder; of those that are given it is believed, if the width fits."""
        known, held = self._source, self.state_.summary.vectors.n_features
        if held is not None and held != width:
            raise ShoalError(
                f"the topics are of {held} numbers ({known[0]}), and these vectors of {width} ({source[0]})"
            )
        if known[0] in ("", GIVEN):
            self._source = source
        elif source[0] != GIVEN and known[1] != source[1]:
            raise ShoalError(
                f"the topics are of {known[0]}, and these vectors of another {source[0]}, which cannot be compared; give "
                "the same embedder, also to load"
            )

    def _labels(self, found: Texts, X: NDArray[Any]) -> TopicLabels:
        state = self._need_state()
        model = state.refresh()
        if not len(X):
            nothing = np.empty(0)
            return TopicLabels(*(found.spread(v, m) for v, m in _missing(np.empty(0, np.int64), nothing)))
        labelled = model.assign(X)
        topics = np.array([state.curation.topic_of(c) for c in labelled.ids.tolist()], np.int64)
        if self.outlier_rate > 0:
            topics[labelled.outlier_scores > model.outlier_threshold(self.outlier_rate)] = OUTLIER
        return TopicLabels(
            found.spread(topics, OUTLIER),
            found.spread(1.0 - labelled.distances, np.nan),
            found.spread(labelled.outlier_scores, np.nan),
            found.spread(labelled.ids, OUTLIER),
        )

    def _direction(self, query: str | None, vector: ArrayLike | None) -> NDArray[np.float64]:
        if (query is None) == (vector is None):
            raise BadInputError("a search takes a text or a vector", remedy="give one of them")
        texts = texts_of([query if query is not None else "(a vector)"])
        if not texts.texts:
            raise BadInputError("the text to search for is empty")
        given = None if vector is None else np.atleast_2d(np.asarray(vector))
        return np.asarray(self._vectors(texts, given)[0], np.float64)


def _missing(ids: NDArray[np.int64], numbers: NDArray[np.float64]) -> list[tuple[NDArray[Any], Any]]:
    return [(ids, OUTLIER), (numbers, np.nan), (numbers, np.nan), (ids, OUTLIER)]


def _some(values: NDArray[Any], found: Texts, name: str) -> NDArray[Any]:
    if len(values) != found.given:
        raise BadInputError(f"{len(values)} {name} for {found.given} texts")
    return values[found.kept]
