"""Models of centres that were found elsewhere, of which little else is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError
from shoal.model.cluster_model import QUANTILES, ClusterModel, Provenance, unit_rows
from shoal.model.outliers import LEVELS, OutlierScale
from shoal.model.release import release
from shoal.solve.lloyd import Metric
from shoal.summary.coreset import Coreset

_ENDLESS = float(np.sqrt(np.finfo(np.float64).max))
_TAIL = 0.99
"""Level of the distance beyond which rows are held not to be a cluster's own."""


def model_of_centres(
    centres: ArrayLike,
    *,
    place: str,
    ids: ArrayLike | None = None,
    sizes: ArrayLike | None = None,
    metric: Metric = "euclidean",
) -> ClusterModel:
    """A model that labels rows by these centres; how far its own rows lay from them is unknown.

    So the clusters have no spread, and no row is an outlier. Without sizes all clusters weigh the same.

    Parameters
    ----------
    centres : (k, d).
    place : where they come from, for errors and as the model's source.
    ids : (k,) default 0 to k - 1.
    sizes : (k,) rows of each cluster.

    Raises
    ------
    BadInputError : a centre that is not finite, or without direction under the cosine; ids that are negative or equal.

    >>> model_of_centres([[1.0], [5.0]], place="a.csv", ids=[7, 3]).predict([[4.0]])
    array([3])
    """
    found = np.array(centres, np.float64)
    if found.ndim != 2 or not found.size:
        raise BadInputError(f"centres of shape {found.shape} where (k, d) is due", place=place)
    if not np.isfinite(found).all():
        raise BadInputError("a centre is NaN or infinite", place=place, remedy="mend it or leave it out")
    if metric == "cosine":
        found = unit_rows(found)
    k = len(found)
    numbers = np.arange(k) if ids is None else np.asarray(ids, np.int64)
    if (numbers < 0).any() or len(np.unique(numbers)) != k:
        raise BadInputError(
            "ids are negative or not all different", place=place, remedy="number the clusters"
        )
    weights = np.full(k, 1.0 / k) if sizes is None else np.asarray(sizes, np.float64)
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.sum() > 0:
        raise BadInputError("sizes are not numbers of rows", place=place, remedy="leave them out")
    known = "spread" if sizes is not None else "sizes and spread"
    return ClusterModel(
        centres=found,
        weights=weights,
        scatter=np.zeros(k),
        radii=_radii(k),
        ids=numbers.astype(np.int64),
        provenance=Provenance(
            rows_seen=0 if sizes is None else round(float(weights.sum())),
            sources=(f"{place} ({known} unknown)",),
            library_version=release(),
        ),
        metric=metric,
        quality={"sizes_known": float(sizes is not None)},
        outliers=_nothing_is_far(k),
    )


def summary_of_centres(model: ClusterModel) -> Coreset:
    """What a model of centres goes on learning from: its centres as rows of their weight, or, where sizes are unknown, nothing.

    >>> model = model_of_centres([[1.0], [5.0]], place="a.csv")
    >>> summary_of_centres(model).n_features, summary_of_centres(model.replace(quality={})).count
    (1, 2)
    """
    summary = Coreset(k_max=max(64, model.k))
    if model.quality.get("sizes_known", 1.0) == 0.0:
        return summary.update(np.empty((0, model.n_features), np.float32))
    return summary.update(model.centres.astype(np.float32), model.weights)


def _nothing_is_far(k: int) -> OutlierScale:
    """With no row seen, none is farther out than those seen: all scores are 0."""
    return OutlierScale(np.zeros(k), np.ones(k), np.full(len(LEVELS), _ENDLESS))


def _radii(k: int) -> NDArray[np.float64]:
    """(k, 26) zeros, but for an endless tail: a cluster that finds rows near its centre is the same one, not a new one."""
    return np.where(QUANTILES >= _TAIL, _ENDLESS, np.zeros((k, 1)))
