"""What running centres hold once the width and precision of the rows are known, and how it travels as arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shoal.errors import DamagedFileError
from shoal.summary.centroid_steps import (
    Cells,
    condense,
    follow,
    follow_and_open,
    join,
    seed_cells,
    split_dying,
)
from shoal.summary.forgetting import FORGOTTEN, Clock, merge_clocks, new_clock, shrink
from shoal.summary.protocol import WeightedPoints

TimeUnit = Literal["batches", "points", "time"]
SPARE_SHARE, LEAST_SPARE = 5, 8
"""One spare centre for so many that are asked for, and at least: they make up for what the first rows did not show."""
SEEDING_ROWS, SEEDING_BLOCKS = 10, 3
"""Rows for each centre, and blocks, to wait for before centres are seeded."""
OFFSET = 64.0
"""A column of float32 rows is moved to its mean if that is so many standard deviations away from zero."""


@dataclass(frozen=True)
class Rule:
    """How centres run."""

    k: int
    batch_size: int | None
    decay: float | None
    """What a batch or a point leaves of the weights before it."""
    unit: TimeUnit
    half_life: float | None
    """Of event time; None unless the unit is time."""
    seed: int
    given: bool
    """The first centres are given, and exactly those run on; else there are spare ones."""

    @property
    def wanted(self) -> int:
        """Centres held after a join."""
        return self.k if self.given else self.k + max(-(-self.k // SPARE_SHARE), LEAST_SPARE)

    @property
    def most(self) -> int:
        """Centres held before a join."""
        return self.wanted if self.given else self.wanted + max(self.wanted // 4, 4)

    @property
    def seeding_rows(self) -> int:
        """Rows to wait for before centres are seeded."""
        return max(SEEDING_BLOCKS * (self.batch_size or 0), SEEDING_ROWS * self.wanted)


class RowBlock(NamedTuple):
    """Rows that wait, with weights and, in event time, times."""

    X: NDArray[Any]
    weights: NDArray[np.float64]
    times: NDArray[np.float64]
    """(n,), or (0,) where there is no event time."""

    def part(self, start: int, stop: int) -> RowBlock:
        """Rows of a range."""
        return RowBlock(*(a[start:stop] for a in self))

    def copy(self) -> RowBlock:
        """One that shares nothing."""
        return RowBlock(*(a.copy() for a in self))

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return sum(a.nbytes for a in self)


class CentroidState:
    """Cells, rows that wait for a full block, and rows that wait for the seeding."""

    def __init__(self, rule: Rule, d: int, dtype: np.dtype[Any], n_threads: int | None) -> None:
        self.rule, self.d, self.dtype, self.n_threads = rule, d, dtype, n_threads
        self.origin = np.zeros(d)
        self.cells: Cells | None = None
        self.held: list[RowBlock] = []  # rows of whole blocks, before there are centres; aged like centres
        self.pending: RowBlock | None = None  # room for a block; its rows have their own weights still
        self.n_pending = 0
        self.clock: Clock | None = new_clock(rule.half_life)
        self.count = 0
        self.blocks = 0

    def begin(self, centres: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        """Start from given centres."""
        self.origin = origin_of(centres.astype(self.dtype))
        self.cells = Cells(centres - self.origin, weights.copy(), np.zeros(len(weights)))

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        cells = 0 if self.cells is None else self.cells.nbytes
        pending = 0 if self.pending is None else self.pending.nbytes
        return self.origin.nbytes + cells + pending + sum(b.nbytes for b in self.held)

    def take(self, rows: RowBlock) -> None:
        """Take in checked rows: as one block, or cut where the stream's row number is a multiple of the batch size."""
        size, start = self.rule.batch_size, 0
        self.count += len(rows.X)
        if size is None:
            self._absorb_block(rows)
            return
        if self.n_pending:
            start = min(size - self.n_pending, len(rows.X))
            self._wait(rows.part(0, start))
            if self.n_pending == size:
                assert self.pending is not None
                self.n_pending = 0
                self._absorb_block(self.pending)
        while len(rows.X) - start >= size:
            self._absorb_block(rows.part(start, start + size))
            start += size
        if start < len(rows.X):
            self._wait(rows.part(start, len(rows.X)))

    def _wait(self, rows: RowBlock) -> None:
        size = self.rule.batch_size
        assert size is not None
        if self.pending is None:
            room = np.empty(size if self.clock is not None else 0)
            self.pending = RowBlock(np.empty((size, self.d), self.dtype), np.empty(size), room)
        n = self.n_pending
        for place, what in zip(self.pending, rows, strict=True):
            place[n : n + len(what)] = what
        self.n_pending += len(rows.X)

    def _absorb_block(self, rows: RowBlock) -> None:
        weights, factor = rows.weights, 1.0
        if self.clock is not None:
            first = self.clock.newest is None
            weights, shift = self.clock.admit(rows.times, weights)
            factor = 1.0 / self.clock.as_of_newest if first else shrink(shift)
        elif self.rule.decay is not None:
            factor = self.rule.decay ** (1.0 if self.rule.unit == "batches" else float(weights.sum()))
        self._age(factor)
        self.blocks += 1
        if len(rows.X):
            self._absorb(rows.X, weights)

    def _age(self, factor: float) -> None:
        """Let everything but the pending rows weigh less."""
        if factor == 1.0:
            return
        if self.cells is not None:
            self.cells = self.cells.aged(factor)
            if not self.rule.given:
                alive = self.cells.weights >= FORGOTTEN
                self.cells = self.cells.take(alive) if alive.any() else None
        aged = [(b, b.weights * factor) for b in self.held]
        self.held = [_weighty(b.X, np.where(w >= FORGOTTEN, w, 0.0)) for b, w in aged]
        self.held = [b for b in self.held if len(b.X)]

    def _absorb(self, X: NDArray[Any], weights: NDArray[np.float64]) -> None:
        rule = self.rule
        if self.cells is None:
            rows = _weighty(X, weights)
            if len(rows.X):
                self.held.append(rows)
            self._seed()
            return
        if self.origin.any():
            X = X - self.origin.astype(self.dtype)
        if rule.given:
            follow(self.cells, X, weights, self.n_threads)
            split_dying(self.cells)
            return
        self.cells = follow_and_open(
            self.cells,
            X,
            weights,
            wanted=rule.wanted,
            most=rule.most,
            rng=np.random.default_rng([rule.seed, self.blocks]),
            n_threads=self.n_threads,
        )

    def _seed(self) -> None:
        """Centres of the rows that wait for it, once there are enough of them."""
        if sum(len(b.X) for b in self.held) < self.rule.seeding_rows:
            return
        X = np.concatenate([b.X for b in self.held])
        weights = np.concatenate([b.weights for b in self.held])
        self.origin = origin_of(X)
        rng = np.random.default_rng([self.rule.seed, self.blocks])
        near_zero = X - self.origin.astype(self.dtype)
        self.cells = seed_cells(near_zero, weights, self.rule.wanted, rng, self.n_threads)
        self.held = []

    def look(self) -> CentroidState:
        """The state with the pending rows in it; looking must not change what comes next."""
        if not self.n_pending:
            return self
        assert self.pending is not None
        out = CentroidState(self.rule, self.d, self.dtype, self.n_threads)
        out.origin, out.held, out.blocks = self.origin, list(self.held), self.blocks
        out.cells = None if self.cells is None else self.cells.copy()
        if self.clock is not None:
            out.clock = Clock.from_meta(self.clock.to_meta())
        out._absorb_block(self.pending.part(0, self.n_pending))
        return out

    def points(self, k: int | None = None) -> WeightedPoints:
        """Cells, condensed to k if asked for; the rows, if there are no cells yet."""
        now = self.look()
        scale = 1.0 if now.clock is None else now.clock.as_of_newest
        if now.cells is not None:
            cells = now.cells if k is None else condense(now.cells, k)
            return WeightedPoints(cells.centres + now.origin, cells.weights * scale, cells.scatter * scale)
        X = np.concatenate([np.empty((0, self.d), self.dtype), *(b.X for b in now.held)])
        weights = np.concatenate([np.empty(0), *(b.weights for b in now.held)])
        if k is None:
            return WeightedPoints(X, weights * scale)
        origin = origin_of(X) if len(X) else now.origin
        rows = Cells(X.astype(np.float64) - origin, weights, np.zeros(len(X)))
        start = rows
        if len(rows) > now.rule.most:
            rng = np.random.default_rng([now.rule.seed, now.blocks])
            start = seed_cells(rows.centres, weights, now.rule.wanted, rng, self.n_threads)
        cells = condense(start, k)
        return WeightedPoints(cells.centres + origin, cells.weights * scale, cells.scatter * scale)

    def merge(self, other: CentroidState, rule: Rule) -> CentroidState:
        """The state of the rows of both; the caller sees to the order of the two."""
        out = CentroidState(rule, self.d, np.result_type(self.dtype, other.dtype), self.n_threads)
        out.clock, *shifts = merge_clocks(self.clock, other.clock)
        out.blocks = self.blocks + other.blocks
        sides = list(zip((self, other), (shrink(s) for s in shifts), strict=True))
        seeded = [(side, factor) for side, factor in sides if side.cells is not None]
        if seeded:
            out.origin = seeded[0][0].origin
            out._unite([side._cells_about(out.origin).aged(factor) for side, factor in seeded])
        held = [
            RowBlock(b.X.astype(out.dtype), b.weights * f, b.times) for side, f in sides for b in side.held
        ]
        if out.cells is None:
            out.held = held
            out._seed()
        else:
            for b in held:
                out._absorb(b.X, b.weights)
        for side, _ in sides:
            if side.pending is not None and side.n_pending:
                out.take(side.pending.part(0, side.n_pending))
        out.count = self.count + other.count
        return out

    def _cells_about(self, origin: NDArray[np.float64]) -> Cells:
        assert self.cells is not None
        out = self.cells.copy()
        if (origin != self.origin).any():
            out.centres += self.origin - origin
        return out

    def _unite(self, parts: list[Cells]) -> None:
        cells = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        if self.rule.given:
            self.cells = _exactly(condense(cells, self.rule.k), self.rule.k)
            return
        cells = cells.take(cells.weights > 0)
        if len(cells):
            self.cells = join(cells, self.rule.wanted) if len(cells) > self.rule.most else cells

    def export(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Plain metadata and arrays; equal states give equal ones."""
        meta: dict[str, Any] = {"d": self.d, "dtype": self.dtype.name, "count": self.count}
        meta["blocks"] = self.blocks
        arrays: dict[str, NDArray[Any]] = {"origin": self.origin}
        if self.clock is not None:
            meta["clock"] = self.clock.to_meta()
        if self.cells is not None:
            c = self.cells
            arrays |= {"centres": c.centres, "weights": c.weights, "scatter": c.scatter}
        if self.held:
            arrays["held_X"] = np.concatenate([b.X for b in self.held])
            arrays["held_weights"] = np.concatenate([b.weights for b in self.held])
        if self.n_pending and self.pending is not None:
            rows = self.pending.part(0, self.n_pending)
            arrays |= {f"pending_{name}": getattr(rows, name) for name in RowBlock._fields}
        return meta, arrays

    @classmethod
    def restore(
        cls, rule: Rule, meta: dict[str, Any], arrays: dict[str, NDArray[Any]], n_threads: int | None
    ) -> Self:
        """Inverse of :meth:`export`.

        Raises
        ------
        DamagedFileError : arrays or figures that do not fit together.
        """
        _demand(meta["dtype"] in ("float32", "float64"), "precision")
        out = cls(rule, _count(meta, "d"), np.dtype(meta["dtype"]), n_threads)
        out.count, out.blocks = _count(meta, "count"), _count(meta, "blocks")
        _check_arrays(arrays, out)
        out.origin = arrays["origin"]
        _demand(("clock" in meta) == (out.clock is not None), "clock")
        if out.clock is not None:
            out.clock = Clock.from_meta(meta["clock"])
            _demand(out.clock.half_life == rule.half_life, "half-life")
        if "centres" in arrays:
            out.cells = Cells(*(arrays[name].copy() for name in ("centres", "weights", "scatter")))
        if "held_X" in arrays:
            out.held = [RowBlock(arrays["held_X"], arrays["held_weights"], np.empty(0))]
        if "pending_X" in arrays:
            out._wait(RowBlock(*(arrays[f"pending_{name}"] for name in RowBlock._fields)))
        return out


def origin_of(X: NDArray[Any]) -> NDArray[np.float64]:
    """Where float32 rows are moved to, so that centres far from zero can be told apart; zeros if no need.

    Only columns that lie far off are moved, by a float32 number, so that rows lose next to nothing to it. The float64
    kernels need no such help.
    """
    nothing = np.zeros(X.shape[1])
    if X.dtype != np.float32:
        return nothing
    some = X[:: max(1, len(X) // 1000)]
    mean = some.mean(axis=0, dtype=np.float64)
    far = np.abs(mean) > OFFSET * some.std(axis=0, dtype=np.float64)
    return np.where(far, mean.astype(np.float32).astype(np.float64), nothing)


def _weighty(X: NDArray[Any], weights: NDArray[np.float64]) -> RowBlock:
    """A copy of the rows that weigh something."""
    alive = weights > 0
    return RowBlock(X[alive], weights[alive], np.empty(0))


def _exactly(cells: Cells, k: int) -> Cells:
    """k cells: the first one stands again for those that are missing, without weight."""
    missing = k - len(cells)
    if missing <= 0:
        return cells
    again = cells.take(np.zeros(missing, np.intp))
    return cells + again.aged(0.0)


def _demand(condition: Any, what: str) -> None:
    if not bool(condition):
        raise DamagedFileError(f"the summary's parts do not fit together ({what}); use another copy")


def _count(meta: dict[str, Any], name: str) -> int:
    value = meta[name]
    _demand(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63, name)
    return int(value)


def _check_arrays(arrays: dict[str, NDArray[Any]], state: CentroidState) -> None:
    """Everything the kernels will trust."""
    d, rule = state.d, state.rule
    shapes: dict[str, tuple[int, ...]] = {"origin": (d,)}
    _demand(d > 0, "width")
    if "centres" in arrays:
        m = len(arrays["centres"])
        _demand(m == rule.k if rule.given else 0 < m <= rule.most, "centres")
        shapes |= {"centres": (m, d), "weights": (m,), "scatter": (m,)}
    if "held_X" in arrays:
        n = len(arrays["held_X"])
        _demand(n > 0, "held rows")
        shapes |= {"held_X": (n, d), "held_weights": (n,)}
    if "pending_X" in arrays:
        n = len(arrays["pending_X"])
        _demand(rule.batch_size is not None and 0 < n < rule.batch_size, "pending rows")
        times = 0 if state.clock is None else n
        shapes |= {"pending_X": (n, d), "pending_weights": (n,), "pending_times": (times,)}
    for name, shape in shapes.items():
        dtype = state.dtype if name.endswith("_X") else np.dtype(np.float64)
        _demand(arrays[name].shape == shape and arrays[name].dtype == dtype, name)
        _demand(math.isfinite(float(np.abs(arrays[name]).max(initial=0.0))), name)
        if name.endswith(("weights", "scatter")):
            _demand((arrays[name] >= 0).all(), name)
