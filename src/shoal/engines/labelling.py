"""Labels for files of any size: read a batch, assign, write, forget."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from shoal.engines.local import Clustering, open_data
from shoal.engines.reading import Pass, Progress
from shoal.errors import BadInputError, Rejects
from shoal.sources.options import ReadOptions
from shoal.sources.protocol import Batch

FORMATS = (".parquet", ".csv", ".csv.gz", ".jsonl", ".arrow")


@dataclass(frozen=True)
class Labelled:
    """What was written."""

    rows: int
    """Rows written, those without a cluster included."""
    assigned: int
    filtered: int
    rejects: Rejects
    sizes: dict[int, int]
    """Rows of each cluster id."""
    inertia: float
    """Sum of squared distances of the assigned rows to their centres (for cosine, of cosine distances)."""
    outliers: int | None = None
    """Rows marked as outliers, if a rate was asked for."""


def label_files(
    clustering: Clustering,
    data: Any,
    out: str | os.PathLike[str],
    *,
    keep: Sequence[str] = (),
    outlier_rate: float | None = None,
    read: ReadOptions | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> Labelled:
    """Write a row for every row read: file, row number, cluster, distances, outlier score.

    Rows that the recipe filters out or rejects have no cluster (null). The file appears under its name only when it
    is whole.

    Parameters
    ----------
    out : ``.parquet``, ``.csv``, ``.csv.gz``, ``.jsonl`` or ``.arrow``.
    keep : columns of the input to carry along; ``["*"]`` for all.
    outlier_rate : also mark rows that lie farther out than all but this share of the rows the model has seen.

    Raises
    ------
    BadInputError : an unknown output format, a rate outside [0, 1]; else as the source and the recipe do.
    """
    bound = None if outlier_rate is None else clustering.model.outlier_threshold(outlier_rate)
    path = Path(out)
    suffix = _suffix(path)
    read = read or ReadOptions()
    recipe = clustering.recipe
    # columns that are only carried along are not parsed: ids keep their digits, codes their zeros
    needed = frozenset(recipe.columns_needed)
    source = open_data(data, replace(read, parsed=needed), text_columns=recipe.text_columns)
    _refuse_input(path, source.names)
    carried = list(source.schema().names) if list(keep) == ["*"] else list(keep)
    one = _KeepingPass(source, recipe.spec, recipe, read.on_error, watch)
    one.carried = carried
    sizes = dict.fromkeys((int(i) for i in clustering.model.ids), 0)
    inertia, outliers = 0.0, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-", suffix=suffix)
    os.close(handle)
    writer: _Writer | None = None
    try:
        for batch, found in one.features():
            labels = clustering.model.assign(found.matrix)
            squares = labels.distances if clustering.model.metric == "cosine" else labels.distances**2
            inertia += float(squares.sum())
            for i, count in zip(*np.unique(labels.ids, return_counts=True), strict=True):
                sizes[int(i)] += int(count)
            marked = None if bound is None else labels.outlier_scores > bound
            outliers += 0 if marked is None else int(marked.sum())
            table = _labelled(batch, found.kept, labels, marked, carried)
            if writer is None:
                writer = _open_writer(temporary, suffix, table.schema)
            writer.write(table)
        if writer is not None:
            writer.close()
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    told = None if bound is None else outliers
    return Labelled(one.rows, one.kept, one.filtered, one.rejects, sizes, inertia, told)


def _refuse_input(out: Path, names: Sequence[str]) -> None:
    """An output that is one of the inputs would replace the rows by their labels."""
    for name in names:
        if out.exists() and Path(name).exists() and out.samefile(name):
            raise BadInputError(
                "is one of the files to be labelled", place=str(out), remedy="choose another --out"
            )


class _KeepingPass(Pass):
    """A pass that also reads the columns to be carried along."""

    carried: Sequence[str] = ()

    def _columns(self) -> list[str]:
        return list(dict.fromkeys((*super()._columns(), *self.carried)))


def _labelled(batch: Batch, kept: Any, labels: Any, marked: Any, carried: Sequence[str]) -> pa.Table:
    n = batch.table.num_rows
    missing = np.ones(n, bool)
    missing[kept] = False

    def spread(values: Any) -> pa.Array:
        full = np.zeros(n, values.dtype)
        full[kept] = values
        return pa.array(full, mask=missing)

    ours = {
        "file": pa.array([batch.origin] * n).dictionary_encode(),
        "row": pa.array(batch.row_numbers + 1),
        "cluster": spread(labels.ids),
        "distance": spread(labels.distances),
        "second_distance": spread(labels.second_distances),
        "outlier_score": spread(labels.outlier_scores),
    }
    if marked is not None:
        ours["outlier"] = spread(marked)
    theirs = {f"{name}_in" if name in ours else name: batch.table.column(name) for name in carried}
    return pa.table(theirs | ours)


class _Writer(Protocol):
    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


class _JsonLines:
    def __init__(self, path: str) -> None:
        self._file = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 - close() closes it

    def write(self, table: pa.Table) -> None:
        for record in table.to_pylist():
            plain = {
                k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()
            }
            self._file.write(json.dumps(plain, default=str, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()


class _Csv:
    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._sink = pa.output_stream(path, compression="gzip" if path.endswith(".gz") else None)
        flat = [f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in schema]
        self._schema = pa.schema(flat)
        self._writer = pa_csv.CSVWriter(self._sink, self._schema)

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table.cast(self._schema))

    def close(self) -> None:
        self._writer.close()
        self._sink.close()


def _suffix(path: Path) -> str:
    name = path.name.lower()
    for suffix in sorted(FORMATS, key=len, reverse=True):
        if name.endswith(suffix):
            return suffix
    raise BadInputError(f"cannot tell the format of {path.name!r}", remedy=f"end it in {', '.join(FORMATS)}")


def _open_writer(path: str, suffix: str, schema: pa.Schema) -> _Writer:
    writer: _Writer
    if suffix == ".parquet":
        writer = pq.ParquetWriter(path, schema, compression="zstd")
    elif suffix == ".arrow":
        writer = pa.ipc.new_file(path, schema)
    elif suffix == ".jsonl":
        writer = _JsonLines(path)
    else:
        writer = _Csv(path, schema)
    return writer
