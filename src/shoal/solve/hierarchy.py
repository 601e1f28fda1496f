"""Ward's hierarchy of weighted points: one dendrogram answers every number of clusters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.kernels import nearest
from shoal.solve.k_means import make_cover
from shoal.solve.neighbours import Floats64, checked, heaviest_first, places
from shoal.summary.protocol import WeightedPoints

MOST = 5_000
"""Points merged one by one; more than that are covered first."""
COVER = 2_000
"""Micro-centres of a cover."""


@dataclass(frozen=True)
class Dendrogram:
    """Who merges with whom, and at what height."""

    linkage: Floats64
    """(l - 1, 4) SciPy's linkage of the l leaves: both parts, height, leaves below. The height of a merge is the square
    root of twice the inertia it adds, as in SciPy and scikit-learn."""
    leaves: Floats64
    """(l, d) points or, where there were too many, micro-centres."""
    weights: Floats64
    """(l,)."""
    leaf: NDArray[np.intp]
    """(m,) leaf of each point; coinciding points share one."""
    within: float
    """Inertia inside the leaves."""

    def cut(self, k: int | None = None, *, distance_threshold: float | None = None) -> NDArray[np.int32]:
        """Labels (m,) of the points, the heaviest cluster 0: either k clusters, or merges up to a height.

        Raises
        ------
        BadInputError : neither or both are given, or k is not between 1 and the number of leaves.
        """
        leaves = len(self.leaves)
        if k is None and distance_threshold is not None:
            merges = int(np.searchsorted(self.linkage[:, 2], distance_threshold, side="left"))
        elif k is None or distance_threshold is not None:
            raise BadInputError("cut wants either k or distance_threshold", remedy="give one of them")
        else:
            if not 1 <= k <= leaves:
                remedy = f"choose k between 1 and {leaves}"
                raise BadInputError(f"k={k} clusters asked of {leaves} points", remedy=remedy)
            merges = leaves - k
        group = np.arange(leaves + merges)
        for step in range(merges - 1, -1, -1):  # later merges first, so that a part finds its final group
            group[self.linkage[step, :2].astype(np.intp)] = group[leaves + step]
        labels = np.unique(group[:leaves], return_inverse=True)[1].astype(np.int32)
        out: NDArray[np.int32] = heaviest_first(labels, self.weights, self.leaves)[0][self.leaf]
        return out

    def inertia(self, k: int) -> float:
        """Weighted sum of squared distances to the means of k clusters."""
        merged = self.linkage[: len(self.leaves) - k, 2]
        return self.within + float((merged**2).sum()) / 2

    def longest_lived(self, k_max: int = 20) -> int:
        """The k between 2 and ``k_max`` whose cut leaves the most room: the widest ratio of heights around it.

        A rule of thumb; :func:`shoal.solve.choose_k.choose_k` weighs more evidence.
        """
        # a handful of points says little about many clusters
        heights = self.linkage[::-1, 2][: min(k_max, 1 + int(len(self.leaves) ** 0.5))]
        if len(heights) < 2 or heights[0] <= 0:
            return min(len(self.leaves), 2 if len(heights) and heights[0] > 0 else 1)
        floor = heights[0] * 1e-9
        ratios = [upper / max(lower, floor) for upper, lower in pairwise(heights)]
        return int(np.argmax(ratios)) + 2


def ward(points: WeightedPoints, *, seed: int = 0, n_threads: int | None = None) -> Dendrogram:
    """Merge the two groups whose union adds the least inertia, until one is left (Ward 1963).

    Groups are kept as weight and mean, and a chain of nearest neighbours finds the merges (Murtagh 1983): memory is
    linear in the points. More than 5,000 points are first covered by 2,000 micro-centres.

    Parameters
    ----------
    points : (m, d) points; one of weight w counts as w equal rows; ``scatter`` is inertia that is there already.
    seed : of the cover.

    Raises
    ------
    BadInputError : see :func:`shoal.solve.neighbours.checked`.

    >>> tree = ward(WeightedPoints(np.array([[0.0], [1.0], [8.0], [9.5]]), np.ones(4)))
    >>> tree.cut(2), tree.inertia(2)
    (array([0, 0, 1, 1], dtype=int32), 1.625)
    """
    X, w = checked(points)
    within = 0.0 if points.scatter is None else float(np.sum(points.scatter))
    at = places(X, w)
    leaves, weights, leaf = at.X, at.weights, at.of
    if len(leaves) > MOST:
        rng = np.random.default_rng(seed)
        cover = make_cover(leaves, weights, COVER, metric="euclidean", rng=rng, n_threads=n_threads)
        near = nearest(leaves, cover.centres, n_threads=n_threads).labels
        full, place = np.unique(near, return_inverse=True)  # of places, each of which has weight
        means, total = _means(leaves, weights, place, len(full))
        within += float(weights @ ((leaves - means[place]) ** 2).sum(axis=1))
        leaves, weights, leaf = means, total, np.where(leaf >= 0, place[leaf], -1)
    light = np.flatnonzero(leaf < 0)
    leaf[light] = nearest(X[light], leaves, n_threads=n_threads).labels
    return Dendrogram(_linkage(*_chain(leaves, weights), len(leaves)), leaves, weights, leaf, within)


def _means(X: Floats64, w: Floats64, group: NDArray[np.intp], groups: int) -> tuple[Floats64, Floats64]:
    """Weighted means (groups, d) and weights."""
    total = np.bincount(group, w, groups).astype(np.float64)
    sums = np.stack([np.bincount(group, w * column, groups) for column in X.T], axis=1)
    return sums / total[:, None], total


def _chain(X: Floats64, weights: Floats64) -> tuple[NDArray[np.intp], Floats64]:
    """Merges (l - 1, 2), each named by one leaf of either part, and the inertia each adds; in no order of height."""
    mean, w = X.copy(), weights.copy()
    alive = np.ones(len(X), bool)
    pairs, costs = np.empty((len(X) - 1, 2), np.intp), np.empty(len(X) - 1)
    chain: list[int] = []
    for step in range(len(X) - 1):
        if not chain:
            chain.append(int(alive.argmax()))
        while True:
            a = chain[-1]
            gap = mean - mean[a]
            cost = np.einsum("ij,ij->i", gap, gap) * (w * w[a] / (w + w[a]))
            cost[~alive] = np.inf
            cost[a] = np.inf
            b = int(cost.argmin())
            if len(chain) > 1 and cost[chain[-2]] <= cost[b]:
                b = chain[-2]
                break
            chain.append(b)
        del chain[-2:]
        pairs[step], costs[step] = (a, b), cost[b]
        total = w[a] + w[b]
        mean[b] += (mean[a] - mean[b]) * (w[a] / total)
        w[b], alive[a] = total, False
    return pairs, costs


def _linkage(pairs: NDArray[np.intp], costs: Floats64, leaves: int) -> Floats64:
    """Merges in order of height, in SciPy's numbering: merge i makes node ``leaves + i``."""
    out = np.empty((len(pairs), 4))
    node, size, leader = list(range(leaves)), [1] * leaves, list(range(leaves))

    def lead(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for step, i in enumerate(np.argsort(costs, kind="stable").tolist()):
        a, b = lead(int(pairs[i, 0])), lead(int(pairs[i, 1]))
        leader[a] = b
        size[b] += size[a]
        out[step] = (*sorted((node[a], node[b])), np.sqrt(2 * costs[i]), size[b])
        node[b] = leaves + step
    return out
