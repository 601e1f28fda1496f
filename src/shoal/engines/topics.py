"""Topics of texts that many workers read: what each makes of its share, how shares add up, and what labels texts then; of all engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shoal.engines.shares import framed, unframed
from shoal.errors import BadInputError, DamagedFileError, Rejects, ShoalError
from shoal.summary import wire
from shoal.text.embedding import Embedder
from shoal.text.stop_words import stop_words
from shoal.text.topic_model import TopicModel
from shoal.text.topic_state import TopicSettings, TopicState
from shoal.text.topic_summary import SAMPLE_ROWS, TopicSummary

Source = tuple[str, str]
"""Name and fingerprint of what made the vectors."""
BLOCK = 1024
"""Texts embedded at a time."""
POISON = (ValueError, TypeError, LookupError, ArithmeticError)
"""What language models raise of one odd text; all else, such as memory that ran out, is no text's fault."""
_BATCH, _MODEL = "texts with vectors", "topic model on its way"


@dataclass(frozen=True)
class TopicOptions:
    """How workers make topics: the parameters of :class:`~shoal.text.topic_model.TopicModel` of the same names.

    The embedder is a name, as each worker loads its own.

    >>> TopicOptions(n_topics=(5, 20)).settings.k
    (5, 20)
    """

    n_topics: int | tuple[int, int] | Literal["auto"] = "auto"
    embedder: str | None = None
    device: str | None = None
    languages: tuple[str, ...] | None = None
    half_life: float | None = None
    """Seconds."""
    outlier_rate: float = 0.0
    sample_rows: int = SAMPLE_ROWS
    max_bytes: int = 128 << 20
    n_keywords: int = 10
    n_texts: int = 5
    random_state: int = 0

    def __post_init__(self) -> None:
        if not (self.embedder is None or isinstance(self.embedder, str)):
            raise BadInputError(
                f"the embedder is a {type(self.embedder).__name__}",
                remedy="name it, as each worker loads its own",
            )
        if not 0.0 <= self.outlier_rate < 1.0:
            raise BadInputError(f"outlier_rate is {self.outlier_rate}", remedy="give a share such as 0.05")
        self.new()  # wrong settings are an error now, not in a worker

    @property
    def settings(self) -> TopicSettings:
        """Of the topics' state."""
        given = self.languages
        languages = (given,) if isinstance(given, str) else None if given is None else tuple(given)
        stop_words(languages or ())  # unknown ones are an error now
        return TopicSettings(self.n_topics, languages, self.n_keywords, self.n_texts, self.random_state)

    def new(self) -> TopicSummary:
        """An empty summary; workers have one thread each."""
        k = self.settings.k
        return TopicSummary(
            rows=self.sample_rows,
            max_bytes=self.max_bytes,
            seed=self.random_state,
            half_life=self.half_life,
            k_max=max(k if isinstance(k, int) else k[1], 128),
            n_threads=1,
        )


def chosen_options(settings: TopicOptions | None, n_topics: Any, embedder: str | None) -> TopicOptions:
    """Settings, with the two that have parameters of their own where these are given."""
    out = settings or TopicOptions()
    if n_topics != "auto":
        out = replace(out, n_topics=n_topics)
    return out if embedder is None else replace(out, embedder=embedder)


@dataclass
class TextBatch:
    """Texts with their vectors, on their way into a summary."""

    X: NDArray[Any]
    """(n, d) unit vectors."""
    texts: list[str]
    source: Source
    ids: list[int | str]
    """(n,) what names each text for ever."""
    weights: list[float] | None = None
    times: list[float] | None = None
    """(n,) seconds; NaN where there is none."""
    rejects: Rejects = field(default_factory=Rejects)

    def to_bytes(self) -> bytes:
        """All of it, checksummed."""
        names = ("texts", "source", "ids", "weights", "times")
        meta = {name: getattr(self, name) for name in names} | {"rejects": self.rejects.to_dict()}
        return wire.pack(_BATCH, meta, {"X": self.X})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`.

        Raises
        ------
        DamagedFileError : the bytes cannot be trusted.
        """
        meta, arrays = wire.unpack(_BATCH, data)
        name, fingerprint = meta["source"]
        given = (meta["ids"], meta["weights"], meta["times"], Rejects.from_dict(meta["rejects"]))
        return cls(arrays["X"], meta["texts"], (name, fingerprint), *given)


@dataclass
class TopicShare:
    """What some texts amount to: a summary that merges, and a count of those that were left out.

    >>> share = TopicShare(TopicOptions().new())
    >>> share.take(TextBatch(np.array([[1.0, 0.0]]), ["lost card"], ("hashed", "h"), [7]))
    >>> share.add(TopicShare.from_bytes(share.to_bytes())); share.summary.count, len(share.summary.sample().texts)
    (2, 1)
    """

    summary: TopicSummary
    rejects: Rejects = field(default_factory=Rejects)
    source: Source = ("", "")

    def take(self, batch: TextBatch) -> None:
        """Take in texts.

        Raises
        ------
        ShoalError : vectors of another embedder.
        """
        self.rejects = self.rejects.merge(batch.rejects)
        self.source = _one_of(self.source, batch.source)
        times = None if batch.times is None else np.array(batch.times)
        known = np.full(len(batch.texts), times is not None)
        if times is not None:
            known = np.isfinite(times)
        for part in (np.flatnonzero(known), np.flatnonzero(~known)):
            if not len(part):
                continue
            at = part.tolist()
            self.summary.update(
                batch.X[part],
                [batch.texts[i] for i in at],
                None if batch.weights is None else np.array(batch.weights)[part],
                ids=[batch.ids[i] for i in at],
                times=times[part] if times is not None and known[part[0]] else None,
            )

    def add(self, other: TopicShare) -> None:
        """Take in another share.

        Raises
        ------
        ShoalError : vectors of another embedder.
        """
        self.source = _one_of(self.source, other.source)
        self.rejects = self.rejects.merge(other.rejects)
        self.summary = self.summary.merge(other.summary)

    def model(self, options: TopicOptions) -> TopicModel:
        """The topics of a share that holds all texts.

        Raises
        ------
        BadInputError : there are none.
        """
        self.summary.vectors.n_threads = None
        state = TopicState(options.settings, self.summary, rejects=self.rejects)
        state.solve()
        told = {name: getattr(options, name) for name in _TOLD}
        return TopicModel.of_state(state, self.source, embedder=options.embedder, **told)

    def to_bytes(self) -> bytes:
        """All of it; equal shares give equal bytes."""
        return framed([self.rejects.to_dict(), list(self.source)], self.summary.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`; kernels in workers have one thread.

        Raises
        ------
        DamagedFileError : the bytes cannot be trusted.
        """
        (rejects, (name, fingerprint)), content = unframed(data)
        summary = TopicSummary.from_bytes(content)
        summary.vectors.n_threads = 1
        return cls(summary, Rejects.from_dict(rejects), (name, fingerprint))


_TOLD = ("half_life", "outlier_rate", "sample_rows", "max_bytes", "device")


class Embedded(NamedTuple):
    """Vectors of texts, and what the language model could not read."""

    X: NDArray[np.float32]
    """(m, d) of those that it could."""
    kept: list[int]
    """(m,) positions in what was given."""
    refused: dict[int, str]
    """Reasons, by position."""


def embedded(embedder: Embedder, texts: Sequence[str]) -> Embedded:
    """Vectors of n texts, in blocks; a text on which the language model fails is refused, and the others go on."""
    parts: list[NDArray[np.float32]] = []
    refused: dict[int, str] = {}
    for start in range(0, len(texts), BLOCK):
        block = texts[start : start + BLOCK]
        try:
            parts.append(embedder.embed(block))
        except POISON:
            for i, text in enumerate(block, start):
                try:
                    parts.append(embedder.embed([text]))
                except POISON as error:
                    refused[i] = f"the language model cannot read it: {type(error).__name__}: {error}"[:200]
    X = np.concatenate(parts) if parts else np.empty((0, embedder.width), np.float32)
    return Embedded(X, [i for i in range(len(texts)) if i not in refused], refused)


def pack_topics(model: TopicModel) -> bytes:
    """A model as bytes, solved and checksummed."""
    model.topics_  # noqa: B018 - solves, so that whoever reads it need not
    told = {name: getattr(model, name) for name in _TOLD}
    given, source = model.embedder, model._source
    name = given if given is None or isinstance(given, str) else source[0]
    meta = {"source": list(source), "embedder": name, "settings": told}
    return wire.pack(_MODEL, meta, {"state": np.frombuffer(model.state_.to_bytes(), np.uint8)})


def unpack_topics(data: bytes) -> TopicModel:
    """Inverse of :func:`pack_topics`.

    Raises
    ------
    DamagedFileError, NewerFormatError : the bytes cannot be trusted.
    """
    meta, arrays = wire.unpack(_MODEL, data)
    try:
        state = TopicState.from_bytes(arrays["state"].tobytes())
        name, fingerprint = meta["source"]
        return TopicModel.of_state(state, (name, fingerprint), embedder=meta["embedder"], **meta["settings"])
    except (KeyError, TypeError) as error:
        raise DamagedFileError(f"the topics cannot be read: {error!r}; use another copy") from error


def _one_of(a: Source, b: Source) -> Source:
    """The source of both; of two names of one model, such as two directories, the first of the alphabet."""
    if "" in (a[1], b[1]):
        return max(a, b, key=lambda source: source[1])
    if a[1] != b[1]:
        raise ShoalError(
            f"workers have different language models, {a[0]} and {b[0]}; install the same on all of them"
        )
    return min(a, b)
