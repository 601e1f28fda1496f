"""What cannot be clustered is told on the driver in one line: the column and the remedy, and no Java."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest

pytest.importorskip("pyspark")

from pyspark import cloudpickle

from shoal.engines.spark import KMeans, jobs
from shoal.errors import BadInputError, ShoalError

GOOD = [[float(i), float(i % 3)] for i in range(12)]


def frame(spark: Any, rows: list, partitions: int = 2) -> Any:
    return spark.createDataFrame([(r,) for r in rows], "v array<double>").repartition(partitions)


def fit(df: Any, **params: Any) -> Any:
    return KMeans(**{"k": 2, "featuresCol": "v"} | params).fit(df)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (None, "the row is null"),
        ([1.0, None], "NaN or infinite"),
        ([float("nan"), 1.0], "NaN or infinite"),
        ([1.0], "numbers"),
    ],
)
def test_one_bad_row(spark: Any, row: Any, says: str) -> None:
    df = frame(spark, [*GOOD, row], 1)
    with pytest.raises(BadInputError) as caught:
        fit(df)
    text = str(caught.value)
    assert says in text
    assert "column 'v'" in text
    assert 'handleInvalid="skip"' in text
    assert len(text) < 300
    model = fit(df, handleInvalid="skip")
    assert (model.summary.rowsSeen, model.summary.rowsSkipped) == (12, 1)
    if row != [1.0]:
        kept = fit(df, handleInvalid="keep")
        assert kept.transform(df).where("prediction is null").count() == 1
        assert model.transform(df).count() == 12


def test_transform_of_a_bad_row_says_why(spark: Any) -> None:
    model = fit(frame(spark, GOOD))
    with pytest.raises(Exception, match="column 'v', position 1, row 1 of a batch"):
        model.transform(frame(spark, [[1.0, float("nan")]], 1)).collect()
    with pytest.raises(Exception, match="the row has 3 numbers, not 2"):
        model.transform(frame(spark, [[1.0, 2.0, 3.0]], 1)).collect()


def test_partitions_of_different_widths(spark: Any) -> None:
    df = frame(spark, GOOD, 2).union(frame(spark, [[1.0, 2.0, 3.0]] * 4, 2))  # single ones would become one
    with pytest.raises(BadInputError, match=r"some rows have \d numbers, others \d"):
        fit(df)


def test_no_rows_and_an_empty_partition(spark: Any) -> None:
    with pytest.raises(BadInputError, match="the DataFrame: it has no rows"):
        fit(frame(spark, GOOD).where("v[0] > 99"))
    assert fit(frame(spark, GOOD, 1).union(frame(spark, [], 1))).summary.rowsSeen == 12
    with pytest.raises(BadInputError, match="all 1 rows were refused"):
        fit(frame(spark, [None], 1), handleInvalid="skip")


def test_fewer_rows_than_k(spark: Any) -> None:
    with pytest.raises(BadInputError, match="k=13 clusters asked of 12 rows; choose k between 1 and 12"):
        fit(frame(spark, GOOD), k=13)
    with pytest.raises(BadInputError, match="only 1 differ"):
        fit(frame(spark, [[1.0, 1.0]] * 5), k=2)


def test_columns(spark: Any) -> None:
    df = spark.createDataFrame([([1.0], "x", 1.0)], "v array<double>, name string, w double")
    with pytest.raises(BadInputError, match=r"no column named 'feature'; available: v, name, w"):
        fit(df, featuresCol="feature")
    with pytest.raises(BadInputError, match="column 'name': is string; give numeric columns"):
        fit(df, featuresCol="name")
    with pytest.raises(BadInputError, match="column 'v': is array<double>"):
        KMeans(k=1, featuresCols=["v", "w"]).fit(df)
    with pytest.raises(BadInputError, match="column 'name': is string; weights are numbers"):
        fit(df, weightCol="name")
    made = fit(df, k=1)
    with pytest.raises(BadInputError, match="column 'prediction': is there already"):
        made.transform(made.transform(df))


@dataclass(frozen=True)
class Fails:
    """A worker with a fault of its own."""

    def __call__(self, partition: int, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
        raise RuntimeError("disk on fire")
        yield b""


def test_an_unexpected_failure_shows_its_python_only(spark: Any) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers have no tests to import
    with pytest.raises(ShoalError, match="disk on fire") as caught:
        jobs.run(frame(spark, GOOD, 1), Fails())
    assert "java" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_worker_of_another_release(spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "release", lambda: "99.0")
    with pytest.raises(
        ShoalError, match=r"the driver has shoal 99\.0, a worker has .*; install the same release"
    ):
        fit(frame(spark, GOOD))


def test_a_worker_without_the_package_is_told_with_its_remedy() -> None:
    """The text is what Spark 4.3 raised where PYSPARK_PYTHON named an interpreter without Shoal."""
    text = """[PYTHON_EXCEPTION] An exception was thrown from the Python worker: Traceback (most recent call last):
  File "/usr/lib/python3/pyspark/worker.py", line 1, in read_command
ModuleNotFoundError: No module named 'shoal'
 SQLSTATE: 38000
\tat org.apache.spark.api.python.BasePythonRunner"""
    error = jobs._readable(text)
    assert "workers cannot import 'shoal'" in str(error)
    assert "PYSPARK_PYTHON" in str(error)
    assert jobs._readable("[TABLE_OR_VIEW_NOT_FOUND] The table") is None
