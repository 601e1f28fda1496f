"""The same answer from 1, 4 and 16 partitions, and from the embedded engine."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

from sklearn.datasets import make_blobs

from shoal.engines.shares import KEY, SummarySettings, ordered, solved
from shoal.engines.spark import KMeans, RowColumns
from shoal.engines.spark.summary_plan import summarise
from shoal.summary.coreset import Coreset

X = make_blobs(6000, 3, centers=8, random_state=1)[0]
COLUMNS = RowColumns(("v",), id="id")


def frame(spark: Any, partitions: int) -> Any:
    import pyarrow as pa

    table = pa.table({"id": np.arange(len(X)), "v": list(X)})
    return spark.createDataFrame(table).repartition(partitions)


def parts(summary: Coreset) -> list[bytes]:
    """All that does not come from the scores: rows, the weight each stands for, exact totals."""
    points, totals = ordered(summary.points()), summary.totals
    figures = np.array([totals.count, totals.weight, *totals.mean(), *totals.scatter()])
    return [points.X.tobytes(), points.weights.tobytes(), figures.tobytes()]


@pytest.mark.parametrize("partitions", [1, 4, 16])
def test_no_row_dropped_equal_bit_for_bit(spark: Any, partitions: int) -> None:
    local = Coreset().update(X, key=KEY, rows=np.arange(len(X)))
    found = summarise(frame(spark, partitions), COLUMNS, SummarySettings()).summary
    assert parts(found) == parts(local)
    assert solved(found, 8).centres.tobytes() == solved(local, 8).centres.tobytes()


@pytest.mark.parametrize("partitions", [1, 4, 16])
def test_rows_dropped_equal_in_cost(spark: Any, partitions: int) -> None:
    local = Coreset(rows=2000).update(X, key=KEY, rows=np.arange(len(X)))
    model = KMeans(k=8, featuresCol="v", idCol="id", sampleRows=2000).fit(frame(spark, partitions))

    def cost(centres: np.ndarray) -> float:
        return float(((X[:, None] - centres[None]) ** 2).sum(axis=2).min(axis=1).sum())

    assert model.coreset.tau > 0
    assert model.coreset.totals.mean().tobytes() == local.totals.mean().tobytes()
    assert cost(np.array(model.clusterCenters())) == pytest.approx(cost(solved(local, 8).centres), rel=5e-3)
    assert model.summary.trainingCost == pytest.approx(cost(np.array(model.clusterCenters())), rel=0.05)
