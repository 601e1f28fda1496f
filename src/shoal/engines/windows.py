"""Clusters of any interval of the past, and what changed between two of them, from a store of summaries by time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from shoal.engines.local import Clustering
from shoal.engines.window_changes import changes
from shoal.errors import BadInputError
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.model.events import Event
from shoal.model.release import release
from shoal.model.time_answers import Span, Window, told
from shoal.model.time_store import TimeStore
from shoal.solve.choose_k import choose_k
from shoal.solve.k_means import k_means
from shoal.solve.lloyd import Solution


def window_clustering(
    store: TimeStore,
    start: float | None,
    end: float | None,
    k: int | Iterable[int],
    *,
    n_threads: int | None = None,
) -> Clustering:
    """Solve the rows of an interval of time.

    Parameters
    ----------
    start, end : seconds, as the store has them; None: from the first row, to the last.
    k : number of clusters; of several the one that fits best is taken, as in :func:`shoal.engines.local.sweep`.

    Raises
    ------
    BadInputError : no rows in the interval, or fewer different ones than clusters.
    DamagedFileError : a summary of the interval cannot be read.

    >>> import tempfile
    >>> import numpy as np
    >>> from shoal.summary.coreset import Coreset
    >>> with TimeStore(tempfile.mkdtemp(), bucket=60.0) as store:
    ...     for minute in range(10):
    ...         X = np.array([[0.0], [1.0], [10.0 * minute]])
    ...         _ = store.add(60.0 * minute, Coreset().update(X), piece="a")
    ...     found = window_clustering(store, 480.0, 600.0, 2)
    >>> found.model.centres.ravel(), found.model.provenance.rows_seen
    (array([ 0.5, 85. ]), 6)
    """
    return solve_window(store, store.window(start, end), k, n_threads=n_threads)


def compare_windows(
    store: TimeStore,
    before: tuple[float | None, float | None],
    after: tuple[float | None, float | None],
    k: int | Iterable[int],
    *,
    n_threads: int | None = None,
) -> tuple[Clustering, Clustering, list[Event]]:
    """Solve two intervals and tell what happened from the first to the second.

    A cluster of the second that is one of the first has its id. Sizes are compared as shares, so the intervals need not
    be equally long. Other parameters and errors as in :func:`window_clustering`.

    Raises
    ------
    BadInputError : the intervals do not overlap, but both have a part in the same bucket.
    """
    return compare_solved(store, store.window(*before), store.window(*after), k, n_threads=n_threads)


def solve_window(
    store: TimeStore, window: Window, k: int | Iterable[int], *, n_threads: int | None = None
) -> Clustering:
    """As :func:`window_clustering`, for a window that is there already."""
    began = time.monotonic()
    points, summary, metric = window.summary.points(), window.summary, store.metric
    choice: dict[str, Any] | None = None
    solution: Solution
    if isinstance(k, (int, np.integer)):
        k = int(k)
        solution = k_means(
            points.X, k, weights=points.weights, metric=metric, seed=summary.seed, n_threads=n_threads
        )
        distinct = int((solution.counts > 0).sum())
        if distinct < k:
            raise BadInputError(
                f"k={k} clusters asked of a window of which only {distinct} rows differ",
                remedy=f"choose k up to {distinct}, or a longer window",
            )
    else:
        chosen = choose_k(
            points.X,
            points.weights,
            k,
            rows=summary.count,
            metric=metric,
            seed=summary.seed,
            n_threads=n_threads,
        )
        solution, choice = chosen.solutions[chosen.most_voted], chosen.to_dict()
    recipe = store.recipe
    model = build_model(
        points.X,
        points.weights,
        solution,
        provenance=_provenance(store, window, time.monotonic() - began),
        metric=metric,
        feature_names=_names(recipe),
        recipe=recipe,
        choice=choice,
    )
    return Clustering(model, summary)


def compare_solved(
    store: TimeStore,
    before: Window,
    after: Window,
    k: int | Iterable[int],
    *,
    n_threads: int | None = None,
) -> tuple[Clustering, Clustering, list[Event]]:
    """As :func:`compare_windows`, for windows that are there already."""
    _demand_apart(before, after)
    ks = k if isinstance(k, (int, np.integer)) else list(k)
    a, b = (solve_window(store, w, ks, n_threads=n_threads) for w in (before, after))
    sides = [(side.model, side.summary.points()) for side in (a, b)]
    model, events = changes(*sides, time=after.end)
    return a, Clustering(model, b.summary), events


def _provenance(store: TimeStore, window: Window, seconds: float) -> Provenance:
    return Provenance(
        rows_seen=window.summary.count,
        seed=window.summary.seed,
        sources=(f"{store.path} from {told(window.start)} to {told(window.end)}",),
        library_version=release(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
    )


def _names(recipe: dict[str, Any] | None) -> tuple[str, ...]:
    from shoal.features.recipe import Recipe

    return () if recipe is None else Recipe.from_dict(recipe).feature_names


def _demand_apart(a: Window, b: Window) -> None:
    """Rows of a bucket that both have would be on both sides of the comparison."""
    if a.asked[0] < b.asked[1] and b.asked[0] < a.asked[1]:
        return  # meant to overlap
    for low, high in a.buckets:
        if low < b.end and high > b.start:
            place: Span = (low, high)
            raise BadInputError(
                f"both windows have a part in the bucket from {told(place[0])} to {told(place[1])}, kept as one",
                remedy="put their edges where it begins or ends",
            )
