"""How good a clustering of weighted points is, and the criteria by which people choose k.

All figures come from the points, their weights and the two nearest centres of each: no second look at the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.kernels import nearest
from shoal.solve.lloyd import Solution


@dataclass(frozen=True)
class Quality:
    """Figures of one clustering into k."""

    k: int
    inertia: float
    """Weighted sum of squared distances to the nearest centre."""
    explained: float
    """Share of the total scatter that lies between the centres, in [0, 1]."""
    calinski_harabasz: float
    """Variance ratio (Calinski and Harabasz 1974); larger is better. NaN for k = 1."""
    davies_bouldin: float
    """Mean worst ratio of spread to separation (Davies and Bouldin 1979), spread as root mean square; smaller is
    better. NaN for k = 1."""
    silhouette: float
    """Simplified silhouette (Hruschka et al. 2006): 1 - distance to the own centre / to the next, weighted mean; in
    [0, 1], larger is better. NaN for k = 1."""
    bic: float
    """Bayesian information criterion of spherical Gaussians of one variance (Pelleg and Moore 2000); smaller is
    better."""


def quality(X: NDArray[Any], weights: NDArray[np.float64], solution: Solution, rows: int) -> Quality:
    """Figures of a solution.

    Parameters
    ----------
    X, weights : (m, d) points and (m,) weights the solution was found on.
    rows : rows behind the points; the sample size of the BIC.

    >>> from shoal.solve.k_means import k_means
    >>> X = np.array([[0.0], [1.0], [10.0], [11.0]]); w = np.ones(4)
    >>> q = quality(X, w, k_means(X, 2), rows=4); q.inertia, round(q.explained, 4)
    (1.0, 0.9901)
    """
    C, k, d = solution.centres, len(solution.centres), X.shape[1]
    W = float(weights.sum())
    mean = (weights @ X) / W
    total = float(weights @ _squared(X, mean))
    within = solution.inertia
    if k == 1:
        bic = _bic(solution.counts, within, W, rows, d)
        return Quality(1, within, 0.0, np.nan, np.nan, np.nan, bic)
    found = nearest(X, C, second=True)
    own = np.sqrt(found.squared.astype(np.float64))
    second = found.second if found.second is not None else found.squared
    other = np.sqrt(second.astype(np.float64))
    ratio = np.divide(own, other, out=np.ones_like(own), where=other > 0)  # on two centres at once: 0
    freedom = max(rows - k, 1) / (k - 1)
    return Quality(
        k=k,
        inertia=within,
        explained=1.0 - within / total if total > 0 else 0.0,
        calinski_harabasz=max(total - within, 0.0) / within * freedom if within > 0 else np.inf,
        davies_bouldin=_davies_bouldin(C, found.labels, found.squared.astype(np.float64), weights),
        silhouette=float(weights @ (1.0 - ratio)) / W,
        bic=_bic(solution.counts, within, W, rows, d),
    )


def _squared(X: NDArray[Any], c: NDArray[np.float64]) -> NDArray[np.float64]:
    diff = X - c
    out: NDArray[np.float64] = np.einsum("ij,ij->i", diff, diff, dtype=np.float64)
    return out


def _davies_bouldin(
    C: NDArray[np.float64],
    labels: NDArray[np.int32],
    squared: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> float:
    mass = np.bincount(labels, weights=weights, minlength=len(C))
    spread = np.sqrt(
        np.bincount(labels, weights=weights * squared, minlength=len(C)) / np.maximum(mass, 1e-300)
    )
    live = np.flatnonzero(mass > 0)
    if len(live) < 2:
        return float("nan")
    apart = np.sqrt(np.maximum(((C[live, None] - C[None, live]) ** 2).sum(-1), 1e-300))
    worst = (spread[live, None] + spread[None, live]) / apart
    np.fill_diagonal(worst, 0.0)
    return float(worst.max(axis=1).mean())


def _bic(counts: NDArray[np.float64], within: float, W: float, rows: int, d: int) -> float:
    """-2 log likelihood + parameters * log rows, for clusters of one spherical variance."""
    k = len(counts)
    variance = max(within / max(W * d, 1e-300), 1e-300)
    share = counts[counts > 0] / W
    entropy = float(rows * (share * np.log(share)).sum())
    log_likelihood = entropy - rows * d / 2 * (np.log(2 * np.pi * variance) + 1)
    parameters = k * d + (k - 1) + 1
    return float(-2 * log_likelihood + parameters * np.log(max(rows, 2)))
