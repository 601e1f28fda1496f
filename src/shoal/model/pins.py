"""Centres that were set by hand: the solver works around them, and they keep their ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.kernels import nearest
from shoal.model.cluster_model import ClusterModel
from shoal.solve.lloyd import Solution, Step
from shoal.summary.protocol import WeightedPoints


@dataclass(frozen=True)
class Pins:
    """Clusters that stay where they are."""

    ids: NDArray[np.int64]
    """(p,)."""
    centres: NDArray[np.float64]
    """(p, d)."""

    def __len__(self) -> int:
        return len(self.ids)


def solve_around(
    points: WeightedPoints,
    pins: Pins,
    previous: ClusterModel | None,
    solve: Callable[[WeightedPoints, NDArray[np.float64] | None], Solution],
    *,
    n_threads: int | None = None,
) -> Solution:
    """The pinned centres, and others for the points that are not theirs.

    Parameters
    ----------
    previous : says which points are a pinned centre's: those that are nearer to it than to any other centre.
    solve : points and the free centres of before, to the free centres' solution.
    """
    free = None
    if previous is not None:
        free = previous.centres[~np.isin(previous.ids, pins.ids)]
    known = pins.centres if free is None or not len(free) else np.concatenate([pins.centres, free])
    theirs = nearest(points.X, known.astype(points.X.dtype), n_threads=n_threads).labels < len(pins)
    centres, converged = pins.centres, True
    steps: tuple[Step, ...] = ()
    if not theirs.all() and not (previous is not None and free is not None and not len(free)):
        rest = WeightedPoints(points.X[~theirs], points.weights[~theirs])
        found = solve(rest, free)
        centres, steps, converged = (
            np.concatenate([pins.centres, found.centres]),
            found.steps,
            found.converged,
        )
    return solution_of(points, centres, n_threads=n_threads, steps=steps, converged=converged)


def solution_of(
    points: WeightedPoints,
    centres: NDArray[np.float64],
    *,
    n_threads: int | None = None,
    steps: tuple[Step, ...] = (),
    converged: bool = True,
) -> Solution:
    """Centres as they are given, with the points they have.

    >>> found = solution_of(WeightedPoints(np.array([[0.0], [1.0]]), np.array([1.0, 3.0])), np.array([[0.0], [2.0]]))
    >>> found.counts, found.inertia
    (array([4., 0.]), 3.0)
    """
    found = nearest(points.X, centres.astype(points.X.dtype), n_threads=n_threads)
    counts = np.bincount(found.labels, weights=points.weights, minlength=len(centres)).astype(np.float64)
    inertia = float(np.dot(points.weights, found.squared.astype(np.float64)))
    return Solution(centres, found.labels, counts, inertia, steps, converged)


def with_pinned_ids(model: ClusterModel, pins: Pins) -> ClusterModel:
    """The model with every pinned centre under its own id, whatever matching by weight said."""
    ids = model.ids.copy()
    for pin, centre in zip(pins.ids.tolist(), pins.centres, strict=True):
        at = int(np.argmin(((model.centres - centre) ** 2).sum(axis=1)))
        other = np.flatnonzero(ids == pin)
        if len(other):
            ids[other[0]] = ids[at]
        ids[at] = pin
    return model.replace(ids=ids)
