"""Everyone who answers centres for rows: ours, several passes, and the peers that read once or sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from betula_cluster import Betula
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from superkmeans import SuperKMeans

from benchmarks import THREADS
from shoal import Coreset
from shoal.solve.k_means import k_means

BATCH = 65_536
SMALL_BATCH = 4096
ITERATIONS = 25

Centres = NDArray[Any]
Fit = Callable[[NDArray[Any], int, int], Centres]


def shoal_pass(X: NDArray[Any], k: int, seed: int) -> Centres:
    """One pass over batches with the default budget, and the solve."""
    summary = Coreset(k_max=max(64, k), seed=seed)
    for batch in _batches(X, BATCH):
        summary.update(batch)
    points = summary.points()
    return k_means(points.X, k, weights=points.weights, seed=seed).centres


def lloyd(X: NDArray[Any], k: int, seed: int) -> Centres:
    """k-means++ and Lloyd on all rows, many passes."""
    return KMeans(k, n_init=1, random_state=seed).fit(X).cluster_centers_


def lloyd_to_the_end(X: NDArray[Any], k: int, seed: int) -> Centres:
    """The same until nothing moves: far rows swell the default tolerance until it ends Lloyd after a few steps."""
    return KMeans(k, n_init=1, random_state=seed, tol=0.0).fit(X).cluster_centers_


def mini_batch(size: int) -> Fit:
    """One pass in batches of ``size``; labels are not computed, which only helps it."""

    def fit(X: NDArray[Any], k: int, seed: int) -> Centres:
        model = MiniBatchKMeans(k, random_state=seed, n_init=1, compute_labels=False)
        for batch in _batches(X, size):
            model.partial_fit(batch)
        return model.cluster_centers_

    return fit


def faiss_default(X: NDArray[Any], k: int, seed: int) -> Centres:
    """25 iterations on its default sample of 256 rows per centre."""
    return _faiss(X, k, seed)


def faiss_all(X: NDArray[Any], k: int, seed: int) -> Centres:
    """25 iterations on all rows."""
    return _faiss(X, k, seed, max_points_per_centroid=len(X))


def super_default(X: NDArray[Any], k: int, seed: int) -> Centres:
    """Its defaults: hierarchical above 100,000 rows, else a sample of at most 256 rows per centre."""
    return np.asarray(SuperKMeans(k, X.shape[1], seed=seed, n_threads=THREADS).train(X))


def super_all(X: NDArray[Any], k: int, seed: int) -> Centres:
    """25 flat iterations on all rows, none left out."""
    model = SuperKMeans(
        k,
        X.shape[1],
        seed=seed,
        n_threads=THREADS,
        iters=ITERATIONS,
        hierarchical=False,
        sampling_fraction=1.0,
        max_points_per_cluster=len(X),
        early_termination=False,
    )
    return np.asarray(model.train(X))


def betula(X: NDArray[Any], k: int, seed: int) -> Centres:
    """A CF-tree of 2,000 leaves and its k-means head; the centres are its own."""
    model = Betula(n_clusters=k, method="kmeans", feature="spherical", max_leaves=2000, seed=seed)
    return np.asarray(model.fit(X).cluster_centers_)


@dataclass(frozen=True)
class Contender:
    """A way to k centres, and what it looks at."""

    name: str
    fit: Fit
    reads: str


OURS = "shoal"
REFERENCE = "sklearn KMeans"
CONVERGED = "sklearn KMeans, tol=0"
STREAMING = "betula-cluster"
CONTENDERS = (
    Contender(OURS, shoal_pass, "all rows once, batches of 65,536; keeps 50,000 rows or 128 MiB"),
    Contender(REFERENCE, lloyd, "all rows, many times: `n_init=1`, k-means++, to its default tolerance"),
    Contender(CONVERGED, lloyd_to_the_end, "the same until nothing moves, or 300 times"),
    Contender("MiniBatch", mini_batch(BATCH), "scikit-learn's, all rows once, the same batches of 65,536"),
    Contender("MiniBatch 4k", mini_batch(SMALL_BATCH), "the same in batches of 4,096, which suit it better"),
    Contender("faiss", faiss_default, "its default: 25 iterations on a sample of 256 rows per centre"),
    Contender("faiss, all rows", faiss_all, "all rows, 25 times"),
    Contender(
        "superkmeans",
        super_default,
        "its default: hierarchical above 100,000 rows, else 30 % and at most 256 rows per centre",
    ),
    Contender("superkmeans, all rows", super_all, "all rows, 25 times, flat, no early end"),
    Contender(
        STREAMING,
        betula,
        'all rows once; `method="kmeans", feature="spherical", max_leaves=2000`; its own centres',
    ),
)


def _batches(X: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    for start in range(0, len(X), size):
        yield X[start : start + size]


def _faiss(X: NDArray[Any], k: int, seed: int, **options: Any) -> Centres:
    model = faiss.Kmeans(
        X.shape[1], k, niter=ITERATIONS, seed=seed + 1, **options
    )  # it takes 0 for "not given"
    model.train(X)
    return model.centroids
