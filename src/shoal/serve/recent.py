"""The newest rows that a model labelled: those a stream leaves for watchers, and a few of those the service was asked for."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.engines.stream.recent import RATE, RECENT, read_recent
from shoal.features.columns import Vector
from shoal.features.one_hot import OneHot
from shoal.features.recipe import Recipe
from shoal.model.cluster_model import Assignment
from shoal.report.wording import percent_text
from shoal.serve.feed import Feed
from shoal.serve.models import Served
from shoal.serve.scene import Scene, Scenes, brief

KEPT, OUTLIERS = 300, 50
PER_REQUEST = 20
_COLUMNS, _LONGEST = 24, 300
"""Most columns of a row that are kept, and most characters of a text."""


@dataclass(frozen=True, eq=False)
class Row:
    """One row, as it was labelled."""

    time: float | None
    seen: str
    cluster: int
    """As it is shown."""
    distance: float
    score: float
    is_outlier: bool
    vector: NDArray[np.float32]
    values: dict[str, Any]


@dataclass
class _Held:
    rows: deque[Row] = field(default_factory=lambda: deque(maxlen=KEPT))
    new: deque[Row] = field(default_factory=lambda: deque(maxlen=KEPT))
    """Labelled here, and not told yet."""
    stamp: tuple[int, int] | None = None
    known: frozenset[tuple[int, float | None]] = frozenset()
    """Rows of the stream's file when it was read last."""
    scene: Scene | None = None


class RecentRows:
    """A ring of rows for each model; new ones are told to the feed at the next :meth:`look`."""

    def __init__(self, scenes: Scenes, feed: Feed) -> None:
        self._scenes, self._feed = scenes, feed
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()

    def labelled(
        self,
        served: Served,
        matrix: NDArray[Any],
        found: Assignment,
        texts: Sequence[str | None] | None = None,
    ) -> None:
        """Keep an even sample of the rows of a request; a few microseconds.

        Parameters
        ----------
        matrix : (n, d) vectors. found : what the model said of them.
        texts : (n,) of which they are the vectors, if they are.
        """
        n = len(matrix)
        at = range(n) if n <= PER_REQUEST else np.linspace(0, n - 1, PER_REQUEST).astype(np.int64).tolist()
        seen, limit = _now(), served.model.outlier_threshold(RATE)
        shown = served.shown_ids
        rows = [
            Row(
                None,
                seen,
                int(shown[found.positions[i]]),
                float(found.distances[i]),
                float(found.outlier_scores[i]),
                bool(found.outlier_scores[i] > limit),
                np.array(matrix[i], np.float32),
                {"text": (texts[i] or "")[:_LONGEST]} if texts is not None else {},
            )
            for i in at
        ]
        self._of(served.name).new.extend(rows)

    def look(self, served: Served) -> None:
        """Read what the stream left, and tell the feed of all new rows."""
        held = self._of(served.name)
        rows = self._of_stream(served, held)
        with self._lock:
            while held.new:
                rows.append(held.new.popleft())
        rows = [row for row in rows if len(row.vector) == served.model.n_features]
        if not rows:
            return
        scene = self._scene(served, held)
        data = _as_points(scene, rows)
        with self._lock:
            held.rows.extend(rows)
        self._feed.tell("points", served.name, {"points": data})

    def outliers(self, served: Served) -> list[dict[str, Any]]:
        """Rows that lay far out, the newest first, at most 50."""
        held = self._of(served.name)
        with self._lock:
            rows = [
                row
                for row in reversed(held.rows)
                if row.is_outlier and len(row.vector) == served.model.n_features
            ][:OUTLIERS]
        if not rows:
            return []
        scene = self._scene(served, held)
        return [point["outlier"] for point in _as_points(scene, rows)]

    def _of(self, name: str) -> _Held:
        with self._lock:
            return self._held.setdefault(name, _Held())

    def _scene(self, served: Served, held: _Held) -> Scene:
        """Of this version; a request may come with an older one than the scenes have by now."""
        scene = held.scene
        if scene is None or scene.served is not served:
            scene = held.scene = self._scenes.get(served)
        return scene

    def _of_stream(self, served: Served, held: _Held) -> list[Row]:
        """Rows of the stream's file that were not there at the last look."""
        path = served.home / RECENT
        try:
            status = path.stat()
        except OSError:
            return []
        if held.stamp == (status.st_ino, status.st_mtime_ns):
            return []
        is_first, held.stamp = held.stamp is None, (status.st_ino, status.st_mtime_ns)
        table = read_recent(path)
        if table is None or not table.num_rows:
            return []
        records = table.to_pylist()
        keys = [(r["row"], r["time"]) for r in records]
        known, held.known = held.known, frozenset(keys)
        new = [r for r, key in zip(records, keys, strict=True) if is_first or key not in known]
        width = served.model.n_features
        new = [r for r in new if len(r["vector"]) == width]
        if not new:
            return []
        seen = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
        return [
            Row(
                r["time"],
                seen,
                r["cluster"] if served.topics is None else served.topics.curation.topic_of(r["cluster"]),
                r["distance"],
                r["outlier_score"],
                r["far"],
                np.array(r["vector"], np.float32),
                _values(served, r["values"]),
            )
            for r in new
        ]


def reason(scene: Scene, vector: NDArray[np.floating], position: int, score: float) -> str:
    """Why a row lies far out: the column that adds most to its distance, or only how far.

    Parameters
    ----------
    position : of the centre it is nearest to.
    """
    served, view = scene.served, scene.view
    nearer = percent_text(score)
    if served.topics is not None:
        return f"farther from its topic than {nearer} of texts"
    recipe = served.recipe
    if served.model.metric == "cosine" or (
        recipe is not None and any(isinstance(b, Vector) for b in recipe.blocks)
    ):
        return f"farther from its cluster than {nearer} of rows"
    values = np.asarray(vector, np.float64)
    parts = np.square(values - served.model.centres[position])
    blocks = [slice(j, j + 1) for j in range(view.d)] if recipe is None else _blocks(recipe)
    sums = np.array([parts[b].sum() for b in blocks])
    if not sums.sum() > 0:
        return f"farther from its cluster than {nearer} of rows"
    best = blocks[int(sums.argmax())]
    share = f"({percent_text(float(sums.max() / sums.sum()))} of the distance)"
    block = None if recipe is None else recipe.blocks[int(sums.argmax())]
    if isinstance(block, OneHot):
        own = best.start + int(values[best].argmax())
        held = percent_text(max(float(view.centres[position, own]), 0.0))
        return f"{view.columns[own].label}, as {held} of its cluster {share}"
    column = view.columns[best.start]
    value = float(values[best.start])
    if recipe is not None:
        value = float(recipe.to_original(values[None, :])[0, best.start])
    centre = column.text(float(view.centres[position, best.start]))
    return f"{column.label} {column.text(value)}, centre {centre} {share}"


def shown_values(recipe: Recipe | None, names: Sequence[str], vector: NDArray[np.floating]) -> dict[str, Any]:
    """A row's columns, from its vector; none where they are part of an embedding."""
    if recipe is None:
        return {n: brief(float(v)) for n, v in zip(names[:_COLUMNS], vector, strict=False)}
    if any(isinstance(block, Vector) for block in recipe.blocks):
        return {}
    values = recipe.to_original(np.asarray(vector)[None, :])[0]
    out: dict[str, Any] = {}
    for block, part in zip(recipe.blocks, _blocks(recipe), strict=True):
        if isinstance(block, OneHot):
            label = block.feature_names[int(values[part].argmax())]
            out[block.name] = label.partition("=")[2] or label
        else:
            out[block.name] = brief(float(values[part.start]))
    return dict(list(out.items())[:_COLUMNS])


def _as_points(scene: Scene, rows: Sequence[Row]) -> list[dict[str, Any]]:
    vectors = np.stack([row.vector for row in rows])
    places = scene.chart.place(vectors).tolist()
    positions = scene.served.model.assign(vectors).positions.tolist()  # the rows may be older than the model
    out = []
    for row, at, position in zip(rows, places, positions, strict=True):
        place = [brief(v) for v in at]
        outlier = _as_outlier(scene, row, position, place) if row.is_outlier else None
        out.append({"at": place, "cluster": row.cluster, "score": brief(row.score), "outlier": outlier})
    return out


def _as_outlier(scene: Scene, row: Row, position: int, at: list[float | None]) -> dict[str, Any]:
    served = scene.served
    return {
        "time": row.time,
        "seen": row.seen,
        "cluster": row.cluster,
        "score": brief(row.score),
        "distance": brief(row.distance),
        "at": at,
        "reason": reason(scene, row.vector, position, row.score),
        "row": row.values or shown_values(served.recipe, served.model.feature_names, row.vector),
    }


def _values(served: Served, text: str | None) -> dict[str, Any]:
    """Of a topic the text alone, which is the first of the columns that go with a row."""
    values: dict[str, Any] = json.loads(text) if text else {}
    if served.topics is not None and values:
        return {"text": next(iter(values.values()))}
    return values


def _blocks(recipe: Recipe) -> list[slice]:
    """Where each column's features are."""
    ends = np.cumsum([block.width for block in recipe.blocks]).tolist()
    return [slice(e - block.width, e) for e, block in zip(ends, recipe.blocks, strict=True)]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
