"""What a coreset holds once the width and precision of its rows are known, and how it travels as arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from shoal.errors import DamagedFileError, ShoalError
from shoal.kernels import _native, row_ids
from shoal.summary.forgetting import FORGOTTEN, Clock, merge_clocks, new_clock, shrink
from shoal.summary.importance import SEEDING_ROWS_PER_CENTRE, Importance
from shoal.summary.sample import FIELDS, PrioritySample, Rows, aged_tau, row_bytes
from shoal.summary.totals import ExactTotals, trim, untrim

MAX_BLOCK = 16_384
ROUGH_CENTRES = (32, 256)  # fewest and most
_LIMBS = ("weight_limbs", "sum_limbs", "square_limbs")


class Settings(Protocol):
    """What a state needs to know of the coreset it belongs to."""

    k_max: int
    rows: int
    max_bytes: int
    seed: int
    n_threads: int | None
    half_life: float | None


class Pending:
    """Rows waiting for a full block: blocks begin at fixed row numbers, so batch sizes cannot matter."""

    def __init__(self, block: int, d: int, dtype: np.dtype[Any]) -> None:
        self.n = 0
        self.X = np.empty((block, d), dtype)
        self.weights = np.empty(block)
        self.ids = np.empty(block, np.uint64)
        self.named = np.empty(block, bool)
        """False: the row came without a key, and ``ids`` holds its number in the stream."""

    @property
    def room(self) -> int:
        """Rows that still fit."""
        return len(self.ids) - self.n

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return sum(a.nbytes for a in (self.X, self.weights, self.ids, self.named))

    def put(
        self, X: NDArray[Any], weights: NDArray[np.float64] | None, ids: NDArray[np.uint64], *, named: bool
    ) -> None:
        """Copy rows in; they must fit."""
        at = slice(self.n, self.n + len(X))
        self.X[at], self.ids[at], self.named[at] = X, ids, named
        self.weights[at] = 1.0 if weights is None else weights
        self.n += len(X)

    def age(self, factor: float) -> None:
        """Let the rows weigh ``factor`` times as much; forgotten ones weigh nothing."""
        w = self.weights[: self.n]
        w *= factor
        w[w < FORGOTTEN] = 0.0


@dataclass
class Scored:
    """The pending rows with their priorities, and what comes after them."""

    rows: Rows | None
    importance: Importance | None
    stream_key: int | None


class CoresetState:
    """Totals, sample, importance and pending rows."""

    def __init__(self, owner: Settings, d: int, dtype: np.dtype[Any]) -> None:
        self.d, self.dtype = d, dtype
        self.seed, self.n_threads = owner.seed, owner.n_threads
        low, high = ROUGH_CENTRES
        self.rough = min(max(owner.k_max, low), high)
        block, m, slack = _sizes(owner, d, dtype, self.rough)
        self.clock: Clock | None = new_clock(owner.half_life)
        self.totals = ExactTotals.empty(d)
        self.sample = PrioritySample(m, d, dtype, slack=slack)
        self.importance: Importance | None = None
        self.pending = Pending(block, d, dtype)
        self.stream_key: int | None = None  # key of rows that came without one
        self.stream_rows = 0
        self.stream_salt = 0  # sets the stream of a merged summary apart from those of its parts

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        rough = 0 if self.importance is None else self.importance.centres.nbytes
        return self.totals.nbytes + self.sample.nbytes + self.pending.nbytes + rough

    def take(
        self,
        X: NDArray[Any],
        weights: NDArray[np.float64] | None,
        key: int | None,
        numbers: NDArray[np.int64] | None,
    ) -> None:
        """Take in checked rows; with a key also their numbers in that source."""
        self.totals.add(X, weights, self.n_threads)
        if key is None or numbers is None:
            ids = np.arange(self.stream_rows, self.stream_rows + len(X), dtype=np.uint64)
            self.stream_rows += len(X)
        else:
            ids = identities(key, numbers)
        start = 0
        while start < len(X):
            part = slice(start, start + self.pending.room)
            w = None if weights is None else weights[part]
            self.pending.put(X[part], w, ids[part], named=key is not None)
            start = part.stop
            if not self.pending.room:
                self.flush()

    def held_ids(self) -> NDArray[np.uint64]:
        """Identities of the rows in the sample and of those that wait, in no order; other rows are gone for ever."""
        self.sample.settle()
        return np.concatenate([self.sample.kept_ids(), self.pending.ids[: self.pending.n]])

    def age(self, shift: int) -> None:
        """Let everything held weigh less by so many epochs; exact, so that it leaves no trace in what comes next."""
        if not shift:
            return
        factor = shrink(shift)
        self.totals = self.totals.aged(shift)
        self.sample.age(factor)
        self.pending.age(factor)
        if self.importance is not None:
            self.importance.age(factor)

    def flush(self) -> None:
        """Score the pending rows and offer them to the sample."""
        scored = self._score_pending()
        self.importance, self.stream_key = scored.importance, scored.stream_key
        if scored.rows is not None:
            self.sample.offer(scored.rows)
        self.pending.n = 0

    def look(self) -> tuple[Rows, float]:
        """The sample and its tau with the pending rows in it; looking must not change what comes next."""
        return self.sample.look(self._score_pending().rows)

    def merge(self, other: CoresetState, owner: Settings) -> CoresetState:
        """The state of the rows of both; rough centres are learned anew by the next block."""
        out = CoresetState(owner, self.d, np.result_type(self.dtype, other.dtype))
        out.clock, *shifts = merge_clocks(self.clock, other.clock)
        sides = list(zip((self, other), shifts, strict=True))
        mine, theirs = (side.totals.aged(shift) if shift else side.totals for side, shift in sides)
        out.totals = mine.merge(theirs)
        out.sample.m = min(self.sample.m, other.sample.m, out.sample.m)
        out.stream_salt = out.totals.count
        looks = [(*side.look(), shrink(shift)) for side, shift in sides]
        out.sample.tau = max(aged_tau(tau, factor) for _, tau, factor in looks)
        for rows, _, factor in looks:
            out.sample.offer(rows if factor == 1.0 else rows.aged(factor))
        return out

    def _score_pending(self) -> Scored:
        p, n = self.pending, self.pending.n
        if not n:
            return Scored(None, self.importance, self.stream_key)
        X, w, ids, named = p.X[:n], p.weights[:n], p.ids[:n].copy(), p.named[:n]
        stream_key = self.stream_key
        if stream_key is None and not named.all():
            stream_key = _content_key(X, self.seed, self.stream_salt)
        if stream_key is not None:
            ids[~named] = row_ids(stream_key, ids[~named].astype(np.int64)) | np.uint64(1)
        if not w.all():  # rows that weigh nothing are counted, never kept
            X, w, ids = X[w > 0], w[w > 0], ids[w > 0]
            if not len(X):
                return Scored(None, self.importance, stream_key)
        known = self.importance
        importance = self._learn_importance(X, w) if known is None or known.stale else replace(known)
        found = importance.find(X, self.n_threads)
        if importance.is_surprised_by(found, w):
            importance = self._learn_importance(X, w)
            found = importance.find(X, self.n_threads)
        q, priority = importance.score(found, w, ids, self.seed)
        importance.learn_from(found, w)
        return Scored(Rows(X, w, q, priority, ids), importance, stream_key)

    def _learn_importance(self, X: NDArray[Any], w: NDArray[np.float64]) -> Importance:
        """Rough centres of what the sample stands for and of the block that is about to be scored."""
        size = max(2048, SEEDING_ROWS_PER_CENTRE * self.rough)
        step = -(-len(X) // size)
        block, block_w = X[::step], w[::step] * step
        if len(self.sample):
            kept = self.sample.kept(size + 1)
            # The first rows by priority are a priority sample themselves, with the next one's priority as tau.
            tau = float(kept.priority[size]) if len(kept) > size else self.sample.tau
            top = kept.take(slice(0, size))
            block = np.concatenate([top.X, block])
            block_w = np.concatenate([horvitz_thompson(top, tau), block_w])
        return Importance.learn(block, block_w, self.rough, self.seed, self.n_threads)

    def export(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Plain metadata and arrays; equal states give equal ones."""
        kept = self.sample.kept()
        arrays: dict[str, NDArray[Any]] = {f"kept_{f}": getattr(kept, f) for f in FIELDS}
        meta: dict[str, Any] = {"d": self.d, "dtype": self.dtype.name, "m": self.sample.m}
        meta |= {"tau": self.sample.tau, "count": self.totals.count, "starts": {}}
        meta |= {name: getattr(self, name) for name in ("stream_key", "stream_rows", "stream_salt")}
        for name in _LIMBS:
            limbs, negative, meta["starts"][name] = trim(getattr(self.totals, name))
            arrays |= {name: limbs, f"{name}_negative": negative}
        if self.clock is not None:
            meta["clock"] = self.clock.to_meta()
        if self.importance is not None:
            i = self.importance
            arrays |= {"rough_centres": i.centres, "rough_weight": i.cluster_weight}
            meta["rough"] = [i.squared, i.weight_at_refresh, i.stale]
        p = self.pending
        if p.n:
            for name in ("X", "weights", "ids", "named"):
                arrays[f"pending_{name}"] = getattr(p, name)[: p.n]
        return meta, arrays

    @classmethod
    def restore(cls, owner: Settings, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Inverse of :meth:`export`.

        Raises
        ------
        DamagedFileError : arrays or figures that do not fit together.
        """
        d, n = _count(meta, "d"), len(arrays["kept_ids"])
        _demand(d > 0 and meta["dtype"] in ("float32", "float64"), "width or precision")
        out = cls(owner, d, np.dtype(meta["dtype"]))
        _check_shapes(arrays, d, n, out)
        _demand(n <= _count(meta, "m") <= out.sample.m and 0 <= meta["tau"] < np.inf, "sample size or tau")
        limbs = {x: untrim(arrays[x], arrays[f"{x}_negative"], _count(meta["starts"], x)) for x in _LIMBS}
        out.totals = ExactTotals(_count(meta, "count"), **limbs)
        out.sample.m = meta["m"]
        out.sample.offer(Rows(*(arrays[f"kept_{f}"] for f in FIELDS)))
        out.sample.tau = meta["tau"]
        out.stream_key = None if meta["stream_key"] is None else _count(meta, "stream_key")
        _demand(("clock" in meta) == (out.clock is not None), "clock")
        if out.clock is not None:
            out.clock = Clock.from_meta(meta["clock"])
            _demand(out.clock.half_life == owner.half_life, "half-life")
        out.stream_rows, out.stream_salt = _count(meta, "stream_rows"), _count(meta, "stream_salt")
        if "rough" in meta:
            squared, refreshed, stale = meta["rough"]
            figures = float(squared), float(refreshed), bool(stale)
            out.importance = Importance(arrays["rough_centres"], arrays["rough_weight"], *figures)
        if "pending_X" in arrays:
            p = out.pending
            p.n = len(arrays["pending_ids"])
            for name in ("X", "weights", "ids", "named"):
                getattr(p, name)[: p.n] = arrays[f"pending_{name}"]
        return out


def identities(key: int, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Identities of rows that came with a key; those of rows without one are odd."""
    return row_ids(key, numbers) & ~np.uint64(1)


def horvitz_thompson(rows: Rows, tau: float) -> NDArray[np.float64]:
    """Weight each kept row stands for: its own over its chance of being kept."""
    return rows.weights * np.maximum(1.0, tau / rows.importance)


def stands_for(rows: Rows, tau: float, total: float) -> NDArray[np.float64]:
    """The same, scaled so that the weights add up to the total that is known exactly."""
    weights = horvitz_thompson(rows, tau)
    share = total / weights.sum() if len(weights) else 1.0
    return weights if abs(share - 1.0) < 1e-12 else weights * share


def _sizes(owner: Settings, d: int, dtype: np.dtype[Any], rough: int) -> tuple[int, int, int]:
    """Rows of a block, rows kept and slack, such that all together stay inside the byte budget."""
    row = row_bytes(d, dtype)
    fixed = ExactTotals.empty(d).nbytes + rough * (d * dtype.itemsize + 8)
    room = owner.max_bytes - fixed
    block = min(MAX_BLOCK, room // 8 // row)
    m = min(owner.rows, room * 3 // 4 * 4 // 5 // row)  # a quarter more is slack, an eighth is for looking
    if block < 16 or m < 16 <= owner.rows:
        need = fixed + 16 * 16 * row
        raise ShoalError(f"max_bytes={owner.max_bytes} is too small for {d} columns; give at least {need}")
    return block, m, max(m // 4, 1)


def _content_key(X: NDArray[Any], seed: int, salt: int) -> int:
    """Key for rows that came without one: shards of a data set differ in their first block."""
    start = seed.to_bytes(8, "little") + (salt % 2**64).to_bytes(8, "little")
    digest = hashlib.blake2b(np.ascontiguousarray(X).tobytes(), digest_size=8, salt=start)
    return int.from_bytes(digest.digest(), "little")


def _demand(condition: Any, what: str) -> None:
    if not bool(condition):
        raise DamagedFileError(f"the summary's parts do not fit together ({what}); use another copy")


def _count(meta: dict[str, Any], name: str) -> int:
    value = meta[name]
    _demand(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64, name)
    return int(value)


def _check_shapes(arrays: dict[str, NDArray[Any]], d: int, n: int, state: CoresetState) -> None:
    """Everything the kernels will trust."""
    float64, float_x = np.dtype(np.float64), state.dtype
    expected: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
        "kept_X": ((n, d), float_x),
        "kept_ids": ((n,), np.dtype(np.uint64)),
    }
    expected |= {f"kept_{f}": ((n,), float64) for f in ("weights", "importance", "priority")}
    for name, rows in zip(_LIMBS, (1, d, d), strict=True):
        width = arrays[name].shape[1]
        _demand(arrays[name].ndim == 2 and width <= _native.LIMBS, name)
        expected[name] = ((rows, width), np.dtype(np.uint32))
        expected[f"{name}_negative"] = ((rows,), np.dtype(bool))
    if "rough_centres" in arrays:
        c = len(arrays["rough_centres"])
        expected |= {"rough_centres": ((c, d), float_x), "rough_weight": ((c,), float64)}
        _demand(0 < c <= ROUGH_CENTRES[1], "rough centres")
    if "pending_X" in arrays:
        p = len(arrays["pending_ids"])
        _demand(0 < p < len(state.pending.ids), "pending rows")
        expected |= {"pending_X": ((p, d), float_x), "pending_weights": ((p,), float64)}
        expected |= {"pending_ids": ((p,), np.dtype(np.uint64)), "pending_named": ((p,), np.dtype(bool))}
    for name, (shape, dtype) in expected.items():
        _demand(arrays[name].shape == shape and arrays[name].dtype == dtype, name)
        if dtype.kind == "f":
            _demand(np.isfinite(arrays[name]).all(), name)
