"""Streams beside the sink: labels by the newest model in a store, and the learner for ``foreachBatch``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from shoal.engines.spark.columns import check_free, checked_schema, plain_column, quoted
from shoal.engines.spark.labels import labels_of
from shoal.engines.spark.live import LiveSettings, advance
from shoal.engines.spark.rows import RowColumns, RowReader
from shoal.engines.spark.summary_plan import gathered
from shoal.errors import BadInputError
from shoal.model.cluster_model import ClusterModel
from shoal.model.store import ModelStore

_LABEL = "struct<cluster: int, distance: double, outlier_score: double, version: int>"
_FIELDS = ("cluster", "distance", "outlier_score", "version")
_MADE = "_shoal_label_51b1"
NAMES = ("prediction", "distance", "outlier_score", "model_version")


def label_stream(
    df: Any,
    store: str,
    *,
    featuresCol: str = "features",
    featuresCols: list[str] | None = None,
    handleInvalid: str = "keep",
    names: tuple[str, str, str, str] = NAMES,
) -> Any:
    """Label a stream, or a table, by the newest model that a store holds when rows are read.

    Parameters
    ----------
    df : streaming or batch DataFrame.
    store : folder of a :class:`~shoal.model.store.ModelStore`, as the sink ``shoal`` keeps it; all workers must see it.
    handleInvalid : ``keep`` gives rows that cannot be used nulls, ``error`` stops.
    names : of the columns for the cluster's id, the distance, the outlier score and the version that said so. All are null
        until there is a first version.

    Raises
    ------
    BadInputError : columns that are missing or cannot be rows, or are there already.

    Examples
    --------
    >>> label_stream(rows, "models", featuresCols=["a", "b"])  # doctest: +SKIP
    """
    if handleInvalid not in ("keep", "error"):
        raise BadInputError(f"handleInvalid is {handleInvalid!r}", remedy="use keep or error")
    features = tuple(featuresCols) if featuresCols else (featuresCol,)
    columns = RowColumns(features, invalid="error" if handleInvalid == "error" else "skip")
    checked_schema(df.schema, columns)
    check_free(df, names)
    label = F.arrow_udf(newest_labeller(store, columns), _LABEL)
    made = F.col(_MADE)
    labelled = df.withColumn(_MADE, label(*[plain_column(df, name) for name in features]))
    ours = [made.getField(field).alias(name) for field, name in zip(_FIELDS, names, strict=True)]
    return labelled.select(*[F.col(quoted(name)) for name in df.columns], *ours)


def newest_labeller(store: str, columns: RowColumns) -> Callable[..., Any]:
    """An Arrow function of the feature columns, which looks for a newer version before every batch."""

    def label(*features: pa.Array) -> pa.Array:
        batch = pa.RecordBatch.from_arrays(list(features), names=list(columns.features))
        n, held = batch.num_rows, newest(store)
        if held is None:
            return pa.nulls(n, pa.struct(_TYPES))
        number, model = held
        need = RowColumns(columns.features, invalid=columns.invalid, cosine=model.metric == "cosine")
        rows = RowReader(need, width=model.n_features, of="a batch of partition").read(batch)
        labels = labels_of(model, rows, n)
        version = pc.if_else(labels[0].is_valid(), pa.scalar(number, pa.int32()), None)
        return pa.StructArray.from_arrays([*labels, version], names=list(_FIELDS))

    return label


_TYPES = [
    (name, kind)
    for name, kind in zip(_FIELDS, (pa.int32(), pa.float64(), pa.float64(), pa.int32()), strict=True)
]
_held: dict[str, tuple[int, int, ClusterModel]] = {}
"""Number, time of birth and model of the newest version of each store this worker has read."""


def newest(store: str) -> tuple[int, ClusterModel] | None:
    """Number and model of a store's newest version; read once in every process."""
    versions = ModelStore(store)
    number = versions.latest_number()
    if number is None:
        return None
    try:
        born = versions.path(number).stat().st_mtime_ns  # a store that was made anew has the same numbers
    except FileNotFoundError:
        born = 0
    if store not in _held or _held[store][:2] != (number, born):
        stored = versions.load(with_summary=False)
        _held[store] = stored.number, born if stored.number == number else 0, stored.model
    return _held[store][0], _held[store][2]


@dataclass(frozen=True)
class BatchLearner:
    """For ``foreachBatch``: learns a batch as the sink does; keeps nothing but what is in the store."""

    settings: LiveSettings

    def __call__(self, df: Any, batch: int) -> None:
        """Learn one batch, once."""
        found = gathered(df, self.settings.columns, self.settings.summary)
        advance(self.settings, str(self.settings.query), batch, found)


def batch_learner(store: str, *, query: str, **options: Any) -> BatchLearner:
    """What to give ``foreachBatch``, where the sink cannot be had or more is to be done with a batch.

    Parameters
    ----------
    store : folder for the models, as seen by the driver.
    query : names the stream: a new checkpoint needs a new name, as its batches are numbered anew.
    options : those of the sink: ``k``, ``featuresCol``, ``halfLife``, ...

    Raises
    ------
    BadInputError : an option that is unknown or makes no sense.

    Examples
    --------
    >>> rows.writeStream.foreachBatch(batch_learner("models", query="clicks", k=8)).start()  # doctest: +SKIP
    """
    text = {name: str(value) for name, value in options.items() if value is not None}
    return BatchLearner(LiveSettings.parse({"path": store, "query": query, **text}))
