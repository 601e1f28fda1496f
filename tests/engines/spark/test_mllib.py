"""MLlib's format: its own KMeansModel loads what we write and labels alike; we read what it saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.engines.spark.mllib import CLASS, read_mllib, write_mllib
from shoal.errors import DamagedFileError, ShoalError
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance, unit_rows
from shoal.solve.k_means import k_means

RNG = np.random.default_rng(5)
X = RNG.normal(size=(200, 3)) + 4 * RNG.integers(0, 2, (200, 3))


def _model(metric: Any = "euclidean") -> ClusterModel:
    points = unit_rows(X) if metric == "cosine" else X
    w = np.ones(len(X))
    return build_model(
        points, w, k_means(points, 5, metric=metric), provenance=Provenance(rows_seen=len(X)), metric=metric
    )


def _predictions(spark: Any, path: str, features: str) -> np.ndarray[Any, Any]:
    from pyspark.ml.clustering import KMeansModel
    from pyspark.ml.linalg import Vectors

    df = spark.createDataFrame([(i, Vectors.dense(row)) for i, row in enumerate(X.tolist())], ["i", features])
    loaded = KMeansModel.load(path)
    table = loaded.transform(df).select("i", loaded.getPredictionCol()).toArrow().sort_by("i")
    return np.asarray(table.column(1))


def test_mllib_labels_as_we_do(spark: Any, tmp_path: Path) -> None:
    model = _model()
    ids = write_mllib(spark, model, str(tmp_path / "m"), features_col="v", prediction_col="cluster")
    np.testing.assert_array_equal(ids, np.arange(5))
    np.testing.assert_array_equal(_predictions(spark, str(tmp_path / "m"), "v"), model.predict(X))


def test_cosine_and_ids_that_are_not_positions(spark: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "m")
    model = _model("cosine")
    shuffled = model.replace(ids=np.array([3, 1, 0, 2, 4]))
    assert write_mllib(spark, shuffled, path).tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(_predictions(spark, path, "features"), shuffled.predict(X))
    later = model.replace(ids=np.array([3, 1, 9, 2, 4]))
    ids = write_mllib(spark, later, path, overwrite=True)
    assert ids.tolist() == [3, 1, 9, 2, 4]
    np.testing.assert_array_equal(ids[_predictions(spark, path, "features")], later.predict(X))
    centres, metric, k = read_mllib(spark, path)
    assert (metric, k) == ("cosine", 5)
    np.testing.assert_array_equal(centres, later.centres)
    (part,) = (tmp_path / "m" / "metadata").glob("part-*")
    assert json.loads(part.read_text())["shoal"]["ids"] == [3, 1, 9, 2, 4]


def test_what_mllib_saves_is_read(spark: Any, tmp_path: Path) -> None:
    from pyspark.ml.clustering import KMeans
    from pyspark.ml.linalg import Vectors

    path = str(tmp_path / "theirs")
    df = spark.createDataFrame([(Vectors.dense(row),) for row in X.tolist()], ["features"])
    theirs = KMeans(k=3, seed=1, maxIter=2).fit(df)
    theirs.save(path)
    found = read_mllib(spark, path)
    assert (found.metric, found.k) == ("euclidean", 3)
    np.testing.assert_array_equal(found.centres, np.stack(theirs.clusterCenters()))
    (metadata,) = (tmp_path / "theirs" / "metadata").glob("part-*")
    told = json.loads(metadata.read_text())
    ours = str(tmp_path / "ours")
    write_mllib(spark, _model(), ours)
    (metadata,) = (tmp_path / "ours" / "metadata").glob("part-*")
    mine = json.loads(metadata.read_text())
    assert set(told) <= set(mine)
    assert told["class"] == mine["class"] == CLASS
    assert told["defaultParamMap"] | {"seed": 0} == mine["defaultParamMap"] | {
        "seed": 0
    }  # pyspark's is by chance
    schemas = [spark.read.parquet(f"{p}/data").schema for p in (path, ours)]
    assert schemas[0] == schemas[1]


def test_paths_that_cannot_be_used(spark: Any, tmp_path: Path) -> None:
    model = _model()
    (tmp_path / "taken").mkdir()
    with pytest.raises(ShoalError, match=r"exists already.*overwrite=True"):
        write_mllib(spark, model, str(tmp_path / "taken"))
    assert list((tmp_path / "taken").iterdir()) == []
    with pytest.raises(ShoalError, match="not a saved model of MLlib"):
        read_mllib(spark, str(tmp_path / "nothing"))
    with pytest.raises(ShoalError, match="recipe"):
        write_mllib(spark, model.replace(recipe={"columns": []}), str(tmp_path / "new"))


def test_metadata_that_do_not_fit(spark: Any, tmp_path: Path) -> None:
    def put(text: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir()))) / "metadata"
        folder.mkdir(parents=True)
        (folder / "part-0.txt").write_text(text)
        return str(folder.parent)

    other = json.dumps(
        {"class": "org.apache.spark.ml.clustering.LDAModel", "defaultParamMap": {}, "paramMap": {}}
    )
    with pytest.raises(ShoalError, match="LDAModel"):
        read_mllib(spark, put(other))
    with pytest.raises(DamagedFileError, match="metadata cannot be read"):
        read_mllib(spark, put("{"))
    with pytest.raises(DamagedFileError, match="no data"):
        read_mllib(spark, put(json.dumps({"class": CLASS, "defaultParamMap": {}, "paramMap": {}})))
