"""Many small models, one for each key (tenant, sensor, country): fitted, applied and updated by grouped Arrow, or kept by a
stream.

Every model is one cell of a table, or one entry of the state store: the bytes of :func:`shoal.model.packed.pack_model`. A
key that fails has its error in its own row, and the others go on. Groups are read batch by batch, so that a large one need
not fit in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.streaming import StatefulProcessor
from pyspark.sql.types import StructType

from shoal.engines.local import release
from shoal.engines.spark.columns import checked_schema, quoted
from shoal.engines.spark.rows import RowBatch, RowColumns, RowReader
from shoal.engines.spark.summary_plan import SummarySettings, fill, ordered, solved
from shoal.errors import BadInputError, Rejects, ShoalError
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.model.identity import follow
from shoal.model.packed import pack_model, unpack_model
from shoal.solve.follow import Following, next_solution
from shoal.solve.lloyd import Metric, Solution
from shoal.summary.coreset import Coreset
from shoal.summary.protocol import WeightedPoints

TooFew = Literal["lower", "error"]
RESULT = {"rows": "long", "k": "integer", "model": "binary", "error": "string", "note": "string"}
_LABELS = {"prediction": "integer", "distance": "double", "outlier_score": "double"}
_MODEL, _TURN = "_shoal_model", "_shoal_turn"
_ROWS, _BYTES = 2000, 4 << 20
Key = tuple[pa.Scalar, ...]
Group = Callable[[Key, Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def per_key_settings(k: int, *, seed: int = 0, half_life: float | None = None) -> SummarySettings:
    """Settings of summaries of which there will be many: 2,000 rows or 200 per cluster, and at most 4 MB.

    >>> per_key_settings(3).rows
    2000
    """
    return SummarySettings(
        k_max=max(k, 1), rows=max(_ROWS, 200 * k), max_bytes=_BYTES, seed=seed, half_life=half_life
    )


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
    task = _task(df, key_cols, k, columns, settings, metric, too_few, keep_summary)
    rows = df.select(*[quoted(name) for name in dict.fromkeys((*task.keys, *columns.names()))])
    return _by_key(rows, task.keys, task.fit_group, _result(df, task.keys))


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
    task = _task(df, key_cols, k, columns, settings, metric, too_few, True)
    rows = df.select(*[quoted(name) for name in dict.fromkeys((*task.keys, *columns.names()))])
    both = _with_models(rows, models_df, task.keys)
    return _by_key(both, task.keys, task.update_group, _result(df, task.keys), first=_TURN)


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
    keys = _keys(df, key_cols)
    need = RowColumns(columns.features, invalid=columns.invalid)
    checked_schema(df.schema, need)
    for name in outputs:
        if name in df.columns:
            raise BadInputError(
                "is there already", place=f"column {name!r}", remedy="drop it, or rename ours"
            )
    names = tuple(df.columns)
    schema = StructType([_nullable(f) for f in df.schema.fields])
    for name, kind in zip(outputs, _LABELS.values(), strict=True):
        schema = schema.add(name, kind)
    both = _with_models(df, models_df, keys)
    return _by_key(both, keys, Labelling(names, need, outputs), schema, first=_TURN)


@dataclass(frozen=True)
class KeyTask:
    """What is done for every key; travels to the workers."""

    keys: tuple[str, ...]
    k: int
    columns: RowColumns
    settings: SummarySettings
    metric: Metric
    too_few: TooFew
    keep_summary: bool

    def fit_group(self, key: Key, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The model of one group."""
        yield self.learn(None, batches).row(self.keys, key)

    def update_group(self, key: Key, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The model of a group that begins with its model, after its rows."""
        group = _Group(batches)
        yield self.learn(group.model, group.rows()).row(self.keys, key)

    def learn(self, before: bytes | None, batches: Iterable[pa.RecordBatch]) -> Learnt:
        """The model after these rows; errors a user can mend are told in the answer, beside the model there was."""
        known, rows = None, 0
        try:
            old = None if before is None else unpack_model(before)
            known = None if old is None else old[0]
            summary, reader = self._filled(old, batches)
            if not reader.rows and known is not None:
                return Learnt(known.provenance.rows_seen, known.k, before)
            rows = summary.count
            model, note = self.solve(summary, reader.rejects, known)
            return Learnt(rows, model.k, self.packed(model, summary), note=note)
        except ShoalError as error:
            for _ in batches:  # Spark wants its groups read to the end
                pass
            if known is None:
                return Learnt(rows, None, before, _told(error))
            return Learnt(known.provenance.rows_seen, known.k, before, _told(error))

    def _filled(
        self, old: tuple[ClusterModel, Coreset | None] | None, batches: Iterable[pa.RecordBatch]
    ) -> tuple[Coreset, RowReader]:
        summary = self.settings.new() if old is None else old[1]
        reader = RowReader(self.columns, width=None if old is None else old[0].n_features)
        for batch in batches:
            rows = reader.read(batch)
            if summary is None:
                raise ShoalError("the model was packed without its summary, so it cannot go on learning")
            if len(rows.X):
                fill(summary, rows)
        return summary or self.settings.new(), reader

    def solve(
        self, summary: Coreset, rejects: Rejects, before: ClusterModel | None = None
    ) -> tuple[ClusterModel, str | None]:
        """The model of a summary, with the ids of the one before, and a note if k had to be lowered.

        Raises
        ------
        BadInputError : no row could be used, or fewer differ than there are clusters and that is an error.
        """
        if summary.is_empty:
            why = ", ".join(f"{reason}: {rows}" for reason, rows in rejects.counts.items()) or "it has none"
            raise BadInputError(f"no row could be used ({why})", remedy="mend the rows of this key")
        summary.n_threads = 1
        points = ordered(summary.points())
        k, note = self.k, None
        differ = _distinct(points)
        if not differ:
            raise BadInputError("the rows have no weight", remedy="give some a weight above 0")
        if differ < k and self.too_few == "lower":
            k, note = differ, f"k lowered from {self.k} to {differ}: no more rows differ"
        solution = solved(summary, k, metric=self.metric)
        return self.built(summary, points, solution, rejects, before), note

    def built(
        self,
        summary: Coreset,
        points: WeightedPoints,
        solution: Solution,
        rejects: Rejects,
        before: ClusterModel | None,
    ) -> ClusterModel:
        """A model of a solution; nothing of clocks in it, so that a retried task gives equal bytes."""
        if before is not None:
            rejects = before.provenance.rejects.merge(rejects)
        provenance = Provenance(
            rows_seen=summary.count, rejects=rejects, seed=summary.seed, library_version=release()
        )
        model = build_model(
            points.X,
            points.weights,
            solution,
            provenance=provenance,
            metric=self.metric,
            feature_names=self.columns.features if len(self.columns.features) > 1 else (),
            parent=before.version or None if before is not None else None,
        )
        if before is None:
            return model
        return follow(before, model, points, time=float(summary.count)).model

    def packed(self, model: ClusterModel, summary: Coreset) -> bytes:
        """The cell of a model."""
        return pack_model(model, summary if self.keep_summary else None)


@dataclass(frozen=True)
class Learnt:
    """What is told of one key."""

    rows: int
    k: int | None
    model: bytes | None
    error: str | None = None
    note: str | None = None

    def row(self, keys: tuple[str, ...], key: Key) -> pa.RecordBatch:
        """One row: the key, then these."""
        columns = [_in_utc(pa.array([value.as_py()], value.type)) for value in key]
        kinds = (pa.int64(), pa.int32(), pa.binary(), pa.string(), pa.string())
        for value, kind in zip((self.rows, self.k, self.model, self.error, self.note), kinds, strict=True):
            columns.append(pa.array([value], kind))
        return pa.RecordBatch.from_arrays(columns, names=[*keys, *RESULT])


class _Group:
    """A group of rows that begins with its model, if it has one."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self.batches = batches
        self.model: bytes | None = None
        self._first = next(batches, None)
        if self._first is not None:
            self._first = self._without_models(self._first, fresh=True)

    def rows(self) -> Iterator[pa.RecordBatch]:
        """The rows, batch by batch."""
        if self._first is not None and self._first.num_rows:
            yield self._first
        for batch in self.batches:
            rows = self._without_models(batch, fresh=False)
            if rows.num_rows:
                yield rows

    def _without_models(self, batch: pa.RecordBatch, *, fresh: bool) -> pa.RecordBatch:
        turns = np.asarray(batch.column(_TURN))
        models = int((turns == 0).sum())
        if models > 1 or (models and not (fresh and turns[0] == 0)):
            raise ShoalError("a key has several models; keep one row of each key in the table of models")
        if models:
            self.model = batch.column(_MODEL)[0].as_py()
        rows: pa.RecordBatch = batch.slice(models)
        return rows


@dataclass(frozen=True)
class Labelling:
    """The rows of a group that begins with its model, with labels."""

    names: tuple[str, ...]
    """Columns to hand on."""
    columns: RowColumns
    outputs: tuple[str, str, str]

    def __call__(self, key: Key, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batch by batch."""
        group = _Group(batches)
        model = None if group.model is None else unpack_model(group.model)[0]
        reader = None
        if model is not None:
            columns = replace(self.columns, cosine=model.metric == "cosine")
            reader = RowReader(columns, width=model.n_features)
        for batch in group.rows():
            read = None if reader is None else reader.read(batch)
            labels = _labels(model, read, batch.num_rows)
            kept = [_in_utc(batch.column(name)) for name in self.names]
            yield pa.RecordBatch.from_arrays([*kept, *labels], names=[*self.names, *self.outputs])


def _labels(model: ClusterModel | None, rows: RowBatch | None, n: int) -> list[pa.Array]:
    """Prediction, distance and outlier score of n rows; null for those that have none."""
    values: list[NDArray[Any]] = [np.zeros(n, np.int32), np.zeros(n), np.zeros(n)]
    missing = np.ones(n, np.bool_)
    if model is not None and rows is not None and len(rows.X):
        found = model.assign(rows.X, n_threads=1)
        missing[rows.kept] = False
        for out, given in zip(values, (found.ids, found.distances, found.outlier_scores), strict=True):
            out[rows.kept] = given
    return [pa.array(value, mask=missing) for value in values]


def _task(
    df: Any,
    key_cols: str | Sequence[str],
    k: int,
    columns: RowColumns,
    settings: SummarySettings | None,
    metric: Metric,
    too_few: TooFew,
    keep_summary: bool,
) -> KeyTask:
    if k < 1:
        raise BadInputError(f"k is {k!r}", remedy="give a whole number of at least 1")
    settings = settings or per_key_settings(k)
    settings.new()  # wrong settings are an error now, not in a worker
    if settings.half_life is not None and columns.time is None:
        raise BadInputError(
            "there is a half-life, but no event time", remedy="name its column in RowColumns(time=)"
        )
    keys = _keys(df, key_cols)
    columns = replace(columns, cosine=metric == "cosine")
    checked_schema(df.schema, columns)
    return KeyTask(keys, k, columns, settings, metric, too_few, keep_summary)


def _keys(df: Any, key_cols: str | Sequence[str]) -> tuple[str, ...]:
    keys = (key_cols,) if isinstance(key_cols, str) else tuple(key_cols)
    if not keys:
        raise BadInputError("no key column", remedy="name at least one")
    for name in keys:
        if name not in df.columns:
            raise BadInputError.unknown_column(name, list(df.columns), place="the DataFrame")
    return keys


def _with_models(df: Any, models_df: Any, keys: tuple[str, ...]) -> Any:
    """Rows and models in one DataFrame. Not a cogroup, whose groups must fit in memory."""
    for name in (*keys, "model"):
        if name not in models_df.columns:
            raise BadInputError.unknown_column(name, list(models_df.columns), place="the table of models")
    kinds = {f.name: f.dataType for f in df.schema.fields}
    names = [F.col(quoted(name)).cast(kinds[name]).alias(name) for name in keys]
    models = models_df.select(*names, F.col("model").alias(_MODEL), F.lit(0).alias(_TURN))
    rows = df.withColumn(_MODEL, F.lit(None).cast("binary")).withColumn(_TURN, F.lit(1))
    return rows.unionByName(models, allowMissingColumns=True)


def _by_key(df: Any, keys: tuple[str, ...], group: Group, schema: Any, first: str | None = None) -> Any:
    """What ``group`` makes of each key's rows, those with the smallest ``first`` before the others.

    Grouping keeps an order that begins with the key; if some release did not, a model would come after rows, and
    :class:`_Group` would stop.
    """
    names = tuple(df.columns)
    # grouping takes no names with dots
    plain = df.select(*[F.col(quoted(name)).alias(f"c{i}") for i, name in enumerate(names)])
    at = [F.col(f"c{names.index(key)}") for key in keys]
    if first is not None:
        plain = plain.repartition(*at).sortWithinPartitions(*at, F.col(f"c{names.index(first)}"))
    return plain.groupBy(*at).applyInArrow(_renamed(group, names), schema)


def _renamed(group: Group, names: tuple[str, ...]) -> Group:
    """A function of the form that tells Spark by its types to hand over batches, not whole groups."""

    def of_group(key: tuple[pa.Scalar, ...], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return group(key, (batch.rename_columns(list(names)) for batch in batches))

    return of_group


def _in_utc(column: pa.Array) -> pa.Array:
    """Timestamps come in the session's zone and are wanted in UTC; nested ones too."""
    kind = _zoned(column.type)
    return column if kind == column.type else column.cast(kind)


def _zoned(kind: Any) -> Any:
    """
    >>> _zoned(pa.list_(pa.timestamp("us", "Asia/Tokyo")))
    ListType(list<item: timestamp[us, tz=UTC]>)
    """
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_zoned(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([f.with_type(_zoned(f.type)) for f in kind])
    if pa.types.is_map(kind):
        return pa.map_(_zoned(kind.key_type), kind.item_field.with_type(_zoned(kind.item_type)))
    return kind


def _result(df: Any, keys: tuple[str, ...]) -> Any:
    schema = _key_schema(df, keys)
    for name, kind in RESULT.items():
        if name in keys:
            raise BadInputError(
                "is a column of the result", place=f"key column {name!r}", remedy="rename it first"
            )
        schema = schema.add(name, kind)
    return schema


def _key_schema(df: Any, names: Sequence[str]) -> Any:
    return StructType([_nullable(df.schema[name]) for name in names])


def _nullable(column: Any) -> Any:
    """A field of a schema that may be null."""
    from pyspark.sql.types import StructField

    return StructField(column.name, column.dataType, True, column.metadata)


def _distinct(points: WeightedPoints) -> int:
    return len(np.unique(points.X[points.weights > 0], axis=0))


def _told(error: ShoalError) -> str:
    """Rows are counted within the group, of which the reader knows nothing."""
    return str(error).replace(" of partition 0", " of the group")


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
    task = _task(df, key_cols, k, columns, settings, metric, "lower", True)
    kept = [name for name in keep if name not in task.keys]
    for name in kept:
        if name not in df.columns:
            raise BadInputError.unknown_column(name, list(df.columns), place="the stream")
    if solve_every < 1 or (idle_seconds is not None and not idle_seconds > 0):
        raise BadInputError(
            f"solve_every={solve_every}, idle_seconds={idle_seconds}", remedy="give numbers above 0"
        )
    need_rocksdb(df.sparkSession)
    handed = _key_schema(df, (*task.keys, *kept))
    schema = StructType([_as_text(column) for column in handed])
    for name, kind in (_LABELS | {"version": "string"}).items():
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
        k = min(self.task.k, _distinct(points))
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
        labels = _labels(model, read, len(frame))
        made = {name: label.to_pylist() for name, label in zip(_LABELS, labels, strict=True)}
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
