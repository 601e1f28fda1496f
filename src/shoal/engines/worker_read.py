"""What ``fit`` and ``sweep`` of every engine with workers do on the driver: learn the recipe, cut files into tasks, count, solve."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from shoal.engines.file_parts import Counted, FilePart, FilesWork, joined, tasks_of
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
from shoal.errors import BadInputError, ShoalError
from shoal.features.recipe import Recipe
from shoal.features.spec import RecipeSpec
from shoal.solve.choose_k import KChoice
from shoal.sources.files import FileSource
from shoal.sources.locate import locate
from shoal.sources.options import ReadOptions
from shoal.summary.coreset import Coreset

TASKS_PER_SLOT = 4
"""So that a slow task does not keep all others waiting."""


class Asked(NamedTuple):
    """What a user wants to have read, checked."""

    recipe: RecipeSpec | Recipe
    read: ReadOptions
    settings: SummarySettings
    watch: Watch | None

    @classmethod
    def checked(
        cls,
        k: Any,
        recipe: RecipeSpec | Recipe | None,
        features: dict[str, Any],
        read: ReadOptions | None,
        budget: Budget | None,
        seed: int,
        watch: Watch | None,
    ) -> Asked:
        """Raises :class:`BadInputError` or :class:`ShoalError` for what makes no sense."""
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise BadInputError(f"k is {k!r}", remedy="give a whole number of at least 1")
        if recipe is not None and features:
            raise ShoalError(f"give either a recipe or {', '.join(features)}, not both")
        size = budget or Budget()
        settings = SummarySettings(max(int(k), size.k_max), size.rows, size.max_bytes, seed)
        settings.new()  # wrong settings are an error now, not in a worker
        return cls(recipe or spec_of(features), read or ReadOptions(), settings, watch)

    def over(self, source: Any) -> Pass:
        """A pass over a source, with a recipe to learn or the one given."""
        given = self.recipe
        if isinstance(given, Recipe):
            return Pass(source, given.spec, given, self.read.on_error, self.watch)
        return Pass(source, given, None, self.read.on_error, self.watch)


class Found(NamedTuple):
    """What the workers read."""

    one: Pass
    """With the recipe and the counts of the whole read, as if it had been read here."""
    summary: Coreset
    began: float

    @classmethod
    def of(cls, one: Pass, found: Counted | None, began: float, name: str) -> Found:
        """From what the workers counted.

        Raises
        ------
        BadInputError : no row is left.
        """
        if found is None:
            raise BadInputError("it has no rows", place=name, remedy="check its filter and its source")
        found.summary.n_threads = None
        return cls(_counted(one, found), found.summary, began)

    def solved(self, k: int) -> Clustering:
        """k clusters of it."""
        provenance = provenance_of(self.one, self.summary, self.began)
        return solved_clustering(self.summary, k, self.one.recipe, provenance)

    def swept(self, ks: Sequence[int], solved: Callable[[int], None] | None) -> tuple[KChoice, Clustering]:
        """Every k of it, and the clustering of the one that most criteria prefer."""
        choice = sweep_summary(self.summary, ks, self.one.recipe, solved=solved)
        best = choice.solutions[choice.most_voted]
        provenance = provenance_of(self.one, self.summary, self.began)
        points = self.summary.points()
        return choice, clustering_of(
            self.summary, points, best, self.one.recipe, provenance, choice=choice.to_dict()
        )


def wanted_ks(ks: Iterable[int]) -> list[int]:
    """The numbers of clusters to try, each once; none is an error."""
    wanted = sorted(set(ks))
    if not wanted:
        raise BadInputError("no k to try", remedy="give a range such as 2:12")
    return wanted


def read_files(
    paths: Sequence[str | os.PathLike[str]],
    asked: Asked,
    *,
    slots: Callable[[], int],
    run: Callable[[FilesWork], Iterable[bytes]],
) -> Found:
    """Have workers read files.

    Parameters
    ----------
    slots : tasks that run at the same time; asked once the files are found and their beginning is understood.
    run : has the work done, task by task, and answers what :func:`shoal.engines.file_parts.packed` made.
    """
    began = time.monotonic()
    text = asked.recipe.text_columns | asked.read.text_columns
    read = replace(asked.read, text_columns=text)
    files = locate(paths)
    for file in files:
        FilePart.whole(file)  # a pipe is an error before an engine starts
    one = asked.over(FileSource(files, read))
    columns, recipe = learned(one)
    _tell(one, 0, 0.0)
    started = time.monotonic()
    tasks = tasks_of(files, read, tasks=TASKS_PER_SLOT * slots())
    schema = one.source.schema().serialize().to_pybytes()
    found = joined(run(FilesWork(tuple(tasks), read, schema, columns, recipe, asked.settings)))
    if found is not None:
        _tell(one, found.rows, time.monotonic() - started)
    return Found.of(one, found, began, ", ".join(one.source.names[:3]))


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
