"""Any clusterer that takes weights, on weighted points."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.solve.neighbours import checked
from shoal.summary.protocol import WeightedPoints


def with_estimator(points: WeightedPoints, estimator: Any) -> tuple[NDArray[np.int32], Any]:
    """Labels (m,) by a copy of a scikit-learn clusterer whose ``fit`` takes ``sample_weight``, and the fitted copy.

    Raises
    ------
    BadInputError : the estimator takes no weights, or leaves no ``labels_``; see also
        :func:`shoal.solve.neighbours.checked`.

    >>> from sklearn.cluster import DBSCAN
    >>> two = WeightedPoints(np.array([[0.0], [9.0]]), np.array([3.0, 1.0]))
    >>> with_estimator(two, DBSCAN(min_samples=3))[0]
    array([ 0, -1], dtype=int32)
    """
    from sklearn.base import clone

    X, w = checked(points)
    name = type(estimator).__name__
    fit = getattr(estimator, "fit", None)
    if fit is None or isinstance(estimator, type) or "sample_weight" not in inspect.signature(fit).parameters:
        raise BadInputError(
            f"{name} takes no sample_weight, so it would count every kept point as one row",
            remedy='use one that does (KMeans, BisectingKMeans, DBSCAN), or method="hdbscan", "ward" or "spectral"',
        )
    fitted = clone(estimator).fit(X, sample_weight=w)
    labels = getattr(fitted, "labels_", None)
    if labels is None or len(labels) != len(X):
        raise BadInputError(f"{name} leaves no labels_ after fit", remedy="use a clusterer")
    return np.asarray(labels).astype(np.int32), fitted
