"""How far out a row is, as a share of the rows seen: the outlier score and what the model must keep for it.

A distance alone is a poor score. Rows of a wide cluster lie far from its centre and are ordinary; rows of a small far
cluster lie near its centre and are not. So a row's *reach* is its distance to its centre, lengthened where the cluster
is small and lonely, in units of the spread of the rows around there:

    reach² = (distance² + excess(cluster)) / spread(cluster)

``excess`` asks how far one must go from the centre to meet :data:`NEIGHBOURS` (5 %) of all rows: the mean squared
distance from there to their centres, less four times what is so for three quarters of the rows (:data:`USUAL`,
:data:`FENCE`). It is 0 for large clusters, and for small ones that lie as close to others as clusters do. ``spread`` is
the mean squared distance of those rows to their centres. The score is the share of all rows seen whose reach is smaller.
The idea of holding a small cluster against the large ones is of He, Xu and Deng (2003, CBLOF), the scaling by the spread
of Amer and Goldstein (2012, LDCOF). Both must decide which clusters are large, and fail where k is large and every
cluster small; a share of the rows does not depend on k.

The shares come from weighted quantiles of the summary's rows. A priority sample is a quantile sketch: it merges, and
it is deterministic. DataSketches' KLL sketch tosses coins without a seed, so that a restart would not go on bit for
bit; and a second sketch would have to know the final centres before the first row. With the default sample of a million
rows, ranks among all rows are right to 0.5 %, and to 0.1 % above the level 0.99: far rows are kept more often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Positions = NDArray[np.integer[Any]]

NEIGHBOURS = 0.05
"""Share of the rows that make a neighbourhood; a cluster that holds as much needs no others."""
USUAL = 0.75
"""Quantile of the rows at which loneliness is still usual."""
FENCE = 4.0
"""Times that squared distance from which loneliness counts: a cluster is lonely if twice as far from others."""
FLOOR = 0.01
"""Share of the mean spread that is added to every cluster's, for clusters of equal rows."""
LEVELS: FloatArray = np.concatenate([np.arange(99) / 100, 1 - np.geomspace(1e-2, 1e-5, 31), [1.0]])
"""Levels at which the reach of the rows seen is kept (131 levels, denser in the tail)."""


@dataclass(frozen=True)
class OutlierScale:
    """What turns squared distances into outlier scores."""

    excess: FloatArray
    """(k,) squared distance, not negative, added for loneliness."""
    spread: FloatArray
    """(k,) squared distance, positive, that counts as one."""
    reach: FloatArray
    """(131,) reach of the rows seen at :data:`LEVELS`."""

    def reaches(self, squared: FloatArray, positions: Positions) -> FloatArray:
        """(n,) reach of rows with these squared distances to the centres at these positions."""
        far: FloatArray = np.sqrt((squared + self.excess[positions]) / self.spread[positions])
        return far

    def scores(self, squared: FloatArray, positions: Positions, rows_seen: int) -> FloatArray:
        """(n,) share of the rows seen that reach less far; beyond the farthest it goes on towards 1.

        Scores above ``rows_seen / (rows_seen + 1)`` are for rows farther out than any that was seen.

        >>> scale = OutlierScale(np.zeros(1), np.ones(1), np.linspace(0.0, 1.0, 131))
        >>> scale.scores(np.array([0.0, 1.0, 4.0]), np.zeros(3, int), 9)
        array([0.  , 0.9 , 0.95])
        """
        reach, farthest = self.reaches(squared, positions), self.reach[-1]
        inside = share_nearer(reach, self.reach, LEVELS)
        beyond = reach > farthest
        least = max(farthest, np.finfo(float).tiny)
        tail = np.divide(least, reach, out=np.ones_like(reach), where=beyond)
        room = 1.0 / (max(rows_seen, 1) + 1)
        return np.where(beyond, 1.0 - room * tail, inside * (1.0 - room))


def outlier_scale(
    centres: FloatArray,
    weights: FloatArray,
    scatter: FloatArray,
    squared: FloatArray,
    positions: Positions,
    row_weights: FloatArray,
) -> OutlierScale:
    """The scale of a model, from its clusters and the rows it was solved on.

    Parameters
    ----------
    centres, weights, scatter : (k, d), (k,) and (k,) of the clusters.
    squared, positions, row_weights : (m,) each of the rows: squared distance to the nearest centre, its position, and
        the weight of the row.

    >>> C, w = np.array([[0.0], [100.0]]), np.array([99.0, 1.0])
    >>> scale = outlier_scale(C, w, w, np.array([1.0, 1.0]), np.array([0, 1]), w)
    >>> scale.excess, scale.reach[[0, -1]].round(2)
    (array([   0., 8000.]), array([ 1., 89.]))
    """
    away, spread = _neighbourhoods(centres, weights, scatter)
    usual = weighted_quantiles(away, weights, np.array([USUAL]))[0]
    mean = float(scatter.sum() / weights.sum()) if weights.sum() > 0 else 0.0
    spread = spread + FLOOR * mean
    scale = OutlierScale(
        np.maximum(away - FENCE * usual, 0.0), np.where(spread > 0, spread, 1.0), np.zeros(len(LEVELS))
    )
    reach = weighted_quantiles(scale.reaches(squared, positions), row_weights, LEVELS)
    return OutlierScale(scale.excess, scale.spread, reach)


def weighted_quantiles(values: FloatArray, weights: FloatArray, levels: FloatArray) -> FloatArray:
    """Smallest value at or below which at least each share of the weight lies; zeros for no values.

    >>> weighted_quantiles(np.array([3.0, 1.0]), np.array([1.0, 3.0]), np.array([0.0, 0.75, 0.8, 1.0]))
    array([1., 1., 3., 3.])
    """
    if not len(values):
        return np.zeros(len(levels))
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weights[order])
    at = np.searchsorted(mass, levels * mass[-1], side="left")
    quantiles: FloatArray = values[order][np.minimum(at, len(values) - 1)]
    return quantiles


def share_nearer(
    values: FloatArray, quantiles: FloatArray, levels: FloatArray, *, or_equal: bool = False
) -> FloatArray:
    """Share of what the quantiles describe that is smaller; strictly, or with what is equal.

    Parameters
    ----------
    values : (n,).
    quantiles : (L,) at these (L,) levels, ascending; or (n, L), for each value its own.

    >>> share_nearer(np.array([0.0, 1.0, 1.5, 9.0]), np.array([1.0, 1.0, 2.0]), np.array([0.0, 0.5, 1.0]))
    array([0.  , 0.  , 0.75, 1.  ])
    """
    if quantiles.ndim == 1:
        above = np.searchsorted(quantiles, values, side="right" if or_equal else "left")
    else:
        smaller = quantiles <= values[:, None] if or_equal else quantiles < values[:, None]
        above = smaller.sum(axis=1)
    high = np.clip(above, 1, len(levels) - 1)
    low = high - 1
    at_low, at_high = (quantiles[i] if quantiles.ndim == 1 else _picked(quantiles, i) for i in (low, high))
    width = at_high - at_low
    part = np.divide(values - at_low, width, out=np.zeros_like(values), where=width > 0)
    share = levels[low] + (levels[high] - levels[low]) * np.clip(part, 0.0, 1.0)
    return np.where(above == 0, 0.0, np.where(above == len(levels), 1.0, share))


def _picked(table: FloatArray, columns: NDArray[np.intp]) -> FloatArray:
    """One of each row."""
    picked: FloatArray = np.take_along_axis(table, columns[:, None], axis=1)[:, 0]
    return picked


def _neighbourhoods(
    centres: FloatArray, weights: FloatArray, scatter: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Of the nearest 5 % of the rows around each centre: mean squared distance to their centres, and their spread."""
    k, total = len(centres), float(weights.sum())
    own = np.divide(scatter, weights, out=np.zeros(k), where=weights > 0)
    away, spread = np.zeros(k), own.copy()
    if total <= 0:
        return away, spread
    share, apart = weights / total, np.empty_like(centres)
    for c in np.flatnonzero(share < NEIGHBOURS):  # the others are their own neighbourhood
        np.subtract(centres, centres[c], out=apart)
        squared = np.einsum("ij,ij->i", apart, apart)
        order = np.argsort(squared, kind="stable")
        reached = np.cumsum(share[order])
        order = order[: np.searchsorted(reached, NEIGHBOURS) + 1]
        part = share[order]
        part[-1] -= max(reached[len(order) - 1] - NEIGHBOURS, 0.0)
        away[c] = np.dot(part, squared[order]) / part.sum()
        spread[c] = np.dot(part, own[order]) / part.sum()
    return away, spread
