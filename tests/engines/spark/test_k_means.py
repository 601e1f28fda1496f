"""The KMeans estimator and its model, on classic and Connect sessions alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

pyspark = pytest.importorskip("pyspark")

from pyspark.ml import Pipeline, PipelineModel  # noqa: E402
from pyspark.ml.feature import VectorAssembler  # noqa: E402
from pyspark.ml.linalg import Vectors  # noqa: E402
from sklearn.datasets import make_blobs  # noqa: E402

import shoal  # noqa: E402
from shoal.engines.spark import Birch, KMeans, KMeansModel, StreamingKMeansModel  # noqa: E402
from shoal.errors import BadInputError, ShoalError  # noqa: E402

NAMES = ["a", "b", "c"]
X = make_blobs(900, 3, centers=4, random_state=5)[0]
W = np.random.default_rng(0).integers(1, 4, len(X)).astype(float)


def cost(rows: np.ndarray, centres: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Plain float64."""
    squared = ((rows[:, None, :] - centres[None]) ** 2).sum(axis=2).min(axis=1)
    return float(squared.sum() if weights is None else weights @ squared)


@pytest.fixture(scope="module")
def df(spark: Any) -> Any:
    rows = [
        (i, Vectors.dense(x), x.tolist(), *map(float, x), float(w))
        for i, (x, w) in enumerate(zip(X, W, strict=True))
    ]
    made = spark.createDataFrame(rows, ["id", "features", "array", *NAMES, "w"]).repartition(3).persist()
    yield made
    made.unpersist()


@pytest.fixture(scope="module")
def model(df: Any) -> KMeansModel:
    return KMeans(k=4, idCol="id").fit(df)


def test_centres_cost_and_sizes_are_those_of_all_rows(model: KMeansModel) -> None:
    centres = np.array(model.clusterCenters())
    assert model.summary.costIsExact
    assert model.summary.trainingCost == pytest.approx(cost(X, centres), rel=1e-12)
    assert sum(model.summary.clusterSizes) == len(X) == model.summary.rowsSeen
    assert model.numFeatures == 3
    best = min(cost(X, shoal.KMeans(4, random_state=s).fit(X).cluster_centers_) for s in range(3))
    assert model.summary.trainingCost <= best * (1 + 1e-9)


@pytest.mark.parametrize("params", [{"featuresCol": "array"}, {"featuresCols": NAMES}])
def test_vectors_arrays_and_columns_give_the_same_bits(df: Any, model: KMeansModel, params: dict) -> None:
    other = KMeans(k=4, idCol="id", **params).fit(df)
    assert np.array_equal(np.array(other.clusterCenters()), np.array(model.clusterCenters()))


def test_arrays_read_from_parquet(spark: Any, df: Any, model: KMeansModel, tmp_path: Path) -> None:
    """Spark's own KMeans refuses them, as Parquet says that elements may be null."""
    df.select("id", "array").write.parquet(str(tmp_path / "x"))
    other = KMeans(k=4, featuresCol="array", idCol="id").fit(spark.read.parquet(str(tmp_path / "x")))
    assert np.array_equal(np.array(other.clusterCenters()), np.array(model.clusterCenters()))


def test_transform_labels_as_the_model_does(df: Any, model: KMeansModel) -> None:
    rows = model.transform(df).orderBy("id").toPandas()
    found = model.clusterModel.assign(X)
    assert rows["prediction"].tolist() == found.ids.tolist()
    assert np.allclose(rows["distance"], found.distances, rtol=1e-12)
    assert np.allclose(rows["outlier_score"], found.outlier_scores, rtol=1e-12)
    assert model.predict(Vectors.dense(X[0])) == model.predict(X[0]) == found.ids[0]
    chosen = model.copy({model.distanceCol: "", model.outlierCol: "", model.predictionCol: "cluster"})
    assert chosen.transform(df).columns == [*df.columns, "cluster"]


def test_weights_count_as_repetition(spark: Any, df: Any) -> None:
    weighted = KMeans(k=4, weightCol="w", idCol="id").fit(df)
    centres = np.array(weighted.clusterCenters())
    assert weighted.summary.trainingCost == pytest.approx(cost(X, centres, W), rel=1e-12)
    assert sum(weighted.summary.clusterSizes) == pytest.approx(W.sum())
    repeated = np.repeat(X, W.astype(int), axis=0)
    labels = weighted.clusterModel.predict(repeated)
    means = np.array([repeated[labels == c].mean(axis=0) for c in range(4)])
    assert np.allclose(means, centres, rtol=1e-10)
    assert weighted.computeCost(df) == pytest.approx(cost(repeated, centres), rel=1e-12)


def test_saved_and_loaded_with_its_summary(spark: Any, df: Any, model: KMeansModel, tmp_path: Path) -> None:
    path = str(tmp_path / "model")
    model.save(path)
    again = KMeansModel.load(path)
    assert again.uid == model.uid
    assert again.hasSummary
    assert again.summary == model.summary
    assert again.coreset.to_bytes() == model.coreset.to_bytes()
    assert again.extractParamMap() == {again.getParam(p.name): v for p, v in model.extractParamMap().items()}
    again.write().overwrite().save(path)
    with pytest.raises(ShoalError, match="holds a KMeansModel, not a StreamingKMeansModel"):
        StreamingKMeansModel.load(path)
    local = shoal.load(path)
    assert np.array_equal(local.model.centres, model.clusterModel.centres)
    assert local.summary.to_bytes() == model.coreset.to_bytes()


def test_the_embedded_engine_opens_labels_and_grows_it(df: Any, model: KMeansModel, tmp_path: Path) -> None:
    import pyarrow as pa

    columns = KMeans(k=4, featuresCols=NAMES, idCol="id").fit(df)
    columns.toShoal(str(tmp_path / "local"))
    local = shoal.load(tmp_path / "local")
    table = pa.table({name: X[:, j] for j, name in enumerate(NAMES)})
    assert local.assign(table).ids.tolist() == columns.clusterModel.predict(X).tolist()
    assert local.update(table).summary.count == 2 * len(X)
    started = KMeans(initialModel=str(tmp_path / "local")).fit(df)
    assert np.allclose(np.array(started.clusterCenters()), local.model.centres)


def test_in_a_pipeline_saved_and_loaded(df: Any, tmp_path: Path) -> None:
    stages = [VectorAssembler(inputCols=NAMES, outputCol="v"), KMeans(k=4, featuresCol="v")]
    fitted = Pipeline(stages=stages).fit(df)
    fitted.write().save(str(tmp_path / "p"))
    again = PipelineModel.load(str(tmp_path / "p"))
    counts = {
        r["prediction"]: r["count"] for r in again.transform(df).groupBy("prediction").count().collect()
    }
    assert counts == dict(enumerate(fitted.stages[1].summary.clusterSizes))


def test_an_estimator_is_saved_and_loaded(spark: Any, tmp_path: Path) -> None:
    KMeans(k=7, initialModel=X[:7], weightCol="w").save(str(tmp_path / "e"))
    again = KMeans.load(str(tmp_path / "e"))
    assert (again.getK(), again.getWeightCol()) == (7, "w")
    assert np.array_equal(again.getInitialModel(), X[:7])


def test_update_is_the_fit_of_both_and_keeps_ids(spark: Any, df: Any) -> None:
    first, rest = df.where("id < 450"), df.where("id >= 450")
    part = KMeans(k=4, idCol="id").fit(first)
    whole = part.update(rest)
    at_once = KMeans(k=4, idCol="id").fit(df)
    assert whole.summary.rowsSeen == len(X)
    assert whole.summary.trainingCost == pytest.approx(at_once.summary.trainingCost, rel=1e-9)
    assert sorted(map(tuple, whole.coreset.points().X)) == sorted(map(tuple, X))
    assert sorted(whole.clusterIds()) == [0, 1, 2, 3]
    same = (part.clusterModel.predict(X[:450]) == whole.clusterModel.predict(X[:450])).mean()
    assert same > 0.99
    again = whole.update(rest)  # the same ids twice: one row of the sample
    assert len(again.coreset.points().X) == len(X)


def test_merge_and_every_k_without_a_job(df: Any) -> None:
    a = KMeans(k=4, idCol="id").fit(df.where("id < 300"))
    b = KMeans(k=4, idCol="id").fit(df.where("id >= 300"))
    both = a.merge(b)
    assert both.summary.rowsSeen == len(X)
    assert both.coreset.points().weights.sum() == pytest.approx(len(X))
    assert both.solve(2).summary.trainingCost > both.summary.trainingCost
    assert both.sweep(range(2, 8)).suggested == 4


def test_initial_centres_keep_their_order(df: Any, model: KMeansModel) -> None:
    centres = np.array(model.clusterCenters())[::-1]
    started = KMeans(initialModel=centres).fit(df)
    assert np.allclose(np.array(started.clusterCenters()), centres, atol=1e-9)
    assert started.clusterIds() == [0, 1, 2, 3]
    with pytest.raises(BadInputError, match="k is 3, but initialModel has 4 centres"):
        KMeans(k=3, initialModel=centres).fit(df)


def test_refined_centres_have_an_exact_cost(df: Any) -> None:
    small = KMeans(k=4, sampleRows=60).fit(df)
    assert not small.summary.costIsExact
    refined = KMeans(k=4, sampleRows=60, refine=2).fit(df)
    assert refined.summary.costIsExact
    assert refined.summary.trainingCost == pytest.approx(
        cost(X, np.array(refined.clusterCenters())), rel=1e-12
    )
    assert refined.summary.trainingCost <= small.computeCost(df) * (1 + 1e-12)
    assert sum(refined.summary.clusterSizes) == len(X)


def test_exact_lloyd_rests(df: Any) -> None:
    found = KMeans(k=4, plan="lloyd", tol=0.0).fit(df)
    centres = np.array(found.clusterCenters())
    labels = found.clusterModel.predict(X)
    means = np.array([X[labels == c].mean(axis=0) for c in range(4)])
    assert np.allclose(means, centres, atol=1e-9)
    assert found.summary.trainingCost == pytest.approx(cost(X, centres), rel=1e-12)
    assert found.summary.plan in ("barrier", "jobs")
    assert len(found.summary.trajectory) == found.summary.numIter
    assert found.coreset.count == len(X)


def test_cosine(df: Any) -> None:
    found = KMeans(k=3, distanceMeasure="cosine").fit(df)
    centres = np.array(found.clusterCenters())
    assert np.allclose(np.linalg.norm(centres, axis=1), 1.0)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    assert found.summary.trainingCost == pytest.approx(cost(unit, centres), rel=1e-9)


def test_accessors_as_in_pyspark(spark: Any) -> None:
    made = KMeans().setK(5).setFeaturesCol("v").setInitialModel(np.eye(5))
    assert (made.getK(), made.getFeaturesCol(), made.getPlan()) == (5, "v", "summary")
    assert "initialModel" in made.explainParams()
    with pytest.raises(BadInputError, match="k is 0"):
        KMeans(k=0)


def test_names_of_the_package_are_what_they_say() -> None:
    import shoal.engines.spark as package

    for name in package.__all__:
        assert callable(getattr(package, name)), name


def test_names_with_dots_and_names_of_ours(spark: Any) -> None:
    df = spark.createDataFrame(
        [(float(i % 2) * 9, float(i), "x") for i in range(20)], "`a.b` double, c double, _shoal string"
    )
    for plan in ("summary", "lloyd"):
        model = KMeans(k=2, featuresCols=["a.b", "c"], plan=plan).fit(df)
        labelled = model.transform(df)
        assert labelled.columns == ["a.b", "c", "_shoal", "prediction", "distance", "outlier_score"]
        assert labelled.where("_shoal = 'x'").count() == 20
        assert model.update(df).summary.rowsSeen == 40
        assert model.computeCost(df) == pytest.approx(model.summary.trainingCost)
    with pytest.raises(BadInputError, match="two columns of ours are called alike"):
        KMeans(k=2, featuresCols=["a.b", "c"], distanceCol="prediction").fit(df).transform(df)


def test_rows_that_come_again_under_their_ids_make_figures_estimates(spark: Any) -> None:
    df = spark.createDataFrame(
        [(i, [float(i % 3) * 9, float(i)]) for i in range(30)], "id long, features array<double>"
    )
    model = KMeans(k=3, idCol="id").fit(df)
    assert model.summary.costIsExact
    assert not model.update(df.limit(10)).summary.costIsExact


def test_floats_far_from_zero_are_measured_exactly(spark: Any) -> None:
    rng = np.random.default_rng(0)
    X = (1e6 + rng.normal(size=(300, 2)) + rng.integers(3, size=(300, 1)) * 9).astype(np.float32)
    df = spark.createDataFrame(pa.table({"features": list(X)}))
    model = KMeans(k=3).fit(df)
    exact = ((X[:, None].astype(float) - np.array(model.clusterCenters())) ** 2).sum(axis=2).min(axis=1).sum()
    assert model.computeCost(df) == pytest.approx(exact, rel=1e-6)


def test_a_start_that_does_not_fit_and_rows_without_weight(spark: Any) -> None:
    df = spark.createDataFrame([([float(i), 1.0], 0.0) for i in range(5)], "features array<double>, w double")
    for plan in ("summary", "lloyd"):
        with pytest.raises(BadInputError, match="centres of 3 numbers, the rows have 2"):
            KMeans(plan=plan, initialModel=[[1.0, 2.0, 3.0]]).fit(df)
        with pytest.raises(BadInputError, match="the rows have no weight"):
            KMeans(k=2, plan=plan, weightCol="w").fit(df)
    with pytest.raises(BadInputError, match="the rows have no weight"):
        Birch(k=2, weightCol="w").fit(df)
    same = spark.createDataFrame([([1.0, 1.0],), ([2.0, 2.0],)] * 3, "features array<double>")
    with pytest.raises(BadInputError, match="only 2 differ"):
        KMeans(plan="lloyd", initialModel=[[1.0, 1.0], [2.0, 2.0], [9.0, 9.0]]).fit(same)
