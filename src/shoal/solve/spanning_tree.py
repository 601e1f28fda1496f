"""Minimum spanning tree of weighted points under mutual reachability, without a matrix of all distances."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ShoalError
from shoal.solve.neighbours import BLOCK, Floats64, Indices, Space

LISTED = 24
"""Nearest points listed for each before the first round; they settle most edges."""


class SpanningTree(NamedTuple):
    """m - 1 edges, shortest first."""

    ends: NDArray[np.intp]
    """(m - 1, 2)."""
    heights: Floats64
    """(m - 1,) mutual reachability: the largest of the distance and both core distances."""


def spanning_tree(near: Space, core: Floats64) -> SpanningTree:
    """Boruvka's rounds: every group but the largest takes its shortest edge out, until one group is left.

    Each point lists a few neighbours first. A listed edge is the shortest of its group when no point of the group
    could have an unlisted one that is shorter; only points in doubt search further. (Boruvka 1926; March, Ram and
    Gray 2010 for the search by trees.)

    core : (m,) finite core distances.

    >>> from shoal.solve.neighbours import space
    >>> spanning_tree(space(np.array([[0.0], [5.0], [1.0]])), np.zeros(3)).heights
    array([1., 4.])
    """
    m = len(core)
    listed, bound, height = _listed(near, core)
    group = np.arange(m)
    ends: list[tuple[int, int]] = []
    heights: list[float] = []
    while len(ends) < m - 1:
        groups = int(group.max()) + 1
        others = np.where(group[listed] != group[:, None], height, np.inf)
        best = others.argmin(axis=1)
        value, partner = others[np.arange(m), best], listed[np.arange(m), best]
        limits = np.full(groups, np.inf)
        np.minimum.at(limits, group, value)
        rest = group != np.bincount(group).argmax()
        doubt = np.flatnonzero(rest & (bound < limits[group]))
        if len(doubt):
            found, who = near.outside(doubt, group, core, limits)
            better = who >= 0
            value[doubt[better]], partner[doubt[better]] = found[better], who[better]
        takers = np.flatnonzero(rest)
        takers = takers[np.lexsort((value[takers], group[takers]))]
        takers = takers[np.unique(group[takers], return_index=True)[1]]
        takers = takers[value[takers].argsort(kind="stable")]
        known = len(ends)
        group = _joined(group, groups, takers, value, partner, ends, heights)
        if len(ends) == known:
            raise ShoalError("points cannot be joined: distances are not finite; scale the columns")
    order = np.argsort(heights, kind="stable")
    pairs = np.array(ends, np.intp).reshape(-1, 2)
    return SpanningTree(pairs[order], np.array(heights, np.float64)[order])


def _listed(near: Space, core: Floats64) -> tuple[Indices, Floats64, Floats64]:
    """Neighbours (m, k) of every point, the least height of what is not listed, and the heights of what is."""
    m = len(core)
    k = min(m, LISTED + 1)
    who, height, bound = np.empty((m, k), np.intp), np.empty((m, k)), np.empty(m)
    for rows in np.array_split(np.arange(m), 1 + m * k // BLOCK):
        distance, found = near.nearest(rows, k)
        bound[rows] = np.maximum(distance[:, -1], core[rows]) if k < m else np.inf
        height[rows] = np.maximum(np.maximum(distance, core[found]), core[rows, None])
        who[rows] = found
    return who, bound, height


def _joined(
    group: Indices,
    groups: int,
    takers: Indices,
    value: Floats64,
    partner: Indices,
    ends: list[tuple[int, int]],
    heights: list[float],
) -> Indices:
    """Groups after each taker's edge is added, but for edges of equal height that would close a ring."""
    leader = list(range(groups))

    def lead(g: int) -> int:
        while leader[g] != g:
            leader[g] = leader[leader[g]]
            g = leader[g]
        return g

    for i, j, h in zip(takers.tolist(), partner[takers].tolist(), value[takers].tolist(), strict=True):
        a, b = lead(int(group[i])), lead(int(group[j]))
        if a != b:
            leader[a] = b
            ends.append((i, j))
            heights.append(h)
    merged = np.unique([lead(g) for g in range(groups)], return_inverse=True)[1]
    out: Indices = merged[group]
    return out
