"""BIRCH's tree of clustering features in numerically stable form, as a summary.

Rows are absorbed by the nearest entry of a leaf while its radius stays within a threshold, which grows by itself when
there are more entries than the budget allows. It depends on the order of the rows; in exchange it is fast, small, and
its entries are exact means with exact scatter.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.kernels import _native, as_floats
from shoal.summary import wire
from shoal.summary.forgetting import EPOCH, FORGOTTEN, Clock, as_times, merge_clocks, new_clock, shrink
from shoal.summary.intake import checked_rows, one_each
from shoal.summary.protocol import WeightedPoints

DEFAULT_ENTRIES = 2000
_LEAST_NODES = 4
_SETTINGS = ("threshold", "branching_factor", "max_leaf_entries", "max_bytes")


class CFTree:
    """Clustering features (weight, mean, scatter) in a height-balanced tree, one pass, bounded memory, which merges.

    Features are those of BETULA (Lang and Schubert 2020, 2022), never sums of squares, so data far from the origin
    keep their digits. Rows go in one by one: batch sizes leave no trace, bit for bit.

    Parameters
    ----------
    threshold : an entry absorbs a row while its radius, the root of scatter by weight, stays within it; the meaning is
        that of :class:`sklearn.cluster.Birch`. It is where growing starts.
    branching_factor : most entries of a node, at least 2.
    max_leaf_entries : budget of entries; beyond it the threshold grows and the tree is built anew from its entries.
        None: no limit.
    max_bytes : budget of bytes for the nodes, or None; the smaller of both limits wins. Building anew takes up to as
        much again for a moment.
    half_life : time after which a row counts half, by its event time; default: nothing is forgotten. Weights are then
        as of the newest event time seen.

    Merging conserves count, weight, mean and scatter, and commutes bit for bit; how merges are grouped moves entries.

    Raises
    ------
    ShoalError : settings that make no sense.

    >>> tree = CFTree(threshold=1.0).update([[0.0], [1.0], [8.0], [9.0]])
    >>> tree.points().X.ravel(), tree.points().weights, tree.points().scatter
    (array([0.5, 8.5]), array([2., 2.]), array([0.5, 0.5]))
    >>> tree.merge(CFTree(threshold=1.0).update([[0.5]])).points().weights
    array([3., 2.])
    """

    def __init__(
        self,
        threshold: float = 0.0,
        *,
        branching_factor: int = 50,
        max_leaf_entries: int | None = DEFAULT_ENTRIES,
        max_bytes: int | None = None,
        half_life: float | None = None,
    ) -> None:
        if not (math.isfinite(threshold) and 0 <= threshold <= 1e100):
            raise ShoalError(f"threshold={threshold} must lie between 0 and 1e100")
        if not 2 <= branching_factor <= 10_000:
            raise ShoalError(f"branching_factor={branching_factor} must lie between 2 and 10000")
        for name, value in (("max_leaf_entries", max_leaf_entries), ("max_bytes", max_bytes)):
            if value is not None and value < 1:
                raise ShoalError(f"{name}={value} must be at least 1, or None for no limit")
        self.threshold, self.branching_factor = float(threshold), int(branching_factor)
        self.max_leaf_entries = None if max_leaf_entries is None else int(max_leaf_entries)
        self.max_bytes = None if max_bytes is None else int(max_bytes)
        self.half_life = half_life
        self._clock = new_clock(half_life)
        self._count = 0
        self._tree: _native.CFTree | None = None
        self._d: int | None = None

    @property
    def count(self) -> int:
        """Rows seen."""
        return self._count

    @property
    def is_empty(self) -> bool:
        """Whether no row was seen yet."""
        return self._count == 0

    @property
    def n_features(self) -> int | None:
        """Columns, or None before the first row."""
        return self._d

    @property
    def n_entries(self) -> int:
        """Entries of the leaves."""
        return 0 if self._tree is None else self._tree.n_entries

    @property
    def current_threshold(self) -> float:
        """The threshold as far as it has grown."""
        return self.threshold if self._tree is None else math.sqrt(self._tree.squared_threshold)

    @property
    def weight(self) -> float:
        """Weight of all rows seen, as of the newest event time."""
        return float(self.points().weights.sum())

    @property
    def newest(self) -> float | None:
        """Newest event time seen, where rows are forgotten."""
        return None if self._clock is None else self._clock.newest

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return 0 if self._tree is None else self._tree.bytes

    def update(
        self, X: ArrayLike, weights: ArrayLike | None = None, *, times: ArrayLike | None = None
    ) -> Self:
        """Take in n rows (n, d), each counting ``weights`` times; returns itself. A weight of 0 is only counted.

        Raises
        ------
        BadInputError : NaN, infinity or a value too large for the precision, another width than before, a weight
            that is negative or too large, missing event times. Nothing of such a batch is taken in.
        """
        first = as_floats(X)
        rows, w = checked_rows(first, weights, first.dtype)
        if self._d is not None and rows.shape[1] != self._d:
            raise BadInputError(f"rows have {rows.shape[1]} columns, the rows before had {self._d}")
        if self._clock is None:
            self._start(rows.shape[1]).insert(rows, w)
        else:
            if times is None:
                self._clock.admit(None, None)  # says what is missing
            t = as_times(one_each(times, len(rows)))  # type: ignore[arg-type]
            tree = self._start(rows.shape[1])
            for part in _epochs(t, self._clock):
                lifted, shift = self._clock.admit(t[part], None if w is None else w[part])
                if shift > 0:
                    tree.scale(shrink(shift), FORGOTTEN)
                tree.insert(rows[part], lifted)
        self._count += len(rows)
        return self

    def merge(self, other: Self) -> Self:
        """A new summary of the rows of both, with the smaller budget and larger threshold; an empty one changes nothing.

        Raises
        ------
        ShoalError : widths, branching factors or half-lives differ.
        """
        if self.branching_factor != other.branching_factor:
            factors = f"{self.branching_factor} and {other.branching_factor}"
            raise ShoalError(f"trees of different branching factors do not merge: {factors}")
        merge_clocks(new_clock(self.half_life), new_clock(other.half_life))  # they must be equal
        if self.is_empty or other.is_empty:
            return type(self).from_bytes((other if self.is_empty else self).to_bytes())
        if self._d != other._d:
            raise ShoalError(f"summaries of {self._d} and {other._d} columns do not merge")
        # the larger one stays a tree; which is which must not depend on the side
        pair = sorted(((s.n_entries, s.count, s.to_bytes(), s) for s in (self, other)), key=lambda p: p[:3])
        guest, host = pair[0][3], pair[1][3]
        out = type(self)(
            max(self.threshold, other.threshold),
            branching_factor=self.branching_factor,
            max_leaf_entries=_smaller(self.max_leaf_entries, other.max_leaf_entries),
            max_bytes=_smaller(self.max_bytes, other.max_bytes),
            half_life=self.half_life,
        )
        out._clock, *shifts = merge_clocks(host._clock, guest._clock)
        tree = out._start(int(self._d or 0))
        _copy(host._held, tree)
        tree.squared_threshold = max(t._held.squared_threshold for t in (self, other))
        if shifts[0] > 0:
            tree.scale(shrink(shifts[0]), FORGOTTEN)
        mean, weight, scatter = guest._held.entries()
        factor = shrink(shifts[1])
        kept = weight * factor >= (FORGOTTEN if out._clock is not None else 0.0)
        tree.insert_entries(mean[kept], weight[kept] * factor, scatter[kept] * factor)
        out._count = self._count + other._count
        return out

    def points(self) -> WeightedPoints:
        """The entries of the leaves: means (m, d) float64, weights (m,) and scatter (m,) around the means."""
        if self._tree is None:
            return WeightedPoints(np.empty((0, 0)), np.empty(0), np.empty(0))
        mean, weight, scatter = self._tree.entries()
        if self._clock is None:
            return WeightedPoints(mean, weight, scatter)
        return WeightedPoints(mean, weight * self._clock.as_of_newest, scatter * self._clock.as_of_newest)

    def to_bytes(self) -> bytes:
        """Everything needed to go on elsewhere, checksummed; equal summaries give equal bytes."""
        meta: dict[str, Any] = {name: getattr(self, name) for name in _SETTINGS} | {"count": self._count}
        if self._clock is not None:
            meta |= self._clock.to_meta()
        if self._tree is None:
            return wire.pack("cf_tree", meta, {})
        depth, counts, (mean, weight, scatter) = self._tree.export_nodes()
        meta |= {"d": self._d, "depth": depth, "squared_threshold": self._tree.squared_threshold}
        arrays: wire.Arrays = {"counts": counts, "mean": mean, "weight": weight, "scatter": scatter}
        return wire.pack("cf_tree", meta, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`.

        Raises
        ------
        DamagedFileError, NewerFormatError : see :func:`shoal.summary.wire.unpack`.
        """
        meta, arrays = wire.unpack("cf_tree", data)
        try:
            out = cls(**{name: meta[name] for name in _SETTINGS}, half_life=meta.get("half_life"))
            if out._clock is not None:
                out._clock = Clock.from_meta(meta)
            out._count = int(meta["count"])
            if arrays:
                tree = out._start(int(meta["d"]))
                tree.squared_threshold = float(meta["squared_threshold"])
                _check_values(arrays, tree.squared_threshold)
                _restore(tree, int(meta["depth"]), arrays)
        except DamagedFileError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, MemoryError, OverflowError) as error:
            raise DamagedFileError(f"the summary cannot be read: {error!r}; use another copy") from error
        return out

    @property
    def _held(self) -> _native.CFTree:
        if self._tree is None:
            raise ShoalError("the summary has seen no rows yet; call update first")
        return self._tree

    def _start(self, d: int) -> _native.CFTree:
        if self._tree is None:
            nodes = (
                0 if self.max_bytes is None else self.max_bytes // node_bytes(d, self.branching_factor) - 1
            )
            if self.max_bytes is not None and nodes < _LEAST_NODES:
                needed = node_bytes(d, self.branching_factor) * (_LEAST_NODES + 1)
                raise BadInputError(
                    f"max_bytes={self.max_bytes} is too little for rows of {d} columns",
                    remedy=f"give at least {needed} bytes, or a smaller branching_factor",
                )
            self._tree = _native.CFTree(
                d, self.branching_factor, self.threshold, self.max_leaf_entries or 0, nodes
            )
            self._d = d
        return self._tree

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.to_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(type(self).from_bytes(state["data"]).__dict__)


def node_bytes(d: int, branching_factor: int) -> int:
    """Bytes of one node: room for one entry more than it may keep, in whole vectors.

    >>> node_bytes(2, 50)
    2020
    """
    room = (branching_factor + 8) // 8 * 8
    return room * (8 * d + 20) + 4


def _smaller(a: int | None, b: int | None) -> int | None:
    return min((v for v in (a, b) if v is not None), default=None)


def _copy(source: _native.CFTree, target: _native.CFTree) -> None:
    depth, counts, (mean, weight, scatter) = source.export_nodes()
    target.restore(depth, counts, mean, weight, scatter)


def _epochs(t: NDArray[np.float64], clock: Clock) -> list[slice]:
    """Parts of a batch within which the landmark stays, so that batches leave no trace."""
    if not len(t):
        return []
    before = t[0] if clock.newest is None else clock.newest
    running = np.maximum.accumulate(np.maximum(t, before))
    epoch = np.floor(running / (EPOCH * clock.half_life))
    cuts = [0, *(np.flatnonzero(np.diff(epoch)) + 1).tolist(), len(t)]
    return [slice(a, b) for a, b in pairwise(cuts)]


def _restore(tree: _native.CFTree, depth: int, arrays: wire.Arrays) -> None:
    if not tree.restore(depth, arrays["counts"], arrays["mean"], arrays["weight"], arrays["scatter"]):
        raise DamagedFileError("the summary's nodes do not fit together; use another copy")


def _check_values(arrays: wire.Arrays, squared_threshold: float) -> None:
    finite = all(np.isfinite(arrays[name]).all() for name in ("mean", "weight", "scatter"))
    if not (finite and (arrays["weight"] > 0).all() and (arrays["scatter"] >= 0).all()):
        raise DamagedFileError("the summary holds impossible values; use another copy")
    if not squared_threshold >= 0:
        raise DamagedFileError(f"the summary's threshold is {squared_threshold}; use another copy")
