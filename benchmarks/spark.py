"""Shoal on Spark beside MLlib with both solvers, on the same Parquet files in the same local[2] session, and scikit-learn.

A fit is measured from the lazy DataFrame to the model, reading included. Everyone has a warm-up on a small table, so that the
start of the session, of the Python workers and of the JVM's compiler are apart.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.common import cost, median, timed
from benchmarks.tables import Target, spread, table

FILES, ROUNDS = 8, 3
LLOYD_STEPS = (2, 12)
"""A step costs a tenth of the difference between two fits of so many iterations."""
SWEEP = range(2, 13)


@dataclass(frozen=True)
class Case:
    """Overlapping Gaussians, doubles."""

    n: int
    d: int
    k: int

    def __str__(self) -> str:
        return f"{self.n:,} x {self.d}, k = {self.k}"

    def rows(self) -> NDArray[np.float64]:
        """(n, d)."""
        rng = np.random.default_rng(0)
        centres = rng.uniform(-10, 10, size=(self.k, self.d))
        return centres[rng.integers(self.k, size=self.n)] + rng.normal(size=(self.n, self.d)) * 3


CASES = (Case(1_000_000, 20, 50), Case(200_000, 128, 200))
QUICK = (Case(4_000, 5, 6),)


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Whole fits in turns, then a sweep, then the cost of a step."""
    with _session() as (spark, start):
        found: list[dict[str, Any]] = [{"part": "start", **start}]
        for case in QUICK if quick else CASES:
            with tempfile.TemporaryDirectory() as folder:
                X = case.rows()
                df = _written(spark, X, Path(folder))
                rounds = 1 if quick else ROUNDS
                found += _fits(df, X, case, rounds)
                found += _steps(df, X, case, rounds)
                if case in (CASES[0], *QUICK):
                    found += _sweep(df, case)
        return found


@contextmanager
def _session() -> Iterator[tuple[Any, dict[str, float]]]:
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", "6g")
    quiet = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    for name, value in quiet.items():
        builder = builder.config(name, value)
    seconds, spark = timed(builder.getOrCreate)
    spark.sparkContext.setLogLevel("ERROR")
    first, _ = timed(lambda: _warm_up(spark))
    try:
        yield spark, {"session": seconds, "first": first}
    finally:
        spark.stop()


def _warm_up(spark: Any) -> None:
    """Every contender once on a small table."""
    case = Case(2_000, 4, 3)
    with tempfile.TemporaryDirectory() as folder:
        df = _written(spark, case.rows(), Path(folder))
        for fit in _contenders(df, case.rows(), case).values():
            fit()


def _written(spark: Any, X: NDArray[np.float64], folder: Path) -> Any:
    """Eight Parquet files of MLlib's vectors, which all Spark contenders read."""
    from pyspark.ml.functions import array_to_vector

    raw = folder / "raw"
    raw.mkdir()
    for i, part in enumerate(np.array_split(X, FILES)):
        flat = pa.array(np.ascontiguousarray(part).ravel())
        lists = pa.ListArray.from_arrays(np.arange(0, len(flat) + 1, X.shape[1], dtype=np.int32), flat)
        pq.write_table(pa.table({"v": lists}), raw / f"{i}.parquet")
    vectors = spark.read.parquet(str(raw)).select(array_to_vector("v").alias("features"))
    vectors.write.parquet(str(folder / "vectors"))
    return spark.read.parquet(str(folder / "vectors"))


def _contenders(df: Any, X: NDArray[np.float64], case: Case) -> dict[str, Callable[[], NDArray[np.float64]]]:
    from pyspark.ml.clustering import KMeans as MLlib
    from sklearn.cluster import KMeans as ScikitLearn

    from shoal.engines.spark import KMeans

    def ours() -> NDArray[np.float64]:
        return np.array(KMeans(k=case.k).fit(df).clusterCenters())

    def mllib(solver: str) -> Callable[[], NDArray[np.float64]]:
        return lambda: np.array(MLlib(k=case.k, seed=1, solver=solver).fit(df).clusterCenters())

    def scikit_learn() -> NDArray[np.float64]:
        centres: NDArray[np.float64] = ScikitLearn(case.k, random_state=0).fit(X).cluster_centers_
        return centres

    return {
        "shoal, plan summary": ours,
        "MLlib, solver row (auto)": mllib("auto"),
        "MLlib, solver block": mllib("block"),
        "scikit-learn, in memory": scikit_learn,
    }


def _fits(df: Any, X: NDArray[np.float64], case: Case, rounds: int) -> list[dict[str, Any]]:
    contenders = _contenders(df, X, case)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    costs: dict[str, float] = {}
    for _ in range(rounds):
        for name, fit in contenders.items():
            taken, centres = timed(fit)
            seconds[name].append(taken)
            costs[name] = cost(X, centres)
            print(f"{case}: {name} {taken:.1f} s, cost {costs[name]:.4g}", flush=True)
    return [
        {"part": "fit", "case": str(case), "who": name, "seconds": seconds[name], "cost": costs[name]}
        for name in contenders
    ]


def _sweep(df: Any, case: Case) -> list[dict[str, Any]]:
    """Eleven values of k: one pass of ours, eleven fits of MLlib."""
    from pyspark.ml.clustering import KMeans as MLlib

    from shoal.engines.spark import KMeans

    def ours() -> None:
        model = KMeans(k=SWEEP[-1]).fit(df)
        for k in SWEEP:
            model.solve(k)

    def criteria() -> None:
        KMeans(k=SWEEP[-1]).fit(df).sweep(SWEEP)

    def mllib() -> None:
        for k in SWEEP:
            MLlib(k=k, seed=1, solver="block").fit(df)

    found = []
    for name, work in {
        "shoal, one pass and eleven solves": ours,
        "shoal, one pass and sweep (all criteria)": criteria,
        "MLlib block, eleven fits": mllib,
    }.items():
        taken, _ = timed(work)
        print(f"{case}: {name} {taken:.1f} s", flush=True)
        found.append({"part": "sweep", "case": str(case), "who": name, "seconds": [taken]})
    return found


def _steps(df: Any, X: NDArray[np.float64], case: Case, rounds: int) -> list[dict[str, Any]]:
    """Seconds of one exact Lloyd iteration over rows that are in memory: the slope over two numbers of iterations."""
    from pyspark.ml.clustering import KMeans as MLlib

    from shoal.engines.spark import KMeans

    start = X[: case.k]

    def ours(steps: int) -> None:
        KMeans(initialModel=start, plan="lloyd", tol=0.0, maxIter=steps, sampleRows=1000).fit(df)

    def mllib(solver: str) -> Callable[[int], None]:
        def fit(steps: int) -> None:
            made = MLlib(k=case.k, seed=1, solver=solver, tol=0.0, maxIter=steps, initMode="random")
            made.fit(df)

        return fit

    contenders: dict[str, Callable[[int], None]] = {
        "shoal, plan lloyd": ours,
        "MLlib, solver row (auto)": mllib("auto"),
        "MLlib, solver block": mllib("block"),
    }
    found = []
    slopes: dict[str, list[float]] = {name: [] for name in contenders}
    whole: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, fit in contenders.items():
            few, many = (timed(lambda steps=steps, fit=fit: fit(steps))[0] for steps in LLOYD_STEPS)  # type: ignore[misc]
            slopes[name].append((many - few) / (LLOYD_STEPS[1] - LLOYD_STEPS[0]))
            whole[name].append(many)
            print(f"{case}: {name} {slopes[name][-1]:.3f} s a step, {many:.1f} s whole", flush=True)
    for name in contenders:
        found.append(
            {"part": "step", "case": str(case), "who": name, "seconds": slopes[name], "whole": whole[name]}
        )
    return found


def section(rows: list[dict[str, Any]], targets: list[Target]) -> Iterator[str]:
    """Fits, sweeps and steps beside MLlib's."""
    faster = Target(
        "Spark: a fit of the summary plan at least 3x faster than MLlib's faster solver", 3.0, least=True
    )
    cheaper = Target("Spark: cost no higher than MLlib's (ratio)", 1.0)
    swept = Target("Spark: 11 values of k at least 20x faster than 11 fits of MLlib", 20.0, least=True)
    stepped = Target("Spark: an exact Lloyd iteration no slower than MLlib's faster solver (ratio)", 1.0)
    targets += [faster, cheaper, swept, stepped]
    start = next(r for r in rows if r["part"] == "start")
    yield "## Spark: beside MLlib in one local[2] session\n"
    yield (
        "Overlapping Gaussians in eight Parquet files of MLlib's vectors, doubles; fits from the lazy DataFrame to the model, reading"
        f" included. Start-up apart: {start['session']:.1f} s for the session, {start['first']:.1f} s for the first small fit of every"
        " contender. scikit-learn has the rows in memory already and is no target: it shows what Spark itself costs.\n"
    )
    body = []
    for case in dict.fromkeys(r["case"] for r in rows if r["part"] == "fit"):
        fits = {r["who"]: r for r in rows if r["part"] == "fit" and r["case"] == case}
        own = fits["shoal, plan summary"]
        peers = [r for name, r in fits.items() if name.startswith("MLlib")]
        quickest = min(median(r["seconds"]) for r in peers)
        verdicts = (
            f"speed {faster.verdict(case, quickest / median(own['seconds']))}; "
            f"cost {cheaper.verdict(case, own['cost'] / min(r['cost'] for r in peers))}"
        )
        for name, r in fits.items():
            times = f"{median(r['seconds']) / median(own['seconds']):.1f}"
            verdict = verdicts if r is own else ""
            body.append(
                [case, name, spread(r["seconds"], ".1f"), times, f"{r['cost'] / own['cost']:.3f}", verdict]
            )
    yield from table(["data", "", "seconds", "x ours", "cost / ours", "target"], body)
    yield "\nEleven values of k, 2 to 12:\n"
    body = []
    sweeps = [r for r in rows if r["part"] == "sweep"]
    for case in dict.fromkeys(r["case"] for r in sweeps):
        mine, criteria, theirs = (r for r in sweeps if r["case"] == case)
        verdict = swept.verdict(case, theirs["seconds"][0] / mine["seconds"][0])
        for r in (mine, criteria, theirs):
            body.append([case, r["who"], f"{r['seconds'][0]:.1f}", verdict if r is mine else ""])
    yield from table(["data", "", "seconds", "target"], body)
    yield (
        f"\nOne exact Lloyd iteration, from fits of {LLOYD_STEPS[0]} and {LLOYD_STEPS[1]} of them; and the whole fit of"
        f" {LLOYD_STEPS[1]}:\n"
    )
    body = []
    steps = [r for r in rows if r["part"] == "step"]
    for case in dict.fromkeys(r["case"] for r in steps):
        mine, *peers = (r for r in steps if r["case"] == case)
        best = min(median(r["seconds"]) for r in peers)
        verdict = stepped.verdict(case, median(mine["seconds"]) / best)
        for r in (mine, *peers):
            step, fit = spread(r["seconds"], ".3f"), spread(r["whole"], ".1f")
            body.append([case, r["who"], step, fit, verdict if r is mine else ""])
    yield from table(["data", "", "seconds a step", "seconds whole", "target"], body)
