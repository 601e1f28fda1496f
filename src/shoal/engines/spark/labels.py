"""Labels of a batch as Arrow columns, for all ways to label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.engines.shares import RowBatch
from shoal.model.cluster_model import ClusterModel


def labels_of(model: ClusterModel | None, rows: RowBatch | None, n: int) -> list[pa.Array]:
    """Prediction, distance and outlier score of n rows; null for those that have none."""
    values: list[NDArray[Any]] = [np.zeros(n, np.int32), np.zeros(n), np.zeros(n)]
    missing = np.ones(n, np.bool_)
    if model is not None and rows is not None and len(rows.X):
        found = model.assign(rows.X, n_threads=1)
        missing[rows.kept] = False
        for out, given in zip(values, (found.ids, found.distances, found.outlier_scores), strict=True):
            out[rows.kept] = given
    return [pa.array(value, mask=missing) for value in values]
