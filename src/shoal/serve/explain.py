"""Where one row falls, and why: what tells its cluster from the next."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.engines.stream.recent import RATE
from shoal.model.cluster_model import unit_rows
from shoal.report.wording import percent_text, short
from shoal.serve.scene import Scene, brief
from shoal.text.tokens import normal_form

FloatArray = NDArray[np.float64]
NEAREST = 5
COLUMNS = 6


def explain(scene: Scene, vector: NDArray[np.floating], text: str | None = None) -> dict[str, Any]:
    """Cluster, nearest clusters, and the columns or words that speak for it.

    Parameters
    ----------
    vector : (d,) as the recipe, or the language model, makes it.
    """
    model, view = scene.served.model, scene.view
    found = model.assign(vector[None, :])
    distances = model.transform(unit_rows(vector[None, :]) if model.metric == "cosine" else vector[None, :])[
        0
    ]
    first = int(found.positions[0])
    distances[first] = found.distances[0]  # as the kernel has it, so that one answer tells one distance
    order = _one_each(np.argsort(distances, kind="stable"), scene.shown)
    cluster = int(scene.shown[first])
    second = next((c for c in order if int(scene.shown[c]) != cluster), None)
    score = float(found.outlier_scores[0])
    why = [] if text is not None or second is None else _columns_that_tell(scene, vector, first, second)
    words = _shared_words(scene, cluster, text)
    return {
        "cluster": cluster,
        "label": scene.label(cluster),
        "distance": brief(float(found.distances[0])),
        "second_distance": None if second is None else brief(float(distances[second])),
        "outlier_score": brief(score),
        "is_outlier": bool(score > model.outlier_threshold(RATE)),
        "at": [brief(v) for v in scene.chart.place(vector[None, :])[0].tolist()],
        "nearest": [
            {
                "id": int(scene.shown[c]),
                "label": scene.label(int(scene.shown[c])),
                "distance": brief(float(distances[c])),
            }
            for c in order[:NEAREST]
        ],
        "why": why,
        "words": words,
        "text": _sentence(scene, cluster, score, why, words, view.k > 1),
    }


def _one_each(order: NDArray[np.int64], shown: NDArray[np.int64]) -> list[int]:
    """Positions from the nearest on, the first of each id that is shown."""
    seen: dict[int, int] = {}
    for position in order.tolist():
        seen.setdefault(int(shown[position]), position)
    return list(seen.values())


def _columns_that_tell(
    scene: Scene, vector: NDArray[np.floating], first: int, second: int
) -> list[dict[str, Any]]:
    """The columns whose values lie nearer to the first centre than to the second, by how much they add to it."""
    model, view = scene.served.model, scene.view
    x = np.asarray(vector, np.float64)
    if model.metric == "cosine":
        x = unit_rows(x[None, :])[0]
    gain = np.square(x - model.centres[second]) - np.square(x - model.centres[first])
    whole = float(np.maximum(gain, 0.0).sum())
    shift = view.centres[first] - model.centres[first] * _scale(scene)
    values = x * _scale(scene) + shift
    best = [j for j in np.argsort(-gain, kind="stable")[:COLUMNS].tolist() if gain[j] > 0.01 * whole > 0]
    return [
        {
            "column": view.columns[j].label,
            "value": view.columns[j].text(float(values[j])),
            "centre": view.columns[j].text(float(view.centres[first, j])),
            "second": view.columns[j].text(float(view.centres[second, j])),
            "share": brief(float(gain[j]) / whole),
        }
        for j in best
    ]


def _scale(scene: Scene) -> FloatArray:
    """(d,) units of the columns in one unit of the model."""
    recipe = scene.served.recipe
    d = scene.view.d
    if recipe is None:
        return np.ones(d)
    scale: FloatArray = recipe.to_original(np.ones((1, d)))[0] - recipe.to_original(np.zeros((1, d)))[0]
    return scale


def _shared_words(scene: Scene, cluster: int, text: str | None) -> list[str]:
    """Keywords of the topic that the text holds."""
    topics = scene.served.topics
    if text is None or topics is None:
        return []
    said = f" {normal_form(text)} "
    topic = next((t for t in topics.topics if t.id == cluster), None)
    return [] if topic is None else [k.term for k in topic.keywords if f" {k.term}" in said]


def _sentence(
    scene: Scene, cluster: int, score: float, why: list[dict[str, Any]], words: list[str], several: bool
) -> str:
    label = short(scene.label(cluster), 60)
    how = f"It is nearest to {label}"
    if why:
        told = " and ".join(f"{w['column']} ({w['value']}, there {w['centre']})" for w in why[:2])
        how += f", which {told} {'speaks' if len(why) == 1 else 'speak'} for"
    elif words:
        how += f", of whose keywords it has {', '.join(words[:4])}"
    elif several:
        how += ", by all that the vectors hold"
    noun = "rows" if scene.served.topics is None else "texts"
    nearer = "<1%" if score < 0.005 else percent_text(score)
    if score > scene.served.model.outlier_threshold(RATE):
        return f"{how}; but it lies farther out than {nearer} of the {noun} seen, so it may belong to none."
    return f"{how}; {nearer} of the {noun} seen lie less far out."
