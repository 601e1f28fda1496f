"""What all benchmarks share: threads, timing in turns, facts about the machine, results as data."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal import kernels

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("shoal", "numpy", "scikit-learn", "faiss-cpu", "superkmeans", "betula-cluster", "pyarrow")
THREADS = kernels.default_threads()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return {
        "processor": model,
        "threads": THREADS,
        "kernel": kernels.variant(),
        "python": platform.python_version(),
        "packages": versions,
        "date": datetime.now(UTC).date().isoformat(),
        "load_at_start": os.getloadavg()[0],
    }


def in_turns(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender, A B C A B C ..., after one warm-up each: all feel the same drift of the machine."""
    for run in contenders.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and the answer."""
    began = time.perf_counter()
    answer = run()
    return time.perf_counter() - began, answer


def cost(X: NDArray[Any], centres: NDArray[Any]) -> float:
    """Sum of squared distances to the nearest centre, in float64, from the centres alone."""
    total = 0.0
    C = np.ascontiguousarray(centres, np.float64)
    for start in range(0, len(X), 50_000):
        total += float(kernels.nearest(X[start : start + 50_000].astype(np.float64), C).squared.sum())
    return total


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def save(name: str, rows: list[dict[str, Any]]) -> None:
    """Keep the raw numbers."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def load(name: str) -> dict[str, Any] | None:
    """The raw numbers of the last run."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None
