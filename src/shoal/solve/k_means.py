"""k centres of weighted points: several starts, over-seeding, the best kept.

Over-seeding first covers the points with about ten times as many centres as asked for, then solves that small
problem many times: restarts are nearly free there, and the best of them lead to better optima than Lloyd on all rows
from one start.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError
from shoal.kernels import as_floats, default_threads, greedy_seeds, nearest
from shoal.solve.lloyd import Floats, Metric, Solution, descend, shifted

SEEDS_PER_CENTRE, LEAST_COVER = 10, 300
"""Centres of a cover for each that is asked for, and at least: a coarse cover misleads where k is small."""
COVER_STEPS = 3
RESTARTS = 20
DIRECT_STARTS = (10, 50)
"""Fewest and most starts on the points themselves, where there are too few of them to cover."""
POLISHED = (1, 6)
"""Fewest and most of the best restarts that are moved on to all points."""
AFFORDABLE = 50_000_000
"""Products of coordinates that all tries together may cost in one step of Lloyd."""
SMALL = 200_000
"""Up to so many products a step, Lloyd runs until no row moves."""
GREED = 3
"""Draws per seed on the cover, as a multiple of the usual ``2 + ln k``: cheap there, and finds better optima."""
ROUGH, FINE = 1e-3, 5e-5
"""A Lloyd run ends when a step improves by less than this share: while choosing a start, and for the chosen one."""


def k_means(
    X: ArrayLike,
    k: int,
    *,
    weights: ArrayLike | None = None,
    metric: Metric = "euclidean",
    n_init: int = 0,
    seed: int = 0,
    max_iter: int = 100,
    improvement: float = FINE,
    n_threads: int | None = None,
) -> Solution:
    """The best of a few good starts, moved by Lloyd to a local optimum.

    Parameters
    ----------
    X : (n, d) points, n at least k; unit vectors for cosine.
    k : clusters.
    n_init : direct greedy k-means++ starts beside the over-seeded ones.
    seed : equal seeds give equal answers.
    max_iter, improvement : end of the last Lloyd run.

    Raises
    ------
    BadInputError : fewer points than k.

    >>> k_means([[0.0], [1.0], [8.0], [9.0]], 2).inertia
    1.0
    """
    points = as_floats(X)
    w = np.ones(len(points)) if weights is None else np.ascontiguousarray(weights, np.float64)
    if not 1 <= k <= len(points):
        raise BadInputError(
            f"k={k} clusters asked of {len(points)} rows", remedy=f"choose k between 1 and {len(points)}"
        )
    if not np.isfinite(points).all() or not (np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise BadInputError(
            "points or weights hold NaN, infinity or negative weights, or no weight at all",
            remedy="drop such rows first",
        )
    points, origin = shifted(points, metric)
    found = solve(
        points,
        w,
        k,
        metric=metric,
        seed=seed,
        n_init=n_init,
        max_iter=max_iter,
        improvement=improvement,
        n_threads=n_threads,
    )
    return replace(found, centres=found.centres + origin)


def solve(
    points: Floats,
    w: NDArray[np.float64],
    k: int,
    *,
    metric: Metric,
    seed: int,
    n_init: int = 0,
    max_iter: int = 100,
    improvement: float = FINE,
    cover: Cover | None = None,
    thorough: bool = True,
    n_threads: int | None = None,
) -> Solution:
    """:func:`k_means` of points that are checked and near zero already.

    ``cover`` may be shared by several k; not ``thorough`` follows only the best start, and only roughly.
    """
    rng = np.random.default_rng([seed, k])

    def run(centres: NDArray[Any], end: float) -> Solution:
        return descend(
            points, centres, w, metric=metric, max_iter=max_iter, improvement=end, n_threads=n_threads
        )

    if k == 1:
        return run(points[:1], improvement)
    found: list[NDArray[Any]] = []
    if len(points) >= 2 * cover_size(k):
        if cover is None:
            cover = make_cover(points, w, cover_size(k), metric=metric, rng=rng, n_threads=n_threads)
        best = over_seeded(cover, k, metric=metric, rng=rng, n_threads=n_threads)
        found += best[: _affordable(points, k, POLISHED)]
    if found and not thorough:
        return run(found[0], ROUGH)
    small = points.size * k <= SMALL
    direct = DIRECT_STARTS[0] * small if found else _affordable(points, k, DIRECT_STARTS)
    for _ in range(max(n_init, direct)):
        chosen, _ = greedy_seeds(points, k, weights=w, rng=rng, n_threads=n_threads)
        found.append(points[chosen])
    rough = [run(centres, ROUGH / 10 if small else ROUGH) for centres in found]
    return run(min(rough, key=lambda s: s.inertia).centres, 0.0 if small else improvement)


def cover_size(k: int) -> int:
    """Centres that stand in for the points when k are wanted."""
    return max(SEEDS_PER_CENTRE * k, LEAST_COVER)


@dataclass(frozen=True)
class Cover:
    """Points stood in for by far fewer weighted centres, on which solving many times is nearly free."""

    centres: NDArray[Any]
    weights: NDArray[np.float64]


def make_cover(
    points: NDArray[Any],
    weights: NDArray[np.float64],
    size: int,
    *,
    metric: Metric,
    rng: np.random.Generator,
    n_threads: int | None = None,
) -> Cover:
    """At most ``size`` weighted centres: drawn far apart, then three Lloyd steps."""
    seeds = cover_points(points, size, weights=weights, rng=rng, n_threads=n_threads)
    solved = descend(
        points, seeds, weights, metric=metric, max_iter=COVER_STEPS, improvement=0.0, n_threads=n_threads
    )
    full = solved.counts > 0
    return Cover(solved.centres[full].astype(points.dtype), solved.counts[full])


def over_seeded(
    cover: Cover, k: int, *, metric: Metric, rng: np.random.Generator, n_threads: int | None = None
) -> list[NDArray[np.float64]]:
    """Sets of k centres of the cover, best first; none if the cover has no more than k."""
    C, W = cover.centres, cover.weights
    if len(C) <= k:
        return []

    def restart(own: np.random.Generator) -> Solution:
        chosen, _ = greedy_seeds(C, k, weights=W, candidates=_draws(k), rng=own, n_threads=1)
        return descend(C, C[chosen], W, metric=metric, max_iter=50, improvement=ROUGH, n_threads=1)

    with ThreadPoolExecutor(
        default_threads(n_threads)
    ) as pool:  # random numbers of their own: any order will do
        found = list(pool.map(restart, rng.spawn(RESTARTS)))
    found.sort(key=lambda s: s.inertia)
    return [s.centres for s in found]


def _affordable(points: NDArray[Any], k: int, bounds: tuple[int, int]) -> int:
    """The smaller the problem, the more tries it is worth."""
    fewest, most = bounds
    return min(max(AFFORDABLE // (points.size * k), fewest), most)


def _draws(k: int) -> int:
    return GREED * (2 + int(math.log(k)))


def cover_points(
    points: NDArray[Any],
    size: int,
    *,
    weights: NDArray[np.float64],
    rng: np.random.Generator,
    n_threads: int | None = None,
) -> NDArray[Any]:
    """About ``size`` distinct points drawn by squared distance to those drawn before, in a few rounds.

    The rounds of k-means|| (Bahmani et al. 2012), each twice as large as the one before.
    """
    n = len(points)
    size = min(size, n)
    first = int(rng.choice(n, p=weights / weights.sum()))
    chosen = [np.array([first])]
    closest = nearest(points, points[chosen[0]], n_threads=n_threads).squared.astype(np.float64)
    have, share = 1, max(1, math.ceil(size / 15))
    while have < size:
        cost = weights * closest
        positive = int((cost > 0).sum())
        take = min(share, size - have, positive)
        if take == 0:
            break  # all points lie on chosen ones
        # the largest of cost / exponential draws: a weighted sample without repeats
        with np.errstate(divide="ignore"):
            keys = rng.exponential(size=n) / cost
        new = np.argpartition(keys, take - 1)[:take]
        new.sort()
        new = new[np.sort(np.unique(points[new], axis=0, return_index=True)[1])]
        chosen.append(new)
        found = nearest(points, points[new], n_threads=n_threads)
        closest = np.minimum(closest, found.squared)
        have, share = have + len(new), 2 * share
    drawn: NDArray[Any] = points[np.concatenate(chosen)]
    return drawn
