"""Where a cluster lies within a column: a strip with the range of all rows and that of the cluster's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.report.view import View

LEVELS = np.array([0.1, 0.25, 0.5, 0.75, 0.9])


def strip(view: View, c: int, column: int) -> dict[str, Any]:
    """Positions in percent of the strip's width.

    A column of numbers has the middle 80% and 50% of the cluster's sampled rows over the range of all rows, its
    tails cut; a category has a bar up to the cluster's share. Both have a tick at the mean of all rows.
    """
    here = view.columns[column]
    if here.is_category:
        value = float(np.clip(view.centres[c, column], 0, 1))
        return {"kind": "share", "value": _percent(value), "overall": _percent(here.mean)}
    values, mine = view.points[:, column], view.labels == c
    every = weighted_quantiles(values, view.weights, np.array([0.01, 0.99]))
    inside = weighted_quantiles(values[mine], view.weights[mine], LEVELS)
    centre = float(view.centres[c, column])
    if not np.isfinite(every).all() or not np.isfinite(inside).all():
        every, inside = np.array([min(centre, here.mean), max(centre, here.mean)]), np.full(5, centre)
    low, high = min(every[0], inside[0]), max(every[1], inside[-1])
    span = high - low if high > low else 1.0
    at = [_percent((float(v) - low) / span) for v in inside]
    return {
        "kind": "range",
        "outer": (at[0], round(at[4] - at[0], 2)),
        "inner": (at[1], round(at[3] - at[1], 2)),
        "middle": at[2],
        "overall": _percent((here.mean - low) / span),
    }


def weighted_quantiles(
    values: NDArray[np.float64], weights: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Quantiles of weighted values; NaN if there are none.

    >>> weighted_quantiles(np.array([1.0, 2.0, 9.0]), np.array([1.0, 1.0, 8.0]), np.array([0.1, 0.5]))
    array([1., 9.])
    """
    if not len(values) or not weights.sum() > 0:
        return np.full(len(levels), np.nan)
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weights[order])
    at = np.searchsorted(mass, levels * mass[-1] * (1 - 1e-12), side="left")
    out: NDArray[np.float64] = values[order][np.minimum(at, len(values) - 1)]
    return out


def _percent(share: float) -> float:
    return round(100 * float(np.clip(share, 0, 1)), 2)
