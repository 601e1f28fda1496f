"""Centres to start from: given, or those of a model saved by any engine or by MLlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.model.cluster_model import unit_rows


def initial_centres(spark: Any, given: Any, *, metric: str) -> NDArray[np.float64]:
    """(k, d) centres from a path or from lists of numbers; of length 1 under cosine.

    Raises
    ------
    BadInputError : no model at the path, or one of another metric.
    """
    centres = _saved(spark, given, metric) if isinstance(given, str) else np.asarray(given, np.float64)
    return unit_rows(centres) if metric == "cosine" else centres


def _saved(spark: Any, path: str, metric: str) -> NDArray[np.float64]:
    centres, theirs = _read(spark, path)
    if theirs != metric:
        raise BadInputError(
            f"the model is {theirs}",
            place=path,
            remedy=f'set distanceMeasure="{theirs}", or start from another',
        )
    return centres


def _read(spark: Any, path: str) -> tuple[NDArray[np.float64], str]:
    from pyspark.errors import PySparkException

    from shoal.engines.local import load
    from shoal.engines.spark.mllib import read_mllib
    from shoal.model.packed import unpack_model
    from shoal.model.persistence import MANIFEST
    from shoal.model.store import ModelStore

    if (
        (Path(path) / MANIFEST).exists()
        or ModelStore(path).latest_number() is not None
        or path.endswith(".shoal")
    ):
        local = load(path).model
        return local.centres, local.metric
    try:
        data = spark.read.parquet(f"{path}/data")
        if "content" in data.columns:
            (row,) = data.where("name = 'model'").collect()
            saved = unpack_model(bytes(row["content"]))[0]
            return saved.centres, saved.metric
        found = read_mllib(spark, path)
    except PySparkException as error:
        raise BadInputError(
            "there is no model",
            place=path,
            remedy="give the path of a model saved by Shoal or by MLlib's KMeans",
        ) from error
    return found.centres, found.metric
