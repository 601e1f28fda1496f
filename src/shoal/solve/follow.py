"""Solving a summary that changes, again and again: stay where it is good enough, so that labels do not flicker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.solve.choose_k import choose_k
from shoal.solve.k_means import k_means
from shoal.solve.lloyd import Metric, Solution, lloyd
from shoal.summary.protocol import WeightedPoints

MARGIN = 0.03
"""A solve from scratch wins over going on from the last centres if its inertia is lower by this share."""
CHOICE_POINTS = 1500
"""Points on which the number of clusters is chosen."""
AGREE = 2
"""Solves in a row that must want another k before it changes."""


@dataclass(frozen=True)
class Following:
    """What the next solve needs to know of the ones before."""

    k: int = 0
    """Number of clusters now; 0 before the first solve."""
    wanted: int = 0
    """Another number that the last solves would have chosen."""
    times: int = 0
    """How many in a row."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


class Next(NamedTuple):
    """A solution, and the state for the next one."""

    solution: Solution
    following: Following


def next_solution(
    points: WeightedPoints,
    k: int | tuple[int, int],
    previous: NDArray[Any] | None,
    following: Following,
    *,
    rows: int,
    seed: int = 0,
    metric: Metric = "euclidean",
    n_threads: int | None = None,
) -> Next:
    """Solve again.

    Parameters
    ----------
    points : of the summary as it is now, all of some weight.
    k : number of clusters, or the fewest and most.
    previous : (k', d) centres of the last solve.
    rows : rows behind the points.

    >>> points = WeightedPoints(np.array([[0.0], [1.0], [8.0], [9.0]]), np.ones(4))
    >>> found = next_solution(points, 2, np.array([[1.0], [7.0]]), Following(), rows=4)
    >>> found.solution.centres.ravel()
    array([0.5, 8.5])
    """
    low, high = k if isinstance(k, tuple) else (k, k)
    low, high = min(low, len(points.X)), min(high, len(points.X))
    now = min(max(following.k, low), high) if following.k else 0
    if low == high:
        following = Following(low)
    else:
        following = _reconsidered(points, low, high, now, following, rows, seed, metric, n_threads)
    solution = _solved(points, following.k, previous, seed, metric, n_threads)
    distinct = int((solution.counts > 0).sum())
    if distinct < following.k:  # fewer rows differ than clusters are asked for
        solution = _solved(points, distinct, previous, seed, metric, n_threads)
    return Next(solution, following)


def _reconsidered(
    points: WeightedPoints,
    low: int,
    high: int,
    now: int,
    before: Following,
    rows: int,
    seed: int,
    metric: Metric,
    n_threads: int | None,
) -> Following:
    """Another k only if several solves in a row want it."""
    sample = _alike(points, seed)
    choice = choose_k(
        sample,
        np.ones(len(sample)),
        range(low, high + 1),
        rows=rows,
        metric=metric,
        seed=seed,
        n_threads=n_threads,
    )
    wanted = choice.suggested or (now or choice.most_voted)
    if not now or wanted == now:
        return Following(wanted)
    times = before.times + 1 if wanted == before.wanted else 1
    return Following(wanted) if times >= AGREE else Following(now, wanted, times)


def _alike(points: WeightedPoints, seed: int) -> NDArray[Any]:
    """Points drawn by their weight, so that each stands for as much as any other."""
    n = min(CHOICE_POINTS, len(points.X))
    shares = np.cumsum(points.weights) / points.weights.sum()
    start = np.random.default_rng([seed, 0xF0110]).uniform()
    index = np.searchsorted(shares, (start + np.arange(n)) / n, side="right")
    drawn: NDArray[Any] = points.X[np.minimum(index, len(shares) - 1)]
    return drawn


def _solved(
    points: WeightedPoints,
    k: int,
    previous: NDArray[Any] | None,
    seed: int,
    metric: Metric,
    n_threads: int | None,
) -> Solution:
    cold = k_means(points.X, k, weights=points.weights, metric=metric, seed=seed, n_threads=n_threads)
    if previous is None or len(previous) != k:
        return cold
    warm = lloyd(points.X, previous, weights=points.weights, metric=metric, n_threads=n_threads)
    return cold if cold.inertia < (1.0 - MARGIN) * warm.inertia else warm
