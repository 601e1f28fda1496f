"""The summary of a stream of texts: a priority sample of their vectors, with the texts of the sample and the terms of all.

It merges as its parts do, so that topics of shards, hours and tenants add up, words and examples included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError, DamagedFileError
from shoal.kernels import as_floats
from shoal.summary import wire
from shoal.summary.coreset import Coreset
from shoal.summary.coreset_state import identities
from shoal.summary.forgetting import as_times
from shoal.text.text_notes import TextNotes

SAMPLE_ROWS = 20_000
KEY = 0x7E875
"""Key of the identities of texts; equal everywhere, so that a text with an id is the same text everywhere."""
_KIND = "topics"


class TextSample(NamedTuple):
    """The texts that are kept, and what each stands for."""

    X: NDArray[np.floating]
    """(m, d) unit vectors."""
    weights: NDArray[np.float64]
    """(m,) adding up to the weight of all texts."""
    texts: list[str]
    words: list[list[str]]
    """Distinct terms of each."""
    times: NDArray[np.float64]
    """(m,) seconds; NaN where there is none."""


class TopicSummary:
    """Texts and their vectors in bounded memory; merges.

    Parameters
    ----------
    rows, max_bytes, seed, half_life, k_max, n_threads : of the :class:`~shoal.summary.coreset.Coreset`.
    capacity : of the :class:`~shoal.text.term_sketch.TermSketch`.

    >>> a = TopicSummary().update([[1.0, 0.0]], ["lost card"])
    >>> b = TopicSummary().update([[0.0, 1.0]], ["exchange rate"])
    >>> both = a.merge(b); both.count, sorted(both.sample().texts)
    (2, ['exchange rate', 'lost card'])
    """

    def __init__(
        self,
        *,
        rows: int = SAMPLE_ROWS,
        max_bytes: int = 128 << 20,
        seed: int = 0,
        half_life: float | None = None,
        k_max: int = 128,
        capacity: int = 50_000,
        n_threads: int | None = None,
    ) -> None:
        self.vectors = Coreset(
            k_max=k_max, rows=rows, max_bytes=max_bytes, seed=seed, half_life=half_life, n_threads=n_threads
        )
        self.notes = TextNotes(capacity, half_life)
        self._chain = b""
        """Names texts without an id: by all that came before them, so that shards differ and batches do not matter."""

    @classmethod
    def of_parts(cls, vectors: Coreset, notes: TextNotes) -> Self:
        """From a summary of vectors and the notes of the same rows, which somebody else keeps filling."""
        out = cls.__new__(cls)
        out.vectors, out.notes, out._chain = vectors, notes, b""
        return out

    @property
    def count(self) -> int:
        """Texts seen."""
        return self.vectors.count

    @property
    def is_empty(self) -> bool:
        """Whether none was seen yet."""
        return self.vectors.is_empty

    @property
    def nbytes(self) -> int:
        """Bytes of memory held, about."""
        return self.vectors.nbytes + self.notes.nbytes

    def update(
        self,
        X: ArrayLike,
        texts: Sequence[str],
        weights: ArrayLike | None = None,
        *,
        ids: Sequence[int | str] | NDArray[np.int64] | None = None,
        times: ArrayLike | None = None,
    ) -> Self:
        """Take in n texts with their vectors (n, d); returns itself.

        Parameters
        ----------
        ids : (n,) whole numbers or texts that name each text for ever: one that comes again stays one row of the sample.
        times : (n,) seconds or dates; needed where texts are forgotten.

        Raises
        ------
        BadInputError : lengths that differ, vectors of another width, NaN, missing times.
        """
        rows = as_floats(X)
        if len(rows) != len(texts):
            raise BadInputError(f"{len(rows)} vectors for {len(texts)} texts")
        forgets = self.vectors.half_life is not None
        when = None if times is None else as_times(times) if forgets else np.asarray(times, np.float64)
        for name, given in {"ids": ids, "times": when}.items():
            if given is not None and len(given) != len(texts):
                raise BadInputError(f"{len(given)} {name} for {len(texts)} texts")
        numbers = self._numbers(texts) if ids is None else _numbers_of(ids)
        self.vectors.update(rows, weights, key=KEY, rows=numbers, times=when if forgets else None)
        self.notes.update(identities(KEY, numbers), texts, weights, times=when)
        if self.notes.needs_pruning(self.vectors.rows):
            self.notes.prune(self.vectors.held_ids())
        return self

    def merge(self, other: Self) -> Self:
        """A new summary of the texts of both.

        Raises
        ------
        ShoalError : widths, seeds or half-lives differ.
        """
        out = self.of_parts(self.vectors.merge(other.vectors), self.notes.merge(other.notes))
        out.notes.prune(out.vectors.held_ids())
        chains = sorted((self._chain, other._chain))
        out._chain = max(chains) if b"" in chains else _digest(b"".join(chains))
        return out

    def sample(self) -> TextSample:
        """The texts that are kept, with their vectors and weights; those that weigh nothing any more left out."""
        points, ids = self.vectors.points(), self.vectors.sampled_ids()
        heavy = points.weights > 0
        ids = ids[heavy]
        texts, words, times = self.notes.texts(ids), self.notes.words(ids), self.notes.times(ids)
        return TextSample(points.X[heavy], points.weights[heavy], texts, words, times)

    def to_bytes(self) -> bytes:
        """Everything needed to go on elsewhere, checksummed; equal summaries give equal bytes."""
        arrays = {
            "vectors": np.frombuffer(self.vectors.to_bytes(), np.uint8),
            "notes": np.frombuffer(self.notes.to_bytes(self.vectors.held_ids()), np.uint8),
        }
        return wire.pack(_KIND, {"chain": self._chain.hex()}, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`.

        Raises
        ------
        DamagedFileError, NewerFormatError : see :func:`shoal.summary.wire.unpack`.
        """
        meta, arrays = wire.unpack(_KIND, data)
        try:
            vectors = Coreset.from_bytes(arrays["vectors"].tobytes())
            out = cls.of_parts(vectors, TextNotes.from_bytes(arrays["notes"].tobytes()))
            out._chain = bytes.fromhex(meta["chain"])
        except (KeyError, ValueError, TypeError) as error:
            if isinstance(error, DamagedFileError):
                raise
            raise DamagedFileError(f"the summary cannot be read: {error!r}; use another copy") from error
        return out

    def _numbers(self, texts: Sequence[str]) -> NDArray[np.int64]:
        out = np.empty(len(texts), np.int64)
        for i, text in enumerate(texts):
            self._chain = _digest(self._chain + text.encode("utf-8", "surrogatepass"))
            out[i] = int.from_bytes(self._chain[:8], "little", signed=True)
        return out


def _numbers_of(ids: Sequence[int | str] | NDArray[np.int64]) -> NDArray[np.int64]:
    """64 bits for each id: whole numbers as they are, texts by their hash."""
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu":
        return ids.astype(np.int64)
    out = np.empty(len(ids), np.int64)
    for i, value in enumerate(ids):
        if isinstance(value, str):
            digest = _digest(value.encode("utf-8", "surrogatepass"))
            out[i] = int.from_bytes(digest[:8], "little", signed=True)
        elif isinstance(value, (int, np.integer)) and -(2**63) <= int(value) < 2**63:
            out[i] = int(value)
        else:
            raise BadInputError(
                f"{value!r} is no id", place=f"text {i + 1}", remedy="give whole numbers or texts"
            )
    return out


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
