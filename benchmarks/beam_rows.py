"""The rows of :mod:`benchmarks.beam_fits`, and what workers do with them; without the peers' libraries, so that processes start quickly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

K, D, PARTS = 6, 3, 20
"""Clusters and numbers of the rows, and elements of which the source makes them."""
SPREAD, APART = 0.5, 5.0
"""Standard deviation of a cluster, and the least distance between two centres."""


def keep(value: Any, path: str) -> None:
    np.save(path, value)


def keep_centres(model: Any, path: str) -> None:
    keep(model.cluster_centers_ if hasattr(model, "cluster_centers_") else model.centres, path)


def rows_of_part(seed: int, part: int, n: int) -> list[tuple[float, ...]]:
    """A part of the source."""
    return [tuple(row) for row in points(seed, part, n).tolist()]


def points(seed: int, part: int, n: int) -> NDArray[np.float64]:
    rng = np.random.default_rng((seed, part))
    return true_centres(seed)[rng.integers(K, size=n)] + rng.normal(size=(n, D)) * SPREAD


def true_centres(seed: int) -> NDArray[np.float64]:
    """True ones (K, D), apart from each other."""
    rng = np.random.default_rng(seed)
    while True:
        made = rng.uniform(-10, 10, size=(K, D))
        between = np.linalg.norm(made[:, None] - made, axis=2)
        if between[np.triu_indices(K, 1)].min() >= APART:
            return made


def missed(seed: int, centres: NDArray[np.float64]) -> int:
    """True centres that no centre is near to."""
    nearest = np.linalg.norm(true_centres(seed)[:, None] - centres, axis=2).min(axis=1)
    return int((nearest > 2 * SPREAD).sum())
