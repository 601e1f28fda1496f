"""``Birch`` in the manner of ``pyspark.ml``: a CF tree for every partition, merged, its entries joined into k clusters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa
from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable

from shoal.engines.shares import framed, unframed
from shoal.engines.spark import jobs
from shoal.engines.spark.building import Built, built
from shoal.engines.spark.columns import select_rows
from shoal.engines.spark.model import CentreModel
from shoal.engines.spark.params import BirchParams, with_accessors
from shoal.engines.spark.rows import RowColumns, RowReader
from shoal.engines.spark.summary_plan import no_weight
from shoal.errors import BadInputError, Rejects, ShoalError
from shoal.model.identity import follow
from shoal.solve.birch import join_entries
from shoal.summary.cf_tree import CFTree


@dataclass(frozen=True)
class TreeSettings:
    """What all partitions' trees have in common."""

    threshold: float
    branching_factor: int
    max_leaf_entries: int
    half_life: float | None

    def new(self) -> CFTree:
        """An empty tree."""
        return CFTree(
            self.threshold,
            branching_factor=self.branching_factor,
            max_leaf_entries=self.max_leaf_entries,
            half_life=self.half_life,
        )


@dataclass(frozen=True)
class TreeWork:
    """Grow one tree from a partition; replies with the count of refused rows and the tree."""

    columns: RowColumns
    settings: TreeSettings

    def __call__(self, partition: int, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
        """An empty partition answers nothing."""
        reader, tree = RowReader(self.columns, partition), self.settings.new()
        for batch in batches:
            rows = reader.read(batch)
            if len(rows.X):
                tree.update(rows.X, rows.weights, times=rows.times)
        if reader.rows:
            yield framed(reader.rejects.to_dict(), tree.to_bytes())


@with_accessors
class BirchModel(CentreModel, BirchParams):
    """What :class:`Birch` finds: rows belong to the nearest of its k centres (phase 4 of Zhang et al. 1996)."""

    def _defaults(self) -> None:
        self._birch_defaults()

    @property
    def tree(self) -> CFTree:
        """The clustering features of all rows learned."""
        if not isinstance(self._state, CFTree):
            raise ShoalError("this model has no tree to go on from")
        return self._state

    def solve(self, k: int) -> Self:
        """Another number of clusters from the same tree; no Spark job."""
        return self._followed(self.tree, k, Rejects())

    def update(self, df: Any) -> Self:
        """Learn the rows of another DataFrame; clusters keep their ids."""
        tree, rejects = grown(df, self._columns(), _settings(self))
        return self._followed(self.tree.merge(tree), self.clusterModel.k, rejects)

    def merge(self, other: BirchModel) -> Self:
        """One model of the rows of both.

        Raises
        ------
        ShoalError : widths, branching factors or half-lives differ.
        """
        theirs = other.clusterModel.provenance.rejects
        return self._followed(self.tree.merge(other.tree), self.clusterModel.k, theirs)

    def _followed(self, tree: CFTree, k: int, rejects: Rejects) -> Self:
        made = solved_tree(
            tree, k, self._columns(), self.clusterModel.provenance.rejects.merge(rejects), began=0.0
        )
        found = follow(self.clusterModel, made.model, tree.points(), time=float(tree.count))
        return self._next(found.model, tree, made.training)


@with_accessors
class Birch(Estimator, BirchParams, DefaultParamsWritable, DefaultParamsReadable):  # type: ignore[misc]
    """BIRCH of a DataFrame: one pass, trees of clustering features merged in the order of partitions, Ward on the entries.

    The tree depends on the order of rows, so on the partitioning; counts, means and scatter do not.

    Examples
    --------
    >>> Birch(k=20, threshold=0.5).fit(df).transform(df)  # doctest: +SKIP
    """

    @keyword_only  # type: ignore[untyped-decorator]
    def __init__(
        self,
        *,
        k: int = 8,
        threshold: float = 0.0,
        branchingFactor: int = 50,
        maxLeafEntries: int = 2000,
        featuresCol: str = "features",
        featuresCols: list[str] | None = None,
        predictionCol: str = "prediction",
        distanceCol: str = "distance",
        outlierCol: str = "outlier_score",
        weightCol: str | None = None,
        timeCol: str | None = None,
        halfLife: float | str | None = None,
        handleInvalid: str = "error",
    ) -> None:
        super().__init__()
        self._birch_defaults()
        self._set(**self._input_kwargs)

    @keyword_only  # type: ignore[untyped-decorator]
    def setParams(self, **params: Any) -> Self:
        """Set several Params."""
        return self._set(**params)  # type: ignore[no-any-return]

    def _fit(self, dataset: Any) -> BirchModel:
        began = time.monotonic()
        if self._if_set("halfLife") is not None and self._if_set("timeCol") is None:
            raise BadInputError("halfLife needs event times", remedy="name their column in timeCol")
        tree, rejects = grown(dataset, self._columns(), _settings(self))
        made = solved_tree(tree, self.getOrDefault("k"), self._columns(), rejects, began=began)
        model = BirchModel(made.model, tree, made.training)
        model._resetUid(self.uid)
        return self._copyValues(model)  # type: ignore[no-any-return]


def grown(df: Any, columns: RowColumns, settings: TreeSettings) -> tuple[CFTree, Rejects]:
    """One pass: a tree for each partition, merged in their order.

    Raises
    ------
    BadInputError : columns or rows that cannot be used, rows of different widths, no rows.
    """
    settings.new()  # wrong settings are an error now, not in a worker
    tree, rejects = settings.new(), Rejects()
    for _, reply in jobs.run(select_rows(df, columns), TreeWork(columns, settings)):
        refused, content = unframed(reply)
        other = CFTree.from_bytes(content)
        widths = tree.n_features, other.n_features
        if None not in widths and widths[0] != widths[1]:
            raise BadInputError(
                f"some rows have {widths[0]} numbers, others {widths[1]}",
                place="the features column",
                remedy="make all rows of one length",
            )
        tree, rejects = tree.merge(other), rejects.merge(Rejects.from_dict(refused))
    if tree.is_empty:
        raise BadInputError(
            "it has no rows that can be used", place="the DataFrame", remedy="check its filter"
        )
    if not tree.points().weights.sum() > 0:
        raise no_weight()
    return tree, rejects


def solved_tree(tree: CFTree, k: int, columns: RowColumns, rejects: Rejects, *, began: float) -> Built:
    """The entries joined into k clusters by Ward; rows will go to the nearest centre.

    Raises
    ------
    BadInputError : fewer entries than clusters.
    """
    joined = join_entries(tree, k)
    made = built(
        joined.points,
        joined.solution,
        columns,
        rows_seen=tree.count,
        rejects=rejects,
        seed=0,
        began=began,
        sampled=joined.within > 0,
        keep_order=False,
        spread=joined.spread,
    )
    # rows around their entries' means, which is exact but for rows near a border
    return Built(made.model, made.training.with_cost(joined.solution.inertia + joined.within))


def _settings(params: Any) -> TreeSettings:
    return TreeSettings(
        params.getOrDefault("threshold"),
        params.getOrDefault("branchingFactor"),
        params.getOrDefault("maxLeafEntries"),
        params._if_set("halfLife"),
    )
