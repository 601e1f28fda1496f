"""MLlib's own format of a k-means model: written, so that the JVM scores without Python, and read, to start from.

Only DataFrame readers and writers are used, so that a path is where Spark's cluster sees it, in classic sessions and under
Spark Connect alike.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.features.recipe import Recipe
from shoal.model.cluster_model import ClusterModel
from shoal.solve.lloyd import Metric

CLASS = "org.apache.spark.ml.clustering.KMeansModel"
_DEFAULTS: dict[str, Any] = {  # as Spark 4.3 writes them
    "distanceMeasure": "euclidean",
    "featuresCol": "features",
    "initMode": "k-means||",
    "initSteps": 2,
    "intermediateStorageLevel": "MEMORY_AND_DISK",
    "k": 2,
    "maxBlockSizeInMB": 0.0,
    "maxIter": 20,
    "predictionCol": "prediction",
    "seed": 1155019991722022211,
    "solver": "auto",
    "tol": 1e-4,
}


class MLlibCentres(NamedTuple):
    """What MLlib's model says."""

    centres: NDArray[np.float64]
    """(k, d), in the order of MLlib's predictions."""
    metric: Metric
    k: int


def write_mllib(
    spark: Any,
    model: ClusterModel,
    path: str,
    *,
    features_col: str = "features",
    prediction_col: str = "prediction",
    overwrite: bool = False,
) -> NDArray[np.int64]:
    """Write what ``pyspark.ml.clustering.KMeansModel.save`` writes; ``KMeansModel.load(path)`` then scores in the JVM.

    MLlib's prediction is the position of a centre. Where the stable ids are 0 to k - 1, as after a first fit, centres
    are written in the order of ids, so that predictions are ids; otherwise in the order they have in the model. Either
    way the answer says which, and so does ``"shoal": {"ids": ...}`` in the metadata.

    Parameters
    ----------
    spark : classic or Connect session.
    model : of vectors, as Spark's own models are.
    path : directory as Spark's cluster sees it.
    overwrite : replace a model that is there.

    Returns
    -------
    (k,) stable id of each of MLlib's predictions.

    Raises
    ------
    ShoalError : the path exists and ``overwrite`` is false, or the model turns tables into vectors by a recipe, which
        MLlib cannot do.

    Examples
    --------
    ::

        ids = write_mllib(spark, model, "s3a://models/houses")
        scored = KMeansModel.load("s3a://models/houses").transform(df)  # prediction p is cluster ids[p]
    """
    from pyspark.ml.linalg import Vectors, VectorUDT
    from pyspark.sql.types import IntegerType, StructField, StructType

    if not _takes_vectors(model):
        raise ShoalError(
            "the model scales or encodes columns by its recipe, which MLlib cannot; fit vectors, or score with Shoal"
        )
    if not overwrite and _exists(spark, path):
        raise ShoalError(f"{path} exists already; choose another path, or overwrite=True to replace it")
    order = mllib_order(model.ids)
    told = metadata_of(spark, model, order, features_col, prediction_col)
    schema = StructType([StructField("clusterIdx", IntegerType()), StructField("clusterCenter", VectorUDT())])
    rows = [(i, Vectors.dense(centre.tolist())) for i, centre in enumerate(model.centres[order])]
    mode = "overwrite" if overwrite else "error"
    line = spark.createDataFrame([(json.dumps(told),)], "value string")
    # metadata last: without them there is no model, so a write that was cut short is noticed
    spark.createDataFrame(rows, schema).coalesce(1).write.mode(mode).parquet(_below(path, "data"))
    line.coalesce(1).write.mode(mode).text(_below(path, "metadata"))
    return model.ids[order]


def read_mllib(spark: Any, path: str) -> MLlibCentres:
    """Centres of a ``KMeansModel`` that MLlib, or :func:`write_mllib`, saved.

    Raises
    ------
    ShoalError : there is nothing at ``path``, or another kind of model.
    DamagedFileError : its files do not fit together.

    Examples
    --------
    ::

        centres, metric, k = read_mllib(spark, "hdfs:///models/old")
    """
    if not _exists(spark, _below(path, "metadata")):
        raise ShoalError(f"{path} is not a saved model of MLlib: it has no metadata")
    try:
        lines = spark.read.text(_below(path, "metadata")).collect()
        told = json.loads(lines[0][0])
        kind, params = told["class"], told["defaultParamMap"] | told["paramMap"]
    except (LookupError, ValueError, TypeError) as error:
        raise DamagedFileError(f"{path}: the metadata cannot be read: {error!r}") from error
    if kind != CLASS:
        raise ShoalError(f"{path} holds a {kind}; only {CLASS} has centres that can be read")
    if not _exists(spark, _below(path, "data")):
        raise DamagedFileError(f"{path} has metadata, but no data; use another copy of the model")
    metric = params.get("distanceMeasure", "euclidean")
    centres = _centres(spark, path)
    if metric not in ("euclidean", "cosine"):
        raise DamagedFileError(f"{path}: the distance measure is {metric!r}")
    return MLlibCentres(centres, cast(Metric, metric), len(centres))


def _centres(spark: Any, path: str) -> NDArray[np.float64]:
    data = spark.read.parquet(_below(path, "data"))
    if not {"clusterIdx", "clusterCenter"} <= set(data.columns):
        raise DamagedFileError(f"{path}: its data have the columns {', '.join(data.columns)}, not centres")
    rows = sorted((int(i), c.toArray()) for i, c in data.select("clusterIdx", "clusterCenter").collect())
    if not rows or [i for i, _ in rows] != list(range(len(rows))) or len({len(c) for _, c in rows}) != 1:
        raise DamagedFileError(f"{path}: centres are missing or of different lengths; use another copy")
    centres = np.stack([c for _, c in rows]).astype(np.float64)
    if not np.isfinite(centres).all():
        raise BadInputError("a centre is NaN or infinite", place=path, remedy="fit that model again")
    return centres


def _takes_vectors(model: ClusterModel) -> bool:
    """Whether rows are clustered as they are: without scaling, categories or filled gaps."""
    if model.recipe is None:
        return True
    recipe = Recipe.from_dict(dict(model.recipe))
    plain = not recipe.spec.one_hot and recipe.spec.nulls in ("error", "skip")
    return plain and bool((recipe.centre == 0).all() and (recipe.scale == 1).all())


def mllib_order(ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """Positions of the centres in the order they are written.

    >>> mllib_order(np.array([2, 0, 1])), mllib_order(np.array([7, 0, 1]))
    (array([1, 2, 0]), array([0, 1, 2]))
    """
    by_id = np.argsort(ids, kind="stable")
    return by_id if np.array_equal(ids[by_id], np.arange(len(ids))) else np.arange(len(ids), dtype=np.intp)


def metadata_of(
    spark: Any, model: ClusterModel, order: NDArray[np.intp], features_col: str, prediction_col: str
) -> dict[str, Any]:
    return {
        "class": CLASS,
        "timestamp": int(time.time() * 1000),
        "sparkVersion": spark.version,
        "uid": f"KMeans_{uuid.uuid4().hex[:12]}",
        "paramMap": {
            "k": model.k,
            "featuresCol": features_col,
            "predictionCol": prediction_col,
            "distanceMeasure": model.metric,
            "seed": model.provenance.seed % 2**63,  # a Java long
        },
        "defaultParamMap": _DEFAULTS,
        "shoal": {"ids": model.ids[order].tolist(), "version": model.version},
    }


def _exists(spark: Any, path: str) -> bool:
    """Asked of Spark, as the path may be one that only the cluster sees."""
    from pyspark.errors import AnalysisException

    try:
        return bool(spark.read.text(path).schema)
    except AnalysisException as error:
        if error.getCondition() == "PATH_NOT_FOUND":
            return False
        raise


def _below(path: str, name: str) -> str:
    return f"{path.rstrip('/')}/{name}"
