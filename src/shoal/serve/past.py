"""The clusters of any interval of the past, from the time buckets a stream keeps, on the map of the present."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.engines.local import Clustering
from shoal.engines.stream.run import BUCKETS
from shoal.engines.windows import compare_solved, solve_window
from shoal.errors import BadInputError
from shoal.model.events import Event
from shoal.model.time_answers import Window
from shoal.model.time_catalogue import CATALOGUE
from shoal.model.time_store import TimeStore
from shoal.report.view import View
from shoal.serve.models import Served
from shoal.serve.other_clusters import cards_of, ids_like, points_on
from shoal.serve.refused import RefusedError
from shoal.serve.scene import Scene, brief

Edges = tuple[float | None, float | None]
_NEW = re.compile(r"(?:cluster )?-(\d+)")
"""A cluster that is not among the served ones, in the text of an event."""
ROWS = 10_000
"""Rows of the sample of a window, so that it can be solved while somebody waits."""


def time_folder(served: Served) -> Path:
    """The store of time buckets that belongs to a model.

    Raises
    ------
    RefusedError : 404, there is none.
    """
    folder = served.home / BUCKETS
    if not has_buckets(served):
        raise RefusedError(
            404, "no time buckets are kept of this model", remedy="run shoal stream with --bucket 10m"
        )
    return folder


def has_buckets(served: Served) -> bool:
    """Whether any interval of the past can be asked for."""
    return (served.home / BUCKETS / CATALOGUE).is_file()


def held(served: Served) -> dict[str, Any]:
    """From when to when, and how finely."""
    with TimeStore(time_folder(served), read_only=True) as store:
        told = store.describe()
    return {
        "start": told.start,
        "end": told.end,
        "bucket": told.bucket,
        "rows": told.rows,
        "levels": [
            {
                "resolution": x.resolution,
                "start": x.start,
                "end": x.end,
                "buckets": x.buckets,
                "rows": x.rows,
            }
            for x in told.levels
        ],
        "given_up": [
            {"how": g.how, "times": g.times, "rows": g.rows, "start": g.start, "end": g.end}
            for g in told.given_up
        ],
    }


def window(scene: Scene, edges: Edges, k: int | None) -> dict[str, Any]:
    """The clusters of an interval; by default as many as are served."""
    with TimeStore(time_folder(scene.served), read_only=True) as store:
        _check_space(scene, store)
        asked = store.window(*edges, rows=ROWS)
        found = solve_window(store, asked, k or scene.served.model.k)
    ids = _ids(scene, found)
    return _as_data(scene, asked, found, ids)


def compare(scene: Scene, before: Edges, after: Edges, k: int | None) -> dict[str, Any]:
    """The clusters of two intervals, and what happened from the first to the second."""
    with TimeStore(time_folder(scene.served), read_only=True) as store:
        _check_space(scene, store)
        later = store.window(*after, rows=ROWS)
        earlier = store.window(*_apart(before, after, later), rows=ROWS)
        a, b, events = compare_solved(store, earlier, later, k or scene.served.model.k)
    told = _common_ids(scene, a, b)
    sides = [
        _as_data(scene, w, found, np.array([told[i] for i in found.model.ids.tolist()], np.int64))
        for w, found in ((earlier, a), (later, b))
    ]
    renamed = [_renamed(event, told) for event in events]
    return {
        "before": sides[0],
        "after": sides[1],
        "events": [e.to_dict() | {"text": _NEW.sub(r"new \1", str(e))} for e in renamed],
    }


def _apart(before: Edges, after: Edges, later: Window) -> Edges:
    """The edges of the earlier window, drawn back where the later one took in a whole bucket that both have a part in."""
    if None in (before[1], after[0]) or before[1] > after[0]:  # type: ignore[operator]
        return before
    return before[0], min(before[1], later.start)  # type: ignore[type-var]


def _common_ids(scene: Scene, a: Clustering, b: Clustering) -> dict[int, int]:
    """Ids to show, by those of the comparison, in which a cluster of both windows has one id."""
    told = dict(zip(a.model.ids.tolist(), _ids(scene, a).tolist(), strict=True))
    fresh = [i for i in b.model.ids.tolist() if i not in told]
    new = _ids(scene, b, taken=set(told.values()))
    lowest = min([0, *told.values()])
    for cluster, like in zip(b.model.ids.tolist(), new.tolist(), strict=True):
        if cluster in fresh:
            told[cluster] = like if like >= 0 else lowest + like
    return told


def _ids(scene: Scene, found: Clustering, taken: set[int] | None = None) -> NDArray[np.int64]:
    assert found.summary is not None
    return ids_like(scene.served.model, found.model, found.summary.points(), scene.shown, taken)


def _renamed(event: Event, told: dict[int, int]) -> Event:
    def of(cluster: int) -> int:
        return told.get(cluster, cluster)

    return replace(
        event,
        cluster=of(event.cluster),
        parents=tuple(map(of, event.parents)),
        children=tuple(map(of, event.children)),
    )


def _check_space(scene: Scene, store: TimeStore) -> None:
    recipe = scene.served.model.recipe
    if recipe is not None and store.recipe is not None and dict(recipe) != store.recipe:
        raise BadInputError(
            "the time buckets hold rows of another recipe than this model's", remedy="begin a new state"
        )


def _as_data(scene: Scene, asked: Window, found: Clustering, ids: NDArray[np.int64]) -> dict[str, Any]:
    assert found.summary is not None
    view = View.of(found.model, found.summary.points(), most_points=2000)
    return {
        "from": brief_time(asked.start),
        "to": brief_time(asked.end),
        "widened": asked.widened,
        "gaps": asked.gaps,
        "rows": found.summary.count,
        "k": found.model.k,
        "inertia": brief(found.model.inertia),
        "clusters": cards_of(scene, view, ids),
        "points": points_on(scene, view, ids),
    }


def brief_time(seconds: float) -> float | None:
    """A time for JSON, to the millisecond."""
    return round(seconds, 3) if np.isfinite(seconds) else None
