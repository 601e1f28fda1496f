"""Other numbers of clusters, from the summary alone: the curves, and a solve for any k."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel
from shoal.report.criteria import curves
from shoal.report.thinning import thin
from shoal.report.view import View
from shoal.serve.models import Served
from shoal.serve.other_clusters import cards_of, ids_like
from shoal.serve.scene import Scene, brief, points_of
from shoal.serve.topics import ServedTopics
from shoal.solve.choose_k import choose_k
from shoal.solve.k_means import k_means
from shoal.summary.protocol import WeightedPoints
from shoal.text.curation import Curation
from shoal.text.topics import describe

MOST_CELLS = 1_500_000
"""Numbers of the sample on which another k is solved, so that a slider can be followed."""
MOST_ROWS = 20_000
MOST_K = 100
_KEPT = 64


class WhichK:
    """Answers about one service's models, each found once for each version."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def choice(self, scene: Scene) -> dict[str, Any]:
        """The criteria for every k, and the k they suggest; takes seconds where nobody asked before.

        Raises
        ------
        BadInputError : there is no summary beside the model.
        """
        with self._turn:
            key = ("choice", _key(scene.served))
            if key not in self._kept:
                found = scene.served.model.choice or self._chosen(scene.served)
                self._keep(key, _choice_as_data(found))
            return dict(self._kept[key])

    def solve(self, scene: Scene, k: int) -> dict[str, Any]:
        """The clusters for another k.

        Raises
        ------
        BadInputError : no summary, or fewer different rows than clusters.
        """
        if not 1 <= k <= MOST_K:
            raise BadInputError(f"k is {k}", place="query, k", remedy=f"give 1 to {MOST_K}")
        with self._turn:
            key = ("solve", _key(scene.served), k)
            if key not in self._kept:
                self._keep(key, solved(scene, k))
            return dict(self._kept[key])

    def _chosen(self, served: Served) -> dict[str, Any]:
        points = sample_of(served)
        most = max(12, min(2 * served.model.k, 30))
        ks = range(1 if served.model.k == 1 else 2, min(most, len(points.X)) + 1)
        found = choose_k(
            points.X,
            points.weights,
            ks,
            rows=served.model.provenance.rows_seen,
            metric=served.model.metric,
            seed=served.model.provenance.seed,
        )
        return found.to_dict()

    def _keep(self, key: tuple[Any, ...], found: Any) -> None:
        self._kept[key] = found
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)


def solved(scene: Scene, k: int) -> dict[str, Any]:
    """The sample of a model's summary in k clusters, in the terms of the served ones."""
    served = scene.served
    points = sample_of(served)
    solution = k_means(
        points.X,
        k,
        weights=points.weights,
        metric=served.model.metric,
        seed=served.model.provenance.seed,
    )
    distinct = int((solution.counts > 0).sum())
    if distinct < k:
        raise BadInputError(
            f"only {distinct} rows of the sample differ", place="query, k", remedy=f"give up to {distinct}"
        )
    other = build_model(
        points.X,
        points.weights,
        solution,
        provenance=served.model.provenance,
        metric=served.model.metric,
        feature_names=served.model.feature_names,
        recipe=served.model.recipe,
    )
    ids = ids_like(served.model, other, points, scene.shown)
    view = View.of(other, points, most_points=2000)
    shown = scene.view.vectors[scene.rows]
    labels: list[int] = ids[other.assign(shown).positions].tolist() if len(shown) else []
    cards = cards_of(scene, view, ids)
    if served.topics is not None:
        _say_words(cards, other.replace(ids=ids - ids.min()), int(ids.min()), served.topics)
    return {
        "k": k,
        "version": served.version,
        "inertia": brief(other.inertia),
        "explained": brief(_explained(other, points)),
        "clusters": cards,
        "points": labels,
    }


def _say_words(cards: list[dict[str, Any]], model: ClusterModel, lowest: int, topics: ServedTopics) -> None:
    """Keywords, examples and names for cards of topics; the model's ids are theirs, counted from the lowest."""
    notes = topics.summary.notes
    told = describe(model, topics.summary.sample(), Curation(), known=notes.terms, n_keywords=8, n_texts=3)
    found = {topic.id + lowest: topic for topic in told.topics}
    for card in cards:
        topic = found.get(card["id"])
        if topic is not None:
            card["keywords"] = [k.term for k in topic.keywords]
            card["examples"] = [text[:300] for text in topic.texts]
            card["label"] = card["label"] if card["id"] >= 0 else topic.name


def sample_of(served: Served) -> WeightedPoints:
    """Points of the summary, few enough to be solved while somebody waits.

    Raises
    ------
    BadInputError : there is no summary beside the model.
    """
    points = points_of(served)
    if not len(points.X):
        raise BadInputError(
            "there is no summary beside this model",
            remedy="save it with its summary, as shoal fit --out does",
        )
    most = max(1000, min(MOST_ROWS, MOST_CELLS // served.model.n_features))
    if len(points.X) <= most:
        return points
    labels: NDArray[np.int64] = served.model.assign(points.X).positions
    where, weights = thin(labels, np.asarray(points.weights, np.float64), served.model.k, most)
    return WeightedPoints(points.X[where], weights)


def _key(served: Served) -> tuple[str, str, str]:
    return served.name, served.version, served.model.version


def _explained(model: ClusterModel, points: WeightedPoints) -> float:
    """Share of the variance that lies between the clusters."""
    X = np.asarray(points.X, np.float64)
    w = np.asarray(points.weights, np.float64)
    if model.metric == "cosine":
        X = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-300)
    mean = w @ X / max(float(w.sum()), 1e-300)
    whole = float(w @ np.square(X - mean).sum(axis=1))
    return 1.0 - model.inertia / whole if whole > 0 else 1.0


def _choice_as_data(choice: Any) -> dict[str, Any]:
    told = [replace(curve, errors=()) for curve in curves(choice)]
    return {
        "ks": list(told[0].ks) if told else [],
        "suggested": choice.get("suggested"),
        "confidence": choice.get("confidence"),
        "reasons": list(choice.get("reasons") or ()),
        "curves": [
            {
                "key": c.key,
                "title": c.title,
                "better": c.better,
                "meaning": c.meaning,
                "ks": list(c.ks),
                "values": [brief(v) for v in c.values],
                "best": c.best,
            }
            for c in told
        ],
    }
