"""What is done for one key of many: its summary filled, solved, packed, and told in one row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pyspark.sql.types import StructType

from shoal.engines.shares import SummarySettings, fill, ordered, solved
from shoal.engines.spark.columns import checked_schema
from shoal.engines.spark.key_groups import Group, Key, check_names, in_utc
from shoal.engines.spark.rows import RowColumns, RowReader
from shoal.errors import BadInputError, Rejects, ShoalError
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.model.identity import follow
from shoal.model.packed import pack_model, unpack_model
from shoal.model.release import release
from shoal.solve.lloyd import Metric, Solution
from shoal.summary.coreset import Coreset
from shoal.summary.protocol import WeightedPoints

TooFew = Literal["lower", "error"]
RESULT = {"rows": "long", "k": "integer", "model": "binary", "error": "string", "note": "string"}
_ROWS, _BYTES = 2000, 4 << 20


def per_key_settings(k: int, *, seed: int = 0, half_life: float | None = None) -> SummarySettings:
    """Settings of summaries of which there will be many: 2,000 rows or 200 per cluster, and at most 4 MB.

    >>> per_key_settings(3).rows
    2000
    """
    return SummarySettings(
        k_max=max(k, 1), rows=max(_ROWS, 200 * k), max_bytes=_BYTES, seed=seed, half_life=half_life
    )


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
        group = Group(batches)
        yield self.learn(group.model, group.rows()).row(self.keys, key)

    def learn(self, before: bytes | None, batches: Iterable[pa.RecordBatch]) -> Learnt:
        """The model after these rows; errors a user can mend are told in the answer, beside the model there was."""
        known, rows = None, 0
        try:
            old = None if before is None else unpack_model(before)
            known = None if old is None else old[0]
            if known is not None:
                check_names(known, self.columns)
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
        differ = distinct(points)
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
        columns = [in_utc(pa.array([value.as_py()], value.type)) for value in key]
        kinds = (pa.int64(), pa.int32(), pa.binary(), pa.string(), pa.string())
        for value, kind in zip((self.rows, self.k, self.model, self.error, self.note), kinds, strict=True):
            columns.append(pa.array([value], kind))
        return pa.RecordBatch.from_arrays(columns, names=[*keys, *RESULT])


def task_of(
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
    keys = keys_of(df, key_cols)
    columns = replace(columns, cosine=metric == "cosine")
    checked_schema(df.schema, columns)
    return KeyTask(keys, k, columns, settings, metric, too_few, keep_summary)


def keys_of(df: Any, key_cols: str | Sequence[str]) -> tuple[str, ...]:
    keys = (key_cols,) if isinstance(key_cols, str) else tuple(key_cols)
    if not keys:
        raise BadInputError("no key column", remedy="name at least one")
    for name in keys:
        if name not in df.columns:
            raise BadInputError.unknown_column(name, list(df.columns), place="the DataFrame")
    return keys


def key_schema(df: Any, names: Sequence[str]) -> Any:
    return StructType([nullable(df.schema[name]) for name in names])


def nullable(column: Any) -> Any:
    """A field of a schema that may be null."""
    from pyspark.sql.types import StructField

    return StructField(column.name, column.dataType, True, column.metadata)


def distinct(points: WeightedPoints) -> int:
    return len(np.unique(points.X[points.weights > 0], axis=0))


def _told(error: ShoalError) -> str:
    """Rows are counted within the group, of which the reader knows nothing."""
    return str(error).replace(" of partition 0", " of the group")
