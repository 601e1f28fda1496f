"""What is remembered of texts beside the vectors of a summary: those of the sample's rows, and the terms of all.

The sample decides which texts are kept, so they are a fair sample too, and merging two sets of notes is as exact as merging
the samples. Keywords are counted from them again at every solve: they follow clusters that move, split and merge, which
counts by cluster cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import DamagedFileError
from shoal.summary import wire
from shoal.text.term_sketch import TermSketch
from shoal.text.tokens import terms

KEPT_CHARS = 1_000
"""Of a text so much is kept, about as much as language models look at."""
_KIND = "text notes"
_ROOM = 4_096
"""Texts beyond twice those of the sample before the others are dropped."""


class TextNotes:
    """Texts and times of the rows of a sample, and the terms of all texts.

    Parameters
    ----------
    capacity, half_life : of the :class:`~shoal.text.term_sketch.TermSketch`.

    >>> notes = TextNotes().update([2, 4], ["lost card", "new card"])
    >>> notes.texts([4, 6]), notes.terms["card"]
    (['new card', ''], 2.0)
    """

    def __init__(self, capacity: int = 50_000, half_life: float | None = None) -> None:
        self.terms = TermSketch(capacity, half_life)
        self._texts: dict[int, str] = {}
        self._times: dict[int, float] = {}
        self.newest: float | None = None
        """Newest time of a text."""

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def nbytes(self) -> int:
        """Bytes of memory held, about."""
        return self.terms.nbytes + sum(len(text) for text in self._texts.values()) + 200 * len(self._texts)

    def update(
        self,
        ids: Iterable[int] | NDArray[np.uint64],
        texts: Sequence[str],
        weights: ArrayLike | None = None,
        *,
        times: ArrayLike | None = None,
    ) -> Self:
        """Take in n texts under the identities of their rows; returns itself.

        Parameters
        ----------
        times : (n,) seconds, needed where terms are forgotten.
        """
        forgets = self.terms.half_life is not None
        self.terms.update([terms(text) for text in texts], weights, times=times if forgets else None)
        when = [float("nan")] * len(texts) if times is None else np.asarray(times, np.float64).tolist()
        for i, text, time in zip(_whole(ids), texts, when, strict=True):
            self._texts[i] = text[:KEPT_CHARS]
            if time == time:  # a time at all
                self.newest = time if self.newest is None else max(self.newest, time)
            self._times[i] = time
        return self

    def needs_pruning(self, held: int) -> bool:
        """Whether many more texts are here than the so many rows that are held."""
        return len(self._texts) > 2 * held + _ROOM

    def prune(self, ids: Iterable[int] | NDArray[np.uint64]) -> None:
        """Forget the texts of all other rows."""
        keep = set(_whole(ids))
        for name in ("_texts", "_times"):
            held = getattr(self, name)
            setattr(self, name, {i: value for i, value in held.items() if i in keep})

    def texts(self, ids: Iterable[int] | NDArray[np.uint64]) -> list[str]:
        """The texts of rows; empty of those that are not here."""
        return [self._texts.get(i, "") for i in _whole(ids)]

    def words(self, ids: Iterable[int] | NDArray[np.uint64]) -> list[list[str]]:
        """The distinct terms of the texts of rows; found anew each time, as they take many times the memory of the texts."""
        return [terms(self._texts.get(i, "")) for i in _whole(ids)]

    def times(self, ids: Iterable[int] | NDArray[np.uint64]) -> NDArray[np.float64]:
        """(n,) times of rows; NaN where there is none."""
        return np.array([self._times.get(i, np.nan) for i in _whole(ids)], np.float64)

    def merge(self, other: Self) -> Self:
        """New notes of the texts of both."""
        out = type(self)(self.terms.capacity, self.terms.half_life)
        out.terms = self.terms.merge(other.terms)
        out.newest = max((t for t in (self.newest, other.newest) if t is not None), default=None)
        for name in ("_texts", "_times"):
            setattr(out, name, getattr(self, name) | getattr(other, name))
        return out

    def to_bytes(self, ids: Iterable[int] | NDArray[np.uint64]) -> bytes:
        """What is known of the rows that are held, and the terms; equal notes give equal bytes."""
        order = sorted(i for i in set(_whole(ids)) if i in self._texts)
        letters = [self._texts[i].encode("utf-8", "surrogatepass") for i in order]
        arrays: wire.Arrays = {
            "ids": np.array(order, np.uint64),
            "times": np.array([self._times[i] for i in order], np.float64),
            "letters": np.frombuffer(b"".join(letters), np.uint8),
            "ends": np.cumsum([len(text) for text in letters], dtype=np.int64),
            "terms": np.frombuffer(self.terms.to_bytes(), np.uint8),
        }
        return wire.pack(_KIND, {"newest": self.newest}, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`.

        Raises
        ------
        DamagedFileError, NewerFormatError : see :func:`shoal.summary.wire.unpack`.
        """
        meta, arrays = wire.unpack(_KIND, data)
        try:
            sketch = TermSketch.from_bytes(arrays["terms"].tobytes())
            out = cls(sketch.capacity, sketch.half_life)
            out.terms = sketch
            out.newest = None if meta["newest"] is None else float(meta["newest"])
            out._texts, out._times = _texts_of(arrays)
        except (KeyError, ValueError, TypeError) as error:
            if isinstance(error, DamagedFileError):
                raise
            raise DamagedFileError(f"the notes cannot be read: {error!r}; use another copy") from error
        return out


def _texts_of(arrays: wire.Arrays) -> tuple[dict[int, str], dict[int, float]]:
    ids, ends, whole = arrays["ids"].tolist(), arrays["ends"].tolist(), arrays["letters"].tobytes()
    starts = [0, *ends[:-1]]
    fits = len(ids) == len(ends) == len(arrays["times"]) and (not ends or ends[-1] == len(whole))
    if not fits or any(a > b for a, b in zip(starts, ends, strict=False)):
        raise DamagedFileError("the notes' texts do not fit together; use another copy")
    texts = [whole[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, ends, strict=False)]
    return dict(zip(ids, texts, strict=True)), dict(zip(ids, arrays["times"].tolist(), strict=True))


def _whole(ids: Any) -> list[int]:
    return ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
