"""From a solution on a summary to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.kernels import nearest
from shoal.model.cluster_model import ClusterModel, Provenance, radius_quantiles
from shoal.model.outliers import outlier_scale
from shoal.solve.lloyd import Metric, Solution
from shoal.solve.quality import quality


def build_model(
    X: NDArray[Any],
    weights: NDArray[np.float64],
    solution: Solution,
    *,
    provenance: Provenance,
    metric: Metric = "euclidean",
    feature_names: tuple[str, ...] = (),
    recipe: Mapping[str, Any] | None = None,
    choice: Mapping[str, Any] | None = None,
    parent: str | None = None,
    spread: NDArray[np.float64] | None = None,
) -> ClusterModel:
    """A model whose clusters are numbered from the largest to the smallest.

    Parameters
    ----------
    X, weights : the points the solution was found on.
    spread : (n,) mean squared distance of the rows that each point stands for to it, where points are means of rows.

    >>> from shoal.solve.k_means import k_means
    >>> X = np.array([[0.0], [8.0], [9.0], [10.0]]); w = np.ones(4)
    >>> m = build_model(X, w, k_means(X, 2), provenance=Provenance(rows_seen=4)); m.centres.ravel(), m.weights
    (array([9., 0.]), array([3., 1.]))
    """
    k = len(solution.centres)
    order = solution.largest_first()
    place = np.argsort(order)
    labels = place[solution.labels]
    diff = X - solution.centres[solution.labels]
    squared = np.einsum("ij,ij->i", diff, diff, dtype=np.float64)
    if spread is not None:
        squared = squared + spread
    distances = squared / 2 if metric == "cosine" else np.sqrt(squared)
    figures = quality(X, weights, solution, provenance.rows_seen)
    named = {name: float(getattr(figures, name)) for name in figures.__dataclass_fields__ if name != "k"}
    centres, sizes = solution.centres[order], solution.counts[order]
    scatter = np.bincount(labels, weights=weights * squared, minlength=k).astype(np.float64)
    # as rows will be measured when they are labelled, rounding included, so that equal rows have equal scores
    found = nearest(X, centres, second=True)
    outlying = found.squared.astype(np.float64) + (0.0 if spread is None else spread)
    outliers = outlier_scale(centres, sizes, scatter, outlying, found.labels, weights)
    return ClusterModel(
        centres=centres,
        weights=sizes,
        scatter=scatter,
        radii=radius_quantiles(distances, labels, weights, k),
        provenance=provenance,
        metric=metric,
        feature_names=feature_names,
        recipe=recipe,
        quality=named,
        steps=tuple(step._asdict() for step in solution.steps),
        choice=choice,
        parent=parent,
        outliers=outliers,
    )
