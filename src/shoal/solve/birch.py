"""The last phase of BIRCH: the entries of a tree of clustering features joined into k clusters by Ward's method."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.kernels import accumulate
from shoal.solve.hierarchy import ward
from shoal.solve.lloyd import Solution
from shoal.summary.cf_tree import CFTree
from shoal.summary.protocol import WeightedPoints


class JoinedEntries(NamedTuple):
    """What the entries of a tree become."""

    points: WeightedPoints
    """The entries that have weight: means (m, d) float64, weights (m,)."""
    solution: Solution
    spread: NDArray[np.float64]
    """(m,) mean squared distance of the rows of each entry to its mean."""
    within: float
    """Sum of squares of the rows around their entries' means; with the inertia of the solution it is the cost of all rows,
    exact but for rows near a border."""


def join_entries(tree: CFTree, k: int) -> JoinedEntries:
    """k clusters of a tree; rows will go to the nearest centre.

    Raises
    ------
    BadInputError : fewer entries than clusters.

    >>> tree = CFTree(threshold=1.0).update([[0.0], [1.0], [8.0], [9.0], [30.0]])
    >>> found = join_entries(tree, 2); sorted(found.solution.centres.ravel().tolist()), found.within
    ([4.5, 30.0], 1.0)
    """
    points = tree.points()
    heavy = points.weights > 0
    X, w = np.asarray(points.X, np.float64)[heavy], points.weights[heavy]
    if len(X) < k:
        raise BadInputError(
            f"k={k} clusters asked of {len(X)} entries",
            remedy="lower k or the threshold, or raise the number of entries",
        )
    joined = ward(WeightedPoints(X - X.mean(axis=0), w)).cut(k)
    weights = np.bincount(joined, weights=w, minlength=k)
    centres = np.stack([np.bincount(joined, weights=w * x, minlength=k) / weights for x in X.T], axis=1)
    found = accumulate(X, centres, w)
    solution = Solution(centres, found.labels, found.counts, found.inertia, (), True)
    scatter = np.zeros(len(X)) if points.scatter is None else np.asarray(points.scatter, np.float64)[heavy]
    return JoinedEntries(WeightedPoints(X, w), solution, scatter / w, float(scatter.sum()))
