"""Incremental training: the model channel, whose summary new rows are added to, in time of the new rows only."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.sagemaker.artefact import Artefact, read_artefact
from shoal.sagemaker.hyperparameters import Hyperparameters
from shoal.sagemaker.tree import ChannelSettings, Tree
from shoal.summary.coreset import Coreset

CHANNEL = "model"
AS_START = "SHOAL_CENTRES_AS_START"


def earlier_model(tree: Tree, channels: Mapping[str, ChannelSettings]) -> Artefact:
    """The model of the model channel: ``model.tar.gz``, or its files unpacked.

    An artefact made elsewhere, or one without its summary, says nothing of the rows behind its centres, so nothing can be
    added to it. With ``SHOAL_CENTRES_AS_START=1`` its centres are at least where the solve of the new rows begins.

    Raises
    ------
    BadInputError : there is none, it cannot be gone on from, or it was fitted on tables.
    """
    folder, place = tree.folder(CHANNEL), f"channel {CHANNEL}"
    if channels[CHANNEL].mode == "Pipe":
        raise BadInputError("a model does not come through a pipe", place=place, remedy="use File mode")
    found = read_artefact(_artefact_in(folder, place))
    if found.model.recipe is not None or found.model.metric != "euclidean":
        raise BadInputError(
            "the model was fitted on tables by a recipe of its own", place=place, remedy="use shoal update"
        )
    if found.summary is None and os.environ.get(AS_START, "") in ("", "0"):
        raise BadInputError(
            "holds centres only: without a summary of the rows behind them training cannot go on from it",
            place=place,
            remedy=f"train once on all rows, or set {AS_START}=1 to begin with its centres and forget its rows",
        )
    return found


def check_fits(earlier: Artefact, asked: Hyperparameters, fresh: Coreset) -> None:
    """Raises :class:`BadInputError` if rows of this job cannot be added to the earlier ones."""
    width = earlier.model.n_features
    if asked.feature_dim is not None and asked.feature_dim != width:
        raise BadInputError(
            f"has {width} features where feature_dim is {asked.feature_dim}", place="channel model"
        )
    if earlier.summary is None:
        return
    was = {"seed": earlier.summary.seed, "half_life_time_size": earlier.summary.half_life or 0}
    now = {"seed": fresh.seed, "half_life_time_size": fresh.half_life or 0}
    if was != now:
        told = [
            f"{name} {value:.0f} where this job has {now[name]:.0f}"
            for name, value in was.items()
            if value != now[name]
        ]
        raise BadInputError(
            f"was trained with {', '.join(told)}",
            place="channel model",
            remedy="use the same, or train on all rows anew",
        )


def start_of(
    earlier: Artefact | None, asked: Hyperparameters, say: Callable[[str], None]
) -> NDArray[Any] | None:
    """Centres to begin the solve with, of an artefact that has nothing else."""
    if earlier is None or earlier.summary is not None:
        return None
    if earlier.model.k != asked.k:
        say(f"the centres of channel {CHANNEL} are {earlier.model.k}, not k={asked.k}: they are not used")
        return None
    say(f"the solve begins with the centres of channel {CHANNEL}, whose rows are unknown and do not count")
    centres: NDArray[Any] = earlier.model.centres
    return centres


def _artefact_in(folder: Path, place: str) -> Path:
    archives = sorted([*folder.rglob("*.tar.gz"), *folder.rglob("*.tgz")])
    if len(archives) > 1:
        names = ", ".join(p.name for p in archives[:5])
        raise BadInputError(f"holds several archives ({names})", place=place, remedy="give one")
    if archives:
        return archives[0]
    centres = sorted(folder.rglob("model_algo-*"))
    if not centres:
        raise BadInputError(
            "holds no model.tar.gz and no model_algo-1", place=place, remedy="give one of them"
        )
    return centres[0].parent
