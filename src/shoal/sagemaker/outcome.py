"""What a training job makes of its summary: the model with its history, and the loss that its log tells."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.model.identity import follow
from shoal.model.release import release
from shoal.sagemaker.artefact import Artefact
from shoal.sagemaker.hyperparameters import Hyperparameters
from shoal.sagemaker.quality_log import QualityLog
from shoal.solve.lloyd import Solution
from shoal.summary.coreset import Coreset
from shoal.summary.protocol import WeightedPoints


def model_of(
    summary: Coreset,
    points: WeightedPoints,
    solution: Solution,
    names: tuple[str, ...],
    earlier: Artefact | None,
    log: QualityLog,
    *,
    began: float,
) -> ClusterModel:
    """The model of all rows, whose clusters keep the ids that they had in an earlier one.

    Parameters
    ----------
    names : objects that were read; one that several hosts share counts once.
    earlier : the model that was gone on from, if any.
    began : when the job did, of the monotonic clock.
    """
    was = earlier.model if earlier is not None and earlier.summary is not None else None
    sources = (*(was.provenance.sources if was is not None else ()), *names)
    provenance = Provenance(
        rows_seen=summary.count,
        seed=summary.seed,
        sources=tuple(dict.fromkeys(sources)),
        library_version=release(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=time.monotonic() - began,
    )
    parent = was.version or None if was is not None else None
    model = build_model(points.X, points.weights, solution, provenance=provenance, parent=parent)
    if was is None:
        return model
    found = follow(was, model, points, time=float(summary.count))
    for event in found.events:
        log.info(str(event))
    return found.model


def tell_train_loss(
    model: ClusterModel,
    summary: Coreset,
    rows: int,
    ssd: float | None,
    asked: Hyperparameters,
    log: QualityLog,
) -> None:
    """Log the loss of the train channel, and what it is of.

    Parameters
    ----------
    rows : of the train channel.
    ssd : their sum of squared distances, if they were all read again.
    """
    weight = float(model.weights.sum())
    if ssd is not None:
        msd, weight = ssd / max(rows, 1), float(rows)
        how = (
            "of all rows, with the clusters as the last epoch found them: the true one is about that or less"
        )
    else:
        msd = model.inertia / weight
        kept = len(summary.sampled_ids())
        how = f"estimated from {kept} of {summary.count} rows; low by what the centres fit these better"
        if summary.tau == 0:
            how = "exact: the summary holds every row"
    log.info(f"train msd is {how}")
    log.quality("train", "msd", msd)
    if "ssd" in asked.eval_metrics:
        log.quality("train", "ssd", msd * weight)
