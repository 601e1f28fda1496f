"""MLlib's format of a k-means model, as a local folder: written and read without Spark, by Arrow alone."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shoal.engines.spark import mllib
from shoal.errors import DamagedFileError, ShoalError
from shoal.features.recipe import Recipe
from shoal.model.cluster_model import ClusterModel
from shoal.model.durable import sync_folder
from shoal.solve.lloyd import Metric

SPARK = "4.3.0"
"""The release whose format it is; readers look at its first number."""
_DENSE = 1
_ROW_METADATA = b"org.apache.spark.sql.parquet.row.metadata"


def write_mllib_folder(
    model: ClusterModel, path: str | os.PathLike[str], *, features_col: str = "features"
) -> NDArray[np.int64]:
    """Write a folder that ``pyspark.ml.clustering.KMeansModel.load`` reads; the answer is the id of each prediction.

    As :func:`shoal.engines.spark.mllib.write_mllib`, for a folder of this machine. It appears only when it is whole.

    Raises
    ------
    ShoalError : something is there already, or the model turns tables into vectors by a recipe, which MLlib cannot do.
    """
    target = Path(path)
    centres = _of_rows_as_they_are(model)
    if target.exists():
        raise ShoalError(f"{target} exists already; choose another path")
    order = mllib.mllib_order(model.ids)
    told = mllib.metadata_of(SimpleNamespace(version=SPARK), model, order, features_col, "prediction")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tmp-") as scratch:
        whole = Path(scratch) / "model"
        for part in ("data", "metadata"):
            (whole / part).mkdir(parents=True)
            (whole / part / "_SUCCESS").touch()
        pq.write_table(_table(centres[order]), whole / "data" / "part-00000.parquet")
        (whole / "metadata" / "part-00000").write_text(json.dumps(told) + "\n", encoding="utf-8")
        shutil.move(whole, target)
    sync_folder(target.parent)
    return model.ids[order]


def read_mllib_folder(path: str | os.PathLike[str]) -> tuple[mllib.MLlibCentres, dict[str, Any]]:
    """Centres of a saved ``KMeansModel``, and its parameters with, where Shoal wrote it, ``ids``.

    Raises
    ------
    ShoalError : there is nothing, or another kind of model.
    DamagedFileError : its files do not fit together.
    """
    folder = Path(path)
    try:
        (first, *_) = sorted((folder / "metadata").glob("part-*"))
        told = json.loads(first.read_text(encoding="utf-8").splitlines()[0])
        kind, params = told["class"], told["defaultParamMap"] | told["paramMap"]
        ids = told.get("shoal", {}).get("ids")
    except (OSError, LookupError, ValueError, TypeError, AttributeError) as error:
        if not (folder / "metadata").is_dir():
            raise ShoalError(f"{folder} is not a saved model of MLlib: it has no metadata") from error
        raise DamagedFileError(f"{folder}: the metadata cannot be read: {error!r}") from error
    if kind != mllib.CLASS:
        raise ShoalError(f"{folder} holds a {kind}; only {mllib.CLASS} has centres that can be read")
    metric = params.get("distanceMeasure", "euclidean")
    if metric not in ("euclidean", "cosine"):
        raise DamagedFileError(f"{folder}: the distance measure is {metric!r}")
    centres = _centres(folder)
    if ids is not None and (len(ids) != len(centres) or not all(type(i) is int for i in ids)):
        raise DamagedFileError(f"{folder}: has {len(centres)} centres, and other ids; use another copy")
    return mllib.MLlibCentres(centres, cast(Metric, metric), len(centres)), params | {"ids": ids}


def _of_rows_as_they_are(model: ClusterModel) -> NDArray[np.float64]:
    """(k, d) centres among rows that nothing was done to; a recipe that only moves rows is undone."""
    if model.recipe is None:
        return model.centres
    recipe = Recipe.from_dict(dict(model.recipe))
    is_plain = not recipe.spec.one_hot and recipe.spec.nulls in ("error", "skip")
    still = model.metric == "euclidean" or not recipe.centre.any()
    if not (is_plain and still and (recipe.scale == 1).all()):
        raise ShoalError(
            "the model scales or encodes columns by its recipe, which MLlib cannot; fit with --scale none and without "
            "--one-hot and --nulls, or export to onnx"
        )
    return recipe.to_original(model.centres)


def _table(centres: NDArray[np.float64]) -> pa.Table:
    """Rows as Spark's vector type stores them, with the schema by which Spark knows it."""
    vector = pa.struct(
        [
            pa.field("type", pa.int8(), nullable=False),
            pa.field("size", pa.int32()),
            pa.field("indices", pa.list_(pa.field("element", pa.int32(), nullable=False))),
            pa.field("values", pa.list_(pa.field("element", pa.float64(), nullable=False))),
        ]
    )
    rows = [{"type": _DENSE, "size": None, "indices": None, "values": row} for row in centres.tolist()]
    schema = pa.schema(
        [pa.field("clusterIdx", pa.int32()), pa.field("clusterCenter", vector)],
        metadata={_ROW_METADATA: json.dumps(_spark_schema()).encode()},
    )
    return pa.table([pa.array(range(len(rows)), pa.int32()), pa.array(rows, vector)], schema=schema)


def _spark_schema() -> dict[str, Any]:
    def field(name: str, kind: Any, nullable: bool = True) -> dict[str, Any]:
        return {"name": name, "type": kind, "nullable": nullable, "metadata": {}}

    def many(kind: str) -> dict[str, Any]:
        return {"type": "array", "elementType": kind, "containsNull": False}

    inside = [
        field("type", "byte", nullable=False),
        field("size", "integer"),
        field("indices", many("integer")),
        field("values", many("double")),
    ]
    vector = {
        "type": "udt",
        "class": "org.apache.spark.ml.linalg.VectorUDT",
        "pyClass": "pyspark.ml.linalg.VectorUDT",
        "sqlType": {"type": "struct", "fields": inside},
    }
    return {"type": "struct", "fields": [field("clusterIdx", "integer"), field("clusterCenter", vector)]}


def _centres(folder: Path) -> NDArray[np.float64]:
    """(k, d) in the order of the predictions; Spark stores some vectors sparsely."""
    try:
        files = sorted((folder / "data").glob("*.parquet"))
        rows = [row for file in files for row in pq.read_table(file).to_pylist()]
        rows.sort(key=lambda row: int(row["clusterIdx"]))
        centres = [_vector(row["clusterCenter"]) for row in rows]
        whole = [row["clusterIdx"] for row in rows] == list(range(len(rows)))
    except (OSError, pa.ArrowException, LookupError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{folder}: the centres cannot be read: {error!r}") from error
    if not rows or not whole or len({len(c) for c in centres}) != 1:
        raise DamagedFileError(f"{folder}: centres are missing or of different lengths; use another copy")
    return np.stack(centres)


def _vector(cell: dict[str, Any]) -> NDArray[np.float64]:
    if cell["type"] == _DENSE:
        return np.array(cell["values"], np.float64)
    out = np.zeros(int(cell["size"]))
    out[np.array(cell["indices"], np.int64)] = cell["values"]
    return out
