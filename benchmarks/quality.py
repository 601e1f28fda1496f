"""Cost and time of one pass against many passes on all rows, and against peers that read once or sample."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Seconds, cost, shown, thinned, timed, why
from benchmarks.data import available
from benchmarks.peers import CONTENDERS, REFERENCE

SEEDS = (0, 1, 2)
QUICK_ROWS = 10_000
WARM_UP_ROWS = 4000


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Measure every set; the contenders take turns, seed by seed."""
    rows = []
    for one in available():
        X = one.make()
        X = thinned(X, QUICK_ROWS) if quick else np.ascontiguousarray(X)
        row = {"set": one.name, "n": len(X), "d": X.shape[1], "k": one.k}
        row |= measure(X, one.k, SEEDS[:1] if quick else SEEDS)
        print(
            f"{one.name}\n   ratio    {shown(row['ratio'])}\n   seconds  {shown(row['seconds'])}", flush=True
        )
        for name, reason in row["failed"].items():
            print(f"   {name} failed: {reason}", flush=True)
        rows.append(row)
    return rows


def measure(X: NDArray[Any], k: int, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Costs as they are and divided by the mean of the reference, seconds, and who failed and why."""
    _warm_up(X, k)
    names = [c.name for c in CONTENDERS]
    seconds: Seconds = {name: [] for name in names}
    costs: Seconds = {name: [] for name in names}
    failed: dict[str, str] = {}
    for seed in seeds:
        for contender in CONTENDERS:
            try:
                took, centres = timed(partial(contender.fit, X, k, seed))
                found = cost(X, centres)
            except Exception as error:  # a peer that fails is a row saying so
                failed[contender.name] = why(error)
                continue
            seconds[contender.name].append(took)
            costs[contender.name].append(found)
    base = float(np.mean(costs[REFERENCE]))
    ratio = {name: [c / base for c in found] for name, found in costs.items()}
    return {"ratio": ratio, "seconds": seconds, "cost": costs, "failed": failed}


def _warm_up(X: NDArray[Any], k: int) -> None:
    """Everyone once on a few rows; whoever cannot do so few is asked again on all of them."""
    few = thinned(X, WARM_UP_ROWS)
    for contender in CONTENDERS:
        with contextlib.suppress(Exception):
            contender.fit(few, k, 0)
