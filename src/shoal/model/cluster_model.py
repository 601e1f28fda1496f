"""The fitted model: centres, sizes, spread, quality and where it all came from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError, Rejects

Metric = Literal["euclidean", "cosine"]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

QUANTILES: FloatArray = np.concatenate([np.linspace(0.0, 0.9, 19), [0.925, 0.95, 0.975, 0.99, 0.995, 0.999, 1.0]])
"""Levels at which the distances to each centre are kept (26 levels, denser in the tail)."""


class Assignment(NamedTuple):
    """What :meth:`ClusterModel.assign` answers for n rows."""

    ids: IntArray
    """(n,) stable cluster ids."""
    positions: IntArray
    """(n,) position of the centre in ``model.centres``."""
    distances: FloatArray
    """(n,) distance to the nearest centre (euclidean, or cosine distance in [0, 2])."""
    second_distances: FloatArray
    """(n,) distance to the second nearest centre; infinity if there is one centre only."""
    outlier_scores: FloatArray
    """(n,) in [0, 1]: the share of the cluster's rows that are nearer to the centre."""


@dataclass(frozen=True)
class Provenance:
    """What was read, how, and by which release."""

    rows_seen: int
    rows_filtered: int = 0
    rejects: Rejects = field(default_factory=Rejects)
    seed: int = 0
    sources: tuple[str, ...] = ()
    library_version: str = ""
    created: str = ""
    """UTC, ISO 8601."""
    seconds: float = math.nan
    """Wall time of the pass and the solve."""
