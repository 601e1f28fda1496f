"""Are the events right, and do ids stay? On a made drifting stream whose truth is known, over several seeds.

An event is right if its kind is that of a true one, it comes within ``WINDOW`` seconds after it, and its cluster lies
near the true place; each true event is found at most once. What is born in the first model is left out. Churn is
the share of the last rows whose id differs between successive models, though no event named their cluster; for the
peers, whose labels have no events, all of it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.cluster import Birch, MiniBatchKMeans

from shoal.engines.stream.learner import Learner
from shoal.engines.stream.parts import Piece
from shoal.engines.stream.settings import Span, StreamSettings
from shoal.features.spec import RecipeSpec
from shoal.model.cluster_model import ClusterModel
from shoal.model.events import Event
from shoal.sources.drifting import DriftingStream

ROWS, SECONDS, HALF_LIFE, EVERY = 60_000, 3600.0, 90.0, 60.0
WINDOW, NEAR = 600.0, 10.0
TOLD = ("born", "split", "merged", "died", "grew")
PROBE = 2000
"""Rows, the last before a model, on which churn is measured."""


def run(quick: bool = False) -> list[dict[str, Any]]:
    """One row per seed."""
    found = []
    for seed in range(2 if quick else 10):
        found.append(one(seed))
        print({name: found[-1][name] for name in ("seed", "right", "told", "true", "churn")}, flush=True)
    return found


def one(seed: int) -> dict[str, Any]:
    """Follow one stream."""
    stream = DriftingStream(ROWS, seconds=SECONDS, seed=seed)
    settings = StreamSettings(
        k=(2, 10),
        time="at",
        half_life=Span(seconds=HALF_LIFE),
        every=Span(seconds=EVERY),
        recipe=RecipeSpec(columns=("x", "y"), scale="none"),
    )
    learner = Learner(settings)
    events: list[tuple[Event, ClusterModel | None]] = []
    churn: list[float] = []
    previous: ClusterModel | None = None
    for start in range(0, ROWS, 500):
        X, times, _ = stream.rows(start, start + 500)
        table = pa.record_batch({"x": X[:, 0], "y": X[:, 1], "at": times})
        outcome = learner.feed([Piece(table, "made", 1, np.arange(start, start + 500))])
        for model in outcome.models:
            if previous is not None:
                probe = stream.rows(max(0, start - PROBE), max(start, 1))[0]
                churn.append(_churn(probe, previous, model, outcome.events))
            previous = model
        events += [(e, learner.model) for e in outcome.events]
    first = min(e.time for e, _ in events)
    told = [(e, m) for e, m in events if e.kind in TOLD and e.time > first]
    right = _right(told, stream)
    return {
        "seed": seed,
        "true": {k: sum(t.kind == k for t in stream.truth) for k in TOLD},
        "told": {k: sum(e.kind == k for e, _ in told) for k in TOLD},
        "right": right,
        "churn": float(np.mean(churn)),
        "peers": _peers(stream),
    }


def _right(told: list[tuple[Event, Any]], stream: DriftingStream) -> dict[str, int]:
    left = list(told)
    right = dict.fromkeys(TOLD, 0)
    for truth in stream.truth:
        for pair in left:
            event, model = pair
            late = event.time - truth.time
            if event.kind == truth.kind and -EVERY <= late <= WINDOW and _near(event, model, truth.place):
                right[truth.kind] += 1
                left.remove(pair)
                break
    return right


def _near(event: Event, model: ClusterModel, place: NDArray[np.float64]) -> bool:
    """Whether a cluster of the event lies near the true place; one that is gone cannot be asked any more."""
    ids = [i for i in (event.cluster, *event.children) if i in model.ids]
    if not ids:
        return event.kind == "died"
    centres = model.centres[np.isin(model.ids, ids)]
    return bool((np.linalg.norm(centres - place, axis=1) < NEAR).any())


def _churn(X: NDArray[Any], before: ClusterModel, after: ClusterModel, events: list[Event]) -> float:
    named = {
        i
        for e in events
        if e.kind in ("born", "split", "merged", "died")
        for i in (e.cluster, *e.parents, *e.children)
    }
    old, new = before.predict(X), after.predict(X)
    innocent = ~np.isin(old, list(named)) & ~np.isin(new, list(named))
    return float(((old != new) & innocent).mean())


def _peers(stream: DriftingStream) -> dict[str, float]:
    """Label churn of scikit-learn's, learning the same batches of a minute."""
    makers = {
        "sklearn Birch(n_clusters=None)": Birch(threshold=4.0, n_clusters=None),
        "sklearn MiniBatchKMeans(8)": MiniBatchKMeans(8, random_state=0, n_init=1),
    }
    step = int(ROWS * EVERY / SECONDS)
    churn: dict[str, list[float]] = {name: [] for name in makers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for start in range(0, ROWS, step):
            X = stream.rows(start, start + step)[0]
            probe = stream.rows(max(0, start - PROBE), max(start, 1))[0]
            for name, model in makers.items():
                before = model.predict(probe) if start else None
                model.partial_fit(X)
                if before is not None:
                    churn[name].append(float((model.predict(probe) != before).mean()))
    return {name: float(np.mean(values)) for name, values in churn.items()}


def section(rows: list[dict[str, Any]], targets: list[Any]) -> Any:
    """Precision and recall of each kind, and churn."""
    from benchmarks.tables import Target, table

    yield "## Events and ids on a drifting stream whose truth is known\n"
    yield (
        f"{len(rows)} made streams of {ROWS:,} rows: clusters drift, one appears, one splits, two merge, one dies, one grows."
        f" k is chosen from 2 to 10 all the time, half-life {HALF_LIFE:.0f} s. Right: of the kind, in place, and within"
        f" {WINDOW:.0f} s.\n"
    )
    recall = Target("events: recall of each kind at least 0.9", 0.9, least=True)
    precision = Target("events: precision of births, splits, merges, deaths at least 0.9", 0.9, least=True)
    targets += [recall, precision]
    body = []
    for kind in TOLD:
        true, told, right = (sum(r[name][kind] for r in rows) for name in ("true", "told", "right"))
        recalled, precise = right / true, right / told if told else float("nan")
        verdicts = f"recall {recall.verdict(kind, recalled)}"
        if kind != "grew":
            verdicts += f"; precision {precision.verdict(kind, precise)}"
        body.append([kind, str(true), str(told), str(right), f"{recalled:.2f}", f"{precise:.2f}", verdicts])
    yield from table(["kind", "true", "told", "right", "recall", "precision", "target"], body)
    yield (
        "\nWhat is told too much: while clusters part or meet, rows on their way between two places are at times told as a cluster of their own, which dies when"
        " they are forgotten; after every split the place that was left is told as a death. Growth is of shares: when one cluster dies, the others grow,"
        " which the truth does not list, so its precision says nothing."
    )
    churn = {"shoal": float(np.mean([r["churn"] for r in rows]))}
    for name in rows[0]["peers"]:
        churn[name] = float(np.mean([r["peers"][name] for r in rows]))
    yield "\nRows whose id changed between successive models, without an event that says so:\n"
    yield from table(["", "label churn"], [[name, f"{value:.1%}"] for name, value in churn.items()])
