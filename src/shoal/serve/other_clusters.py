"""Clusters that are not the served ones, told in their terms: another k, another time, on the same map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from shoal.kernels import nearest
from shoal.model.cluster_model import QUANTILES, ClusterModel, unit_rows
from shoal.report.thinning import thin
from shoal.report.view import View
from shoal.serve.scene import MOST_POINTS, Scene, brief, colour_of, traits_as_data
from shoal.summary.protocol import WeightedPoints

NOWHERE = np.iinfo(np.int64).min
REACH = 0.99
"""A served cluster reaches as far as this share of its rows: what lies beyond it is of no served cluster."""
LEAST_OVERLAP = 0.2
"""Part of two clusters together that both must hold to be the same one (Jaccard index)."""


def ids_like(
    served: ClusterModel,
    other: ClusterModel,
    points: WeightedPoints,
    shown: NDArray[np.int64] | None = None,
    taken: set[int] | None = None,
) -> NDArray[np.int64]:
    """(k,) ids for another model's clusters: those of the served clusters that share most of their rows, else -1, -2, ...

    Parameters
    ----------
    points : rows on which the two are compared.
    shown : (k of the served,) ids under which the served clusters are known; default their own.
    taken : ids that are not to be given.

    >>> from shoal.model.cluster_model import Provenance
    >>> from shoal.model.build import build_model
    >>> from shoal.solve.k_means import k_means
    >>> X = np.array([[0.0], [1.0], [8.0], [9.0], [20.0]])
    >>> two, three = (build_model(X, np.ones(5), k_means(X, k), provenance=Provenance(5)) for k in (2, 3))
    >>> sorted(ids_like(two, three, WeightedPoints(X, np.ones(5))).tolist())
    [-1, 0, 1]
    """
    known = served.ids if shown is None else shown
    unique = [i for i in dict.fromkeys(known.tolist()) if i not in (taken or ())]
    X = unit_rows(points.X) if served.metric == "cosine" and len(points.X) else points.X
    ids = np.zeros(other.k, np.int64)
    if len(X) and unique:
        mine = np.where(_within_reach(served, X), known[_labels(served, X)], NOWHERE)
        theirs = _labels(other, X)
        both = np.zeros((len(unique), other.k))
        for i, cluster in enumerate(unique):
            here = mine == cluster
            both[i] = np.bincount(theirs[here], weights=points.weights[here], minlength=other.k)
        whole = np.bincount(theirs, weights=points.weights, minlength=other.k)
        own = np.array([points.weights[mine == c].sum() for c in unique])
        alike = both / np.maximum(own[:, None] + whole[None, :] - both, 1e-300)
        for i, j in zip(*linear_sum_assignment(alike, maximize=True), strict=True):
            if alike[i, j] >= LEAST_OVERLAP:
                ids[j] = unique[i] + 1  # so that 0 says: none yet
    fresh = np.flatnonzero(ids == 0)
    ids -= 1
    ids[fresh] = -1 - np.arange(len(fresh))
    return ids


def _labels(model: ClusterModel, X: NDArray[Any]) -> NDArray[np.int64]:
    return nearest(X, model.centres.astype(X.dtype)).labels.astype(np.int64)


def _within_reach(model: ClusterModel, X: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) whether rows lie among those that a model's clusters were made of."""
    found = nearest(X, model.centres.astype(X.dtype))
    squared = np.asarray(found.squared, np.float64)
    distances = squared / 2 if model.metric == "cosine" else np.sqrt(squared)
    reach = model.radii[:, int(np.searchsorted(QUANTILES, REACH - 1e-9))]
    near: NDArray[np.bool_] = distances <= 1.5 * reach[found.labels]
    return near


def cards_of(scene: Scene, view: View, ids: NDArray[np.int64]) -> list[dict[str, Any]]:
    """A card for each cluster of another model, the largest first.

    Parameters
    ----------
    view : of the other model. ids : (k,) under which its clusters are shown.
    """
    at = scene.chart.place(view.model.centres)
    known = scene.groups
    places = scene.chart.centres()
    cards = []
    for c in np.argsort(-view.shares, kind="stable").tolist():
        cluster = int(ids[c])
        place = at[c]
        if cluster in known and scene.chart.kind == "landmarks":
            place = places[known[cluster][0]]
        cards.append(
            {
                "id": cluster,
                "label": scene.label(cluster) if cluster >= 0 else f"new {-cluster}",
                "colour": colour_of(cluster),
                "share": brief(float(view.shares[c])),
                "weight": brief(float(view.model.weights[c])),
                "at": [brief(v) for v in place.tolist()],
                "traits": [] if scene.served.topics else traits_as_data(view.traits[c]),
                "keywords": [],
            }
        )
    return cards


def points_on(scene: Scene, view: View, ids: NDArray[np.int64]) -> list[list[Any]]:
    """Place, cluster and weight of a sample of another model's rows."""
    rows, weights = thin(view.labels, view.weights, view.k, MOST_POINTS)
    at = scene.chart.place(view.vectors[rows]).tolist()
    clusters = ids[view.labels[rows]].tolist()
    return [
        [brief(x), brief(y), c, brief(w)] for (x, y), c, w in zip(at, clusters, weights.tolist(), strict=True)
    ]
