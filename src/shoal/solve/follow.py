"""Solving a summary that changes, again and again: stay where it is good enough, so that labels do not flicker."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.solve.choose_k import choose_k
from shoal.solve.granularity import choose_by_silhouette
from shoal.solve.k_means import k_means
from shoal.solve.lloyd import Metric, Solution, lloyd
from shoal.summary.protocol import WeightedPoints

Criterion = Literal["votes", "silhouette"]
"""By what k is chosen: several criteria (:mod:`shoal.solve.choose_k`), or the one that sees clusters of embeddings."""
MARGIN = 0.03
"""A solve from scratch wins over going on from the last centres if its inertia is lower by this share."""
CHOICE_POINTS = 1500
"""Points on which the number of clusters is chosen."""
AGREE = 2
"""Solves in a row that must want another k before it changes."""
EAGER, PATIENT = 8, 4
"""The first solves are all made from scratch too, with another look at k; later ones every so many, and whenever the
cost of a row changed by more than ``SHIFTED``. Going on from the last centres is many times cheaper."""
SHIFTED = 0.05
FADED = 0.01
"""A cluster with less than this share of the weight is given up where k may change: its place is needed."""


@dataclass(frozen=True)
class Following:
    """What the next solve needs to know of the ones before."""

    k: int = 0
    """Number of clusters now; 0 before the first solve."""
    wanted: int = 0
    """Another number that the last solves would have chosen."""
    times: int = 0
    """How many in a row."""
    solves: int = 0
    """Made so far."""
    level: float = 0.0
    """Cost of a row when it was last solved from scratch."""

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
    criterion: Criterion = "votes",
    n_threads: int | None = None,
) -> Next:
    """Solve again.

    Parameters
    ----------
    points : of the summary as it is now, all of some weight.
    k : number of clusters, or the fewest and most.
    previous : (k', d) centres of the last solve.
    rows : rows behind the points.

    Raises
    ------
    BadInputError : no points, NaN, no weight, a k below 1, an empty range.

    >>> points = WeightedPoints(np.array([[0.0], [1.0], [8.0], [9.0]]), np.ones(4))
    >>> found = next_solution(points, 2, np.array([[1.0], [7.0]]), Following(), rows=4)
    >>> found.solution.centres.ravel()
    array([0.5, 8.5])
    """
    low, high = k if isinstance(k, tuple) else (k, k)
    low, high = min(low, len(points.X)), min(high, len(points.X))
    solver = _Solver(points, rows, seed, metric, criterion, n_threads)
    warm, rose = None, False
    if previous is not None and len(previous) == following.k and low <= following.k <= high:
        warm = solver.warm(previous)
        level = warm.inertia / solver.weight
        rose = level > (1 + SHIFTED) * following.level
        if low < len(previous) and _faded(warm).any() and warm.inertia > 0:
            return _without(warm, max(low, len(previous) - int(_faded(warm).sum())), solver, following)
        if not _due(following, level):
            return Next(warm, replace(following, solves=following.solves + 1))
    now = min(max(following.k, low), high) if following.k else 0
    wanted = (
        replace(following, k=low)
        if low == high
        else solver.reconsidered(low, high, now, following, rose=rose)
    )
    solution = solver.cold(wanted.k)
    if warm is not None and wanted.k == len(warm.centres) and solution.inertia >= (1 - MARGIN) * warm.inertia:
        solution = warm
    kept = max(low, len(solution.centres) - int(_faded(solution).sum()))
    if kept < wanted.k and following.k:
        return _without(solution, kept, solver, following)
    distinct = int((solution.counts > 0).sum())
    if distinct < wanted.k:  # fewer rows differ than clusters are asked for
        solution = solver.cold(distinct)
    level = solution.inertia / solver.weight
    return Next(solution, replace(wanted, k=len(solution.centres), solves=wanted.solves + 1, level=level))


def _faded(solution: Solution) -> NDArray[np.bool_]:
    few: NDArray[np.bool_] = solution.counts < FADED * solution.counts.sum()
    return few


def _without(warm: Solution, k: int, solver: _Solver, following: Following) -> Next:
    """On from the k heaviest of the last centres."""
    heaviest = np.sort(np.argsort(-warm.counts, kind="stable")[:k])
    solution = solver.warm(warm.centres[heaviest])
    level = solution.inertia / solver.weight
    return Next(
        solution, replace(following, k=k, wanted=0, times=0, solves=following.solves + 1, level=level)
    )


def _due(now: Following, level: float) -> bool:
    """Whether it is time to start anew and to ask for k again: at first, now and then, and when the cost shifted."""
    calm = abs(level - now.level) <= SHIFTED * now.level
    return not calm or now.solves < EAGER or now.solves % PATIENT == 0 or now.times > 0


@dataclass(frozen=True)
class _Solver:
    points: WeightedPoints
    rows: int
    seed: int
    metric: Metric
    criterion: Criterion
    n_threads: int | None

    @property
    def weight(self) -> float:
        return float(self.points.weights.sum())

    def reconsidered(self, low: int, high: int, now: int, before: Following, *, rose: bool) -> Following:
        """Another k only if several solves in a row want it; one is enough for more clusters if the cost rose."""
        sample = _alike(self.points, self.seed)
        if len(np.unique(sample, axis=0)) < low:  # no k can be told from another
            return replace(before, k=low, wanted=0, times=0)
        wanted = self._chosen(sample, low, high, now)
        if not now or wanted == now:
            return replace(before, k=wanted, wanted=0, times=0)
        times = before.times + 1 if wanted == before.wanted else 1
        if times >= AGREE or (rose and wanted > now):
            return replace(before, k=wanted, wanted=0, times=0)
        return replace(before, k=now, wanted=wanted, times=times)

    def _chosen(self, sample: NDArray[Any], low: int, high: int, now: int) -> int:
        if self.criterion == "silhouette":
            return choose_by_silhouette(
                sample, low, high, metric=self.metric, seed=self.seed, n_threads=self.n_threads
            )
        choice = choose_k(
            sample,
            np.ones(len(sample)),
            range(low, high + 1),
            rows=self.rows,
            metric=self.metric,
            seed=self.seed,
            n_threads=self.n_threads,
        )
        return choice.suggested or (now or choice.most_voted)

    def cold(self, k: int) -> Solution:
        """From scratch."""
        return k_means(
            self.points.X,
            k,
            weights=self.points.weights,
            metric=self.metric,
            seed=self.seed,
            n_threads=self.n_threads,
        )

    def warm(self, previous: NDArray[Any]) -> Solution:
        """On from the last centres."""
        return lloyd(
            self.points.X,
            previous,
            weights=self.points.weights,
            metric=self.metric,
            n_threads=self.n_threads,
        )


def _alike(points: WeightedPoints, seed: int) -> NDArray[Any]:
    """Points drawn by their weight, so that each stands for as much as any other."""
    n = min(CHOICE_POINTS, len(points.X))
    shares = np.cumsum(points.weights) / points.weights.sum()
    start = np.random.default_rng([seed, 0xF0110]).uniform()
    index = np.searchsorted(shares, (start + np.arange(n)) / n, side="right")
    drawn: NDArray[Any] = points.X[np.minimum(index, len(shares) - 1)]
    return drawn
