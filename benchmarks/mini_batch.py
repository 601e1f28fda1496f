"""Rows per second and final cost of ``partial_fit``, Shoal and scikit-learn's MiniBatchKMeans, on equal batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import sklearn.cluster
from numpy.typing import NDArray

from benchmarks import THREADS
from benchmarks.common import cost, median, thinned, timed
from benchmarks.data import available
from shoal import MiniBatchKMeans

BATCH = 1024
SEEDS = (0, 1, 2)
QUICK_ROWS = 10_000
WARM_UP_BATCHES = 5
EVEN = 0.01
"""Costs within this share of each other are even."""
OURS, THEIRS = "shoal", "sklearn"
Maker = Callable[[int, int], Any]
CONTENDERS: dict[str, Maker] = {
    OURS: lambda k, seed: MiniBatchKMeans(k, batch_size=BATCH, random_state=seed, n_threads=THREADS),
    THEIRS: lambda k, seed: sklearn.cluster.MiniBatchKMeans(
        k, batch_size=BATCH, random_state=seed, n_init=1, compute_labels=False
    ),
}


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Measure every set as it comes and sorted by its widest column; the contenders take turns, seed by seed."""
    rows = []
    for one in available():
        X = one.make()
        X = thinned(X, QUICK_ROWS) if quick else np.ascontiguousarray(X)
        for order in ("given", "sorted"):
            row = {"set": one.name, "order": order, "n": len(X), "d": X.shape[1], "k": one.k}
            row |= measure(X if order == "given" else by_widest(X), one.k, SEEDS[:1] if quick else SEEDS)
            rows.append(row)
            print(_line(row), flush=True)
    losses = [f"{r['set']} ({r['order']}): {', '.join(r['lost'])}" for r in rows if r["lost"]]
    print("lost: " + ("; ".join(losses) or "nothing"), flush=True)
    return rows


def by_widest(X: NDArray[Any]) -> NDArray[Any]:
    """Rows in the order of the column of largest variance: the worst that a log sorted by a key can do."""
    widest = int(X.var(axis=0, dtype=np.float64).argmax())
    return np.ascontiguousarray(X[np.argsort(X[:, widest], kind="stable")])


def measure(X: NDArray[Any], k: int, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Rows per second of one pass with the centres at its end, costs of those on all rows, and who lost in what."""
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    costs: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for make in CONTENDERS.values():
        _one_pass(make, X[: WARM_UP_BATCHES * BATCH], k, 0)
    for seed in seeds:
        for name, make in CONTENDERS.items():
            seconds, centres = timed(partial(_one_pass, make, X, k, seed))
            rates[name].append(len(X) / seconds)
            costs[name].append(cost(X, centres))
    ratio = median(costs[OURS]) / median(costs[THEIRS])
    speed = median(rates[OURS]) / median(rates[THEIRS])
    lost = [what for what, bad in (("cost", ratio > 1), ("speed", speed < 1)) if bad]
    verdict = "even" if abs(ratio - 1) <= EVEN else "better" if ratio < 1 else "worse"
    return {
        "rows_per_second": rates,
        "cost": costs,
        "cost_ratio": ratio,
        "speed_ratio": speed,
        "verdict": verdict,
        "lost": lost,
    }


def _one_pass(make: Maker, X: NDArray[Any], k: int, seed: int) -> NDArray[Any]:
    model = make(k, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for start in range(0, len(X), BATCH):
            model.partial_fit(X[start : start + BATCH])
        return np.asarray(model.cluster_centers_)


def _line(row: dict[str, Any]) -> str:
    rates = {name: f"{median(v):.3g}" for name, v in row["rows_per_second"].items()}
    return (
        f"{row['set']}, {row['order']}: cost {row['cost_ratio']:.4g} of sklearn's ({row['verdict']}), "
        f"rows/s {rates}, {row['speed_ratio']:.2f} times as fast"
    )
