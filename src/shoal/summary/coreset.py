"""The default summary: a priority sample of rows by importance, with exact totals.

One pass of ``update`` fills it, ``merge`` joins two, and every question is answered from ``points()``. What it holds
does not depend on batch sizes, and merging is commutative and associative bit for bit.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError, ShoalError
from shoal.kernels import as_floats, row_ids
from shoal.summary import wire
from shoal.summary.importance import SEEDING_ROWS_PER_CENTRE, Importance
from shoal.summary.protocol import WeightedPoints
from shoal.summary.sample import FIELDS, PrioritySample, Rows, row_bytes
from shoal.summary.totals import ExactTotals, trim, untrim

DEFAULT_ROWS = 50_000
ROWS_PER_CLUSTER = 200
DEFAULT_BYTES = 128 << 20
MAX_BLOCK = 16_384
ROUGH_CENTRES = (32, 256)  # fewest and most


class Coreset:
    """A small weighted sample of rows with exact totals, which merges.

    Parameters
    ----------
    k_max : the largest number of clusters that will be asked for; sets the default size and the rough centres.
    rows : rows to keep; default the larger of 50,000 and 200 per cluster.
    max_bytes : memory budget in bytes; the smaller of the two limits wins.
    seed : of the sampling hash; only summaries of equal seed merge.
    n_threads : threads for scoring; default all. No effect on the result.

    >>> a = Coreset(k_max=2).update([[0.0], [1.0]], key=1)
    >>> b = Coreset(k_max=2).update([[9.0]], key=2)
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
    ) -> None:
        if k_max < 1 or (rows is not None and rows < 1):
            raise ShoalError(f"k_max={k_max} and rows={rows} must be at least 1")
        self.k_max, self.max_bytes, self.seed, self.n_threads = k_max, max_bytes, seed, n_threads
        self.rows = rows if rows is not None else max(DEFAULT_ROWS, ROWS_PER_CLUSTER * k_max)
        self._state: _State | None = None

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
    def totals(self) -> ExactTotals:
        """Exact count, weight, mean and scatter of all rows seen."""
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
    ) -> Self:
        """Take in n rows (n, d), each counting ``weights`` times; returns itself.

        Parameters
        ----------
        key : 64-bit key of the source the rows come from. With it, a row seen twice (a retry, a file merged
            twice) stays one row of the sample. Without it every row is taken as new.
        rows : (n,) row numbers in that source; default: on from the last one.

        Raises
        ------
        BadInputError : NaN or infinity, another width than before, a negative weight.
        """
        X, w = _checked(X, weights)
        if self._state is None:
            self._state = _State(self, X.shape[1], X.dtype)
        if X.shape[1] != self._state.d:
            raise BadInputError(f"rows have {X.shape[1]} columns, the rows before had {self._state.d}")
        numbers = None if rows is None else np.ascontiguousarray(rows, np.int64)
        self._state.take(X, w, key, numbers)
        return self

    def merge(self, other: Self) -> Self:
        """A new summary of the rows of both, with the smaller budget of the two; an empty one changes nothing.

        Raises
        ------
        ShoalError : the widths or seeds differ.
        """
        if self.seed != other.seed:
            raise ShoalError(f"summaries of different seeds do not merge: {self.seed} and {other.seed}")
        out = type(self)(
            k_max=max(self.k_max, other.k_max),
            rows=min(self.rows, other.rows),
            max_bytes=min(self.max_bytes, other.max_bytes),
            seed=self.seed,
            n_threads=self.n_threads,
        )
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
        return WeightedPoints(kept.X, _stands_for(kept, tau, self._state.totals.weight))

    def to_bytes(self) -> bytes:
        """Everything needed to go on elsewhere, checksummed; equal summaries give equal bytes."""
        meta: dict[str, Any] = {"k_max": self.k_max, "rows": self.rows, "max_bytes": self.max_bytes}
        meta["seed"] = self.seed
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
        out = cls(k_max=meta["k_max"], rows=meta["rows"], max_bytes=meta["max_bytes"], seed=meta["seed"])
        if arrays:
            out._state = _State.restore(out, meta, arrays)
        return out


class _Pending:
    """Rows waiting for a full block: blocks begin at fixed row numbers, so batch sizes cannot matter."""

    def __init__(
        self, X: NDArray[Any], w: NDArray[np.float64], rows: NDArray[np.int64], key: int | None
    ) -> None:
        self.X, self.w, self.rows, self.key = X, w, rows, key


class _State:
    """What a coreset holds once its width and precision are known."""

    def __init__(self, owner: Coreset, d: int, dtype: np.dtype[Any]) -> None:
        self.d, self.dtype = d, dtype
        self.seed, self.n_threads = owner.seed, owner.n_threads
        low, high = ROUGH_CENTRES
        self.rough = min(max(owner.k_max, low), high)
        self.block, m, slack = _sizes(owner, d, dtype, self.rough)
        self.totals = ExactTotals.empty(d)
        self.sample = PrioritySample(m, d, dtype, slack=slack)
        self.importance: Importance | None = None
        self.pending: list[_Pending] = []
        self.pending_rows = 0
        self.stream_key: int | None = None  # key of rows that came without one
        self.stream_rows = 0

    @property
    def nbytes(self) -> int:
        rough = 0 if self.importance is None else self.importance.centres.nbytes
        pending = sum(p.X.nbytes + p.w.nbytes + p.rows.nbytes for p in self.pending)
        return self.totals.nbytes + self.sample.nbytes + pending + rough

    def take(
        self,
        X: NDArray[Any],
        w: NDArray[np.float64] | None,
        key: int | None,
        rows: NDArray[np.int64] | None,
    ) -> None:
        self.totals.add(X, w, self.n_threads)
        start = 0
        while start < len(X):
            stop = min(len(X), start + self.block - self.pending_rows)
            numbers = rows[start:stop] if rows is not None else self.stream_rows + np.arange(stop - start)
            self.stream_rows += stop - start
            weights = np.ones(stop - start) if w is None else w[start:stop]
            part = _Pending(X[start:stop].astype(self.dtype), weights.copy(), numbers.copy(), key)
            self.pending.append(part)
            self.pending_rows += stop - start
            start = stop
            if self.pending_rows == self.block:
                self.flush()

    def flush(self) -> None:
        """Score the pending rows and offer them to the sample."""
        rows, self.importance, self.stream_key = self._score_pending()
        self.pending, self.pending_rows = [], 0
        if rows is not None:
            self.sample.offer(rows)

    def look(self) -> tuple[Rows, float]:
        """The sample and its tau with the pending rows in it; looking must not change what comes next."""
        return self.sample.look(self._score_pending()[0])

    def _score_pending(self) -> tuple[Rows | None, Importance | None, int | None]:
        """The pending rows with their priorities, and the importance and stream key after them."""
        if not self.pending_rows:
            return None, self.importance, self.stream_key
        X = np.concatenate([p.X for p in self.pending])
        w = np.concatenate([p.w for p in self.pending])
        stream_key = self.stream_key
        if stream_key is None and any(p.key is None for p in self.pending):
            stream_key = _content_key(X, self.seed)
        ids = np.concatenate([_ids(p, stream_key or 0) for p in self.pending])
        if not w.all():  # rows that weigh nothing are counted, never kept
            X, w, ids = X[w > 0], w[w > 0], ids[w > 0]
            if not len(X):
                return None, self.importance, stream_key
        known = self.importance
        importance = self._learn_importance(X, w) if known is None or known.stale else replace(known)
        found = importance.find(X, self.n_threads)
        if importance.is_surprised_by(found, w):
            importance = self._learn_importance(X, w)
            found = importance.find(X, self.n_threads)
        q, priority = importance.score(found, w, ids, self.seed)
        importance.learn_from(found, w)
        return Rows(X, w, q, priority, ids), importance, stream_key

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
            block_w = np.concatenate([_horvitz_thompson(top, tau), block_w])
        return Importance.learn(block, block_w, self.rough, self.seed, self.n_threads)

    def merge(self, other: _State, owner: Coreset) -> _State:
        out = _State(owner, self.d, np.result_type(self.dtype, other.dtype))
        out.totals = self.totals.merge(other.totals)
        out.sample.m = min(self.sample.m, other.sample.m)
        looks = self.look(), other.look()
        out.sample.tau = max(tau for _, tau in looks)
        for rows, _ in looks:
            out.sample.offer(rows)
        return out

    def export(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        kept = self.sample.kept()
        arrays: dict[str, NDArray[Any]] = {f"kept_{f}": getattr(kept, f) for f in FIELDS}
        meta: dict[str, Any] = {"d": self.d, "dtype": self.dtype.name, "m": self.sample.m}
        meta |= {"tau": self.sample.tau, "count": self.totals.count}
        meta |= {"stream_key": self.stream_key, "stream_rows": self.stream_rows, "starts": {}}
        for name in ("weight_limbs", "sum_limbs", "square_limbs"):
            limbs, negative, meta["starts"][name] = trim(getattr(self.totals, name))
            arrays |= {name: limbs, f"{name}_negative": negative}
        if self.importance is not None:
            i = self.importance
            arrays |= {"rough_centres": i.centres, "rough_weight": i.cluster_weight}
            meta["rough"] = [i.squared, i.weight_at_refresh, i.stale]
        if self.pending_rows:
            keys = [np.full(len(p.rows), p.key or 0, np.uint64) for p in self.pending]
            keyed = [np.full(len(p.rows), p.key is not None) for p in self.pending]
            arrays |= {"pending_X": np.concatenate([p.X for p in self.pending])}
            arrays |= {"pending_w": np.concatenate([p.w for p in self.pending])}
            arrays |= {"pending_rows": np.concatenate([p.rows for p in self.pending])}
            arrays |= {"pending_keys": np.concatenate(keys), "pending_keyed": np.concatenate(keyed)}
        return meta, arrays

    @classmethod
    def restore(cls, owner: Coreset, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        out = cls(owner, meta["d"], np.dtype(meta["dtype"]))
        limbs = {n: untrim(arrays[n], arrays[f"{n}_negative"], start) for n, start in meta["starts"].items()}
        out.totals = ExactTotals(meta["count"], **limbs)
        out.sample.m = meta["m"]
        out.sample.offer(Rows(*(arrays[f"kept_{f}"] for f in FIELDS)))
        out.sample.tau = meta["tau"]
        out.stream_key, out.stream_rows = meta["stream_key"], meta["stream_rows"]
        if "rough" in meta:
            out.importance = Importance(arrays["rough_centres"], arrays["rough_weight"], *meta["rough"])
        if "pending_X" in arrays:
            keys, keyed = arrays["pending_keys"], arrays["pending_keyed"]
            cuts = np.flatnonzero((keys[1:] != keys[:-1]) | (keyed[1:] != keyed[:-1])) + 1
            for part in np.split(np.arange(len(keys)), cuts):
                key = int(keys[part[0]]) if keyed[part[0]] else None
                X, w, rows = (arrays[f"pending_{n}"][part] for n in ("X", "w", "rows"))
                out.pending.append(_Pending(X, w, rows, key))
            out.pending_rows = len(keys)
        return out


def _ids(rows: _Pending, stream_key: int) -> NDArray[np.uint64]:
    """Identities of rows; those of rows that came without a key are odd, and never taken for one another."""
    if rows.key is None:
        return row_ids(stream_key, rows.rows) | np.uint64(1)
    return row_ids(rows.key, rows.rows) & ~np.uint64(1)


def _horvitz_thompson(rows: Rows, tau: float) -> NDArray[np.float64]:
    """Weight each kept row stands for: its own over its chance of being kept."""
    return rows.weights * np.maximum(1.0, tau / rows.importance)


def _stands_for(rows: Rows, tau: float, total: float) -> NDArray[np.float64]:
    """The same, scaled so that the weights add up to the total that is known exactly."""
    weights = _horvitz_thompson(rows, tau)
    share = total / weights.sum() if len(weights) else 1.0
    return weights if abs(share - 1.0) < 1e-12 else weights * share


def _sizes(owner: Coreset, d: int, dtype: np.dtype[Any], rough: int) -> tuple[int, int, int]:
    """Rows of a block, rows kept and slack, such that all together stay inside the byte budget."""
    row = row_bytes(d, dtype)
    fixed = ExactTotals.empty(d).nbytes + rough * (d * dtype.itemsize + 8)
    room = owner.max_bytes - fixed
    block = min(MAX_BLOCK, room // 8 // (2 * row))  # pending rows and the block made of them
    m = min(owner.rows, room * 7 // 8 * 4 // 5 // row)  # a quarter more is slack
    if block < 16 or m < 16 <= owner.rows:
        need = fixed + 16 * 16 * row
        raise ShoalError(f"max_bytes={owner.max_bytes} is too small for {d} columns; give at least {need}")
    return block, m, max(m // 4, 1)


def _checked(X: ArrayLike, weights: ArrayLike | None) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    rows = as_floats(X)
    if rows.shape[1] == 0:
        raise BadInputError("rows have no columns")
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = not np.isfinite(rows.sum(dtype=np.float64)) or (
            rows.dtype == np.float64 and rows.size and np.abs(rows).max() > 1e150
        )
    if suspect:
        bad = ~(np.abs(rows.astype(np.float64)) <= 1e150)  # NaN compares False
        if bad.any():
            i, j = (int(v[0]) for v in np.nonzero(bad))
            raise BadInputError(
                f"value is {rows[i, j]}", place=f"row {i}, column {j}", remedy="drop or fill such rows first"
            )
    if weights is None:
        return rows, None
    w = np.ascontiguousarray(weights, np.float64)
    if w.shape != (len(rows),):
        raise BadInputError(f"weights have shape {w.shape}, not ({len(rows)},)")
    if len(w) and not (w.min() >= 0 and np.isfinite(w).all()):
        raise BadInputError("weights must be finite and not negative", place=f"row {int(np.argmin(w))}")
    return rows, w


def _content_key(X: NDArray[Any], seed: int) -> int:
    """Key for rows that came without one: shards of a data set differ in their first block."""
    digest = hashlib.blake2b(
        np.ascontiguousarray(X).tobytes(), digest_size=8, salt=seed.to_bytes(16, "little")
    )
    return int.from_bytes(digest.digest(), "little")
