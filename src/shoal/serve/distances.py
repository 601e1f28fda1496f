"""Distances of rows to all clusters as they are shown, and the nearest of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.model.cluster_model import Assignment
from shoal.serve.limits import TooManyRowsError
from shoal.serve.models import Served

MOST = 8_000_000
"""Distances of one request."""
_CHUNK = 1_000_000


def shown_distances(
    served: Served, matrix: NDArray[np.float32] | NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The distance of each row to each cluster; to a topic of several clusters, that to the nearest of them.

    Returns
    -------
    ids : (c,) ids of the clusters as they are shown, each once.
    distances : (n, c).

    Raises
    ------
    TooManyRowsError : more distances than a request gets.
    """
    ids, first, shown = np.unique(served.shown_ids, return_index=True, return_inverse=True)
    order = np.argsort(first)
    check_size(len(matrix), len(ids))
    rank = np.empty(len(ids), np.int64)
    rank[order] = np.arange(len(ids))
    out = np.full((len(matrix), len(ids)), np.inf)
    step = max(_CHUNK // served.model.k, 1)
    for begin in range(0, len(matrix), step):
        part = out[begin : begin + step]
        held = served.model.transform(matrix[begin : begin + step])
        for c, place in enumerate(rank[shown.reshape(-1)].tolist()):
            np.minimum(part[:, place], held[:, c], out=part[:, place])
    return ids[order], out


def nearest_clusters(
    served: Served, matrix: NDArray[np.float32] | NDArray[np.float64], found: Assignment, n: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The n nearest clusters of each row, as they are shown, each once; the first is always the one it got.

    Returns
    -------
    ids, distances : (rows, min(n, clusters)); the distances never fall.
    """
    ids, distances = shown_distances(served, matrix)
    mine = served.shown_ids[found.positions]
    at = np.argsort(ids)[np.searchsorted(np.sort(ids), mine)]
    # the kernel and a float64 loop may see a tie differently; the answer's id is the kernel's
    distances[np.arange(len(mine)), at] = -np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :n]
    nearest = np.take_along_axis(distances, order, axis=1)
    # the first two as the kernel has them, which an answer tells too; where several clusters are shown as one, its
    # second may be the same one again
    nearest[:, 0] = found.distances
    if len(ids) == served.model.k and nearest.shape[1] > 1:
        nearest[:, 1] = found.second_distances
    return ids[order], np.maximum.accumulate(nearest, axis=1)


def check_size(rows: int, clusters: int) -> None:
    """Raises :class:`TooManyRowsError` for more distances than a request gets."""
    if rows * clusters > MOST:
        raise TooManyRowsError(
            f"{rows} rows have {rows * clusters} distances, at most {MOST} are answered",
            place="request",
            remedy="send several requests",
        )
