"""Weighted normalised cut on representatives: clusters that hang together along a graph of neighbours."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csc_array, diags_array
from scipy.sparse.linalg import eigsh

from shoal.errors import BadInputError
from shoal.kernels import nearest
from shoal.solve.k_means import k_means, make_cover
from shoal.solve.neighbours import Floats64, checked, heaviest_first, places, space
from shoal.summary.protocol import WeightedPoints

REPRESENTATIVES = 1_500
"""Points whose graph is cut; more than that are covered by so many micro-centres."""
NEIGHBOURS = 10
DENSE = 300
"""Representatives up to which all eigenvalues are looked at."""
SHIFT = -1e-3
"""Eigenvalues are sought around this: just off 0, where the Laplacian cannot be inverted."""
ZERO = 1e-9
"""Eigenvalues below this are rounding."""


class SpectralClusters(NamedTuple):
    """Clusters found by a normalised cut."""

    labels: NDArray[np.int32]
    """(m,) cluster of each point, the heaviest 0."""
    eigenvalues: Floats64
    """(at least k,) smallest eigenvalues of the normalised Laplacian, ascending; zeros count separate parts."""


def spectral(
    points: WeightedPoints,
    k: int | None = None,
    *,
    neighbours: int = NEIGHBOURS,
    k_max: int = 20,
    seed: int = 0,
    n_threads: int | None = None,
) -> SpectralClusters:
    """Cut the graph of neighbours where it is thin (Shi and Malik 2000).

    Representatives are joined to their nearest ``neighbours`` with affinity ``exp(-d² / (s t))``, s and t the distance
    of either to its last one (Zelnik-Manor and Perona 2004), times the root of both weights. The first k eigenvectors,
    each representative counting by its degree, are parted by k-means.

    Parameters
    ----------
    points : (m, d); more than 1,500 places are covered by as many micro-centres first.
    k : default the widest gap of the eigenvalues, by ratio, from 2 up to ``k_max``.

    Raises
    ------
    BadInputError : see :func:`shoal.solve.neighbours.checked`; k not between 1 and the number of points that differ.

    >>> X = np.array([[0.0], [0.1], [0.2], [5.0], [5.1]])
    >>> spectral(WeightedPoints(X, np.ones(5)), 2, neighbours=1).labels
    array([0, 0, 0, 1, 1], dtype=int32)
    """
    X, w = checked(points)
    at = places(X, w)
    centres, weights = at.X, at.weights
    if neighbours < 1:
        raise BadInputError(f"neighbours={neighbours}", remedy="give at least 1")
    if len(centres) > REPRESENTATIVES:
        rng = np.random.default_rng(seed)
        cover = make_cover(
            centres, weights, REPRESENTATIVES, metric="euclidean", rng=rng, n_threads=n_threads
        )
        centres, weights = np.asarray(cover.centres, np.float64), cover.weights
    if k is not None and not 1 <= k <= len(centres):
        remedy = f"choose k between 1 and {len(centres)}"
        raise BadInputError(f"k={k} clusters asked of {len(centres)} points that differ", remedy=remedy)
    graph = _affinity(centres, weights, min(neighbours, len(centres) - 1))
    degree = np.asarray(graph.sum(axis=1)).ravel()
    root = np.sqrt(degree)
    values, vectors = _smallest(graph, root, min(len(centres), max(k or 0, k_max) + 1), seed)
    k = _widest_gap(values) if k is None else k
    rows = vectors[:, :k] / root[:, None]
    found = k_means(rows, k, weights=degree, seed=seed, n_init=20, n_threads=n_threads).labels
    found, _ = heaviest_first(found, weights, centres)
    labels: NDArray[np.int32] = found[nearest(X, centres, n_threads=n_threads).labels]
    return SpectralClusters(labels, values)


def _affinity(X: Floats64, weights: Floats64, neighbours: int) -> Any:
    """(r, r) sparse affinities; a representative's to itself is its weight."""
    r = len(X)
    near = space(X)
    distance, who = near.nearest(np.arange(r), neighbours + 1)
    scale = np.maximum(distance[:, -1], 1e-300)
    rows = np.repeat(np.arange(r), neighbours + 1)
    cols = who.ravel()
    # divided one after the other: a product of tiny scales would be zero
    closeness = np.exp(-(distance.ravel() / scale[rows]) * (distance.ravel() / scale[cols]))
    closeness *= np.sqrt(weights[rows]) * np.sqrt(weights[cols]) / weights.mean()
    graph = csc_array((closeness, (rows, cols)), shape=(r, r))
    return csc_array(graph.maximum(graph.T))


def _smallest(graph: Any, root: Floats64, count: int, seed: int) -> tuple[Floats64, Floats64]:
    """Smallest eigenvalues of the normalised Laplacian, ascending, and their vectors (r, count)."""
    r = len(root)
    laplacian = csc_array(diags_array(np.ones(r)) - diags_array(1 / root) @ graph @ diags_array(1 / root))
    if r <= DENSE or count >= r // 4:
        values, vectors = eigh(laplacian.toarray(), subset_by_index=[0, count - 1])
    else:
        start = np.random.default_rng(seed).normal(size=r)
        values, vectors = eigsh(laplacian, count, sigma=SHIFT, v0=start)
        order = values.argsort()
        values, vectors = values[order], vectors[:, order]
    return np.maximum(values, 0.0), vectors


def _widest_gap(values: Floats64) -> int:
    """The k from 2 on whose own eigenvalue is the smallest share of the next one."""
    if len(values) < 3:
        return len(values)
    lower, upper = np.maximum(values[1:-1], ZERO), np.maximum(values[2:], ZERO)
    return int(np.argmin(lower / upper)) + 2
