"""Where things go in a picture: limits that outliers do not stretch, round ticks, labels that do not overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

TAIL = 0.003
STRETCH = 2.5
"""Limits ignore the tails where the full range is this many times the range without them."""


def limits(values: FloatArray, weights: FloatArray, always: FloatArray) -> tuple[float, float]:
    """Lowest and highest value to show, with a margin.

    Parameters
    ----------
    values, weights : (n,) data.
    always : values that must be inside, such as centres; NaN is left out.

    >>> low, high = limits(np.append(np.linspace(0, 1, 1000), 500.0), np.ones(1001), np.array([0.5]))
    >>> high < 2
    True
    """
    always = always[np.isfinite(always)]
    every = np.concatenate([values, always])
    if not len(every):
        return 0.0, 1.0
    low, high = float(every.min()), float(every.max())
    if len(values) > 20:
        order = np.argsort(values)
        mass = np.cumsum(weights[order])
        cut = np.searchsorted(mass, np.array([TAIL, 1 - TAIL]) * mass[-1])
        inner = values[order][np.minimum(cut, len(values) - 1)]
        inner_low = min(float(inner[0]), float(always.min(initial=np.inf)))
        inner_high = max(float(inner[1]), float(always.max(initial=-np.inf)))
        if inner_high > inner_low and high - low > STRETCH * (inner_high - inner_low):
            margin = 0.25 * (inner_high - inner_low)
            low, high = max(low, inner_low - margin), min(high, inner_high + margin)
    if high <= low:
        half = max(abs(low) * 0.05, 0.5)
        return low - half, high + half
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between ``low`` and ``high``.

    >>> ticks(-124.8, -113.9)
    [-124.0, -122.0, -120.0, -118.0, -116.0, -114.0]
    """
    raw = (high - low) / max(most, 1)
    if not np.isfinite(raw) or raw <= 0:
        return [low]
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(float(s * power) for s in (1, 2, 5, 10) if s * power >= raw * (1 - 1e-9))
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def part_labels(anchors: FloatArray, size: float, *, steps: int = 120) -> FloatArray:
    """(k, 2) places for round labels of ``size`` across, near their anchors and apart from one another.

    Parameters
    ----------
    anchors : (k, 2) in the units of ``size``; rows of NaN are left alone.

    >>> out = part_labels(np.array([[0.0, 0.0], [1.0, 0.0]]), 10.0)
    >>> bool(np.linalg.norm(out[0] - out[1]) > 9.0)
    True
    """
    places = anchors.copy()
    live = np.flatnonzero(np.isfinite(anchors).all(axis=1))
    if len(live) < 2:
        return places
    # Equal anchors need some direction in which to part; it must be the same every time.
    angle = 2.399963 * np.arange(len(live))
    at = anchors[live] + 1e-3 * size * np.column_stack([np.cos(angle), np.sin(angle)])
    for _ in range(steps):
        between = at[:, None] - at[None]
        apart = np.linalg.norm(between, axis=2)
        np.fill_diagonal(apart, np.inf)
        overlap = np.maximum(size - apart, 0.0)
        if overlap.max() < 0.02 * size:
            break
        push = (between / np.maximum(apart, 1e-9)[..., None] * overlap[..., None]).sum(axis=1)
        at = at + 0.45 * push
    places[live] = at
    return places
