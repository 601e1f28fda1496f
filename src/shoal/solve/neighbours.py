"""Neighbours of weighted points, by a k-d tree where columns are few and by blocks of distances where they are many.

No answer needs a matrix of all distances: the most that is held at once is :data:`BLOCK` of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from shoal.errors import BadInputError
from shoal.kernels import as_floats, default_threads
from shoal.summary.protocol import WeightedPoints

TREE_COLUMNS = 12
"""A k-d tree looks at nearly every point when there are more columns than this."""
BLOCK = 4_000_000
"""Distances held in memory at once."""
LARGEST = 1e150
"""Values up to which squares of distances stay finite."""
FIRST_ASKED = 4
"""Outsiders asked of the tree at first; four times as many where these do not settle it."""
ROUNDING = 1e-9
"""Share of a weight that sums of weights may miss by rounding."""

Floats64 = NDArray[np.float64]
Indices = NDArray[np.intp]


class Places(NamedTuple):
    """Points that differ, in an order of their coordinates, with the weight of all points at each."""

    X: Floats64
    """(u, d)."""
    weights: Floats64
    """(u,), positive."""
    points: NDArray[np.intp]
    """(u,) points at each."""
    of: Indices
    """(m,) place of each given point; -1 where it weighs nothing."""


def checked(points: WeightedPoints) -> tuple[Floats64, Floats64]:
    """Points and weights in float64.

    Raises
    ------
    BadInputError : no points, NaN, infinity or values beyond 1e150, weights that are negative, do not fit, or are all zero.
    """
    X = as_floats(points.X).astype(np.float64)
    w = np.ascontiguousarray(points.weights, np.float64)
    if not X.size:
        raise BadInputError("no points to cluster", remedy="check the input and its filter")
    if w.shape != (len(X),):
        raise BadInputError(f"weights have shape {w.shape}, not ({len(X)},)")
    wrong = np.flatnonzero(~np.isfinite(X).all(axis=1) | ~np.isfinite(w) | (w < 0))
    if len(wrong):
        raise BadInputError(
            "point or weight is NaN, infinite or negative", place=f"point {wrong[0]}", remedy="drop it first"
        )
    if np.abs(X).max() > LARGEST:
        raise BadInputError(f"a value is beyond {LARGEST:g}", remedy="scale the column")
    if not w.any():
        raise BadInputError("every weight is zero", remedy="give at least one row a weight")
    return X, w


def places(X: Floats64, weights: Floats64) -> Places:
    """Coinciding points made one: distances to copies are all zero, and a tree cannot part them.

    >>> places(np.array([[1.0], [0.0], [1.0]]), np.array([2.0, 1.0, 3.0])).weights
    array([1., 5.])
    """
    heavy = np.flatnonzero(weights > 0)
    distinct, inverse = np.unique(X[heavy] + 0.0, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    of = np.full(len(X), -1, np.intp)
    of[heavy] = inverse
    total = np.bincount(inverse, weights[heavy], len(distinct)).astype(np.float64)
    return Places(distinct, total, np.bincount(inverse, minlength=len(distinct)).astype(np.intp), of)


def heaviest_first(
    labels: NDArray[np.int32], weights: Floats64, X: Floats64
) -> tuple[NDArray[np.int32], Indices]:
    """Labels renamed by weight, and the old name of each: the heaviest 0, at ties the one with the lowest point.

    -1 stays; names do not depend on the order of points.

    >>> heaviest_first(np.array([0, 1, -1, 1]), np.ones(4), np.zeros((4, 1)))
    (array([ 1,  0, -1,  0], dtype=int32), array([1, 0]))
    """
    member = np.flatnonzero(labels >= 0)
    if not len(member):
        return labels.astype(np.int32), np.empty(0, np.intp)
    total = np.round(np.bincount(labels[member], weights[member]), 9)
    place = np.lexsort(X[member].T[::-1]).argsort()
    first = np.full(len(total), len(labels))
    np.minimum.at(first, labels[member], place)
    order = np.lexsort((first, -total))
    rank = np.full(len(total) + 1, -1, np.int32)
    rank[order] = np.arange(len(total))
    return rank[labels], order


class Space(Protocol):
    """Points that can be asked who is near."""

    X: Floats64

    def nearest(self, rows: Indices, k: int) -> tuple[Floats64, Indices]:
        """Distances (r, k), ascending, of the points ``rows`` to their k nearest, themselves included, and who."""
        ...

    def outside(
        self, rows: Indices, groups: Indices, core: Floats64, limits: Floats64
    ) -> tuple[Floats64, Indices]:
        """Nearest point of another group for each of ``rows``, by mutual reachability.

        groups, core : (m,) group and core distance of every point.
        limits : (g,) of each group, the height that must be beaten. Not changed.

        Returns (r,) heights, the limit where no row of the group beats it, and (r,) partners, -1 there. Only the
        least of each group is exact: that is all a spanning tree needs.
        """
        ...


def space(X: Floats64, n_threads: int | None = None) -> Space:
    """The way to look for neighbours that suits the number of columns."""
    return _Tree(X, default_threads(n_threads)) if X.shape[1] <= TREE_COLUMNS else _Blocks(X)


class _Tree:
    def __init__(self, X: Floats64, n_threads: int) -> None:
        self.X, self._threads = X, n_threads
        self._tree = cKDTree(X)

    def nearest(self, rows: Indices, k: int) -> tuple[Floats64, Indices]:
        distance, who = self._tree.query(self.X[rows], k=np.arange(1, k + 1), workers=self._threads)
        return distance, who

    def outside(
        self, rows: Indices, groups: Indices, core: Floats64, limits: Floats64
    ) -> tuple[Floats64, Indices]:
        # Two groups differ in at least one binary digit of their numbers: for each digit, ask a tree of those who
        # have the other one. So a few trees serve any number of groups.
        limits = limits.copy()
        height, partner = limits[groups[rows]], np.full(len(rows), -1, np.intp)
        for digit in range(int(len(limits) - 1).bit_length()):
            side = (groups >> digit) & 1
            for here in (0, 1):
                others = np.flatnonzero(side != here)
                asking = np.flatnonzero(side[rows] == here)
                if len(others) and len(asking):
                    self._ask(rows, asking, others, groups, core, limits, height, partner)
        return height, partner

    def _ask(
        self,
        rows: Indices,
        asking: Indices,
        others: Indices,
        groups: Indices,
        core: Floats64,
        limits: Floats64,
        height: Floats64,
        partner: Indices,
    ) -> None:
        """Ask a tree of ``others``; changes ``height``, ``partner`` and ``limits``."""
        tree, k = cKDTree(self.X[others], balanced_tree=False, compact_nodes=False), FIRST_ASKED
        while len(asking):
            asking = asking[core[rows[asking]] < limits[groups[rows[asking]]]]
            if not len(asking):
                return
            k = min(k, len(others))
            again = []
            for part in np.array_split(asking, 1 + len(asking) * k // BLOCK):
                i = rows[part]
                most = float(limits[groups[i]].max())
                distance, who = tree.query(
                    self.X[i], k=np.arange(1, k + 1), workers=self._threads, distance_upper_bound=most
                )
                j = others[np.minimum(who, len(others) - 1)]
                mutual = np.maximum(
                    np.maximum(distance, core[j]), core[i, None]
                )  # infinite where none was found
                best = mutual.argmin(axis=1)
                found = mutual[np.arange(len(i)), best]
                better = found < height[part]
                height[part[better]] = found[better]
                partner[part[better]] = j[better, best[better]]
                np.minimum.at(limits, groups[i], found)
                again.append(part[distance[:, -1] < limits[groups[i]]])
            asking = np.concatenate(again) if k < len(others) else asking[:0]
            k *= 4


class _Blocks:
    def __init__(self, X: Floats64) -> None:
        self.X = X
        self._centred = X - X.mean(axis=0)
        self._squares = np.einsum("ij,ij->i", self._centred, self._centred)

    def nearest(self, rows: Indices, k: int) -> tuple[Floats64, Indices]:
        distance, who = np.empty((len(rows), k)), np.empty((len(rows), k), np.intp)
        for start, squared in self._rough(rows):
            part = slice(start, start + len(squared))
            near = (
                np.argpartition(squared, k - 1, axis=1)[:, :k] if k < len(self.X) else squared.argsort(axis=1)
            )
            exact = self._exact(rows[part], near)
            order = exact.argsort(axis=1, kind="stable")
            distance[part] = np.take_along_axis(exact, order, axis=1)
            who[part] = np.take_along_axis(near, order, axis=1)
        return distance, who

    def outside(
        self, rows: Indices, groups: Indices, core: Floats64, limits: Floats64
    ) -> tuple[Floats64, Indices]:
        height, partner = limits[groups[rows]], np.full(len(rows), -1, np.intp)
        for start, mutual in self._rough(rows):
            i = rows[start : start + len(mutual)]
            np.sqrt(mutual, out=mutual)
            np.maximum(mutual, core, out=mutual)
            mutual[groups[i, None] == groups] = np.inf
            best = mutual.argmin(axis=1)
            found = np.maximum(np.maximum(self._exact(i, best[:, None])[:, 0], core[best]), core[i])
            better = found < height[start : start + len(i)]
            height[start : start + len(i)][better] = found[better]
            partner[start : start + len(i)][better] = best[better]
        return height, partner

    def _rough(self, rows: Indices) -> Iterator[tuple[int, Floats64]]:
        """Squared distances to all points, block by block, up to rounding; a point's to itself is 0."""
        size = max(1, BLOCK // len(self.X))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            squared = self._centred[part] @ self._centred.T
            squared *= -2
            squared += self._squares
            squared += self._squares[part, None]
            np.maximum(squared, 0, out=squared)
            squared[np.arange(len(part)), part] = 0
            yield start, squared

    def _exact(self, rows: Indices, others: Indices) -> Floats64:
        out = np.empty(others.shape)
        size = max(1, BLOCK // (others.shape[1] * self.X.shape[1]))
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            gap = self.X[rows[part], None] - self.X[others[part]]
            out[part] = np.sqrt((gap**2).sum(axis=2))
        return out


def core_distances(
    near: Space,
    weights: Floats64,
    min_weight: float,
    *,
    counts: NDArray[np.intp] | None = None,
    least: int = 1,
) -> Floats64:
    """Distance of each point at which the weight around it, its own included, reaches ``min_weight``.

    counts, least : (m,) points at each place, and how many there must be in the ball as well.

    Infinite where all the weight is not enough.

    >>> core_distances(space(np.array([[0.0], [1.0], [3.0]])), np.array([1.0, 1.0, 5.0]), 2)
    array([1., 1., 0.])
    """
    m = len(weights)
    points = np.ones(m, np.intp) if counts is None else counts
    out, waiting = np.full(m, np.inf), np.arange(m)
    k = min(m, 16)
    while len(waiting):
        late = []
        for rows in np.array_split(waiting, 1 + len(waiting) * k // BLOCK):
            distance, who = near.nearest(rows, k)
            enough = weights[who].cumsum(axis=1) >= min_weight * (1 - ROUNDING)
            enough &= points[who].cumsum(axis=1) >= least
            done = enough[:, -1]
            out[rows[done]] = distance[done, enough[done].argmax(axis=1)]
            late.append(rows[~done])
        waiting = np.concatenate(late) if k < m else waiting[:0]
        k = min(m, 4 * k)
    return out
