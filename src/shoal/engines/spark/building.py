"""From what the workers found to a model that every engine can use."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.engines import vectors
from shoal.engines.spark.rows import RowColumns
from shoal.engines.spark.training import TrainingSummary
from shoal.errors import Rejects
from shoal.features.recipe import Recipe
from shoal.kernels import accumulate
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.model.outliers import OutlierScale
from shoal.model.release import release
from shoal.solve.lloyd import Metric, Solution
from shoal.summary.protocol import WeightedPoints


class Built(NamedTuple):
    """A model, and the story of its fit in the same order of clusters."""

    model: ClusterModel
    training: TrainingSummary


class Exact(NamedTuple):
    """Figures measured on all rows, where there are any."""

    inertia: float
    counts: NDArray[np.float64]
    trajectory: tuple[NDArray[np.float64], ...]
    plan: str


def built(
    points: WeightedPoints,
    solution: Solution,
    columns: RowColumns,
    *,
    rows_seen: int,
    rejects: Rejects,
    seed: int,
    began: float,
    sampled: bool,
    keep_order: bool,
    exact: Exact | None = None,
    spread: NDArray[np.float64] | None = None,
) -> Built:
    """A model with a recipe, so that all engines can label with it, and its training summary.

    Parameters
    ----------
    points : of the summary the solution was found on.
    spread : see :func:`shoal.model.build.build_model`.
    sampled : whether the points are fewer than the rows, so that figures of theirs are estimates.
    keep_order : leave the centres in their order, as they grew from centres that were given; else the largest first.
    """
    metric: Metric = "cosine" if columns.cosine else "euclidean"
    if exact is not None:
        solution = replace(solution, counts=exact.counts, inertia=exact.inertia)
    recipe = recipe_of(columns, points.X.shape[1])
    provenance = Provenance(
        rows_seen=rows_seen,
        rejects=rejects,
        seed=seed,
        sources=("Spark DataFrame",),
        library_version=release(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=time.monotonic() - began if began > 0 else math.nan,
    )
    model = build_model(
        points.X,
        points.weights,
        solution,
        provenance=provenance,
        metric=metric,
        feature_names=recipe.feature_names,
        recipe=recipe.to_dict(),
        spread=spread,
    )
    training = TrainingSummary(
        k=len(solution.centres),
        trainingCost=solution.inertia,
        clusterSizes=[float(c) for c in solution.counts],
        costIsExact=exact is not None or not sampled,
        plan="summary" if exact is None else exact.plan,
        steps=[dict(step._asdict()) for step in solution.steps],
        trajectory=[] if exact is None else [step.tolist() for step in exact.trajectory],
        converged=solution.converged,
        rowsSeen=rows_seen,
        rejects=rejects.to_dict(),
    )
    order = solution.largest_first()
    if keep_order:
        return Built(_reordered(model, np.argsort(order)), training)
    return Built(model, training.at(order))


def on_points(
    points: WeightedPoints, centres: NDArray[np.float64], steps: tuple[Any, ...], *, converged: bool
) -> Solution:
    """Centres that were found on all rows, as a solution on the points of the summary."""
    found = accumulate(points.X, centres, points.weights)
    return Solution(centres, found.labels, found.counts, found.inertia, steps, converged)


def recipe_of(columns: RowColumns, width: int) -> Recipe:
    """How the same columns of a file become the same vectors: as they are."""
    return vectors.recipe_of(
        columns.features,
        width,
        cosine=columns.cosine,
        weight=columns.weight,
        skip_invalid=columns.invalid == "skip",
    )


def _reordered(model: ClusterModel, order: NDArray[np.intp]) -> ClusterModel:
    """The same clusters in another order, with ids by it."""
    o = model.outliers
    return model.replace(
        **{name: getattr(model, name)[order] for name in ("centres", "weights", "scatter", "radii")},
        ids=np.arange(model.k, dtype=np.int64),
        outliers=None if o is None else OutlierScale(o.excess[order], o.spread[order], o.reach),
    )
