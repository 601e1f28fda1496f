"""The fitted model: centres, sizes, spread, quality and where it all came from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError, Rejects
from shoal.kernels import as_floats, nearest
from shoal.solve.lloyd import Metric

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

QUANTILES: FloatArray = np.concatenate(
    [np.linspace(0.0, 0.9, 19), [0.925, 0.95, 0.975, 0.99, 0.995, 0.999, 1.0]]
)
"""Levels at which the distances to each centre are kept (26 levels, denser in the tail)."""

TAIL = 0.01
"""Scores from 1 - TAIL up are for rows farther out than any that was seen."""


class Assignment(NamedTuple):
    """What :meth:`ClusterModel.assign` answers for n rows."""

    ids: IntArray
    """(n,) stable cluster ids."""
    positions: IntArray
    """(n,) position of the centre in ``model.centres``."""
    distances: FloatArray
    """(n,) distance to the nearest centre (euclidean, or cosine distance in [0, 2])."""
    second_distances: FloatArray
    """(n,) distance to the second nearest centre; infinity if there is one centre only."""
    outlier_scores: FloatArray
    """(n,) in [0, 1]: the share of the cluster's rows that are nearer to the centre."""


@dataclass(frozen=True)
class Provenance:
    """What was read, how, and by which release."""

    rows_seen: int
    rows_filtered: int = 0
    rejects: Rejects = field(default_factory=Rejects)
    seed: int = 0
    sources: tuple[str, ...] = ()
    library_version: str = ""
    created: str = ""
    """UTC, ISO 8601."""
    left_out: tuple[str, ...] = ()
    """Columns that could not be used, with their kind, where none were named."""
    seconds: float = math.nan
    """Wall time of the pass and the solve."""


@dataclass(frozen=True)
class ClusterModel:
    """Centres with all that is needed to label rows, explain the clusters and say where they came from.

    Centres live in the space the recipe makes (scaled, one-hot encoded); the recipe turns them back.
    """

    centres: FloatArray
    """(k, d)."""
    weights: FloatArray
    """(k,) weight of each cluster, estimated from the summary; adds up to the weight seen."""
    scatter: FloatArray
    """(k,) weighted sum of squared distances of each cluster's rows to its centre."""
    radii: FloatArray
    """(k, 26) distances to the centre at the levels of :data:`QUANTILES`."""
    provenance: Provenance
    ids: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    """(k,) stable cluster ids; by default 0 .. k-1, largest cluster first."""
    metric: Metric = "euclidean"
    feature_names: tuple[str, ...] = ()
    recipe: Mapping[str, Any] | None = None
    """How rows become vectors; None if the model was fitted on vectors."""
    quality: Mapping[str, float] = field(default_factory=dict)
    steps: tuple[Mapping[str, float], ...] = ()
    """Iterations of the solve: iteration, inertia, shift, moved, repaired."""
    choice: Mapping[str, Any] | None = None
    """The answer to "which k" this model came from, as ``KChoice.to_dict`` has it."""
    version: str = ""
    parent: str | None = None
    """Version this one was updated from."""
    next_id: int = 0
    """First id that no cluster of this model or of those before it has had; at least one more than the largest."""

    def __post_init__(self) -> None:
        if not len(self.ids):
            object.__setattr__(self, "ids", np.arange(len(self.centres), dtype=np.int64))
        object.__setattr__(self, "next_id", max(self.next_id, int(self.ids.max(initial=-1)) + 1))
        if not self.feature_names:
            object.__setattr__(self, "feature_names", tuple(f"x{j}" for j in range(self.n_features)))

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.centres)

    @property
    def n_features(self) -> int:
        """Columns of the space the centres live in."""
        return int(self.centres.shape[1])

    @property
    def inertia(self) -> float:
        """Weighted sum of squared distances to the nearest centre, estimated from the summary."""
        return float(self.scatter.sum())

    def assign(self, X: ArrayLike, *, n_threads: int | None = None) -> Assignment:
        """Cluster, distances and outlier score of each row.

        Parameters
        ----------
        X : (n, d) vectors as the recipe makes them; for cosine of any length but zero.

        Raises
        ------
        BadInputError : another width than the centres, or NaN.
        """
        rows = self._vectors(X)
        found = nearest(rows, self.centres, second=True, n_threads=n_threads)
        squared, second = (np.asarray(a, np.float64) for a in (found.squared, found.second))
        distances, others = self._distances(squared), self._distances(second)
        positions = found.labels.astype(np.int64)
        scores = self._outlier_scores(positions, distances)
        return Assignment(self.ids[positions], positions, distances, others, scores)

    def predict(self, X: ArrayLike, *, n_threads: int | None = None) -> IntArray:
        """(n,) id of the cluster of each row."""
        labels = nearest(self._vectors(X), self.centres, n_threads=n_threads).labels
        ids: IntArray = self.ids[labels]
        return ids

    def transform(self, X: ArrayLike) -> FloatArray:
        """(n, k) distance of each row to every centre."""
        rows = self._vectors(X).astype(np.float64)
        out = np.empty((len(rows), self.k))
        for c, centre in enumerate(self.centres):
            out[:, c] = self._distances(((rows - centre) ** 2).sum(axis=1))
        return out

    def score(self, X: ArrayLike, weights: ArrayLike | None = None) -> float:
        """Minus the weighted sum of squared distances to the nearest centre, as scikit-learn has it."""
        squared = nearest(self._vectors(X), self.centres).squared.astype(np.float64)
        return -float(squared.sum() if weights is None else np.dot(np.asarray(weights, np.float64), squared))

    def replace(self, **changes: Any) -> ClusterModel:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def _vectors(self, X: ArrayLike) -> NDArray[np.float32] | NDArray[np.float64]:
        rows = as_floats(X)
        if rows.shape[1] != self.n_features:
            raise BadInputError(
                f"rows have {rows.shape[1]} columns, the model has {self.n_features}",
                remedy=f"give the columns {', '.join(self.feature_names[:8])}{', ...' * (self.n_features > 8)}",
            )
        if not np.isfinite(rows).all():
            i, j = (int(v[0]) for v in np.nonzero(~np.isfinite(rows)))
            raise BadInputError(f"value is {rows[i, j]}", place=f"row {i}, column {self.feature_names[j]!r}")
        return unit_rows(rows) if self.metric == "cosine" else rows

    def _distances(self, squared: FloatArray) -> FloatArray:
        return squared / 2 if self.metric == "cosine" else np.sqrt(squared)

    def _outlier_scores(self, positions: IntArray, distances: FloatArray) -> FloatArray:
        """Share of the cluster's rows nearer than this one; beyond the farthest seen it goes on towards 1."""
        scores = np.empty(len(distances))
        for c in np.unique(positions):
            mine, radii = positions == c, self.radii[c]
            inside = _share_nearer(distances[mine], radii)
            reach = radii[-1] if radii[-1] > 0 else np.finfo(float).tiny
            beyond = distances[mine] > radii[-1]
            tail = 1.0 - TAIL * reach / np.maximum(distances[mine], reach)
            scores[mine] = np.where(beyond, tail, inside * (1.0 - TAIL))
        return scores


def _share_nearer(distances: FloatArray, radii: FloatArray) -> FloatArray:
    """Share of a cluster's rows that are strictly nearer; among equal radii the first level counts."""
    above = np.searchsorted(radii, distances, side="left")
    high = np.clip(above, 1, len(radii) - 1)
    low = high - 1
    width = radii[high] - radii[low]
    part = np.divide(distances - radii[low], width, out=np.zeros_like(distances), where=width > 0)
    share = QUANTILES[low] + (QUANTILES[high] - QUANTILES[low]) * np.clip(part, 0.0, 1.0)
    return np.where(above == 0, 0.0, share)


def unit_rows(X: NDArray[Any]) -> NDArray[Any]:
    """Rows scaled to length 1, for the cosine metric.

    Raises
    ------
    BadInputError : a row of zeros, which has no direction.

    >>> unit_rows(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """
    rows = X.astype(np.float64)
    largest = np.abs(rows).max(axis=1, initial=0.0)
    if len(largest) and not largest.min() > 0:
        raise BadInputError(
            "the row is all zeros, which has no direction under the cosine metric",
            place=f"row {int(np.argmin(largest))}",
            remedy="drop such rows or use the euclidean metric",
        )
    rows /= largest[:, None]  # first, so that no square can overflow or vanish
    unit: NDArray[Any] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(X.dtype)
    return unit


def radius_quantiles(
    distances: FloatArray, labels: NDArray[np.integer[Any]], weights: FloatArray, k: int
) -> FloatArray:
    """(k, 26) weighted quantiles of the distance to each centre; zeros for an empty cluster."""
    out = np.zeros((k, len(QUANTILES)))
    order = np.lexsort((distances, labels))
    bounds = np.searchsorted(labels[order], np.arange(k + 1))
    for c in range(k):
        part = order[bounds[c] : bounds[c + 1]]
        if len(part):
            mass = np.cumsum(weights[part])
            at = np.searchsorted(mass, QUANTILES * mass[-1], side="left")
            out[c] = distances[part][np.minimum(at, len(part) - 1)]
    return out
