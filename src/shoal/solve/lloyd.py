"""Lloyd's iteration on weighted rows, with empty-cluster repair and the story of every step as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError
from shoal.kernels import Totals, accumulate, as_floats

Metric = Literal["euclidean", "cosine"]
Floats = NDArray[np.float32] | NDArray[np.float64]
OFFSET = 64.0
"""Rows are moved to their mean before solving if it is this many standard deviations away from zero."""


class Step(NamedTuple):
    """One iteration, for people who want to watch."""

    iteration: int
    inertia: float
    """Weighted sum of squared distances to the centres the step began with."""
    shift: float
    """Euclidean length of the move of all centres together."""
    moved: int
    """Rows whose nearest centre changed; all rows in the first step."""
    repaired: int
    """Empty clusters that were given a new centre."""


@dataclass(frozen=True)
class Solution:
    """Centres of weighted rows, and how they were found."""

    centres: NDArray[np.float64]
    """(k, d)."""
    labels: NDArray[np.int32]
    """(n,) nearest centre of each row."""
    counts: NDArray[np.float64]
    """(k,) weight of each cluster."""
    inertia: float
    """Weighted sum of squared distances to the nearest centre (for cosine: of unit vectors)."""
    steps: tuple[Step, ...]
    converged: bool

    @property
    def iterations(self) -> int:
        """Steps taken."""
        return len(self.steps)

    def largest_first(self) -> NDArray[np.intp]:
        """An order of the centres that does not depend on how they were found: by weight, then by coordinates."""
        keys = (*np.round(self.centres, 9).T[::-1], -np.round(self.counts, 6))
        order: NDArray[np.intp] = np.lexsort(keys)
        return order


def lloyd(
    X: ArrayLike,
    centres: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    metric: Metric = "euclidean",
    max_iter: int = 300,
    tol: float = 1e-4,
    improvement: float = 0.0,
    n_threads: int | None = None,
    watch: Callable[[Step, NDArray[np.float64]], None] | None = None,
) -> Solution:
    """Move centres to the weighted means of their rows until they rest (Lloyd 1982).

    Parameters
    ----------
    X : (n, d) rows; unit vectors for cosine, whose centres are unit vectors too (spherical k-means).
    centres : (k, d) to start from; not changed.
    tol : stop when the squared move of the centres is at most ``tol`` times the mean variance of the columns.
    improvement : also stop when a step lowers the inertia by less than this share.
    watch : called after every step with it and the new centres.

    The answer's labels and inertia belong to its centres exactly: they are measured after the last move.

    >>> s = lloyd([[0.0], [1.0], [8.0], [9.0]], [[0.0], [1.0]])
    >>> s.centres.ravel(), s.inertia, s.labels
    (array([0.5, 8.5]), 1.0, array([0, 0, 1, 1], dtype=int32))
    """
    rows = as_floats(X)
    w = None if weights is None else np.ascontiguousarray(weights, np.float64)
    C = np.array(centres, np.float64, copy=True)
    if len(rows) == 0:
        raise BadInputError("no rows to cluster", remedy="check the input and its filter")
    rows, origin = shifted(rows, metric)
    told = watch
    if watch is not None:
        told = lambda step, moved: watch(step, moved + origin)  # noqa: E731
    rest = tol * _mean_variance(rows, w) if tol > 0 else 0.0
    found = descend(
        rows,
        C - origin,
        w,
        metric=metric,
        max_iter=max_iter,
        improvement=improvement,
        rest=rest,
        n_threads=n_threads,
        watch=told,
    )
    return replace(found, centres=found.centres + origin)


def descend(
    rows: Floats,
    centres: NDArray[Any],
    w: NDArray[np.float64] | None,
    *,
    metric: Metric,
    max_iter: int,
    improvement: float,
    rest: float = 0.0,
    n_threads: int | None = None,
    watch: Callable[[Step, NDArray[np.float64]], None] | None = None,
) -> Solution:
    """:func:`lloyd` on rows that are checked and near zero already; ``rest`` is the squared move that ends it."""
    C = np.asarray(centres, np.float64)
    if metric == "cosine":
        C = _unit(C, C)
    steps: list[Step] = []
    before: NDArray[np.int32] | None = None
    converged, least = False, np.inf
    for iteration in range(max_iter):
        found = accumulate(rows, C, w, n_threads=n_threads)
        moved = len(rows) if before is None else int((found.labels != before).sum())
        new, repaired = _means(rows, w, C, found, metric)
        shift = float(np.sqrt(((new - C) ** 2).sum()))
        C, before = new, found.labels
        steps.append(Step(iteration + 1, found.inertia, shift, moved, repaired))
        if watch is not None:
            watch(steps[-1], C)
        gain = (least - found.inertia) / found.inertia if found.inertia > 0 else 0.0
        least = found.inertia
        if not repaired and (moved == 0 or shift**2 <= rest or gain < improvement):
            converged = True
            break
    last = accumulate(rows, C, w, n_threads=n_threads)
    return Solution(C, last.labels, last.counts, last.inertia, tuple(steps), converged)


def _means(
    X: NDArray[Any], w: NDArray[np.float64] | None, C: NDArray[np.float64], found: Totals, metric: Metric
) -> tuple[NDArray[np.float64], int]:
    """New centres, and how many clusters were empty and got one of the rows worst served."""
    sums, counts = found.sums, found.counts
    empty = np.flatnonzero(counts <= 0)
    repaired = 0
    if len(empty):
        sums, counts = sums.copy(), counts.copy()
        cost = found.squared.astype(np.float64) * (1.0 if w is None else w)
        size = np.bincount(found.labels, minlength=len(C))
        waiting = list(empty)
        for i in np.argsort(-cost, kind="stable"):
            if not waiting:
                break
            donor, weight = found.labels[i], 1.0 if w is None else w[i]
            if cost[i] <= 0:
                break  # every row already lies on a centre: fewer distinct rows than clusters
            if size[donor] < 2:
                continue
            row = X[i].astype(np.float64)
            sums[donor] -= weight * row
            counts[donor] -= weight
            size[donor] -= 1
            c = waiting.pop()
            sums[c], counts[c] = weight * row, weight
            repaired += 1
    full = counts > 0
    new = C.copy()
    new[full] = sums[full] / counts[full, None]
    return (_unit(new, C) if metric == "cosine" else new), repaired


def _unit(centres: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres of length 1; where rows cancel out any direction is as good, and the one before is kept."""
    length = np.linalg.norm(centres, axis=1)
    still = length <= 1e-12
    kept = np.where(still[:, None], before, centres)
    unit: NDArray[np.float64] = kept / np.maximum(np.linalg.norm(kept, axis=1), 1e-300)[:, None]
    return unit


def shifted(X: Floats, metric: Metric) -> tuple[Floats, NDArray[np.float64]]:
    """float32 rows moved to their mean where it is so far off that centres could not be told apart, and the move.

    The move is a float32 number, so that rows lose nothing to it; zeros where nothing is moved.
    """
    nothing = np.zeros(X.shape[1])
    if X.dtype != np.float32 or metric == "cosine":
        return X, nothing
    mean = X.mean(axis=0, dtype=np.float64)
    spread = X[:: max(1, len(X) // 10_000)].std(axis=0, dtype=np.float64)
    if not (np.abs(mean) > OFFSET * spread).any():
        return X, nothing
    origin = mean.astype(np.float32)
    return X - origin, origin.astype(np.float64)


def _mean_variance(X: NDArray[Any], w: NDArray[np.float64] | None) -> float:
    if w is None:
        return float(X.var(axis=0, dtype=np.float64).mean())
    W = w.sum()
    if W <= 0:
        return 0.0
    mean = (w @ X) / W
    return float((w @ (X - mean) ** 2 / W).mean())
