"""Exact Lloyd on Spark, beside Lloyd in memory: in one barrier stage and in one job an iteration."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pyspark")

import pyarrow as pa
from sklearn.datasets import make_blobs

from shoal.engines.shares import SummarySettings
from shoal.engines.spark import lloyd_plan
from shoal.engines.spark.jobs import NoBarrierError
from shoal.engines.spark.lloyd_plan import LloydFound, lloyd_fit
from shoal.engines.spark.lloyd_steps import Sums, next_centres, worst_rows
from shoal.engines.spark.rows import RowColumns
from shoal.engines.spark.sessions import barrier_slots
from shoal.errors import BadInputError
from shoal.kernels import accumulate
from shoal.solve.lloyd import lloyd

GOLDEN = json.loads((Path(__file__).parent / "golden_walkthrough.json").read_text())
X = make_blobs(n_samples=1500, random_state=8)[0]
W = np.random.default_rng(1).integers(0, 4, len(X)).astype(float)
COLUMNS = RowColumns(("v",))
WAYS = ["barrier", "jobs"]


def frame(spark: Any, rows: np.ndarray, weights: np.ndarray | None = None) -> Any:
    columns = {"v": list(rows)}
    if weights is not None:
        columns["w"] = weights
    return spark.createDataFrame(pa.table(columns))


def run(df: Any, start: np.ndarray | None, way: Any, k: int = 3, **more: Any) -> LloydFound:
    settings = {"columns": COLUMNS, "tol": 0.0, "metric": "euclidean"} | more
    return lloyd_fit(df, k=k, settings=SummarySettings(), start=start, way=way, **settings)


@pytest.mark.parametrize("way", WAYS)
def test_the_golden_trajectory(spark: Any, way: str) -> None:
    found = run(frame(spark, X), X[:3], way)
    assert found.plan == way
    assert found.converged
    assert len(found.steps) == len(GOLDEN["trajectory"]) == 6
    for step, centres, golden in zip(found.steps, found.trajectory, GOLDEN["trajectory"], strict=True):
        assert np.allclose(centres, golden["centroids_out"], rtol=0, atol=1e-12)
        assert step.moved == golden["reassigned"]
        assert step.inertia == pytest.approx(golden["inertia"], rel=1e-12)
        longest = np.linalg.norm(centres - golden["centroids_in"], axis=1).max()
        assert longest == pytest.approx(golden["shift"], abs=1e-12)
    assert found.counts.tolist() == [500, 500, 500]
    assert found.inertia == pytest.approx(GOLDEN["trajectory"][-1]["inertia"], rel=1e-12)
    assert found.summary.count == 1500


@pytest.mark.parametrize("way", WAYS)
def test_weights_and_tolerance_as_in_memory(spark: Any, way: str) -> None:
    expected = lloyd(X, X[:5], weights=W, tol=1e-3)
    found = run(frame(spark, X, W), X[:5], way, k=5, columns=RowColumns(("v",), weight="w"), tol=1e-3)
    assert np.allclose(found.centres, expected.centres, rtol=1e-9)
    assert len(found.steps) == len(expected.steps)
    assert found.inertia == pytest.approx(expected.inertia, rel=1e-12)
    assert np.allclose(found.counts, expected.counts)


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_cluster_is_given_a_row(spark: Any, way: str) -> None:
    start = np.array([[0.0, 0.0], [500.0, 500.0], [900.0, 900.0]])
    found = run(frame(spark, X), start, way)
    assert sum(step.repaired for step in found.steps) == 2
    assert (found.counts > 0).all()
    assert found.inertia == pytest.approx(GOLDEN["trajectory"][-1]["inertia"], rel=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_without_a_start_it_goes_on_from_the_one_pass(spark: Any, way: str) -> None:
    found = run(frame(spark, X), None, way)
    assert found.inertia == pytest.approx(GOLDEN["trajectory"][-1]["inertia"], rel=1e-9)
    assert found.converged


def test_more_ranks_than_rows_and_cosine(spark: Any) -> None:
    found = run(frame(spark, X[:1]), X[:1], "barrier", k=1)
    assert np.allclose(found.centres, X[:1])
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    columns = RowColumns(("v",), cosine=True)
    cosine = run(frame(spark, X), X[:3], "barrier", columns=columns, metric="cosine")
    expected = lloyd(unit, X[:3], metric="cosine", tol=0.0)
    assert np.allclose(cosine.centres, expected.centres, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_bad_rows_and_bad_starts_are_told(spark: Any, way: str) -> None:
    bad = X.copy()
    bad[700, 1] = np.nan
    with pytest.raises(BadInputError, match=r"column 'v', position 1, row \d+ of partition \d"):
        run(frame(spark, bad), X[:3], way)
    with pytest.raises(BadInputError, match="centres of 4 numbers, the rows have 2"):
        run(frame(spark, X), np.ones((3, 4)), way)


@pytest.mark.parametrize("slots", [None, 5])
def test_where_a_barrier_stage_cannot_run_it_runs_jobs_and_says_so(
    spark: Any, monkeypatch: Any, slots: int | None
) -> None:
    monkeypatch.setattr(lloyd_plan, "barrier_slots", lambda session: slots)  # there are two
    with pytest.warns(UserWarning, match="one job an iteration"):
        found = run(frame(spark, X), X[:3], "auto", max_iter=1)
    assert found.plan == "jobs"
    with pytest.raises(NoBarrierError, match="barrier stage"):
        run(frame(spark, X), X[:3], "barrier", max_iter=1)


class Session:
    """A session of other settings than the one of the tests, with ``cores`` slots."""

    def __init__(self, cores: int, **settings: str) -> None:
        self.cores, self.settings = cores, {n.replace("_", "."): v for n, v in settings.items()}
        self.conf = self

    def get(self, name: str, default: Any) -> Any:
        return self.settings.get(name, default)

    def range(self, n: int) -> Any:
        return self

    select = distinct = lambda self, *columns: self

    def count(self) -> int:
        return self.cores


def test_slots_of_a_barrier_stage(spark: Any) -> None:
    assert barrier_slots(spark) == 2
    assert barrier_slots(Session(7, spark_master="spark://h:7077")) == 7
    assert barrier_slots(Session(7, spark_master="spark://h:7077", spark_task_cpus="2")) == 3
    yarn = {"spark_master": "yarn", "spark_default_parallelism": "90"}
    assert barrier_slots(Session(90, **yarn)) is None
    assert barrier_slots(Session(90, **yarn, spark_executor_instances="5", spark_executor_cores="6")) == 30
    assert barrier_slots(Session(7, spark_master="yarn", spark_dynamicAllocation_enabled="true")) is None


@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_sums_of_parts_are_the_sums_of_all(k: int, seed: int, parts: int) -> None:
    rng = np.random.default_rng(seed)
    rows, centres = rng.normal(size=(40, 3)), rng.normal(size=(k, 3))
    whole = Sums.of(accumulate(rows, centres), 40)
    out = Sums.none(k, 3)
    for part in np.array_split(rows, parts):
        found = Sums.of(accumulate(part, centres), len(part))
        out.add(Sums.from_bytes(found.to_bytes(), k, 3))
    assert out.inertia == pytest.approx(whole.inertia, rel=1e-12)
    assert np.allclose(out.sums, whole.sums, rtol=1e-12, atol=1e-12)
    assert (out.counts.tolist(), out.moved) == (whole.counts.tolist(), 40)


def test_a_cluster_is_not_robbed_of_its_only_row() -> None:
    rows = np.array([[0.0], [9.0]])
    centres = np.array([[0.5], [8.0], [100.0]])
    found = Sums.of(accumulate(rows, centres), 2)
    new, repaired = next_centres(found, centres, worst_rows(rows, None, centres, 1), "euclidean")
    assert repaired == 0
    assert new.ravel().tolist() == [0.0, 9.0, 100.0]
