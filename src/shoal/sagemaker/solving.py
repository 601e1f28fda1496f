"""From the summary of a training job to its centres, steered by the hyperparameters, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.kernels import accumulate, nearest
from shoal.sagemaker.hyperparameters import Hyperparameters
from shoal.solve.k_means import LEAST_COVER, make_cover, solve
from shoal.solve.lloyd import Floats, Solution, descend, shifted
from shoal.summary.coreset import Coreset
from shoal.summary.protocol import WeightedPoints

RANDOM_TRIALS = 10


def points_of(summary: Coreset) -> WeightedPoints:
    """The sample in the order of its identities, which no order of merging changes."""
    points, order = summary.points(), np.argsort(summary.sampled_ids(), kind="stable")
    return WeightedPoints(points.X[order], points.weights[order])


def solve_points(
    points: WeightedPoints, asked: Hyperparameters, *, start: NDArray[Any] | None = None
) -> Solution:
    """The best k centres that the hyperparameters' way of searching finds.

    Parameters
    ----------
    points : of :func:`points_of`.
    start : (k, d) centres to begin with, instead of any search.

    Raises
    ------
    BadInputError : fewer rows than clusters, or fewer that differ.

    >>> X = np.array([[0.0], [1.0], [8.0], [9.0]], np.float32)
    >>> solve_points(WeightedPoints(X, np.ones(4)), Hyperparameters(k=2)).inertia
    1.0
    """
    k = asked.k
    if len(points.X) < k:
        raise BadInputError(f"k={k} clusters asked of {len(points.X)} rows", remedy="choose a smaller k")
    X, origin = shifted(points.X, "euclidean")
    if start is not None:
        found = _descended(X, points.weights, np.asarray(start, np.float64) - origin, asked)
    elif asked.local_lloyd_init_method == "random":
        found = _from_random_rows(X, points.weights, asked)
    else:
        found = _from_seeds(X, points.weights, asked)
    distinct = int((found.counts > 0).sum())
    if distinct < k:
        raise BadInputError(
            f"k={k} clusters asked of rows of which only {distinct} differ",
            remedy=f"choose k up to {distinct}",
        )
    return measured(points, found.centres + origin, found)


def measured(points: WeightedPoints, centres: NDArray[np.float64], story: Solution | None = None) -> Solution:
    """These centres as a solution of the points, with the steps of another."""
    found = accumulate(points.X, centres, points.weights)
    steps, converged = (story.steps, story.converged) if story is not None else ((), True)
    return Solution(centres, found.labels, found.counts, found.inertia, steps, converged)


def _from_seeds(X: Floats, w: NDArray[np.float64], asked: Hyperparameters) -> Solution:
    """Greedy k-means++ on a cover of the points, and on the points themselves."""
    factor, cover = asked.extra_center_factor, None
    if factor is not None and asked.k > 1:
        # of one centre per cluster nothing can be chosen: the search then begins on the points
        size = asked.k if factor == 1 else max(factor * asked.k, LEAST_COVER)
        rng = np.random.default_rng([asked.seed, asked.k, size])
        cover = make_cover(X, w, min(size, len(X)), metric="euclidean", rng=rng)
    return solve(
        X,
        w,
        asked.k,
        metric="euclidean",
        seed=asked.seed,
        n_init=asked.local_lloyd_num_trials or 0,
        max_iter=asked.local_lloyd_max_iter,
        improvement=asked.local_lloyd_tol,
        cover=cover,
    )


def _from_random_rows(X: Floats, w: NDArray[np.float64], asked: Hyperparameters) -> Solution:
    rng = np.random.default_rng([asked.seed, asked.k])
    trials = []
    for _ in range(asked.local_lloyd_num_trials or RANDOM_TRIALS):
        rows = rng.choice(len(X), asked.k, replace=False, p=w / w.sum())
        trials.append(_descended(X, w, X[rows], asked))
    return min(trials, key=lambda s: s.inertia)


def _descended(X: Floats, w: NDArray[np.float64], centres: NDArray[Any], asked: Hyperparameters) -> Solution:
    return descend(
        X,
        centres,
        w,
        metric="euclidean",
        max_iter=asked.local_lloyd_max_iter,
        improvement=asked.local_lloyd_tol,
    )


class ExactPass(NamedTuple):
    """Totals of one read of all rows against given centres; those of several hosts are added."""

    sums: NDArray[np.float64]
    """(k, d)."""
    counts: NDArray[np.float64]
    """(k,)."""
    ssd: float
    """Sum of squared distances to the given centres."""

    @classmethod
    def over(cls, batches: Iterable[NDArray[np.float32]], centres: NDArray[np.float64]) -> Self:
        """The totals of these rows."""
        sums, counts, costs = np.zeros(centres.shape), np.zeros(len(centres)), []
        for X in batches:
            found = accumulate(X, centres)
            sums += found.sums
            counts += found.counts
            costs.append(found.inertia)
        return cls(sums, counts, math.fsum(costs))

    def plus(self, other: ExactPass) -> ExactPass:
        """The totals of both."""
        return ExactPass(self.sums + other.sums, self.counts + other.counts, self.ssd + other.ssd)

    def moved(self, centres: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Centres at the means of their rows, and the sum of squared distances of the rows to them.

        That sum is of the clusters as they were: the true one is about that or less.

        >>> totals = ExactPass.over([np.array([[0.0], [2.0], [9.0]], np.float32)], np.array([[0.0], [9.0]]))
        >>> totals.moved(np.array([[0.0], [9.0]]))
        (array([[1.], [9.]]), 2.0)
        """
        full = self.counts > 0
        new = centres.copy()
        new[full] = self.sums[full] / self.counts[full, None]
        gain = self.counts * ((new - centres) ** 2).sum(axis=1)
        return new, max(self.ssd - float(gain.sum()), 0.0)


def squared_distances(
    batches: Iterable[NDArray[np.float32]], centres: NDArray[np.float64]
) -> tuple[int, float]:
    """Rows, and the sum of their squared distances to the nearest centre.

    >>> squared_distances([np.array([[1.0], [7.0]], np.float32)], np.array([[0.0], [9.0]]))
    (2, 5.0)
    """
    rows, costs = 0, []
    for X in batches:
        apart = X - centres[nearest(X, centres).labels]  # in float64
        costs.append(float(np.einsum("ij,ij->", apart, apart)))
        rows += len(X)
    return rows, math.fsum(costs)
