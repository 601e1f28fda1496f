"""How many texts hold each term, for the terms that many do: a summary of bounded size that merges and forgets.

The counters of Misra and Gries, merged as Agarwal, Cormode, Huang, Phillips, Wei and Yi (2012), "Mergeable Summaries".
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.summary import wire
from shoal.summary.forgetting import FORGOTTEN, Clock, merge_clocks, new_clock, shrink
from shoal.summary.intake import one_each

LARGEST_WEIGHT = 1e100


class TermSketch:
    """The weight of the texts that hold a term, for the terms that matter.

    Parameters
    ----------
    capacity : terms that are surely kept; up to twice as many are held.
    half_life : time after which a text counts half, by its event time, in the unit of ``times`` (seconds, if they are
        dates); default: nothing is forgotten. Weights are then as of the newest event time seen.

    A weight is never too high, and too low by :attr:`error` at most, which is below the weight of all terms of all
    texts divided by ``capacity``. Batch sizes leave no trace; merging is commutative bit for bit.

    Examples
    --------
    >>> sketch = TermSketch().update([["card", "lost"], ["card"]])
    >>> sketch["card"], sketch["cheque"], sketch.error
    (2.0, 0.0, 0.0)
    >>> sketch.merge(TermSketch().update([["lost"]], weights=[3.0])).items()
    {'lost': 4.0, 'card': 2.0}
    """

    def __init__(self, capacity: int = 50_000, half_life: float | None = None) -> None:
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
            raise ShoalError(f"capacity={capacity} must be a whole number of terms, at least 1")
        self.capacity, self.half_life = capacity, half_life
        self.count = 0
        """Texts seen."""
        self._clock = new_clock(half_life)
        self._held: dict[str, float] = {}  # these three are against the clock's landmark
        self._weight = 0.0
        self._error = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether no text was seen yet."""
        return self.count == 0

    @property
    def weight(self) -> float:
        """Weight of all texts seen, as of the newest event time."""
        return self._weight * self._as_of_newest

    @property
    def error(self) -> float:
        """How much the weight of a term may be too low; 0 while every term is held."""
        return self._error * self._as_of_newest

    @property
    def newest(self) -> float | None:
        """Newest event time seen, where texts are forgotten."""
        return None if self._clock is None else self._clock.newest

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        numbers = len(self._held) * sys.getsizeof(0.0)
        return sys.getsizeof(self._held) + numbers + sum(map(sys.getsizeof, self._held))

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, term: str) -> float:
        return self._held.get(term, 0.0) * self._as_of_newest

    def __contains__(self, term: object) -> bool:
        return term in self._held

    def items(self) -> dict[str, float]:
        """The weight of each term held, heaviest first."""
        factor = self._as_of_newest
        ordered = sorted(self._held.items(), key=lambda pair: (-pair[1], pair[0]))
        return {term: weight * factor for term, weight in ordered}

    def update(
        self,
        texts: Sequence[Sequence[str]],
        weights: ArrayLike | None = None,
        *,
        times: ArrayLike | None = None,
    ) -> Self:
        """Take in n texts, each given by its terms and counting ``weights`` times; returns itself.

        A term that a text names twice counts once.

        Raises
        ------
        BadInputError : a text instead of its terms, a weight that is negative or too large, missing event times.
        """
        w = _checked(texts, weights)
        if self._clock is not None:
            w, shift = self._clock.admit(one_each(times, len(texts)), w)
            self._age(shift)
        held, most = self._held, 2 * self.capacity
        for text, weight in zip(texts, w.tolist(), strict=True):
            self.count += 1
            if not weight:
                continue
            self._weight += weight
            for term in dict.fromkeys(text):
                held[term] = held.get(term, 0.0) + weight
            if len(held) > most:  # after each text, not each batch: batch sizes must not matter
                self._prune()
                held = self._held
        return self

    def merge(self, other: Self) -> Self:
        """A new sketch of the texts of both, with the smaller capacity of the two.

        Raises
        ------
        ShoalError : the half-lives differ.
        """
        out = type(self)(min(self.capacity, other.capacity), self.half_life)
        out._clock, *shifts = merge_clocks(self._clock, other._clock)
        out.count = self.count + other.count
        for side, shift in zip((self, other), shifts, strict=True):
            factor = shrink(shift)
            out._weight += side._weight * factor
            out._error += side._error * factor
            for term, weight in side._held.items():
                if weight * factor >= FORGOTTEN:
                    out._held[term] = out._held.get(term, 0.0) + weight * factor
        if len(out._held) > 2 * out.capacity:
            out._prune()
        return out

    def to_bytes(self) -> bytes:
        """Everything needed to go on elsewhere, checksummed; equal sketches give equal bytes."""
        meta: dict[str, Any] = {"capacity": self.capacity, "count": self.count}
        meta |= {"weight": self._weight, "error": self._error}
        if self._clock is not None:
            meta["clock"] = self._clock.to_meta()
        names = sorted(self._held)
        encoded = [name.encode("utf-8", "surrogatepass") for name in names]
        arrays: dict[str, NDArray[Any]] = {
            "terms": np.frombuffer(b"".join(encoded), np.uint8),
            "offsets": np.cumsum([0, *map(len, encoded)], dtype=np.int64),
            "weights": np.array([self._held[name] for name in names], np.float64),
        }
        return wire.pack("terms", meta, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`.

        Raises
        ------
        DamagedFileError, NewerFormatError : see :func:`shoal.summary.wire.unpack`.
        """
        meta, arrays = wire.unpack("terms", data)
        try:
            clock = None if "clock" not in meta else Clock.from_meta(meta["clock"])
            out = cls(meta["capacity"], None if clock is None else clock.half_life)
            out._clock = clock
            out.count = meta["count"]
            out._weight, out._error = meta["weight"], meta["error"]
            _demand(type(out.count) is int and out.count >= 0, "count")
            for name, value in (("weight", out._weight), ("error", out._error)):
                _demand(type(value) is float and math.isfinite(value) and value >= 0, name)
            out._held = _held_from(arrays)
            _demand(len(out._held) <= 2 * out.capacity, "capacity")
        except DamagedFileError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DamagedFileError(f"the summary cannot be read: {error!r}; use another copy") from error
        return out

    @property
    def _as_of_newest(self) -> float:
        return 1.0 if self._clock is None else self._clock.as_of_newest

    def _age(self, shift: int) -> None:
        """Let everything held weigh less by so many epochs; exact, so that it leaves no trace in what comes next."""
        if not shift:
            return
        factor = shrink(shift)
        self._held = {t: w * factor for t, w in self._held.items() if w * factor >= FORGOTTEN}
        self._weight *= factor
        self._error *= factor

    def _prune(self) -> None:
        """Lower every weight by that of the first term too many, and drop what is left with nothing."""
        values = np.fromiter(self._held.values(), np.float64, len(self._held))
        cut = float(np.partition(values, -self.capacity - 1)[-self.capacity - 1])
        self._held = {term: weight - cut for term, weight in self._held.items() if weight > cut}
        self._error += cut


def _checked(texts: Sequence[Sequence[str]], weights: ArrayLike | None) -> NDArray[np.float64]:
    for i, text in enumerate(texts):
        if isinstance(text, str):
            raise BadInputError(
                "a text came whole", place=f"text {i + 1}", remedy="give its terms: shoal.text.tokens.terms"
            )
    if weights is None:
        return np.ones(len(texts))
    w = np.array(weights, np.float64)
    if w.shape != (len(texts),):
        raise BadInputError(f"weights have shape {w.shape}, not ({len(texts)},)")
    wrong = np.flatnonzero(~((w >= 0) & (w <= LARGEST_WEIGHT)))
    if len(wrong):
        remedy = f"weights lie between 0 and {LARGEST_WEIGHT:g}"
        raise BadInputError(f"weight is {w[wrong[0]]}", place=f"text {wrong[0] + 1}", remedy=remedy)
    return w


def _held_from(arrays: dict[str, NDArray[Any]]) -> dict[str, float]:
    """The terms and weights of these arrays, which must be what :meth:`TermSketch.to_bytes` writes."""
    letters, offsets, weights = arrays["terms"], arrays["offsets"], arrays["weights"]
    kinds = [(letters, np.uint8), (offsets, np.int64), (weights, np.float64)]
    _demand(all(a.ndim == 1 and a.dtype == kind for a, kind in kinds), "kinds of arrays")
    _demand(len(offsets) == len(weights) + 1 and offsets[0] == 0 and offsets[-1] == len(letters), "offsets")
    _demand((np.diff(offsets) >= 0).all(), "offsets")
    _demand((np.isfinite(weights) & (weights > 0)).all(), "weights")
    whole, ends = letters.tobytes(), offsets.tolist()
    names = [whole[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(ends)]
    _demand(all(a < b for a, b in pairwise(names)), "order of terms")
    return dict(zip(names, weights.tolist(), strict=True))


def _demand(condition: Any, what: str) -> None:
    if not bool(condition):
        raise DamagedFileError(f"the summary's parts do not fit together ({what}); use another copy")
