"""How fine? A number of clusters for embeddings, where most criteria of :mod:`shoal.solve.choose_k` see nothing.

Vectors of hundreds of columns lie about equally far from each other, so inertia, its gap and its variance ratio hardly
tell one k from the next. The silhouette (Rousseeuw 1987) compares each row's own cluster with the next one only, and does
tell: on 20,000 question titles of 20 subjects it answers 23, on 13,083 questions of 77 intents 45 to 64.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.solve.k_means import k_means
from shoal.solve.lloyd import Metric

STEP = 1.4
"""Factor from one k tried to the next, before the neighbours of the best are looked at."""
NEAR = 0.98
"""Of all k whose silhouette is at least this part of the best, the smallest is taken."""


def choose_by_silhouette(
    X: NDArray[np.floating],
    low: int,
    high: int,
    *,
    metric: Metric = "cosine",
    seed: int = 0,
    n_threads: int | None = None,
) -> int:
    """Number of clusters whose mean silhouette is highest.

    Parameters
    ----------
    X : (n, d) rows of equal weight, 1,000 to 4,000 of them; all n² distances are computed. Unit vectors for cosine.
    low, high : fewest and most clusters, as far as there are rows for them; tried at growing distances, then around the
        best.

    Raises
    ------
    BadInputError : fewer than one row, or an empty range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(c, 0.1, (50, 2)) for c in (0.0, 2.0, 5.0)])
    >>> choose_by_silhouette(X, 2, 12, metric="euclidean")
    3
    """
    if not len(X) or low < 1 or high < low:
        raise BadInputError(f"cannot choose among {low} to {high} clusters of {len(X)} rows")
    different = len(np.unique(X, axis=0))
    low, high = min(low, different), min(high, different)
    if high <= max(low, 1):
        return max(low, 1)
    distances = _distances(X, metric)
    known: dict[int, float] = {}

    def look(ks: list[int]) -> None:
        for k in ks:
            if k not in known:
                found = k_means(X, k, metric=metric, seed=seed, n_threads=n_threads)
                known[k] = mean_silhouette(distances, found.labels, k)

    grid = _grid(low, high)
    look(grid)
    at = grid.index(_best(known))
    before, after = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    look(sorted({(before + grid[at]) // 2, (grid[at] + after) // 2}))
    return _best(known)


def mean_silhouette(distances: NDArray[np.floating], labels: NDArray[np.integer], k: int) -> float:
    """Mean silhouette of a labelling; rows alone in their cluster count 0.

    Parameters
    ----------
    distances : (n, n). labels : (n,) in 0 .. k-1.
    """
    n = len(labels)
    if k < 2:
        return 0.0
    rows = np.arange(n)
    member = np.zeros((n, k), distances.dtype)
    member[rows, labels] = 1
    counts = member.sum(axis=0)
    sums = distances @ member
    own = sums[rows, labels] / np.maximum(counts[labels] - 1, 1)
    means = sums / np.maximum(counts, 1)
    means[rows, labels] = np.inf
    means[:, counts == 0] = np.inf
    other = means.min(axis=1)
    both = np.maximum(np.maximum(own, other), np.finfo(np.float32).tiny)
    scores = np.where((counts[labels] > 1) & np.isfinite(other), (other - own) / both, 0.0)
    return float(scores.mean())


def _distances(X: NDArray[np.floating], metric: Metric) -> NDArray[np.floating]:
    products = X @ X.T
    if metric == "cosine":
        return np.asarray(np.maximum(1 - products, 0))
    squares = np.diag(products)
    return np.asarray(np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0)))


def _grid(low: int, high: int) -> list[int]:
    """From low to high, each larger by a factor."""
    steps = math.ceil(math.log(high / low) / math.log(STEP)) if high > low else 0
    return sorted({round(low * (high / low) ** (i / max(steps, 1))) for i in range(steps + 1)})


def _best(known: dict[int, float]) -> int:
    top = max(known.values())
    enough = top * NEAR if top > 0 else top
    return min(k for k, score in known.items() if score >= enough)
