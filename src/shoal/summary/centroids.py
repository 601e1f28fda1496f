"""Running means: mini-batch k-means and forgetful streaming k-means as a summary.

A few dozen bytes per coordinate of a centre are all that is held. Unlike a :class:`~shoal.summary.coreset.Coreset` it
depends on k and on the order of the rows; in exchange it is small, fast and follows a drift by itself.
"""

from __future__ import annotations

import math
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.kernels import as_floats
from shoal.summary import wire
from shoal.summary.centroid_state import CentroidState, RowBlock, Rule, TimeUnit
from shoal.summary.forgetting import as_times, new_clock
from shoal.summary.intake import checked_rows, one_each
from shoal.summary.protocol import WeightedPoints

_MUST_AGREE = ("k", "batch_size", "half_life", "decay_factor", "time_unit")


class Centroids:
    """k centres that are running means of the rows nearest to them (Sculley 2010), with weight and scatter each.

    Without ``init`` a fifth more centres than k (and at least 8 more) run along: rows that are badly served become
    centres, near ones are joined, and :meth:`centres` condenses what is held to k. With ``init`` exactly those centres
    run on, by the rule of Spark's streaming k-means: a centre moves to ``(1 - m / (w + m)) c + m / (w + m) mean`` for
    a batch of weight m, and one that weighs less than 1e-8 of the heaviest is replaced by half of it.

    Parameters
    ----------
    k : centres.
    batch_size : rows are cut into blocks of so many, wherever the caller's batches begin and end, so that those leave
        no trace. None: every call of ``update`` is one batch.
    half_life : batches, points (weight of rows) or time after which rows count half, by ``time_unit``; time is in the
        unit of ``times`` (seconds, if they are dates), and weights are then as of the newest event time.
    decay_factor : instead of a half-life, what a batch or point leaves of the weights before it, 0 to 1.
    init : (k, d) centres to start from. init_weights : (k,) weights of them, default 0: the first rows overrule them.
    seed : of the seeding and of what is opened.
    n_threads : default all. No effect on the result.

    Merging conserves count, weight, mean and scatter, and commutes bit for bit; how merges are grouped moves centres.

    Raises
    ------
    ShoalError : settings that make no sense together.

    >>> a = Centroids(2, batch_size=4).update([[0.0], [1.0], [8.0], [9.0]])
    >>> a.centres().X.ravel(), a.centres().weights, a.centres().scatter
    (array([0.5, 8.5]), array([2., 2.]), array([0.5, 0.5]))
    >>> b = Centroids(2, batch_size=4).update([[0.5]])
    >>> a.merge(b).centres().weights
    array([3., 2.])
    """

    def __init__(
        self,
        k: int,
        *,
        batch_size: int | None = 1024,
        half_life: float | None = None,
        decay_factor: float | None = None,
        time_unit: TimeUnit = "batches",
        init: ArrayLike | None = None,
        init_weights: ArrayLike | None = None,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        if k < 1 or (batch_size is not None and batch_size < 1):
            raise ShoalError(f"k={k} and batch_size={batch_size} must be at least 1")
        if not 0 <= seed < 2**64:
            raise ShoalError(f"seed={seed} must be a number of 64 bits, not negative")
        self.k, self.seed, self.n_threads = int(k), int(seed), n_threads  # plain numbers, for the bytes
        self.batch_size = None if batch_size is None else int(batch_size)
        self.half_life = None if half_life is None else float(half_life)
        self.decay_factor = None if decay_factor is None else float(decay_factor)
        self.time_unit: TimeUnit = time_unit
        _check_forgetting(self.half_life, self.decay_factor, time_unit)
        self.init, self.init_weights = _first_centres(init, init_weights, k)
        self._state: CentroidState | None = None

    @property
    def count(self) -> int:
        """Rows seen."""
        return 0 if self._state is None else self._state.count

    @property
    def is_empty(self) -> bool:
        """Whether no row was seen yet."""
        return self.count == 0

    @property
    def n_features(self) -> int | None:
        """Columns, or None before the first row."""
        return None if self._state is None else self._state.d

    @property
    def n_batches(self) -> int:
        """Whole batches taken in."""
        return 0 if self._state is None else self._state.blocks

    @property
    def weight(self) -> float:
        """Weight of all that is held: rows as far as they are not forgotten, and given centres."""
        return float(self.points().weights.sum())

    @property
    def newest(self) -> float | None:
        """Newest event time seen, where rows are forgotten by it."""
        clock = None if self._state is None else self._state.look().clock
        return None if clock is None else clock.newest

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return 0 if self._state is None else self._state.nbytes

    def update(
        self, X: ArrayLike, weights: ArrayLike | None = None, *, times: ArrayLike | None = None
    ) -> Self:
        """Take in n rows (n, d), each counting ``weights`` times; returns itself.

        Any number of rows will do, also fewer than k. ``times``: (n,) event times, where time is what forgets.

        Raises
        ------
        BadInputError : NaN, infinity or a value too large for the precision, another width than before, a weight
            that is negative or too large, missing event times. Nothing of such a batch is taken in.
        """
        first = as_floats(X)
        state = self._state or self._new_state(first)
        rows, w = checked_rows(first, weights, state.dtype)
        if rows.shape[1] != state.d:
            before = "init has" if self._state is None else "the rows before had"
            raise BadInputError(f"rows have {rows.shape[1]} columns, {before} {state.d}")
        t = np.empty(0)
        if state.clock is not None:
            t = _needed(times, len(rows))
        w = np.ones(len(rows)) if w is None else w
        state.take(RowBlock(rows.astype(state.dtype, copy=False), w, t))
        self._state = state
        return self

    def merge(self, other: Self) -> Self:
        """A new summary of the rows of both; an empty one changes nothing.

        Raises
        ------
        ShoalError : the widths or settings differ.
        """
        for name in _MUST_AGREE:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise ShoalError(f"summaries of {name}={mine} and {name}={theirs} do not merge")
        if (self.init is None) != (other.init is None):
            raise ShoalError("summaries with and without given centres do not merge: give both the same init")
        if self._state is None or other._state is None:
            whole = type(self).from_bytes((self if self._state is not None else other).to_bytes())
            whole.n_threads = self.n_threads
            return whole
        if self._state.d != other._state.d:
            raise ShoalError(f"summaries of {self._state.d} and {other._state.d} columns do not merge")
        sides = sorted((self, other), key=type(self).to_bytes)  # an order that both ways of asking share
        out = type(self).from_bytes(sides[0]._like().to_bytes())
        out.seed, out.n_threads = min(self.seed, other.seed), self.n_threads
        one, two = (side._state for side in sides)
        assert one is not None
        assert two is not None
        out._state = one.merge(two, out._rule)
        return out

    def points(self) -> WeightedPoints:
        """All that is held: centres, a few more than k, with weights and scatter; the rows, before there are any."""
        if self._state is None:
            return WeightedPoints(np.empty((0, 0), np.float32), np.empty(0))
        return self._state.points()

    def centres(self) -> WeightedPoints:
        """The same condensed to k centres; fewer, where fewer rows than k differ. Heaviest first without ``init``."""
        if self._state is None:
            raise ShoalError("the summary has seen no rows yet; call update first")
        found = self._state.points(self.k)
        if self.init is not None:
            return found
        order = np.lexsort((*found.X.T[::-1], -found.weights))
        assert found.scatter is not None
        return WeightedPoints(found.X[order], found.weights[order], found.scatter[order])

    def to_bytes(self) -> bytes:
        """Everything needed to go on elsewhere, checksummed; equal summaries give equal bytes."""
        meta: dict[str, Any] = {name: getattr(self, name) for name in (*_MUST_AGREE, "seed")}
        arrays: dict[str, NDArray[Any]] = {}
        if self.init is not None and self.init_weights is not None:
            arrays |= {"init": self.init, "init_weights": self.init_weights}
        if self._state is not None:
            more, held = self._state.export()
            meta, arrays = meta | {"state": more}, arrays | held
        return wire.pack("centroids", meta, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`.

        Raises
        ------
        DamagedFileError, NewerFormatError : see :func:`shoal.summary.wire.unpack`.
        """
        meta, arrays = wire.unpack("centroids", data)
        try:
            settings: dict[str, Any] = {name: meta[name] for name in (*_MUST_AGREE, "seed")}
            settings |= {name: arrays.pop(name, None) for name in ("init", "init_weights")}
            out = cls(**settings)
            if "state" in meta:
                out._state = CentroidState.restore(out._rule, meta["state"], arrays, None)
        except DamagedFileError:
            raise
        except (
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            MemoryError,
            OverflowError,
            ShoalError,
        ) as error:
            raise DamagedFileError(f"the summary cannot be read: {error!r}; use another copy") from error
        return out

    @property
    def _rule(self) -> Rule:
        by_time = self.time_unit == "time"
        decay = self.decay_factor
        if decay is None and self.half_life is not None and not by_time:
            decay = math.exp(math.log(0.5) / self.half_life)
        time = self.half_life if by_time else None
        given = self.init is not None
        return Rule(self.k, self.batch_size, decay, self.time_unit, time, self.seed, given)

    def _new_state(self, X: NDArray[Any]) -> CentroidState:
        d = max(X.shape[1], 1) if self.init is None else self.init.shape[1]
        state = CentroidState(self._rule, d, X.dtype, self.n_threads)
        if self.init is not None and self.init_weights is not None:
            state.begin(self.init, self.init_weights)
        return state

    def _like(self) -> Self:
        """An empty one of the same settings."""
        out = type(self).__new__(type(self))
        out.__dict__.update(self.__dict__, _state=None)
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.to_bytes(), "n_threads": self.n_threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(type(self).from_bytes(state["data"]).__dict__)
        self.n_threads = state["n_threads"]
        if self._state is not None:
            self._state.n_threads = self.n_threads


def _check_forgetting(half_life: float | None, decay_factor: float | None, time_unit: str) -> None:
    if time_unit not in get_args(TimeUnit):
        raise ShoalError(f"time_unit={time_unit!r} must be one of: {', '.join(get_args(TimeUnit))}")
    if half_life is not None and decay_factor is not None:
        raise ShoalError("half_life and decay_factor say the same thing twice; give one of them")
    if decay_factor is not None and not 0 <= decay_factor <= 1:
        raise ShoalError(f"decay_factor={decay_factor} must lie between 0 and 1")
    if time_unit == "time" and half_life is None:
        raise ShoalError("time_unit='time' needs a half_life")
    new_clock(half_life)  # a wrong one is an error now


def _first_centres(
    init: ArrayLike | None, weights: ArrayLike | None, k: int
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    if init is None:
        if weights is not None:
            raise ShoalError("init_weights are the weights of init; give init too")
        return None, None
    C = np.array(init, np.float64, ndmin=2)
    w = np.zeros(k) if weights is None else np.array(weights, np.float64)
    if C.ndim != 2 or len(C) != k or C.shape[1] == 0 or w.shape != (k,):
        raise ShoalError(f"init has shape {C.shape} and init_weights {w.shape}, not ({k}, d) and ({k},)")
    if not (np.isfinite(C).all() and np.isfinite(w).all() and (w >= 0).all()):
        raise ShoalError("init or init_weights hold NaN, infinity or a negative weight")
    return C, w


def _needed(times: ArrayLike | None, n: int) -> NDArray[np.float64]:
    if times is None:
        raise BadInputError(
            "rows have no event times", remedy="a summary that forgets by time needs them: give times"
        )
    given = one_each(times, n)
    assert given is not None
    return as_times(given)
