"""The embedded engine: fit, sweep, update, merge and label on this machine, from one read of the data."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from shoal.engines.reading import OnError, Pass, Progress
from shoal.errors import BadInputError, ShoalError
from shoal.features.recipe import Recipe
from shoal.features.spec import RecipeSpec
from shoal.model.build import build_model
from shoal.model.cluster_model import Assignment, ClusterModel, Provenance
from shoal.model.events import Event
from shoal.model.identity import follow
from shoal.model.packed_folder import (
    is_packed_folder,
    load_packed_file,
    load_packed_folder,
    newest_version,
)
from shoal.model.persistence import load_both, save_model
from shoal.model.release import release
from shoal.model.store import ModelStore
from shoal.solve.choose_k import KChoice, choose_k
from shoal.solve.k_means import k_means
from shoal.solve.lloyd import Metric, Solution
from shoal.sources.files import open_files
from shoal.sources.options import ReadOptions
from shoal.sources.protocol import Source
from shoal.sources.tables import open_table
from shoal.summary.coreset import DEFAULT_BYTES, Coreset
from shoal.summary.protocol import WeightedPoints

Watch = Callable[[Progress], None]
ENOUGH_TO_DOUBT = 100
"""Rows from which on a spread unlike the learned one means something."""


@dataclass(frozen=True)
class Budget:
    """How much of the data the summary may keep."""

    k_max: int = 64
    """Largest number of clusters that will be asked for."""
    rows: int | None = None
    """Default: the larger of 50,000 and 200 per cluster."""
    max_bytes: int = DEFAULT_BYTES


@dataclass(frozen=True)
class Clustering:
    """A model together with the summary it was solved from: it labels, goes on learning, and merges."""

    model: ClusterModel
    summary: Coreset
    events: tuple[Event, ...] = ()
    """What changed since the model this one was updated from."""

    @property
    def recipe(self) -> Recipe:
        """How rows become vectors."""
        if self.model.recipe is None:
            raise ShoalError("the model was fitted on vectors and has no recipe for tables")
        return Recipe.from_dict(dict(self.model.recipe))

    def assign(self, data: Any, *, on_error: OnError = "raise") -> Assignment:
        """Label all rows of a table in memory or of files; for large files see :func:`shoal.engines.labelling`."""
        one = _new_pass(data, RecipeSpec(), self.recipe, ReadOptions(on_error=on_error), on_error, None)
        parts = [self.model.assign(found.matrix) for _, found in one.features()]
        return Assignment(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def update(
        self, data: Any, *, k: int | None = None, read: ReadOptions | None = None, watch: Watch | None = None
    ) -> Clustering:
        """Learn more rows and solve again, in time proportional to the new rows; with the old k by default."""
        read = read or ReadOptions()
        began = time.monotonic()
        one = _new_pass(data, self.recipe.spec, self.recipe, read, read.on_error, watch)
        summary = Coreset.from_bytes(self.summary.to_bytes())
        _fill(summary, one)
        was = self.model.provenance
        provenance = replace(
            provenance_of(one, summary, began),
            rows_filtered=was.rows_filtered + one.filtered,
            rejects=was.rejects.merge(one.rejects),
            sources=(*was.sources, *one.source.names),
        )
        return self._followed_by(
            solved_clustering(summary, k or self.model.k, self.recipe, provenance, self.model.version)
        )

    def merge(self, other: Clustering, *, k: int | None = None) -> Clustering:
        """One clustering of the rows of both, with this one's k by default.

        Raises
        ------
        ShoalError : the recipes differ, so that the vectors of the two cannot be compared.
        """
        if self.model.recipe != other.model.recipe:
            raise ShoalError(
                "the models turn rows into vectors in different ways (columns, scaling or categories); "
                "fit both on the same columns, the second with --like the first on the command line, then merge"
            )
        began = time.monotonic()
        summary = self.summary.merge(other.summary)
        a, b = self.model.provenance, other.model.provenance
        provenance = Provenance(
            rows_seen=summary.count,
            rows_filtered=a.rows_filtered + b.rows_filtered,
            rejects=a.rejects.merge(b.rejects),
            seed=summary.seed,
            sources=(*a.sources, *b.sources),
            library_version=release(),
            created=_now(),
            seconds=time.monotonic() - began,
        )
        return self._followed_by(
            solved_clustering(summary, k or self.model.k, self.recipe, provenance, self.model.version)
        )

    def solve(self, k: int) -> Clustering:
        """Another number of clusters from the same summary, without another look at the data."""
        return self._followed_by(
            solved_clustering(self.summary, k, self.recipe, self.model.provenance, self.model.version)
        )

    def _followed_by(self, later: Clustering) -> Clustering:
        """The later clustering with the ids of this one, as far as its clusters live on, and what changed."""
        rows = float(later.summary.count)
        found = follow(self.model, later.model, later.summary.points(), time=rows)
        return replace(later, model=found.model, events=tuple(found.events))

    def doubts(self) -> list[str]:
        """What a careful reader should know: scales that were learned from an unlike beginning."""
        if self.model.recipe is None or self.model.metric == "cosine":
            return []
        recipe, totals = self.recipe, self.summary.totals
        if totals.count < ENOUGH_TO_DOUBT or totals.weight <= 0:
            return []
        spread = np.sqrt(totals.scatter() / totals.weight)
        out = []
        for name, scale, is_scaled in zip(recipe.feature_names, spread, recipe.standardised, strict=True):
            if is_scaled and scale > 0 and not 0.5 <= scale <= 2.0:
                text = (
                    f"column {name!r} spreads {scale:.3g} times as far in all rows as in those its scale was"
                )
                out.append(f"{text} learned from: shuffle the file, or scale the column yourself")
        return out

    def save(self, path: str | os.PathLike[str]) -> Self:
        """Write the model directory; see :func:`shoal.model.persistence.save_model`."""
        return replace(self, model=save_model(self.model, path, summary=self.summary))


def fit(
    data: Any,
    k: int,
    *,
    recipe: RecipeSpec | Recipe | None = None,
    read: ReadOptions | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    n_threads: int | None = None,
    watch: Watch | None = None,
    **features: Any,
) -> Clustering:
    """Cluster a table in memory or files of any size into k groups, in one read.

    Parameters
    ----------
    data : a path, glob or URI, a list of them, or a table (NumPy, pandas, polars, Arrow, SciPy sparse).
    k : number of clusters.
    recipe : which columns, and how they become numbers; or give its fields as keywords:
        ``columns=("a", "b"), one_hot=("kind",), scale="none", where="a > 0", metric="cosine"``.
    read : format, delimiter, column names, and ``on_error="skip"`` to count bad rows instead of stopping.
    budget : rows and bytes the summary may keep.
    seed : equal seeds give equal answers.
    watch : called with a :class:`Progress` after every batch.

    Raises
    ------
    BadInputError : with the file, row, column and remedy.

    >>> import shoal
    >>> houses = shoal.fit(np.array([[0.0], [1.0], [8.0], [9.0]]), 2)
    >>> houses.model.centres.ravel(), houses.assign(np.array([[7.0]])).ids
    (array([0.5, 8.5]), array([1]))
    """
    one, summary, began = _read(data, k, recipe, features, read, budget, seed, n_threads, watch)
    return solved_clustering(summary, k, one.recipe, provenance_of(one, summary, began))


def sweep(
    data: Any,
    ks: Iterable[int],
    *,
    recipe: RecipeSpec | Recipe | None = None,
    read: ReadOptions | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    n_threads: int | None = None,
    watch: Watch | None = None,
    solved: Callable[[int], None] | None = None,
    **features: Any,
) -> tuple[KChoice, Clustering]:
    """Answer every k from one read: the criteria, the suggested k with reasons, and the clustering at that k.

    Where no cluster structure is found, the clustering is the one at the k with the most votes. Other parameters as
    in :func:`fit`; ``solved`` is called with each k when it is done.

    >>> import shoal
    >>> X = np.repeat([[0.0], [5.0], [9.0]], 50, axis=0) + np.linspace(0, 0.5, 150)[:, None]
    >>> choice, best = shoal.sweep(X, range(2, 6)); choice.suggested, best.model.k
    (3, 3)
    """
    wanted = sorted(set(ks))
    if not wanted:
        raise BadInputError("no k to try", remedy="give a range such as 2:12")
    one, summary, began = _read(data, wanted[-1], recipe, features, read, budget, seed, n_threads, watch)
    choice = sweep_summary(summary, wanted, one.recipe, n_threads=n_threads, solved=solved)
    best, provenance = choice.solutions[choice.most_voted], provenance_of(one, summary, began)
    told = choice.to_dict()
    return choice, clustering_of(summary, summary.points(), best, one.recipe, provenance, choice=told)


def sweep_summary(
    summary: Coreset,
    ks: Iterable[int],
    recipe: Recipe | None,
    *,
    n_threads: int | None = None,
    solved: Callable[[int], None] | None = None,
) -> KChoice:
    """Every k from a summary that is there already."""
    points = summary.points()
    return choose_k(
        points.X,
        points.weights,
        ks,
        rows=summary.count,
        metric=_metric(recipe),
        seed=summary.seed,
        n_threads=n_threads,
        progress=solved,
    )


def load(path: str | os.PathLike[str]) -> Clustering:
    """Read a clustering saved by any engine, the state of a stream as of its last checkpoint, or a store's newest version.

    Raises
    ------
    ShoalError, DamagedFileError, NewerFormatError : see :mod:`shoal.model.persistence`.
    """
    from shoal.engines.stream.state import is_stream_state, load_stream

    folder = Path(path)
    if is_stream_state(folder):
        return load_stream(folder)
    if folder.is_file():
        return Clustering(*load_packed_file(folder))
    if is_packed_folder(folder):
        return Clustering(*load_packed_folder(folder))
    if folder.is_dir():
        if (file := newest_version(folder)) is not None:
            return Clustering(*load_packed_file(file))
        if (number := ModelStore(folder).latest_number()) is not None:
            folder = ModelStore(folder).path(number)
    return Clustering(*load_both(folder))


def open_data(data: Any, read: ReadOptions, *, text_columns: frozenset[str] = frozenset()) -> Source:
    """A source from paths or from a table in memory."""
    if isinstance(data, (str, os.PathLike)):
        data = [data]
    if isinstance(data, Sequence) and data and all(isinstance(p, (str, os.PathLike)) for p in data):
        options = replace(read, text_columns=read.text_columns | text_columns)
        return open_files(data, options=options)
    return open_table(data, batch_rows=read.batch_rows)


def _read(
    data: Any,
    k: int,
    recipe: RecipeSpec | Recipe | None,
    features: dict[str, Any],
    read: ReadOptions | None,
    budget: Budget | None,
    seed: int,
    n_threads: int | None,
    watch: Watch | None,
) -> tuple[Pass, Coreset, float]:
    began = time.monotonic()
    read = read or ReadOptions()
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise BadInputError(f"k is {k!r}", remedy="give a whole number of at least 1")
    if recipe is not None and features:
        raise ShoalError(f"give either a recipe or {', '.join(features)}, not both")
    learned = recipe if isinstance(recipe, Recipe) else None
    spec = learned.spec if learned is not None else recipe or spec_of(features)
    assert isinstance(spec, RecipeSpec)  # the other case went into `learned`
    one = _new_pass(data, spec, learned, read, read.on_error, watch)
    size = budget or Budget()
    summary = Coreset(
        k_max=max(k, size.k_max),
        rows=size.rows,
        max_bytes=size.max_bytes,
        seed=seed,
        n_threads=n_threads,
    )
    _fill(summary, one)
    return one, summary, began


def spec_of(features: dict[str, Any]) -> RecipeSpec:
    """The recipe that keywords such as ``columns=`` ask for.

    Raises
    ------
    ShoalError : a keyword that is none of a recipe's.
    """
    for name in ("columns", "one_hot"):
        if isinstance(features.get(name), list):
            features[name] = tuple(features[name])
    try:
        return RecipeSpec(**features)
    except TypeError as error:
        raise ShoalError(f"fit does not know one of {', '.join(features)}: {error}") from error


def _new_pass(
    data: Any,
    spec: RecipeSpec,
    recipe: Recipe | None,
    read: ReadOptions,
    on_error: OnError,
    watch: Watch | None,
) -> Pass:
    text = recipe.text_columns if recipe is not None else spec.text_columns
    return Pass(open_data(data, read, text_columns=text), spec, recipe, on_error, watch)


def _fill(summary: Coreset, one: Pass) -> None:
    for batch, found in one.features():
        summary.update(found.matrix, found.weight, key=batch.key, rows=found.rows)


def provenance_of(one: Pass, summary: Coreset, began: float) -> Provenance:
    """Where a model comes from that was learned in one pass."""
    return Provenance(
        rows_seen=summary.count,
        rows_filtered=one.filtered,
        rejects=one.rejects,
        seed=summary.seed,
        sources=tuple(one.source.names),
        left_out=one.left_out,
        library_version=release(),
        created=_now(),
        seconds=time.monotonic() - began,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def solved_clustering(
    summary: Coreset, k: int, recipe: Recipe | None, provenance: Provenance, parent: str | None = None
) -> Clustering:
    """The summary solved for k clusters.

    Raises
    ------
    BadInputError : fewer rows, or fewer that differ, than clusters.
    """
    began = time.monotonic()
    points = summary.points()
    solution = k_means(
        points.X,
        k,
        weights=points.weights,
        metric=_metric(recipe),
        seed=summary.seed,
        n_threads=summary.n_threads,
    )
    distinct = int((solution.counts > 0).sum())
    if distinct < k:
        raise BadInputError(
            f"k={k} clusters asked of rows of which only {distinct} differ",
            remedy=f"choose k up to {distinct}",
        )
    provenance = replace(provenance, seconds=provenance.seconds + time.monotonic() - began)
    return clustering_of(summary, points, solution, recipe, provenance, parent=parent or None)


def clustering_of(
    summary: Coreset,
    points: WeightedPoints,
    solution: Solution,
    recipe: Recipe | None,
    provenance: Provenance,
    **more: Any,
) -> Clustering:
    """A model of a solution, with the summary it was found on; ``more`` goes to :func:`build_model`."""
    model = build_model(
        points.X,
        points.weights,
        solution,
        provenance=provenance,
        metric=_metric(recipe),
        feature_names=recipe.feature_names if recipe is not None else (),
        recipe=recipe.to_dict() if recipe is not None else None,
        **more,
    )
    return Clustering(model, summary)


def _metric(recipe: Recipe | None) -> Metric:
    return recipe.spec.metric if recipe is not None else "euclidean"
