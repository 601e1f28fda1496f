"""How much was said about each topic, and when: counted from the times of the sample's texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError


@dataclass(frozen=True)
class TopicTimes:
    """Topics over time."""

    edges: NDArray[np.float64]
    """(b + 1,) limits of the stretches of time, seconds since 1970."""
    topics: tuple[int, ...]
    """Ids of the topics, the largest first."""
    weights: NDArray[np.float64]
    """(b, k) weight of each topic's texts in each stretch, estimated from the sample; not lessened by forgetting."""
    texts: NDArray[np.int64]
    """(b,) texts of the sample behind each stretch: few of them make a rough estimate."""

    @property
    def shares(self) -> NDArray[np.float64]:
        """(b, k) share of each topic; zeros where nothing was said."""
        total = self.weights.sum(axis=1, keepdims=True)
        return self.weights / np.where(total > 0, total, 1.0)


def over_time(
    times: NDArray[np.float64],
    weights: NDArray[np.float64],
    positions: NDArray[np.int64],
    topics: tuple[int, ...],
    *,
    bins: int = 24,
    half_life: float | None = None,
) -> TopicTimes:
    """Weights of topics in stretches of time of equal length, from the first text to the last.

    Parameters
    ----------
    times : (m,) of the texts; those without one (NaN) are left out.
    positions : (m,) topic of each text, as a position in ``topics``.
    half_life : after which weights were halved, which is undone here.

    Raises
    ------
    BadInputError : no text has a time, or fewer than one stretch.

    >>> found = over_time(np.array([0.0, 1.0, 9.0]), np.ones(3), np.array([0, 0, 1]), (7, 8), bins=2)
    >>> found.edges, found.weights.tolist()
    (array([0. , 4.5, 9. ]), [[2.0, 0.0], [0.0, 1.0]])
    """
    if bins < 1:
        raise BadInputError(f"bins={bins}", remedy="give at least 1")
    known = np.isfinite(times)
    if not known.any():
        raise BadInputError("no text has a time", remedy="give times= when texts are learned")
    t, w, p = times[known], weights[known], positions[known]
    if half_life is not None:
        w = w * np.exp2((t.max() - t) / half_life)
    low, high = float(t.min()), float(t.max())
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    at = np.clip(np.searchsorted(edges, t, side="right") - 1, 0, bins - 1)
    k = len(topics)
    cells = np.bincount(at * k + p, weights=w, minlength=bins * k).reshape(bins, k).astype(np.float64)
    return TopicTimes(edges, topics, cells, np.bincount(at, minlength=bins))
