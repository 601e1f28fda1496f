"""Birch on Spark: trees of partitions merged, what is conserved, and a model that goes on."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

import pyarrow as pa
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from shoal.engines.spark import Birch, BirchModel
from shoal.errors import BadInputError

X, Y = make_blobs(2000, 2, centers=5, cluster_std=0.6, random_state=2)


@pytest.fixture(scope="module")
def df(spark: Any) -> Any:

    return spark.createDataFrame(pa.table({"id": np.arange(len(X)), "v": list(X)})).repartition(4)


@pytest.fixture(scope="module")
def model(df: Any) -> BirchModel:
    return Birch(k=5, threshold=0.3, featuresCol="v").fit(df)


def test_count_mean_and_scatter_are_conserved(model: BirchModel) -> None:
    points = model.tree.points()
    mean = points.weights @ points.X / points.weights.sum()
    assert model.tree.count == len(X) == points.weights.sum()
    assert np.allclose(mean, X.mean(axis=0))
    between = points.weights @ ((points.X - mean) ** 2).sum(axis=1)
    assert between + points.scatter.sum() == pytest.approx(((X - X.mean(axis=0)) ** 2).sum())


def test_it_finds_the_clusters(df: Any, model: BirchModel) -> None:
    rows = model.transform(df).orderBy("id").toPandas()
    assert adjusted_rand_score(Y, rows["prediction"]) > 0.97
    assert model.summary.trainingCost == pytest.approx(model.computeCost(df), rel=0.02)
    assert not model.summary.costIsExact


def test_saved_updated_merged_and_solved_again(df: Any, model: BirchModel, tmp_path: Any) -> None:
    model.save(str(tmp_path / "b"))
    again = BirchModel.load(str(tmp_path / "b"))
    assert again.tree.to_bytes() == model.tree.to_bytes()
    more = again.update(df)
    assert more.summary.rowsSeen == 2 * len(X)
    assert sorted(more.clusterIds()) == sorted(model.clusterIds())
    assert model.merge(again).tree.count == 2 * len(X)
    assert len(model.solve(3).clusterCenters()) == 3


def test_more_clusters_than_entries(df: Any) -> None:
    with pytest.raises(BadInputError, match="k=50 clusters asked of"):
        Birch(k=50, threshold=100.0, featuresCol="v").fit(df)


def test_scores_and_inertia_are_of_rows_not_of_entries(spark: Any) -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(4000, 5)) + rng.integers(2, size=(4000, 1)) * 20
    df = spark.createDataFrame(pa.table({"features": list(X)}))
    model = Birch(k=2, threshold=1.0).fit(df)
    true = ((X[:, None] - np.array(model.clusterCenters())) ** 2).sum(axis=2).min(axis=1).sum()
    assert model.clusterModel.inertia == pytest.approx(true, rel=0.02)
    scores = model.clusterModel.assign(X).outlier_scores
    assert 0.3 < scores.mean() < 0.7
    assert (scores > 0.99).mean() < 0.05
