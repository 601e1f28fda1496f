"""The published one-pass algorithm behind the built-in k-means of Amazon SageMaker, from its developer guide and log lines.

It is the algorithm as far as it is published, not the product: how the product opens and drops centres on its way is not
told anywhere, and is left out here. Where the guide leaves a choice, the better one is taken: the last step uses
scikit-learn's greedy k-means++ and runs Lloyd until nothing moves.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

MINI_BATCH = 5000
EXTRA_CENTRES = 10
TRIALS = 10
ITERATIONS = 300
"""The defaults, and what ``auto`` stands for in published logs."""


class Emulated(NamedTuple):
    """Centres, and what its log would call the train msd."""

    centres: NDArray[np.float64]
    """(k, d)."""
    told: float
    """Mean squared distance of the many centres to the k: without the spread of the rows around the many."""


def published(X: NDArray[Any], k: int, seed: int, mini_batch: int = MINI_BATCH) -> Emulated:
    """One pass of weighted means with 10 k centres, then a local k-means of those.

    Parameters
    ----------
    X : (n, d) rows in the order they come; the first mini-batch gives the first centres, drawn at random.
    """
    rng = np.random.default_rng([seed, k])
    first = X[:mini_batch]
    drawn = rng.choice(len(first), min(EXTRA_CENTRES * k, len(first)), replace=False)
    centres, sizes = first[drawn].astype(np.float32), np.zeros(len(drawn))
    for batch in _batches(X, mini_batch):
        _absorb(centres, sizes, batch)
    kept = sizes > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        local = KMeans(k, n_init=TRIALS, max_iter=ITERATIONS, tol=0.0, random_state=seed)
        local.fit(centres[kept].astype(np.float64), sample_weight=sizes[kept])
    return Emulated(local.cluster_centers_, float(local.inertia_) / len(X))


def _absorb(centres: NDArray[np.float32], sizes: NDArray[np.float64], batch: NDArray[Any]) -> None:
    """Each centre becomes the mean of all that was ever assigned to it."""
    scores = batch @ centres.T
    scores -= 0.5 * np.einsum("ij,ij->i", centres, centres)
    nearest = scores.argmax(axis=1)
    order = np.argsort(nearest, kind="stable")
    met, starts = np.unique(nearest[order], return_index=True)
    counts = np.diff([*starts, len(batch)])
    means = np.add.reduceat(batch[order].astype(np.float64), starts) / counts[:, None]
    share = (counts / (sizes[met] + counts))[:, None]
    centres[met] = (1.0 - share) * centres[met] + share * means
    sizes[met] += counts


def _batches(X: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    for start in range(0, len(X), size):
        yield X[start : start + size]
