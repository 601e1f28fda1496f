"""The moves of running centres: follow a batch, open where rows are badly served, join what is nearly the same.

Running means are those of Sculley ("Web-scale k-means clustering", WWW 2010), forgetting and the split of a dying
centre those of Spark's streaming k-means. Opening is the online facility location of Meyerson (2001): a row becomes a
centre with a chance of its cost over the price of a centre, so that far rows and new clusters are met when they come.
Joining takes the pair that adds least to the cost (Ward 1963).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.kernels import accumulate, greedy_seeds, nearest

Float64s = NDArray[np.float64]
DYING = 1e-8
"""A centre of less than this share of the heaviest one's weight is dying (Spark)."""
APART = 1e-14
"""How far the halves of a split centre are set apart, relative to their coordinates (Spark)."""
OPENINGS = 10
"""Rounds of opening in a batch: one far row makes the price so high that the next are seen only without it."""
SEED_STEPS, JOIN_STEPS = 1, 20
SMALL_BATCH = 8_000_000
"""Products of coordinates that one thread is done with before a second one has started."""
ONE_THREAD = 200_000
"""Multiplications of a matrix product that a BLAS does without waking its threads."""


@dataclass
class Cells:
    """Weighted centres and the spread of the rows behind each."""

    centres: Float64s
    """(m, d) means."""
    weights: Float64s
    """(m,) weight of the rows behind each."""
    scatter: Float64s
    """(m,) weighted sum of squared distances of those rows to their mean."""

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return self.centres.nbytes + self.weights.nbytes + self.scatter.nbytes

    def copy(self) -> Cells:
        """One that shares nothing."""
        return Cells(self.centres.copy(), self.weights.copy(), self.scatter.copy())

    def aged(self, factor: float) -> Cells:
        """The same where everything weighs ``factor`` times as much."""
        return replace(self, weights=self.weights * factor, scatter=self.scatter * factor)

    def take(self, chosen: NDArray[Any]) -> Cells:
        """Some of them."""
        return Cells(self.centres[chosen], self.weights[chosen], self.scatter[chosen])

    def __add__(self, other: Cells) -> Cells:
        parts = zip(
            (self.centres, self.weights, self.scatter),
            (other.centres, other.weights, other.scatter),
            strict=True,
        )
        return Cells(*(np.concatenate(p) for p in parts))


@dataclass
class Batch:
    """What a batch brings to each of m cells."""

    sums: Float64s
    """(m, d) weighted sums of rows."""
    counts: Float64s
    """(m,) weights of rows."""
    squared: Float64s
    """(m,) weighted sums of squared distances to the centre as it was."""


def follow(cells: Cells, X: NDArray[Any], w: Float64s, n_threads: int | None) -> None:
    """Move every cell to the mean of its rows and those of the batch nearest to it."""
    found = accumulate(X, cells.centres, w, n_threads=_worth(n_threads, X, cells))
    _move(cells, Batch(found.sums, found.counts, _per_cell(found.labels, w * found.squared, len(cells))))


def follow_and_open(
    cells: Cells,
    X: NDArray[Any],
    w: Float64s,
    *,
    wanted: int,
    most: int,
    rng: np.random.Generator,
    n_threads: int | None,
) -> Cells:
    """The same, but rows that cost too much become cells, and beyond ``most`` cells the nearest are joined.

    The price of a cell is what each of ``wanted`` cells costs on average so far: the longer the stream, the fewer
    are opened, about ``wanted`` each time it doubles. Nothing is charged while there are fewer cells than that. Where
    what was opened halves the cost, the price is made anew.
    """
    n_threads = _worth(n_threads, X, cells)
    found = accumulate(X, cells.centres, w, n_threads=n_threads)
    labels, cost = found.labels, w * found.squared
    batch, chance = Batch(found.sums, found.counts, np.empty(0)), rng.random(len(X))
    settled = float(cells.scatter.sum())
    before, total = np.inf, settled + found.inertia
    for _ in range(OPENINGS):
        price = 0.0 if len(cells) < wanted else total / wanted
        opened = np.flatnonzero(cost > chance * price)
        if not len(opened) or total > before / 2:
            break
        if len(opened) > wanted:  # as many as there will be in all are enough
            chosen, _ = greedy_seeds(
                X[opened], wanted, weights=_scaled(w[opened]), candidates=1, rng=rng, n_threads=n_threads
            )
            opened = opened[np.unique(chosen)]
        labels, cost = _give_to_new(X, w, opened, labels, cost, batch, n_threads)
        nothing = np.zeros(len(opened))
        cells = cells + Cells(X[opened].astype(np.float64), nothing, nothing)
        before, total = total, settled + float(cost.sum())
    batch.squared = _per_cell(labels, cost, len(cells))
    _move(cells, batch)
    if before < np.inf:
        cells = cells.take(cells.weights > 0)
    return join(cells, wanted) if len(cells) > most else cells


def _give_to_new(
    X: NDArray[Any],
    w: Float64s,
    opened: NDArray[np.intp],
    labels: NDArray[np.int32],
    cost: Float64s,
    batch: Batch,
    n_threads: int | None,
) -> tuple[NDArray[np.int32], Float64s]:
    """Hand over the rows that lie nearer to one of the opened rows than to their cell."""
    near = nearest(X, X[opened], n_threads=n_threads)
    theirs = w * near.squared
    moved = np.flatnonzero(theirs < cost)
    m, rows, weights = len(batch.counts), X[moved].astype(np.float64), w[moved]
    rows *= weights[:, None]
    before, after = labels[moved], near.labels[moved] + m
    batch.sums = np.concatenate([batch.sums, np.zeros((len(opened), X.shape[1]))])
    batch.counts = np.concatenate([batch.counts, np.zeros(len(opened))])
    np.add.at(batch.sums, after, rows)
    np.add.at(batch.counts, after, weights)
    np.subtract.at(batch.sums, before, rows)
    np.subtract.at(batch.counts, before, weights)
    labels, cost = labels.copy(), cost.copy()
    labels[moved], cost[moved] = after, theirs[moved]
    # what a cell has left by subtraction is rounding, unless it still has a row that weighs something
    still = np.bincount(labels[w > 0], minlength=len(batch.counts)) == 0
    batch.sums[still], batch.counts[still] = 0.0, 0.0
    return labels, cost


def _move(cells: Cells, batch: Batch) -> None:
    """Running means and scatter by Chan's formula."""
    hit = np.flatnonzero(batch.counts > 0)
    m, C = batch.counts[hit, None], cells.centres[hit]
    before = cells.weights[hit]
    after = before + batch.counts[hit]
    away = batch.sums[hit] / m - C
    away_squared = (away * away).sum(axis=1)
    share = batch.counts[hit] / after  # Spark divides by at least 1e-16, which no row of weight 1 can tell
    cells.centres[hit] = C + share[:, None] * away
    within = np.maximum(batch.squared[hit] - batch.counts[hit] * away_squared, 0.0)
    cells.scatter[hit] += within + before * share * away_squared
    cells.weights[hit] = after


def split_dying(cells: Cells) -> bool:
    """Replace the lightest cell by half of the heaviest, if it weighs next to nothing; says whether it did."""
    heavy, light = int(np.argmax(cells.weights)), int(np.argmin(cells.weights))
    most, least = cells.weights[heavy], cells.weights[light]
    if not least < DYING * most:
        return False
    centre = cells.centres[heavy].copy()
    apart = APART * np.maximum(np.abs(centre), 1.0)
    cells.centres[heavy], cells.centres[light] = centre + apart, centre - apart
    cells.weights[[heavy, light]] = (most + least) / 2
    cells.scatter[[heavy, light]] = (cells.scatter[heavy] + cells.scatter[light]) / 2
    return True


def seed_cells(
    X: NDArray[Any], w: Float64s, m: int, rng: np.random.Generator, n_threads: int | None
) -> Cells:
    """At most m cells of weighted rows: k-means++ and a few Lloyd steps; as many as there are distinct rows."""
    chosen, _ = greedy_seeds(
        X, min(m, len(X)), weights=_scaled(w), candidates=1, rng=rng, n_threads=n_threads
    )
    centres = np.unique(X[chosen], axis=0).astype(np.float64)
    for _ in range(SEED_STEPS):
        found = accumulate(X, centres, w, n_threads=n_threads)
        full = found.counts > 0
        centres = found.sums[full] / found.counts[full, None]
    nothing = np.zeros(len(centres))
    cells = Cells(centres, nothing, nothing.copy())
    follow(cells, X, w, n_threads)
    return cells.take(cells.weights > 0)


def join(cells: Cells, m: int) -> Cells:
    """At most m cells: the pair whose union adds least to the cost is joined, again and again.

    Weight, mean and total scatter (that within cells and that between them) are conserved.
    """
    n = len(cells)
    if n <= m:
        return cells.copy()
    w = (
        cells.weights / max(float(cells.weights.max()), 1e-300) + 1e-300
    )  # near 1, so that products do not vanish
    pair = _union_costs(cells.centres, w)
    partner = pair.argmin(axis=1)
    cost = pair[np.arange(n), partner]
    joined = []
    for _ in range(n - m):
        i = int(cost.argmin())
        j = int(partner[i])
        joined.append((i, j))
        fresh = _costs_of_union(pair, w, i, j)
        w[i] += w[j]
        pair[i], pair[:, i], pair[j], pair[:, j] = fresh, fresh, np.inf, np.inf
        partner[i], partner[j], cost[j] = j, -1, np.inf
        # a union is never nearer to a third cell than the nearer of its parts was, so that all others keep theirs
        stale = np.flatnonzero((partner == i) | (partner == j))
        nearest_now = pair[stale].argmin(axis=1)
        partner[stale], cost[stale] = nearest_now, pair[stale, nearest_now]
    labels = np.arange(n)
    for i, j in reversed(joined):
        labels[j] = labels[i]
    return _united(cells, labels)


def _union_costs(C: Float64s, w: Float64s) -> Float64s:
    """(n, n) what the union of each pair adds to the cost; infinity on the diagonal."""
    near_zero = C - C.mean(axis=0)
    lengths = (near_zero * near_zero).sum(axis=1)
    pair: Float64s = np.maximum(lengths[:, None] + lengths - 2 * _products(near_zero), 0.0)
    pair *= w[:, None] * w / (w[:, None] + w)
    np.fill_diagonal(pair, np.inf)
    return pair


def _products(A: Float64s) -> Float64s:
    """``A @ A.T`` on one thread if it is small: to wake those of a BLAS takes longer, on a busy machine far longer."""
    n = len(A)
    columns = ONE_THREAD // (n * n)
    if columns < 8:
        whole: Float64s = A @ A.T
        return whole
    out = np.zeros((n, n))
    for start in range(0, A.shape[1], columns):
        part = A[:, start : start + columns]
        out += part @ part.T
    return out


def _costs_of_union(pair: Float64s, w: Float64s, i: int, j: int) -> Float64s:
    """What the union of i and j would add together with each other cell (Lance and Williams 1967)."""
    with_i, with_j = w + w[i], w + w[j]
    fresh: Float64s = (with_i * pair[i] + with_j * pair[j] - w * pair[i, j]) / (with_i + w[j])
    fresh[i] = fresh[j] = np.inf
    return fresh


def _worth(n_threads: int | None, X: NDArray[Any], cells: Cells) -> int | None:
    return 1 if X.size * len(cells) < SMALL_BATCH else n_threads


def _per_cell(labels: NDArray[np.int32], values: Float64s, m: int) -> Float64s:
    totals: Float64s = np.bincount(labels, values, minlength=m).astype(np.float64, copy=False)
    return totals


def _scaled(w: Float64s) -> Float64s:
    """Weights near 1: those of long ago are so small that their products could vanish."""
    return w / max(float(w.max()), 1e-300)


def condense(cells: Cells, k: int) -> Cells:
    """At most k cells: joined, then moved by Lloyd as weighted points. Needs no random numbers."""
    out = join(cells, k)
    if len(out) == len(cells):
        return out
    before: NDArray[Any] = np.empty(0)
    for _ in range(JOIN_STEPS):
        labels = nearest(cells.centres, out.centres, n_threads=1).labels
        if np.array_equal(labels, before):
            break
        out, before = _united(cells, labels), labels
    return out


def _united(cells: Cells, labels: NDArray[Any]) -> Cells:
    """The cells of each label as one."""
    _, labels = np.unique(labels, return_inverse=True)
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    weights = np.add.reduceat(cells.weights[order], starts)
    first = cells.centres[order[starts]]
    pulls = cells.weights[:, None] * (cells.centres - first[labels])
    centres = first + np.add.reduceat(pulls[order], starts) / np.maximum(weights, 1e-300)[:, None]
    away = cells.centres - centres[labels]
    spread = cells.scatter + cells.weights * (away * away).sum(axis=1)
    return Cells(centres, weights, np.add.reduceat(spread[order], starts))
