"""``fit`` and ``sweep`` as the embedded engine has them, with Spark's workers reading the rows.

Files are read by Shoal's own readers, so formats, recipes, errors and the summary itself are the embedded engine's; Spark
says who reads which part.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa

from shoal.engines.file_parts import FilesWork, JoinCounted, joined
from shoal.engines.local import Budget, Clustering, Watch
from shoal.engines.spark import jobs
from shoal.engines.spark.columns import quoted
from shoal.engines.spark.frames import FRAME, TABLE, FrameWork, columns_of, first_rows, table_of
from shoal.engines.spark.sessions import session, slots
from shoal.engines.worker_read import Asked, Found, learned, read_files, wanted_ks
from shoal.errors import BadInputError
from shoal.features.recipe import Recipe
from shoal.features.spec import RecipeSpec
from shoal.solve.choose_k import KChoice
from shoal.sources.options import ReadOptions
from shoal.sources.tables import open_table


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
    asked = Asked.checked(k, recipe, features, read, budget, seed, watch)
    return _read(data, spark, asked).solved(k)


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
    wanted = wanted_ks(ks)
    asked = Asked.checked(wanted[-1], recipe, features, read, budget, seed, watch)
    return _read(data, spark, asked).swept(wanted, solved)


def _read(data: Any, spark: Any, asked: Asked) -> Found:
    if _is_frame(data):
        return _read_frame(data, FRAME, asked)
    if (table := _table_name(data)) is not None:
        return _read_frame(table_of(_session(spark), table), f"{TABLE}{table}", asked)

    def run(work: FilesWork) -> list[bytes]:
        n = len(work.tasks)
        return [reply for _, reply in jobs.run(_session(spark).range(0, n, 1, n), work, join=JoinCounted())]

    return read_files(_paths(data), asked, slots=lambda: slots(_session(spark)), run=run)


def _read_frame(df: Any, name: str, asked: Asked) -> Found:
    began = time.monotonic()
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
    replies = jobs.run(chosen, work, join=JoinCounted())
    return Found.of(one, joined(reply for _, reply in replies), began, FRAME)


def _session(spark: Any) -> Any:
    return session() if spark is None else spark() if callable(spark) else spark


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
