"""All that the live page shows of one version: clusters in words, and a sample of rows on the map."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.report.palette import cluster_colours
from shoal.report.thinning import thin
from shoal.report.traits import Trait, telling_columns
from shoal.report.view import View
from shoal.serve.chart import Chart, Charts
from shoal.serve.columns import wanted_columns
from shoal.serve.models import Served
from shoal.summary.protocol import WeightedPoints

FloatArray = NDArray[np.float64]

MOST_POINTS = 2000
MOST_COLUMNS = 24
_COLOURS = 256
_EXAMPLES = 3
_KEYWORDS = 8


@dataclass(frozen=True, eq=False)
class Scene:
    """One version, gathered for the page."""

    served: Served
    view: View
    chart: Chart
    rows: NDArray[np.int64]
    """(n,) points of the view that are shown, shuffled."""
    weights: FloatArray
    """(n,) rows each of them stands for."""
    at: FloatArray
    """(n, 2) their places."""
    shown: NDArray[np.int64]
    """(k,) id under which each cluster of the model is shown; several of a merged topic have the same."""

    @cached_property
    def groups(self) -> dict[int, NDArray[np.int64]]:
        """Positions of the clusters that are shown as one, by the id, the largest first."""
        shares = self.view.shares
        ids = sorted(set(self.shown.tolist()), key=lambda i: (-float(shares[self.shown == i].sum()), i))
        return {i: np.flatnonzero(self.shown == i) for i in ids}

    def label(self, cluster: int) -> str:
        """What a cluster is called."""
        return self.labels.get(cluster, f"cluster {cluster}")

    @cached_property
    def labels(self) -> dict[int, str]:
        """Names by id, where there are any."""
        topics = self.served.topics
        named = {} if topics is None else {t.id: t.name for t in topics.topics}
        return named | dict(self.served.names)

    def points(self) -> list[list[Any]]:
        """Place, cluster and weight of the rows that are shown."""
        clusters = self.shown[self.view.labels[self.rows]].tolist()
        return [
            [brief(x), brief(y), c, brief(w)]
            for (x, y), c, w in zip(self.at.tolist(), clusters, self.weights.tolist(), strict=True)
        ]

    def clusters(self, histories: Mapping[int, Sequence[tuple[float, float]]]) -> list[dict[str, Any]]:
        """A card for each cluster, the largest first."""
        places = self.chart.centres()
        return [
            card_of(self, cluster, positions, places) | {"history": [list(h) for h in histories.get(cluster, ())]}
            for cluster, positions in self.groups.items()
        ]  # fmt: skip

    def columns(self) -> list[dict[str, Any]]:
        """The columns that tell the clusters apart best."""
        if self.served.topics is not None:
            return []
        telling = telling_columns(self.view.deviations, self.view.shares, MOST_COLUMNS)
        return [
            {
                "name": column.name,
                "label": column.label,
                "is_category": column.is_category,
                "mean": brief(column.mean),
                "spread": brief(column.spread),
            }
            for column in (self.view.columns[j] for j in telling)
        ]

    def inputs(self) -> list[dict[str, Any]]:
        """What a row consists of."""
        return [{"name": c.name, "kind": c.kind, "width": c.width} for c in wanted_columns(self.served)]


class Scenes:
    """The scene of every model's newest version, made once."""

    def __init__(self, charts: Charts) -> None:
        self.charts = charts
        self._held: dict[str, Scene] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, served: Served) -> Scene:
        """The scene of a version; the first call for one takes a moment."""
        with self._lock:
            turn = self._turns.setdefault(served.name, threading.Lock())
        with turn:
            held = self._held.get(served.name)
            if held is None or held.served is not served:
                held = scene_of(served, self.charts)
                self._held[served.name] = held
            return held

    def held(self, served: Served) -> Scene | None:
        """The scene of a version, if it was made already."""
        found = self._held.get(served.name)
        return found if found is not None and found.served is served else None


def scene_of(served: Served, charts: Charts) -> Scene:
    """Gather a version."""
    view = View.of(served.model, points_of(served))
    chart = charts.follow(served.name, view)
    rows, weights = thin(view.labels, view.weights, view.k, MOST_POINTS)
    if len(rows) > MOST_POINTS:  # each of very many clusters keeps a point
        rows, weights = rows[:MOST_POINTS], weights[:MOST_POINTS]
    order = np.random.default_rng(0).permutation(len(rows))  # no cluster is drawn on top of all others
    rows, weights = rows[order], weights[order]
    return Scene(served, view, chart, rows, weights, chart.place(view.vectors[rows]), served.shown_ids)


def points_of(served: Served) -> WeightedPoints:
    """The points of the summary; none where there is no summary, or it is of another width."""
    summary = served.summary
    if summary is None or summary.n_features != served.model.n_features:
        return WeightedPoints(np.empty((0, served.model.n_features), np.float32), np.empty(0))
    return summary.points()


def card_of(scene: Scene, cluster: int, positions: NDArray[np.int64], places: FloatArray) -> dict[str, Any]:
    """One cluster in words and numbers."""
    view, model = scene.view, scene.served.model
    shares = view.shares[positions]
    largest = positions[int(shares.argmax())]
    part = shares / max(float(shares.sum()), 1e-300)
    at = part @ places[positions] if shares.sum() > 0 else places[largest]
    topic = None
    if scene.served.topics is not None:
        topic = next((t for t in scene.served.topics.topics if t.id == cluster), None)
    return {
        "id": cluster,
        "name": scene.served.names.get(cluster) or (topic.name if topic and topic.by_hand else None),
        "label": scene.label(cluster),
        "colour": colour_of(cluster),
        "share": brief(float(shares.sum())),
        "weight": brief(float(model.weights[positions].sum())),
        "radius": brief(float(model.radii[largest][10])),
        "at": [brief(v) for v in at.tolist()],
        "traits": [] if scene.served.topics else traits_as_data(view.traits[largest]),
        "keywords": [k.term for k in topic.keywords[:_KEYWORDS]] if topic else [],
        "examples": [text[:300] for text in topic.texts[:_EXAMPLES]] if topic else [],
    }


def traits_as_data(traits: Sequence[Trait]) -> list[dict[str, str]]:
    """What sets a cluster apart, for JSON."""
    return [
        {
            "label": t.label,
            "direction": t.direction,
            "value": t.value,
            "overall": t.overall,
            "text": t.text,
        }
        for t in traits
    ]


def colour_of(cluster: int) -> str:
    """The colour of an id: the same in every version; new clusters, of negative ids, get their own."""
    return cluster_colours(_COLOURS)[cluster % _COLOURS]


def brief(value: float) -> float | None:
    """Six digits are finer than the eye; None for what JSON has no number for."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
