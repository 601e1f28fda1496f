"""What all benchmarks share: threads, timing in turns, the cost of centres, facts about the machine, results as data."""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from benchmarks import THREADS
from shoal import kernels

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "shoal",
    "numpy",
    "scipy",
    "scikit-learn",
    "faiss-cpu",
    "superkmeans",
    "betula-cluster",
    "river",
    "pyarrow",
    "pyspark",
    "apache-beam",
)
CHECKED_ROWS = 2000

Seconds = dict[str, list[float]]


def limit_threads() -> None:
    """The same number of threads for every library that is already loaded; the environment sees to the others."""
    threadpool_limits(THREADS)
    faiss.omp_set_num_threads(THREADS)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "kernel": kernels.variant(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _release(name) for name in PACKAGES},
        "date": datetime.now(UTC).date().isoformat(),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or "unknown"


def _release(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and the answer."""
    began = time.perf_counter()
    answer = run()
    return time.perf_counter() - began, answer


def in_turns(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> Seconds:
    """Seconds of each contender, A B C A B C ..., after one warm-up each: all feel the same drift of the machine."""
    for run in contenders.values():
        run()
    seconds: Seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            seconds[name].append(timed(run)[0])
    return seconds


def cost(X: NDArray[Any], centres: NDArray[Any]) -> float:
    """Sum over all rows of the squared distance to the nearest centre, in float64, from the centres alone.

    It is our own kernel that sums, so its first rows are checked against SciPy's each time.
    """
    C = np.ascontiguousarray(centres, np.float64)
    if not np.isfinite(C).all():
        raise ValueError("centres that are not finite")
    total = 0.0
    for start in range(0, len(X), 50_000):
        squared = kernels.nearest(X[start : start + 50_000].astype(np.float64), C).squared
        if start == 0:
            head = X[:CHECKED_ROWS].astype(np.float64)
            np.testing.assert_allclose(
                squared[:CHECKED_ROWS].sum(), cdist(head, C, "sqeuclidean").min(axis=1).sum(), rtol=1e-9
            )
        total += float(squared.sum())
    return total


def thinned(X: NDArray[Any], rows: int) -> NDArray[Any]:
    """About ``rows`` rows spread over the whole of X, so that a sorted set keeps its order and its clusters."""
    return np.ascontiguousarray(X[:: max(1, len(X) // rows)])


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def shown(seconds: Seconds) -> str:
    """Medians, for the person who watches."""
    return ", ".join(f"{name} {median(v):.3g}" for name, v in seconds.items() if v)


def why(error: BaseException | str) -> str:
    """One short line of an error, without the paths of this machine."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    line = (text.strip().splitlines() or ["no message"])[-1]
    for place in (tempfile.gettempdir(), str(Path(__file__).parents[1]), str(Path.home())):
        line = line.replace(place, "...")
    return line[:160]


def save(folder: Path, name: str, facts: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Keep the raw numbers of every run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"machine": facts, "rows": rows}, indent=1) + "\n")


def load(folder: Path, name: str) -> dict[str, Any] | None:
    """The raw numbers of the last run."""
    file = folder / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None
