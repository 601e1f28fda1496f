"""``KMeans`` in the manner of ``pyspark.ml``: one pass and a solve on the driver, or exact Lloyd over all rows."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable

from shoal.engines.local import Clustering, sweep_summary
from shoal.engines.shares import Summarised, ordered, solved
from shoal.engines.spark.building import Built, Exact, built, on_points
from shoal.engines.spark.initial import initial_centres
from shoal.engines.spark.lloyd_plan import lloyd_fit
from shoal.engines.spark.lloyd_steps import check_width
from shoal.engines.spark.model import CentreModel
from shoal.engines.spark.params import KMeansParams, with_accessors
from shoal.engines.spark.summary_plan import summarise
from shoal.engines.spark.training import TrainingSummary
from shoal.errors import BadInputError, ShoalError
from shoal.model.cluster_model import Provenance
from shoal.solve.choose_k import KChoice
from shoal.summary.coreset import Coreset


class CoresetModel(CentreModel):
    """A model that carries its Coreset: any k, more rows and other models' rows without a look at the old ones."""

    @property
    def coreset(self) -> Coreset:
        """The summary of all rows learned."""
        if not isinstance(self._state, Coreset):
            raise ShoalError("this model has no summary to go on from")
        return self._state

    @property
    def clustering(self) -> Clustering:
        """The same for the embedded engine: labels files, draws pictures, goes on learning, without Spark."""
        return Clustering(self.clusterModel, self.coreset)

    def toShoal(self, path: str) -> None:
        """Save as the embedded engine does, on the driver's file system; see ``shoal inspect`` and ``shoal.load``."""
        self.clustering.save(path)

    def solve(self, k: int) -> Self:
        """Another number of clusters from the same pass; no Spark job.

        Raises
        ------
        BadInputError : fewer rows differ than clusters are asked for.
        """
        return self._from(self.clustering.solve(k))

    def sweep(self, ks: Iterable[int]) -> KChoice:
        """Every k and the criteria to choose by, from the same pass; no Spark job."""
        return sweep_summary(self.coreset, ks, self.clustering.recipe)

    def update(self, df: Any) -> Self:
        """Learn the rows of another DataFrame, in time proportional to them; clusters keep their ids.

        Raises
        ------
        BadInputError : columns or rows that cannot be used, or of another width.
        """
        found = summarise(df, self._columns(), self._summary_settings())
        if found.summary.n_features != self.numFeatures:
            raise BadInputError(
                f"rows have {found.summary.n_features} numbers, the model {self.numFeatures}",
                place="the DataFrame",
                remedy="give the columns the model was fitted on",
            )
        told = Provenance(found.summary.count, rejects=found.rejects, sources=("Spark DataFrame",))
        newer = Clustering(self.clusterModel.replace(provenance=told), found.summary)
        return self._from(self.clustering.merge(newer))

    def merge(self, other: CoresetModel) -> Self:
        """One model of the rows of both, with this one's k and ids.

        Raises
        ------
        ShoalError : widths, metrics, seeds or half-lives differ.
        """
        if not isinstance(other, CoresetModel):
            raise ShoalError(f"a {type(other).__name__} does not merge with a {type(self).__name__}")
        return self._from(self.clustering.merge(other.clustering))

    def _from(self, found: Clustering) -> Self:
        model = found.model
        training = TrainingSummary(
            k=model.k,
            trainingCost=model.inertia,
            clusterSizes=[float(w) for w in model.weights],
            costIsExact=_is_whole(found.summary),
            steps=[dict(step) for step in model.steps],
            rowsSeen=found.summary.count,
            rejects=model.provenance.rejects.to_dict(),
        )
        return self._next(model, found.summary, training)

    def _summary_settings(self) -> Any:
        return self._settings(self.coreset.half_life)


@with_accessors
class KMeansModel(CoresetModel, KMeansParams):
    """What :class:`KMeans` finds: ``clusterCenters()``, ``transform``, ``summary``, ``update``, ``merge``, ``solve``, ``sweep``."""

    def _defaults(self) -> None:
        self._k_means_defaults()


def _is_whole(summary: Coreset) -> bool:
    """Whether the sample is all rows, each once: none was dropped, and none came again under its id."""
    return summary.tau == 0 and len(summary.points().X) == summary.count


class CoresetEstimator(Estimator, DefaultParamsWritable, DefaultParamsReadable):  # type: ignore[misc]
    """What both k-means estimators share: the one pass."""

    def _one_pass(self: Any, df: Any, half_life: float | None = None) -> tuple[Built, Coreset]:
        began = time.monotonic()
        columns, start = self._columns(), self._start(df)
        found = summarise(df, columns, self._settings(half_life))
        if start is not None:
            check_width(start, found.summary)
        solution = solved(found.summary, self._k(start), metric=self._metric, start=start)
        made = built(
            ordered(found.summary.points()),
            solution,
            columns,
            rows_seen=found.summary.count,
            rejects=found.rejects,
            seed=found.summary.seed,
            began=began,
            sampled=not _is_whole(found.summary),
            keep_order=start is not None,
        )
        return made, found.summary

    def _start(self: Any, df: Any) -> NDArray[np.float64] | None:
        given = self._if_set("initialModel")
        return None if given is None else initial_centres(df.sparkSession, given, metric=self._metric)

    def _k(self: Any, start: NDArray[np.float64] | None) -> int:
        k = int(self.getOrDefault("k"))
        if start is None:
            return k
        if self.isSet("k") and k != len(start):
            raise BadInputError(
                f"k is {k}, but initialModel has {len(start)} centres", remedy="leave one of them out"
            )
        return len(start)

    def _made(self: Any, model: CentreModel) -> Any:
        model._resetUid(self.uid)
        return self._copyValues(model)


@with_accessors
class KMeans(CoresetEstimator, KMeansParams):
    """k-means of a DataFrame of any size.

    With ``plan="summary"`` one pass fills a small summary on the workers, and the driver solves it: as good as many passes
    (docs/benchmarks.md), and any other k, more rows or another model can be had from it without a look at the old rows.
    With ``plan="lloyd"`` that solution, or ``initialModel``, is moved by exact Lloyd iterations over all rows: in one barrier
    stage with rows pinned in the workers, or in one job an iteration where there are fewer slots than partitions.

    Params are those of ``pyspark.ml.clustering.KMeans`` where it has them; ``explainParams()`` tells of all.

    Examples
    --------
    >>> KMeans(k=50, featuresCol="features", weightCol="w").fit(df).transform(df)  # doctest: +SKIP
    """

    @keyword_only  # type: ignore[untyped-decorator]
    def __init__(
        self,
        *,
        k: int = 8,
        featuresCol: str = "features",
        featuresCols: list[str] | None = None,
        predictionCol: str = "prediction",
        distanceCol: str = "distance",
        outlierCol: str = "outlier_score",
        weightCol: str | None = None,
        idCol: str | None = None,
        handleInvalid: str = "error",
        distanceMeasure: str = "euclidean",
        plan: str = "summary",
        refine: int = 0,
        maxIter: int = 300,
        tol: float = 1e-4,
        seed: int = 0,
        sampleRows: int | None = None,
        maxBytes: int | None = None,
        maxClusters: int | None = None,
        initialModel: Any = None,
    ) -> None:
        super().__init__()
        self._k_means_defaults()
        self._set(**self._input_kwargs)

    @keyword_only  # type: ignore[untyped-decorator]
    def setParams(self, **params: Any) -> Self:
        """Set several Params."""
        return self._set(**params)  # type: ignore[no-any-return]

    def _fit(self, dataset: Any) -> KMeansModel:
        made, summary = self._one_pass(dataset) if self._is_summary else self._lloyd(dataset)
        return self._made(KMeansModel(made.model, summary, made.training))  # type: ignore[no-any-return]

    @property
    def _is_summary(self) -> bool:
        return bool(self.getOrDefault("plan") == "summary" and self.getOrDefault("refine") == 0)

    def _lloyd(self, df: Any) -> tuple[Built, Coreset]:
        """Exact iterations: all of them, or so many after the one pass."""
        began = time.monotonic()
        columns, start = self._columns(), self._start(df)
        settings, k = self._settings(), self._k(start)
        known: Summarised | None = None
        keep_order = start is not None
        refine = self.getOrDefault("plan") == "summary"
        if refine:
            known = summarise(df, columns, settings)
            if start is not None:
                check_width(start, known.summary)
            start = solved(known.summary, k, metric=self._metric, start=start).centres
        found = lloyd_fit(
            df,
            columns,
            k,
            settings=settings,
            start=start,
            metric=self._metric,
            max_iter=self.getOrDefault("refine") if refine else self.getOrDefault("maxIter"),
            tol=0.0 if refine else self.getOrDefault("tol"),
            way="jobs" if refine else "auto",
            known=known,
        )
        summary = found.summary
        points = ordered(summary.points())
        made = built(
            points,
            on_points(points, found.centres, found.steps, converged=found.converged),
            columns,
            rows_seen=summary.count,
            rejects=found.rejects,
            seed=summary.seed,
            began=began,
            sampled=not _is_whole(summary),
            keep_order=keep_order,
            exact=Exact(found.inertia, found.counts, found.trajectory, found.plan),
        )
        return made, summary
