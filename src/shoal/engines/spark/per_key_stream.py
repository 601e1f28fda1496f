"""A model for every key, kept by a stream in Spark's state store: rows are labelled, then learned."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.streaming import StatefulProcessor
from pyspark.sql.types import StructType

from shoal.engines.shares import RowBatch, SummarySettings, fill, ordered
from shoal.engines.spark.columns import quoted
from shoal.engines.spark.key_groups import LABELS
from shoal.engines.spark.key_task import KeyTask, distinct, key_schema, task_of
from shoal.engines.spark.labels import labels_of
from shoal.engines.spark.rows import RowColumns, RowReader
from shoal.errors import BadInputError, Rejects, ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import pack_model, unpack_model
from shoal.solve.follow import Following, next_solution
from shoal.solve.lloyd import Metric
from shoal.summary.coreset import Coreset
from shoal.summary.protocol import WeightedPoints


def stream_per_key(
    df: Any,
    key_cols: str | Sequence[str],
    k: int,
    columns: RowColumns,
    *,
    settings: SummarySettings | None = None,
    metric: Metric = "euclidean",
    keep: Sequence[str] = (),
    solve_every: int = 1,
    idle_seconds: float | None = None,
) -> Any:
    """A stream that keeps a model for each key in Spark's state store, labels rows and learns from them.

    In each micro-batch a key's rows are labelled by the model it had before, then learnt. The rows of the batch from which
    its first model comes are labelled by that one. ``version`` names the model that labelled. State survives a restart
    from the checkpoint.

    Parameters
    ----------
    df : streaming DataFrame.
    settings : of each key's summary, with its half-life; forgetting is by the event time in ``columns.time``.
    keep : columns to hand on with the labels, beside the key.
    solve_every : new rows of a key after which its model is solved again, in the batch they come with.
    idle_seconds : time after which a key without rows is dropped from the state, by the clock of the machines. Spark then
        finds something to do at every trigger: give the query ``trigger(processingTime=...)``, as with ``availableNow``
        it does not end.

    Returns
    -------
    Streaming DataFrame (output mode append) of the key columns, those of ``keep``, ``prediction``, ``distance``,
    ``outlier_score`` and ``version``; null in the four where the key has no model yet, or the row cannot be used.

    Raises
    ------
    BadInputError : columns that are missing or of a wrong type, a k, ``solve_every`` or ``idle_seconds`` that is not
        positive.
    ShoalError : the session's state store is not RocksDB, which Spark needs for this.

    Examples
    --------
    ::

        spark.conf.set("spark.sql.streaming.stateStore.providerClass", ROCKSDB)
        labelled = stream_per_key(readings, "sensor", 4, RowColumns(("x", "y"), time="at"),
                                  settings=per_key_settings(4, half_life=86_400.0))
        labelled.writeStream.option("checkpointLocation", path).toTable("labelled")
    """
    task = task_of(df, key_cols, k, columns, settings, metric, "lower", True)
    kept = [name for name in keep if name not in task.keys]
    for name in kept:
        if name not in df.columns:
            raise BadInputError.unknown_column(name, list(df.columns), place="the stream")
    if solve_every < 1 or (idle_seconds is not None and not idle_seconds > 0):
        raise BadInputError(
            f"solve_every={solve_every}, idle_seconds={idle_seconds}", remedy="give numbers above 0"
        )
    need_rocksdb(df.sparkSession)
    handed = key_schema(df, (*task.keys, *kept))
    schema = StructType([_as_text(column) for column in handed])
    for name, kind in (LABELS | {"version": "string"}).items():
        if name in schema.fieldNames():
            raise BadInputError("is a column we add", place=f"column {name!r}", remedy="rename it first")
        schema = schema.add(name, kind)
    idle = None if idle_seconds is None else max(1, round(idle_seconds * 1000))
    plain, task = _plain(df, task, kept)
    learner = KeyLearner(task, tuple(kept), solve_every, idle)
    mode = "None" if idle is None else "ProcessingTime"
    groups = plain.groupBy(*[f"c{i}" for i in range(len(task.keys))])
    labelled = groups.transformWithStateInPandas(learner, schema, "append", mode)
    kinds = {column.name: column.dataType for column in handed}
    outputs = [(name, F.col(quoted(name))) for name in schema.fieldNames()]
    return labelled.select(
        *[value.cast(kinds[name]).alias(name) if name in kinds else value for name, value in outputs]
    )


ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
"""What ``spark.sql.streaming.stateStore.providerClass`` must be for :func:`stream_per_key`."""


def need_rocksdb(spark: Any) -> None:
    """Raises :class:`ShoalError` where a session's state store cannot hold state of this kind."""
    setting = "spark.sql.streaming.stateStore.providerClass"
    provider = spark.conf.get(setting, "")
    if "RocksDB" not in provider:
        raise ShoalError(
            f"models per key need the RocksDB state store, this session has {provider.rsplit('.', 1)[-1] or 'none'}; "
            f'before the query starts: spark.conf.set("{setting}", "{ROCKSDB}")'
        )


class KeyLearner(StatefulProcessor):  # type: ignore[misc]  # pyspark is untyped here
    """What a stream does for every key: label, learn, keep.

    State is the packed model with its summary, or before the first model the summary alone.
    """

    def __init__(self, task: KeyTask, keep: tuple[str, ...], solve_every: int, idle_ms: int | None) -> None:
        self.task, self.keep, self.solve_every, self.idle_ms = task, keep, solve_every, idle_ms

    def init(self, handle: Any) -> None:
        """Called once for every task of a micro-batch."""
        schema = "model binary, summary binary, more string"
        self.state = handle.getValueState("learnt", schema, self.idle_ms)

    def handleInputRows(self, key: Any, rows: Any, timerValues: Any) -> Iterator[Any]:
        """One key's rows of a micro-batch, a pandas DataFrame at a time; gives DataFrames of labelled rows."""
        model, summary, following, rejects = self._restored()
        reader = RowReader(self.task.columns, width=summary.n_features)
        waiting = []
        names = [*self.task.keys, *self.keep, *self.task.columns.names()]
        for unnamed in rows:
            frame = unnamed.set_axis(names, axis=1)  # Spark loses names that are no identifiers
            read = reader.read(_as_batch(frame, self.task.columns))
            if len(read.X):
                fill(summary, read)
            if model is None:
                waiting.append((frame[list(self.keep)], read))
            else:
                yield self._labelled(key, frame[list(self.keep)], model, read)
        now, rejects = model, rejects.merge(reader.rejects)
        if not summary.is_empty:
            now, following = self._next(summary, model, following, rejects)
        for frame, read in waiting:
            yield self._labelled(key, frame, now, read)
        self._store(now, summary, following, Rejects() if now is not model else rejects)

    def _restored(self) -> tuple[ClusterModel | None, Coreset, Following, Rejects]:
        held = self.state.get() if self.state.exists() else None
        if held is None:
            return None, self.task.settings.new(), Following(), Rejects()
        packed, waiting, more = held
        told = json.loads(more)
        rest = Following(**told["following"]), Rejects.from_dict(told["rejects"])
        if packed is None:
            return None, Coreset.from_bytes(bytes(waiting)), *rest
        model, summary = unpack_model(bytes(packed))
        return model, summary or self.task.settings.new(), *rest

    def _store(
        self, model: ClusterModel | None, summary: Coreset, following: Following, rejects: Rejects
    ) -> None:
        packed = None if model is None else pack_model(model, summary)
        waiting = summary.to_bytes() if model is None else None
        more = json.dumps({"following": following.to_dict(), "rejects": rejects.to_dict()})
        self.state.update((packed, waiting, more))

    def _next(
        self, summary: Coreset, before: ClusterModel | None, following: Following, rejects: Rejects
    ) -> tuple[ClusterModel | None, Following]:
        """The model after this micro-batch: the one before, if too little is new."""
        known = 0 if before is None else before.provenance.rows_seen
        points = ordered(summary.points())
        if summary.count - known < self.solve_every or not points.weights.sum() > 0:
            return before, following
        points = WeightedPoints(points.X[points.weights > 0], points.weights[points.weights > 0])
        k = min(self.task.k, distinct(points))
        found = next_solution(
            points,
            k,
            None if before is None else before.centres,
            following,
            rows=summary.count,
            seed=summary.seed,
            metric=self.task.metric,
            n_threads=1,
        )
        model = self.task.built(summary, points, found.solution, rejects, before)
        return unpack_model(pack_model(model.replace(version="")))[0], found.following  # named by its content

    def _labelled(self, key: Any, frame: Any, model: ClusterModel | None, read: RowBatch) -> Any:
        import pandas as pd  # type: ignore[import-untyped]

        out = {name: [value] * len(frame) for name, value in zip(self.task.keys, key, strict=True)}
        out |= {name: frame[name].to_list() for name in self.keep}
        labels = labels_of(model, read, len(frame))
        made = {name: label.to_pylist() for name, label in zip(LABELS, labels, strict=True)}
        made["prediction"] = pd.array(made["prediction"], dtype="Int32")
        known = set(read.kept.tolist()) if model is not None else set()
        made["version"] = [model.version if model and i in known else None for i in range(len(frame))]
        return pd.DataFrame(out | made)


def _as_batch(frame: Any, columns: RowColumns) -> pa.RecordBatch:
    kinds = {columns.features[0]: pa.list_(pa.float64())}
    kinds |= {name: pa.float64() for name in (columns.weight, columns.time) if name is not None}
    if columns.id is not None:
        kinds[columns.id] = pa.string()
    arrays = [pa.Array.from_pandas(frame[name], type=kind) for name, kind in kinds.items()]
    if columns.id is not None:
        arrays[-1] = arrays[-1].cast(pa.int64())
    return pa.RecordBatch.from_arrays(arrays, names=list(kinds))


def _as_text(column: Any) -> Any:
    """Numbers beside a null would become floats in pandas: keys would change, and each null be a key of its own."""
    from pyspark.sql.types import NumericType, StringType, StructField

    text = isinstance(column.dataType, NumericType)
    return StructField(column.name, StringType() if text else column.dataType, True)


class _Plain(NamedTuple):
    df: Any
    task: KeyTask


def _plain(df: Any, task: KeyTask, keep: Sequence[str]) -> _Plain:
    """The stream with rows as arrays and times as seconds, which pandas carries without loss."""
    from pyspark.ml.functions import vector_to_array

    c = task.columns
    first = F.col(quoted(c.features[0]))
    kind = df.schema[c.features[0]].dataType
    if type(kind).__name__ == "VectorUDT":
        row = vector_to_array(first)
    elif len(c.features) > 1 or kind.typeName() != "array":
        row = F.array(*[F.col(quoted(name)).cast("double") for name in c.features])
    else:
        row = first.cast("array<double>")
    made = {"_features": row}
    if c.weight is not None:
        made["_weight"] = F.col(quoted(c.weight)).cast("double")
    if c.time is not None:
        moment = F.col(quoted(c.time))
        temporal = df.schema[c.time].dataType.typeName() in ("date", "timestamp_ntz")
        made["_time"] = (moment.cast("timestamp") if temporal else moment).cast("double")
    if c.id is not None:
        made["_id"] = F.col(quoted(c.id)).cast("bigint").cast("string")
    ours = [value.alias(name) for name, value in made.items()]
    handed = [
        F.col(quoted(name)).cast(_as_text(df.schema[name]).dataType).alias(f"c{i}")
        for i, name in enumerate((*task.keys, *keep))
    ]
    plain = df.select(*handed, *ours)
    names = {name[1:]: name for name in made if name != "_features"}
    return _Plain(
        plain, replace(task, columns=RowColumns(("_features",), **names, invalid=c.invalid, cosine=c.cosine))
    )
