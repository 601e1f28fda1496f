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
from shoal.model.outliers import OutlierScale, share_nearer, weighted_quantiles
from shoal.solve.lloyd import Metric

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

QUANTILES: FloatArray = np.concatenate(
    [np.linspace(0.0, 0.9, 19), [0.925, 0.95, 0.975, 0.99, 0.995, 0.999, 1.0]]
)
"""Levels at which the distances to each centre are kept (26 levels, denser in the tail)."""

TAIL = 0.01
"""Models of before the outlier scale: scores from 1 - TAIL up are for rows farther out than any that was seen."""


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
    """(n,) in [0, 1]: the share of all rows seen that lie less far out; see :mod:`shoal.model.outliers`."""


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
    outliers: OutlierScale | None = None
    """What the outlier scores come from; None in models of before it, whose scores are shares of the cluster's rows."""

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
        if self.outliers is not None:
            scores = self.outliers.scores(squared, positions, self.provenance.rows_seen)
        else:
            scores = self._shares_of_clusters(positions, distances)
        return Assignment(self.ids[positions], positions, distances, others, scores)

    def outlier_threshold(self, rate: float = 0.01) -> float:
        """Score above which about this share of the rows seen lies; 0 asks for rows farther out than all of them.

        Raises
        ------
        BadInputError : a rate outside [0, 1].
        """
        if not 0.0 <= rate <= 1.0:
            raise BadInputError(f"outlier rate is {rate}", remedy="give a share of the rows, such as 0.01")
        room = TAIL if self.outliers is None else 1.0 / (max(self.provenance.rows_seen, 1) + 1)
        return (1.0 - rate) * (1.0 - room)

    def is_outlier(
        self, X: ArrayLike, rate: float = 0.01, *, n_threads: int | None = None
    ) -> NDArray[np.bool_]:
        """(n,) whether each row lies farther out than all but this share of the rows seen.

        >>> from shoal.model.build import build_model
        >>> from shoal.solve.k_means import k_means
        >>> X = np.linspace(-1.0, 1.0, 101)[:, None]
        >>> model = build_model(X, np.ones(101), k_means(X, 1), provenance=Provenance(rows_seen=101))
        >>> model.is_outlier([[0.1], [0.9], [7.0]], rate=0.2)
        array([False,  True,  True])
        """
        flags: NDArray[np.bool_] = self.assign(
            X, n_threads=n_threads
        ).outlier_scores > self.outlier_threshold(rate)
        return flags

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

    def _shares_of_clusters(self, positions: IntArray, distances: FloatArray) -> FloatArray:
        """Share of the cluster's rows nearer than this one; beyond the farthest seen it goes on towards 1."""
        scores = np.empty(len(distances))
        for c in np.unique(positions):
            mine, radii = positions == c, self.radii[c]
            inside = share_nearer(distances[mine], radii, QUANTILES)
            reach = radii[-1] if radii[-1] > 0 else np.finfo(float).tiny
            beyond = distances[mine] > radii[-1]
            tail = 1.0 - TAIL * reach / np.maximum(distances[mine], reach)
            scores[mine] = np.where(beyond, tail, inside * (1.0 - TAIL))
        return scores


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
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(k + 1))
    for c in range(k):
        part = order[bounds[c] : bounds[c + 1]]
        out[c] = weighted_quantiles(distances[part], weights[part], QUANTILES)
    return out
