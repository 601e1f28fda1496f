"""The default summary: a priority sample of rows by importance, with exact totals.

One pass of ``update`` fills it, ``merge`` joins two, and every question is answered from ``points()``. What it holds
does not depend on batch sizes, and merging is commutative and associative bit for bit.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.kernels import as_floats
from shoal.summary import wire
from shoal.summary.coreset_state import CoresetState, stands_for
from shoal.summary.forgetting import merge_clocks, new_clock
from shoal.summary.intake import checked_rows, one_each
from shoal.summary.protocol import WeightedPoints
from shoal.summary.totals import ExactTotals

DEFAULT_ROWS = 50_000
ROWS_PER_CLUSTER = 200
DEFAULT_BYTES = 128 << 20


class Coreset:
    """A small weighted sample of rows with exact totals, which merges.

    Parameters
    ----------
    k_max : the largest number of clusters that will be asked for; sets the default size and the rough centres.
    rows : rows to keep; default the larger of 50,000 and 200 per cluster.
    max_bytes : memory budget in bytes; the smaller of the two limits wins.
    seed : of the sampling hash; only summaries of equal seed merge.
    half_life : time after which a row counts half, by its event time, in the unit of ``times`` (seconds, if they are
        dates); default: nothing is forgotten. Weights are then as of the newest event time seen.
    n_threads : threads for scoring; default all. No effect on the result.

    >>> a = Coreset(k_max=2).update([[0.0], [1.0]], key=1, rows=[0, 1])
    >>> b = Coreset(k_max=2).update([[9.0]], key=2, rows=[0])
    >>> ab = a.merge(b); ab.count, sorted(ab.points().X.ravel().tolist())
    (3, [0.0, 1.0, 9.0])
    >>> twice = ab.merge(a); twice.count, len(twice.points().X)  # equal identities stay one row of the sample
    (5, 3)
    """

    def __init__(
        self,
        *,
        k_max: int = 64,
        rows: int | None = None,
        max_bytes: int = DEFAULT_BYTES,
        seed: int = 0,
        n_threads: int | None = None,
        half_life: float | None = None,
    ) -> None:
        if k_max < 1 or (rows is not None and rows < 1):
            raise ShoalError(f"k_max={k_max} and rows={rows} must be at least 1")
        if not 0 <= seed < 2**64:
            raise ShoalError(f"seed={seed} must be a number of 64 bits, not negative")
        self.k_max, self.max_bytes, self.seed, self.n_threads = k_max, max_bytes, seed, n_threads
        self.rows = rows if rows is not None else max(DEFAULT_ROWS, ROWS_PER_CLUSTER * k_max)
        self.half_life = half_life
        new_clock(half_life)  # a wrong one is an error now
        self._state: CoresetState | None = None

    @property
    def count(self) -> int:
        """Rows seen."""
        return 0 if self._state is None else self._state.totals.count

    @property
    def is_empty(self) -> bool:
        """Whether no row was seen yet."""
        return self.count == 0

    @property
    def n_features(self) -> int | None:
        """Columns, or None before the first row."""
        return None if self._state is None else self._state.d

    @property
    def weight(self) -> float:
        """Weight of all rows seen, as of the newest event time."""
        return 0.0 if self._state is None else self._state.totals.weight * self._as_of_newest

    @property
    def newest(self) -> float | None:
        """Newest event time seen, where rows are forgotten."""
        clock = None if self._state is None else self._state.clock
        return None if clock is None else clock.newest

    @property
    def totals(self) -> ExactTotals:
        """Exact count, weight, mean and scatter of all rows seen.

        With a half-life, weight and scatter are against a landmark of their own; means and ratios are as they should.
        """
        if self._state is None:
            raise ShoalError("the summary has seen no rows yet; call update first")
        return self._state.totals

    @property
    def tau(self) -> float:
        """Highest priority ever dropped; 0 while every row seen is kept."""
        return 0.0 if self._state is None else self._state.look()[1]

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return 0 if self._state is None else self._state.nbytes

    def update(
        self,
        X: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        key: int | None = None,
        rows: ArrayLike | None = None,
        times: ArrayLike | None = None,
    ) -> Self:
        """Take in n rows (n, d), each counting ``weights`` times; returns itself.

        The precision of the first batch (float32 or float64) is that of the sample.

        Parameters
        ----------
        key, rows : 64-bit key of the source the rows come from and their (n,) numbers in it, both or neither. With
            them, a row seen twice (a retry, a file merged twice) stays one row of the sample. Without them every
            row is taken as new.

        Raises
        ------
        BadInputError : NaN, infinity or a value too large for the precision, another width than before, a weight
            that is negative or too large, row numbers that do not fit, missing event times.
        """
        first = as_floats(X)
        state = self._state or CoresetState(self, max(first.shape[1], 1), first.dtype)
        checked, w = checked_rows(first, weights, state.dtype)
        if checked.shape[1] != state.d:
            raise BadInputError(f"rows have {checked.shape[1]} columns, the rows before had {state.d}")
        numbers = _numbers(key, rows, len(checked))
        if state.clock is not None:
            w, shift = state.clock.admit(one_each(times, len(checked)), w)
            state.age(shift)
        state.take(checked, w, key, numbers)
        self._state = state
        return self

    def merge(self, other: Self) -> Self:
        """A new summary of the rows of both, with the smaller budget of the two; an empty one changes nothing.

        Raises
        ------
        ShoalError : the widths, seeds or half-lives differ.
        """
        if self.seed != other.seed:
            raise ShoalError(f"summaries of different seeds do not merge: {self.seed} and {other.seed}")
        out = type(self)(
            k_max=max(self.k_max, other.k_max),
            rows=min(self.rows, other.rows),
            max_bytes=min(self.max_bytes, other.max_bytes),
            seed=self.seed,
            n_threads=self.n_threads,
            half_life=self.half_life,
        )
        merge_clocks(new_clock(self.half_life), new_clock(other.half_life))  # they must be equal
        mine, theirs = self._state, other._state
        if mine is None or theirs is None:
            whole = type(self).from_bytes((self if mine is not None else other).to_bytes())
            whole.n_threads = self.n_threads
            return whole
        if mine.d != theirs.d:
            raise ShoalError(f"summaries of {mine.d} and {theirs.d} columns do not merge")
        out._state = mine.merge(theirs, out)
        return out

    def points(self) -> WeightedPoints:
        """The kept rows and the weight each stands for, adding up to the exact total weight."""
        if self._state is None:
            return WeightedPoints(np.empty((0, 0), np.float32), np.empty(0))
        kept, tau = self._state.look()
        weights = stands_for(kept, tau, self._state.totals.weight)
        return WeightedPoints(kept.X, weights if self.half_life is None else weights * self._as_of_newest)

    def sampled_ids(self) -> NDArray[np.uint64]:
        """Identities of the rows of :meth:`points`, in their order: what belongs to a row can be kept beside it.

        >>> seen = Coreset().update([[0.0], [1.0]], key=1, rows=[0, 1])
        >>> seen.sampled_ids().shape, bool((seen.sampled_ids() % 2 == 0).all())
        ((2,), True)
        """
        return np.empty(0, np.uint64) if self._state is None else self._state.look()[0].ids

    def held_ids(self) -> NDArray[np.uint64]:
        """Identities of the rows that are held or wait to be considered, in no order; no other row comes back."""
        return np.empty(0, np.uint64) if self._state is None else self._state.held_ids()

    def to_bytes(self) -> bytes:
        """Everything needed to go on elsewhere, checksummed; equal summaries give equal bytes."""
        meta: dict[str, Any] = {"k_max": self.k_max, "rows": self.rows, "max_bytes": self.max_bytes}
        meta["seed"] = self.seed
        if self.half_life is not None:
            meta["half_life"] = self.half_life
        if self._state is None:
            return wire.pack("coreset", meta, {})
        more, arrays = self._state.export()
        return wire.pack("coreset", meta | more, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`.

        Raises
        ------
        DamagedFileError, NewerFormatError : see :func:`shoal.summary.wire.unpack`.
        """
        meta, arrays = wire.unpack("coreset", data)
        try:
            settings = {name: meta[name] for name in ("k_max", "rows", "max_bytes", "seed")}
            out = cls(**settings, half_life=meta.get("half_life"))
            if arrays:
                out._state = CoresetState.restore(out, meta, arrays)
        except DamagedFileError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, MemoryError, OverflowError) as error:
            raise DamagedFileError(f"the summary cannot be read: {error!r}; use another copy") from error
        return out

    @property
    def _as_of_newest(self) -> float:
        clock = None if self._state is None else self._state.clock
        return 1.0 if clock is None else clock.as_of_newest

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.to_bytes(), "n_threads": self.n_threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(type(self).from_bytes(state["data"]).__dict__)
        self.n_threads = state["n_threads"]


def _numbers(key: int | None, rows: ArrayLike | None, n: int) -> NDArray[np.int64] | None:
    if (key is None) != (rows is None):
        raise BadInputError("key and rows go together", remedy="give both, or neither")
    if key is None:
        return None
    numbers = np.ascontiguousarray(rows, np.int64)
    if numbers.shape != (n,) or not 0 <= key < 2**64:
        raise BadInputError(f"{n} rows with numbers of shape {numbers.shape} and key {key}")
    return numbers
