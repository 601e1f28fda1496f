"""Clusters of any shape in weighted points, by density: DBSCAN and HDBSCAN with weights.

Density at a point is the weight within a distance of it. A sample by importance keeps more of the rare rows and lets
each stand for fewer, so that counting its points would mistake rarity for density; adding up what they stand for does
not. What a sample cannot show is density on a scale finer than a few kept points: see :func:`resolution`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from shoal.errors import BadInputError
from shoal.kernels import default_threads
from shoal.solve.condensed_tree import CondensedTree, Selection, condense
from shoal.solve.neighbours import (
    ROUNDING,
    Floats64,
    Indices,
    Places,
    Space,
    checked,
    core_distances,
    heaviest_first,
    places,
    space,
)
from shoal.solve.spanning_tree import spanning_tree
from shoal.summary.protocol import WeightedPoints

LEAST_ROWS = 5
"""Rows that make a place dense, where nothing else is asked."""
LEAST_KEPT = 3
"""Kept points that do so in a sample: fewer, since each stands for many rows and detail is dear."""
PAIRS = 500_000
"""Pairs of near points held at once; SciPy answers with Python numbers, which are large."""
CLUSTER_ROWS, CLUSTER_SHARE = 15, 0.005
"""A cluster weighs at least so many rows (of a sample: kept points) and this share of all, where nothing else is asked."""


@dataclass(frozen=True)
class DensityClusters:
    """Clusters found by density."""

    labels: NDArray[np.int32]
    """(m,) cluster of each point, -1 for noise."""
    strengths: Floats64
    """(m,) how strongly each belongs to it, 0 to 1; 0 for noise."""
    reach: Floats64
    """(k,) distance from a point of the cluster within which a new row belongs to it."""
    core: NDArray[np.bool_]
    """(m,) whether a point is in the dense part of its cluster, so that it passes membership on."""

    @property
    def k(self) -> int:
        """Clusters found; noise is none."""
        return len(self.reach)


def resolution(points: WeightedPoints) -> float:
    """Weight a typical row of a sample stands for: total weight by the effective number of points (Kish 1965).

    Weighted by weight, because the dense part of a sample is made of its heavy points.

    >>> resolution(WeightedPoints(np.zeros((3, 1)), np.array([2.0, 2.0, 2.0])))
    2.0
    """
    w = np.asarray(points.weights, np.float64)
    total = float(w.sum())
    return float((w**2).sum()) / total if total > 0 else 1.0


def hdbscan(
    points: WeightedPoints,
    min_cluster_weight: float | None = None,
    min_weight: float | None = None,
    *,
    k: int | None = None,
    selection: Selection = "eom",
    allow_one: bool = False,
    sampled: bool = False,
    n_threads: int | None = None,
) -> DensityClusters:
    """Hierarchical density clusters of weighted points (Campello, Moulavi and Sander 2013).

    Parameters
    ----------
    points : (m, d) points; a point of weight w counts as w equal rows, one without weight takes the nearest label.
    min_cluster_weight : what a group must weigh to count as a cluster; default the larger of 15 rows and 0.5 % of all.
    min_weight : the core distance of a point is the least at which the weight around it reaches this; default 5 rows,
        of a sample 3 kept points.
    k : clusters, if their number is known: those of the largest total excess of mass; fewer if density shows fewer.
    selection : ``"eom"`` for the clusters with the largest excess of mass, ``"leaf"`` for the finest ones.
    allow_one : let all points be one cluster even where they could be parted. Points that never part are one anyway.
    sampled : the points are a sample, each standing for other rows near it; "rows" in the defaults then are kept
        points of typical weight, and no place is dense with fewer than 3 kept points.

    Raises
    ------
    BadInputError : see :func:`shoal.solve.neighbours.checked`; a minimum that is not positive.

    >>> X = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [99.0]])
    >>> hdbscan(WeightedPoints(X, np.ones(7)), 3, 2).labels
    array([ 0,  0,  0,  1,  1,  1, -1], dtype=int32)
    """
    if k is not None and k < 1:
        raise BadInputError(f"k={k} clusters asked", remedy="give at least 1, or None to find their number")
    dense = _density(points, min_weight, sampled=sampled, n_threads=n_threads)
    X, w, at, core = dense.X, dense.weights, dense.at, dense.core
    condensed = dense.condensed(min_cluster_weight)
    if condensed is None:
        return _all_noise(len(X))
    selected = condensed.select(selection, allow_one=allow_one) if k is None else condensed.exactly(k)
    labels, strengths = condensed.members(selected)
    births = np.array([condensed.branches[b].birth for b in selected])
    widest = 1.0 / condensed.density.min() if len(core) > 1 else 0.0
    reach = np.where(births > 0, 1.0 / np.where(births > 0, births, 1.0), widest)
    labels, order = heaviest_first(labels, at.weights, at.X)
    return _answer(X, w, at.of, at.X, labels, strengths, reach[order], labels >= 0)


def dbscan(
    points: WeightedPoints,
    eps: float | None = None,
    min_weight: float | None = None,
    *,
    sampled: bool = False,
    n_threads: int | None = None,
) -> DensityClusters:
    """Density clusters at one scale (Ester, Kriegel, Sander and Xu 1996), with weights.

    A point is core if the weight within ``eps`` of it, its own included, is at least ``min_weight``; core points within
    ``eps`` of each other are in one cluster; a point that is not core joins the first cluster with a core point within
    ``eps``. Clusters are numbered by their first core point.

    Parameters
    ----------
    points, min_weight, sampled : as in :func:`hdbscan`.
    eps : default :func:`default_eps`.

    Raises
    ------
    BadInputError : see :func:`shoal.solve.neighbours.checked`; an ``eps`` or minimum that is not positive.

    >>> X = np.array([[0.0], [1.0], [9.0], [30.0]])
    >>> dbscan(WeightedPoints(X, np.array([1.0, 1.0, 2.0, 1.0])), eps=1, min_weight=2).labels
    array([ 0,  0,  1, -1], dtype=int32)
    """
    found = _density(points, min_weight, sampled=sampled, n_threads=n_threads)
    X, w, at, core = found.X, found.weights, found.at, found.core
    eps = found.parting_distance() if eps is None else _positive("eps", eps)
    dense = core <= eps
    if not dense.any():
        return _all_noise(len(X))
    labels = np.full(len(core), -1, np.int32)
    labels[dense] = _components(at.X[dense], eps, n_threads)
    first = np.full(int(labels.max()) + 1, len(X))
    weighing = np.flatnonzero(at.of >= 0)
    inside = weighing[labels[at.of[weighing]] >= 0]
    np.minimum.at(first, labels[at.of[inside]], inside)
    labels[dense] = np.argsort(np.argsort(first)).astype(np.int32)[labels[dense]]
    labels[~dense] = _lowest_near(at.X[~dense], at.X[dense], labels[dense], eps, n_threads)
    strengths = np.where(labels >= 0, np.where(dense, 1.0, 0.5), 0.0)
    return _answer(X, w, at.of, at.X, labels, strengths, np.full(len(first), eps), dense)


def default_eps(
    points: WeightedPoints,
    min_weight: float | None = None,
    *,
    sampled: bool = False,
    n_threads: int | None = None,
) -> float:
    """The distance at which three of four clusters that :func:`hdbscan` finds are apart from their neighbours.

    The largest such distance, since more points are core there. Where there are no two clusters, :func:`knee` of the
    core distances.

    >>> X = np.r_[np.arange(50), np.arange(70, 120)][:, None].astype(float)
    >>> 2 < default_eps(WeightedPoints(X, np.ones(100))) < 21
    True
    """
    return _density(points, min_weight, sampled=sampled, n_threads=n_threads).parting_distance()


@dataclass(frozen=True)
class _Density:
    """What both methods begin with."""

    X: Floats64
    weights: Floats64
    at: Places
    near: Space
    core: Floats64
    """(u,) core distance of each place; infinite if all rows together are not dense enough."""
    row: float
    """Weight of a row, or of a typical kept point."""

    def condensed(self, min_cluster_weight: float | None) -> CondensedTree | None:
        """The tree of clusters; None if there is not enough weight for a single one."""
        total = float(self.weights.sum())
        least = max(CLUSTER_ROWS * self.row, CLUSTER_SHARE * total)
        least = _positive("min_cluster_weight", least if min_cluster_weight is None else min_cluster_weight)
        if not np.isfinite(self.core).all() or total < least * (1 - ROUNDING):
            return None
        return condense(spanning_tree(self.near, self.core), self.core, self.at.weights, least)

    def parting_distance(self) -> float:
        """See :func:`default_eps`."""
        condensed = self.condensed(None)
        births = [] if condensed is None else [condensed.branches[b].birth for b in condensed.select("eom")]
        if len(births) < 2:
            return knee(self.core, self.at.weights)
        distances = np.sort(1.0 / np.array(births))
        return float(distances[len(distances) // 4]) * (1 - ROUNDING)


def _density(
    points: WeightedPoints, min_weight: float | None, *, sampled: bool, n_threads: int | None
) -> _Density:
    X, w = checked(points)
    row = resolution(points) if sampled else 1.0
    least = LEAST_KEPT if sampled else LEAST_ROWS
    min_weight = _positive("min_weight", least * row if min_weight is None else min_weight)
    at = places(X, w)
    near = space(at.X, n_threads)
    core = core_distances(near, at.weights, min_weight, counts=at.points, least=LEAST_KEPT if sampled else 1)
    return _Density(X, w, at, near, core, row)


def knee(core: Floats64, weights: Floats64) -> float:
    """A distance to cut at: where the curve of sorted core distances bends most (Satopaa and others 2011).

    The curve is drawn against the share of weight; the bend is the point furthest below the line between its ends. The
    largest 1 % of the weight are left out, because a few far rows would stretch the line.

    core, weights : (m,). Positive, even where all core distances are 0.
    """
    order = core.argsort(kind="stable")
    y, x = core[order], weights[order].cumsum() / weights.sum()
    kept = np.isfinite(y) & (x <= 0.99)
    if not kept.any() or y[kept][-1] <= 0:
        return float(y[y > 0][0]) if (y > 0).any() and np.isfinite(y[y > 0][0]) else 1.0
    x, y = x[kept], y[kept]
    low, high = y[0], y[-1]
    if high <= low:
        return float(high)
    below = (x - x[0]) / max(x[-1] - x[0], 1e-300) - (y - low) / (high - low)
    return float(max(y[below.argmax()], y[y > 0][0]))


def _components(X: Floats64, eps: float, n_threads: int | None) -> NDArray[np.int32]:
    """Groups of points within ``eps`` of each other, directly or by way of others."""
    group = np.arange(len(X), dtype=np.int32)
    for rows, others in _balls(X, X, eps, n_threads):
        a, b = group[rows], group[others]
        n = int(group.max()) + 1
        apart = a != b
        graph = coo_array((np.ones(int(apart.sum()), np.int8), (a[apart], b[apart])), shape=(n, n))
        group = connected_components(graph, directed=False)[1].astype(np.int32)[group]
    return group


def _lowest_near(
    X: Floats64, dense: Floats64, labels: NDArray[np.int32], eps: float, n_threads: int | None
) -> NDArray[np.int32]:
    """The lowest label of a dense point within ``eps``, -1 where there is none."""
    none = np.iinfo(np.int32).max
    out = np.full(len(X), none, np.int32)
    if len(X):
        for rows, others in _balls(X, dense, eps, n_threads):
            np.minimum.at(out, rows, labels[others])
    return np.where(out == none, -1, out).astype(np.int32)


def _balls(X: Floats64, Y: Floats64, eps: float, n_threads: int | None) -> Iterator[tuple[Indices, Indices]]:
    """Pairs (row of X, row of Y) within ``eps``, some at a time."""
    threads, tree = default_threads(n_threads), cKDTree(Y)
    sizes = tree.query_ball_point(X, eps, return_length=True, workers=threads)
    ends, start = np.cumsum(sizes), 0
    while start < len(X):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + PAIRS, side="right")))
        found = tree.query_ball_point(X[start:stop], eps, workers=threads)
        others = np.concatenate([np.asarray(f, np.intp) for f in found])
        yield np.repeat(np.arange(start, stop), sizes[start:stop]), others
        start = stop


def _answer(
    X: Floats64,
    w: Floats64,
    of: Indices,
    at: Floats64,
    labels: NDArray[np.int32],
    strengths: Floats64,
    reach: Floats64,
    core: NDArray[np.bool_],
) -> DensityClusters:
    """From places back to points; one that weighs nothing belongs where the nearest place does, if within reach."""
    of = of.copy()
    core = core[of] & (of >= 0)
    light = np.flatnonzero(w == 0)
    if len(light):
        distance, of[light] = cKDTree(at).query(X[light])
    labels, strengths = labels[of], np.where(labels[of] >= 0, strengths[of], 0.0)
    if len(light):
        far = light[(labels[light] >= 0) & (distance > reach[labels[light]])]
        labels[far], strengths[far] = -1, 0.0
    return DensityClusters(labels, strengths, reach, core)


def _all_noise(m: int) -> DensityClusters:
    return DensityClusters(np.full(m, -1, np.int32), np.zeros(m), np.empty(0), np.zeros(m, bool))


def _positive(name: str, value: float) -> float:
    if not (np.isfinite(value) and value > 0):
        raise BadInputError(f"{name} is {value}", remedy="give a positive number, or None for the default")
    return float(value)
