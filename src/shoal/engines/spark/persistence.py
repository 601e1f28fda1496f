"""Models in Spark's manner: ``path/metadata`` as JSON, ``path/data`` as Parquet, on whatever file system Spark writes to.

The data are the model's own files, checksummed and never pickled, one row each; ``shoal.load(path)`` reads them without Spark.
"""

from __future__ import annotations

import json
from typing import Any

from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReader, MLWriter

from shoal.engines.spark.training import TrainingSummary
from shoal.errors import ShoalError
from shoal.model.packed import pack_model, unpack_model
from shoal.summary.cf_tree import CFTree
from shoal.summary.coreset import Coreset

_SCHEMA = "name string, content binary"


class ModelWriter(MLWriter):  # type: ignore[misc]
    """``model.write().overwrite().save(path)``."""

    def __init__(self, instance: Any) -> None:
        super().__init__()
        self.instance = instance

    def save(self, path: str) -> None:
        """Write the model.

        Raises
        ------
        pyspark.errors.AnalysisException : the path exists and is not to be overwritten.
        """
        spark, mode = self.sparkSession, "overwrite" if self.shouldOverwrite else "error"
        metadata = DefaultParamsWriter._get_metadata_to_save(self.instance, spark)
        frames = spark.createDataFrame([(metadata,)], "value string").coalesce(1)
        rows = spark.createDataFrame(files_of(self.instance), _SCHEMA).coalesce(1)
        rows.write.mode(mode).parquet(f"{path}/data")
        frames.write.mode(mode).text(f"{path}/metadata")  # last: a model without it was cut short

    saveImpl = save


class ModelReader(MLReader):  # type: ignore[misc]
    """``Model.load(path)``."""

    def __init__(self, cls: type) -> None:
        super().__init__()
        self.cls = cls

    def load(self, path: str) -> Any:
        """Read a model.

        Raises
        ------
        ShoalError : it is a model of another kind.
        DamagedFileError, NewerFormatError : it cannot be trusted, or a newer release wrote it.
        """
        spark = self.sparkSession
        metadata = json.loads(spark.read.text(f"{path}/metadata").first()[0])
        kind = metadata["class"].rpartition(".")[2]
        if kind != self.cls.__name__:
            raise ShoalError(f"{path} holds a {kind}, not a {self.cls.__name__}")
        files = {row["name"]: bytes(row["content"]) for row in spark.read.parquet(f"{path}/data").collect()}
        model, summary = unpack_model(files["model"])
        state: Coreset | CFTree | None = summary
        if "tree" in files:
            state = CFTree.from_bytes(files["tree"])
        out = self.cls(model, state, TrainingSummary.from_json(files["training"].decode()))
        out._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(out, metadata)
        return out


def files_of(instance: Any) -> list[tuple[str, bytes]]:
    """Name and content of each file of a model."""
    state = instance._state
    coreset = state if isinstance(state, Coreset) else None
    files = [
        ("model", pack_model(instance.clusterModel, coreset)),
        ("training", instance.summary.to_json().encode()),
    ]
    if isinstance(state, CFTree):
        files.append(("tree", state.to_bytes()))
    return files
