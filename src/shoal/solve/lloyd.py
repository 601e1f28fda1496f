"""Lloyd's iteration on weighted rows, with empty-cluster repair and the story of every step as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError
from shoal.kernels import Totals, accumulate, as_floats

Metric = Literal["euclidean", "cosine"]


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
    rest = tol * _mean_variance(rows, w) if tol > 0 else 0.0
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
        for c, i in zip(empty, np.argsort(-cost, kind="stable")[: len(empty)], strict=False):
            donor, weight = found.labels[i], 1.0 if w is None else w[i]
            if cost[i] <= 0 or size[donor] < 2:
                break  # every row already lies on a centre: fewer distinct rows than clusters
            row = X[i].astype(np.float64)
            sums[donor] -= weight * row
            counts[donor] -= weight
            size[donor] -= 1
            sums[c], counts[c] = weight * row, weight
            repaired += 1
    full = counts > 0
    new = C.copy()
    new[full] = sums[full] / counts[full, None]
    if metric == "cosine":
        length = np.linalg.norm(new, axis=1)
        still = length <= 1e-12  # rows that cancel out: any direction is as good, keep the old one
        new[still], length[still] = C[still], np.linalg.norm(C[still], axis=1)
        new /= np.maximum(length, 1e-300)[:, None]
    return new, repaired


def _mean_variance(X: NDArray[Any], w: NDArray[np.float64] | None) -> float:
    if w is None:
        return float(X.var(axis=0, dtype=np.float64).mean())
    W = w.sum()
    if W <= 0:
        return 0.0
    mean = (w @ X) / W
    return float((w @ (X - mean) ** 2 / W).mean())
