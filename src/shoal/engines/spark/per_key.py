"""Many small models, one for each key (tenant, sensor, country): fitted, applied and updated by grouped Arrow.

Every model is one cell of a table: the bytes of :func:`shoal.model.packed.pack_model`. A
key that fails has its error in its own row, and the others go on. Groups are read batch by batch, so that a large one need
not fit in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyspark.sql.types import StructType

from shoal.engines.shares import SummarySettings
from shoal.engines.spark.columns import check_free, checked_schema, plain_column
from shoal.engines.spark.key_groups import LABELS, TURN, Labelling, by_key, with_models
from shoal.engines.spark.key_task import RESULT, TooFew, key_schema, keys_of, nullable, task_of
from shoal.engines.spark.rows import RowColumns
from shoal.errors import BadInputError
from shoal.solve.lloyd import Metric


def fit_per_key(
    df: Any,
    key_cols: str | Sequence[str],
    k: int,
    columns: RowColumns,
    *,
    settings: SummarySettings | None = None,
    metric: Metric = "euclidean",
    too_few: TooFew = "lower",
    keep_summary: bool = True,
) -> Any:
    """One model for each key.

    Parameters
    ----------
    df : classic or Connect DataFrame.
    key_cols : column or columns whose values are the key; null is a key too.
    columns : where the rows are.
    settings : of each key's summary; default :func:`per_key_settings`.
    too_few : what becomes of a key with fewer rows that differ than k: ``lower`` its k, with a note, or an ``error``.
    keep_summary : without it models are small, but cannot be updated.

    Returns
    -------
    DataFrame of the key columns, ``rows`` read, ``k``, ``model`` (bytes for :func:`shoal.model.packed.unpack_model`; null
    where it failed), ``error`` and ``note`` (both null as a rule). Lazy, as Spark's are.

    Raises
    ------
    BadInputError : columns that are missing or of a wrong type, k below 1, event times missing where rows are forgotten.

    Examples
    --------
    ::

        models = fit_per_key(df, "tenant", 4, RowColumns(("features",)))
        models.write.parquet("s3a://models/tenants")
        labelled = assign_per_key(df, models, "tenant", RowColumns(("features",)))
    """
    task = task_of(df, key_cols, k, columns, settings, metric, too_few, keep_summary)
    rows = df.select(*[plain_column(df, name) for name in dict.fromkeys((*task.keys, *columns.names()))])
    return by_key(rows, task.keys, task.fit_group, _result(df, task.keys))


def update_per_key(
    models_df: Any,
    df: Any,
    key_cols: str | Sequence[str],
    k: int,
    columns: RowColumns,
    *,
    settings: SummarySettings | None = None,
    metric: Metric = "euclidean",
    too_few: TooFew = "lower",
) -> Any:
    """Models that go on learning: those of keys without new rows as they are, new keys fitted, the rest solved again.

    Clusters that live on keep their ids. A key whose new rows cannot be used keeps its model, and its error says why.

    Parameters
    ----------
    models_df : of :func:`fit_per_key` or of an earlier update.
    df, key_cols, k, columns, settings, metric, too_few : as in :func:`fit_per_key`; settings are those of new keys.

    Returns
    -------
    DataFrame as of :func:`fit_per_key`.

    Raises
    ------
    BadInputError : as in :func:`fit_per_key`; ``models_df`` lacks the key or the model.

    Examples
    --------
    ::

        models = update_per_key(models, today, "tenant", 4, RowColumns(("features",)))
    """
    task = task_of(df, key_cols, k, columns, settings, metric, too_few, True)
    rows = df.select(*[plain_column(df, name) for name in dict.fromkeys((*task.keys, *columns.names()))])
    both = with_models(rows, models_df, task.keys)
    return by_key(both, task.keys, task.update_group, _result(df, task.keys), first=TURN)


def assign_per_key(
    df: Any,
    models_df: Any,
    key_cols: str | Sequence[str],
    columns: RowColumns,
    *,
    outputs: tuple[str, str, str] = ("prediction", "distance", "outlier_score"),
) -> Any:
    """The rows with the cluster, distance and outlier score that the model of their key gives them.

    Parameters
    ----------
    outputs : names of the three columns.

    Returns
    -------
    ``df`` with three more columns; null where the key has no model, or, with ``invalid="skip"``, the row cannot be used.

    Raises
    ------
    BadInputError : columns that are missing, of a wrong type, or there already.
    """
    keys = keys_of(df, key_cols)
    need = RowColumns(columns.features, invalid=columns.invalid)
    checked_schema(df.schema, need)
    check_free(df, outputs)
    names = tuple(df.columns)
    schema = StructType([nullable(f) for f in df.schema.fields])
    for name, kind in zip(outputs, LABELS.values(), strict=True):
        schema = schema.add(name, kind)
    both = with_models(df, models_df, keys)
    return by_key(both, keys, Labelling(names, need, outputs), schema, first=TURN)


def _result(df: Any, keys: tuple[str, ...]) -> Any:
    schema = key_schema(df, keys)
    for name, kind in RESULT.items():
        if name in keys:
            raise BadInputError(
                "is a column of the result", place=f"key column {name!r}", remedy="rename it first"
            )
        schema = schema.add(name, kind)
    return schema
