"""Labels as columns: an Arrow function over the feature columns alone, so that all others stay in the JVM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from shoal.engines.spark.columns import check_free, checked_schema, plain_column, quoted
from shoal.engines.spark.labels import labels_of
from shoal.engines.spark.rows import RowColumns, RowReader
from shoal.errors import BadInputError
from shoal.model.cluster_model import ClusterModel

_LABEL = "struct<cluster: int, distance: double, outlier_score: double>"
_FIELDS = ("cluster", "distance", "outlier_score")
_MADE = "_shoal_label_51b1"
"""A column that nobody has."""


def with_labels(
    df: Any, model: ClusterModel, columns: RowColumns, *, outputs: tuple[str, str, str], keep_invalid: bool
) -> Any:
    """The DataFrame with columns for the cluster, its distance and the outlier score; an empty name for none.

    Parameters
    ----------
    columns : ``invalid="skip"`` drops rows that cannot be labelled, or with ``keep_invalid`` gives them nulls.

    Raises
    ------
    BadInputError : columns that are missing or cannot be rows, or are there already.
    """
    need = RowColumns(columns.features, invalid=columns.invalid, cosine=columns.cosine)
    checked_schema(df.schema, need)
    wanted = [(field, name) for field, name in zip(_FIELDS, outputs, strict=True) if name]
    names = [name for _, name in wanted]
    if len(set(names)) < len(names):
        raise BadInputError(f"two columns of ours are called alike: {', '.join(names)}", remedy="rename one")
    check_free(df, names)
    label = F.arrow_udf(labeller(model, need), _LABEL)
    made = F.col(_MADE)
    labelled = df.withColumn(_MADE, label(*[plain_column(df, name) for name in need.features]))
    if need.invalid == "skip" and not keep_invalid:
        labelled = labelled.where(made.getField("cluster").isNotNull())
    ours = [made.getField(field).alias(name) for field, name in wanted]
    return labelled.select(*[F.col(quoted(name)) for name in df.columns], *ours)


def labeller(model: ClusterModel, columns: RowColumns) -> Callable[..., Any]:
    """An Arrow function of the feature columns: structs of cluster id, distance and outlier score."""

    def label(*features: pa.Array) -> pa.Array:
        from pyspark import TaskContext

        context = TaskContext.get()
        batch = pa.RecordBatch.from_arrays(list(features), names=list(columns.features))
        partition = 0 if context is None else int(context.partitionId())
        rows = RowReader(columns, partition, width=model.n_features, of="a batch of partition").read(batch)
        return pa.StructArray.from_arrays(labels_of(model, rows, batch.num_rows), names=list(_FIELDS))

    return label
