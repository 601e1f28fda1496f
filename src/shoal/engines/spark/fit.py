"""``fit`` and ``sweep`` as the embedded engine has them, with Spark's workers reading the rows.

Files are read by Shoal's own readers, so formats, recipes, errors and the summary itself are the embedded engine's; Spark
says who reads which part.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from shoal.engines.local import (
    Budget,
    Clustering,
    Watch,
    clustering_of,
    provenance_of,
    solved_clustering,
    spec_of,
    sweep_summary,
)
from shoal.engines.reading import Pass, Progress, read_ahead
from shoal.engines.shares import SummarySettings
from shoal.engines.spark import jobs
from shoal.engines.spark.columns import quoted
from shoal.engines.spark.files import Counted, FilePart, FilesWork, JoinCounted, joined, tasks_of
from shoal.engines.spark.frames import FRAME, TABLE, FrameWork, columns_of, first_rows, table_of
from shoal.engines.spark.sessions import session, slots
from shoal.errors import BadInputError, ShoalError
from shoal.features.recipe import Recipe
from shoal.features.spec import RecipeSpec
from shoal.solve.choose_k import KChoice
from shoal.sources.files import FileSource
from shoal.sources.locate import locate
from shoal.sources.options import ReadOptions
from shoal.sources.tables import open_table
from shoal.summary.coreset import Coreset

TASKS_PER_SLOT = 4
"""So that a slow task does not keep all others waiting."""


def fit(
    data: Any,
    k: int,
    *,
    spark: Any = None,
    recipe: RecipeSpec | Recipe | None = None,
    read: ReadOptions | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    watch: Watch | None = None,
    **features: Any,
) -> Clustering:
    """Cluster files or a Spark DataFrame of any size into k groups, in one read, on all of Spark's workers.

    Parameters
    ----------
    data : a path, glob or URI or a list of them, which driver and workers must both see; ``table:NAME`` for a table of
        Spark's catalogue; or a Spark DataFrame, whose columns may be numbers, text, arrays of numbers and vectors.
    spark : the session, or a function that makes one when it is needed; default: that of the DataFrame, the active
        one, or a new local one.

    The others are those of :func:`shoal.fit`, and so is the answer: the same files give the same summary.

    Raises
    ------
    BadInputError : with the file (or partition), row, column and remedy; files that a worker does not see.
    ShoalError : Spark cannot be had, or its workers lack this package.

    Examples
    --------
    >>> fit("s3://bucket/events/*.parquet", 20, one_hot=("kind",))  # doctest: +SKIP
    """
    found = _read(data, k, spark, recipe, features, read, budget, seed, watch)
    return solved_clustering(
        found.summary, k, found.one.recipe, provenance_of(found.one, found.summary, found.began)
    )


def sweep(
    data: Any,
    ks: Iterable[int],
    *,
    spark: Any = None,
    recipe: RecipeSpec | Recipe | None = None,
    read: ReadOptions | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    watch: Watch | None = None,
    solved: Callable[[int], None] | None = None,
    **features: Any,
) -> tuple[KChoice, Clustering]:
    """Answer every k from one read on all of Spark's workers; see :func:`shoal.sweep` and :func:`fit`.

    Examples
    --------
    >>> choice, best = sweep("events.parquet", range(2, 13))  # doctest: +SKIP
    """
    wanted = sorted(set(ks))
    if not wanted:
        raise BadInputError("no k to try", remedy="give a range such as 2:12")
    found = _read(data, wanted[-1], spark, recipe, features, read, budget, seed, watch)
    one, summary = found.one, found.summary
    choice = sweep_summary(summary, wanted, one.recipe, solved=solved)
    best, provenance = choice.solutions[choice.most_voted], provenance_of(one, summary, found.began)
    return choice, clustering_of(
        summary, summary.points(), best, one.recipe, provenance, choice=choice.to_dict()
    )


class _Read(NamedTuple):
    one: Pass
    """With the recipe and the counts of the whole read, as if it had been read here."""
    summary: Coreset
    began: float


def _read(
    data: Any,
    k: int,
    spark: Any,
    recipe: RecipeSpec | Recipe | None,
    features: dict[str, Any],
    read: ReadOptions | None,
    budget: Budget | None,
    seed: int,
    watch: Watch | None,
) -> _Read:
    began = time.monotonic()
    read = read or ReadOptions()
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise BadInputError(f"k is {k!r}", remedy="give a whole number of at least 1")
    if recipe is not None and features:
        raise ShoalError(f"give either a recipe or {', '.join(features)}, not both")
    size = budget or Budget()
    settings = SummarySettings(max(k, size.k_max), size.rows, size.max_bytes, seed)
    settings.new()  # wrong settings are an error now, not in a worker
    asked = _Asked(recipe or spec_of(features), read, settings, watch)
    if _is_frame(data):
        one, found = _read_frame(data, FRAME, asked)
    elif (table := _table_name(data)) is not None:
        one, found = _read_frame(table_of(_session(spark), table), f"{TABLE}{table}", asked)
    else:
        one, found = _read_files(_paths(data), spark, asked)
    return _Read(_counted(one, found), found.summary, began)


class _Asked(NamedTuple):
    recipe: RecipeSpec | Recipe
    read: ReadOptions
    settings: SummarySettings
    watch: Watch | None

    def over(self, source: Any) -> Pass:
        """A pass over a source, with a recipe to learn or the one given."""
        given = self.recipe
        if isinstance(given, Recipe):
            return Pass(source, given.spec, given, self.read.on_error, self.watch)
        return Pass(source, given, None, self.read.on_error, self.watch)


def _read_files(paths: Sequence[str | os.PathLike[str]], spark: Any, asked: _Asked) -> tuple[Pass, Counted]:
    given = asked.recipe
    text = given.text_columns | asked.read.text_columns
    read = replace(asked.read, text_columns=text)
    files = locate(paths)
    for file in files:
        FilePart.whole(file)  # a pipe is an error before Spark starts
    one = asked.over(FileSource(files, read))
    columns, recipe = learned(one)
    _tell(one, 0, 0.0)
    began = time.monotonic()
    spark = _session(spark)
    tasks = tasks_of(files, read, tasks=TASKS_PER_SLOT * slots(spark))
    schema = one.source.schema().serialize().to_pybytes()
    work = FilesWork(tuple(tasks), read, schema, columns, recipe, asked.settings)
    df = spark.range(0, len(tasks), 1, len(tasks))
    found = _joined(jobs.run(df, work, join=JoinCounted()))
    _tell(one, found.rows, time.monotonic() - began)
    return one, found


def _read_frame(df: Any, name: str, asked: _Asked) -> tuple[Pass, Counted]:
    spec = asked.recipe.spec if isinstance(asked.recipe, Recipe) else asked.recipe
    wanted, left_out = columns_of(df, asked.recipe)
    chosen = df.select(*[quoted(column) for column in wanted])
    if isinstance(asked.recipe, Recipe):
        first = pa.table({})
    else:
        first = first_rows(chosen, spec.where)
    one = asked.over(open_table(first, name=name, batch_rows=max(first.num_rows, 1)))
    recipe = asked.recipe if isinstance(asked.recipe, Recipe) else learned(one)[1]
    one.left_out = left_out
    work = FrameWork(recipe, asked.read.on_error, asked.settings)
    return one, _joined(jobs.run(chosen, work, join=JoinCounted()))


def _session(spark: Any) -> Any:
    return session() if spark is None else spark() if callable(spark) else spark


def learned(one: Pass) -> tuple[tuple[str, ...], Recipe]:
    """The columns a pass reads and its recipe, learned from the first block where none was given."""
    columns = tuple(one._columns())
    if one.recipe is None:
        batches = read_ahead(one.source.batches(columns))
        next(one._learned(batches), None)
        assert isinstance(batches, Generator)
        batches.close()
    assert one.recipe is not None  # _learned has seen to it
    return columns, one.recipe


def _joined(replies: list[tuple[int, bytes]]) -> Counted:
    found = joined(reply for _, reply in replies)
    if found is None:
        raise BadInputError("it has no rows", place=FRAME, remedy="check its filter and its source")
    found.summary.n_threads = None
    return found


def _counted(one: Pass, found: Counted) -> Pass:
    """The pass as if it had read all rows itself."""
    one.rows, one.kept = found.rows, found.summary.count
    one.filtered, one.rejects = found.filtered, found.rejects
    if one.kept == 0:
        raise BadInputError(
            f"no row is left: {one.rows} read, {one.filtered} filtered, {one.rejects.total} rejected",
            place=", ".join(one.source.names[:3]),
            remedy="check the files, --where and --nulls",
        )
    return one


def _tell(one: Pass, rows: int, seconds: float) -> None:
    if one.watch is not None:
        total = one.source.total_bytes
        one.watch(Progress(rows, (total or 0) if rows else 0, total, seconds))


def _is_frame(data: Any) -> bool:
    return hasattr(data, "mapInArrow") and hasattr(data, "schema")


def _table_name(data: Any) -> str | None:
    """The name in ``table:NAME``, alone or as the only one of a list."""
    if isinstance(data, Sequence) and not isinstance(data, str) and len(data) == 1:
        data = data[0]
    return data.removeprefix(TABLE) if isinstance(data, str) and data.startswith(TABLE) else None


def _paths(data: Any) -> Sequence[str | os.PathLike[str]]:
    if isinstance(data, (str, os.PathLike)):
        return [data]
    if isinstance(data, Sequence) and data and all(isinstance(p, (str, os.PathLike)) for p in data):
        table = next((p for p in data if str(p).startswith(TABLE)), None)
        if table is not None:
            raise BadInputError(
                "a table cannot be mixed with others", place=str(table), remedy="name it alone"
            )
        return data
    raise BadInputError(
        f"Spark cannot read rows from {type(data).__name__}",
        remedy="give paths or a Spark DataFrame (spark.createDataFrame), or use shoal.fit for what is in memory",
    )
