"""Fewer points for a picture, each standing for more, with no cluster lost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SPREAD_EVENLY = 0.3
"""Share of the places dealt out evenly, so that small clusters are seen; the rest goes by weight."""


def thin(
    labels: NDArray[np.integer[Any]], weights: NDArray[np.float64], k: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """At most about ``size`` positions and the weight each stands for; every cluster keeps its total weight.

    Parameters
    ----------
    labels, weights : (m,) cluster and weight of each point.

    >>> where, weight = thin(np.array([0] * 98 + [1] * 2), np.ones(100), 2, 20)
    >>> len(where), float(weight[where >= 98].sum())
    (19, 2.0)
    """
    m = len(labels)
    if m <= size:
        return np.arange(m, dtype=np.int64), weights.astype(np.float64)
    mass = np.bincount(labels, weights=weights, minlength=k)
    have = np.bincount(labels, minlength=k)
    even = np.minimum(have, int(SPREAD_EVENLY * size / k))
    left = np.maximum(size - even.sum(), 0)
    quota = np.minimum(have, even + np.floor(left * mass / max(mass.sum(), 1e-300)).astype(np.int64))
    quota = np.maximum(quota, np.minimum(have, 1))
    rng = np.random.default_rng(0)
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(k + 1))
    chosen, stands_for = [], []
    for c in range(k):
        part = order[bounds[c] : bounds[c + 1]]
        if not len(part):
            continue
        picked = _draw(part, weights[part], int(quota[c]), rng)
        chosen.append(picked)
        stands_for.append(np.full(len(picked), mass[c] / len(picked)))
    where = np.concatenate(chosen)
    back = np.argsort(where)
    return where[back].astype(np.int64), np.concatenate(stands_for)[back]


def _draw(
    part: NDArray[np.int64], weights: NDArray[np.float64], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Distinct members with a chance that grows with their weight."""
    if size >= len(part):
        return part
    with np.errstate(divide="ignore"):
        keys = rng.exponential(size=len(part)) / weights
    return part[np.argpartition(keys, size - 1)[:size]]
