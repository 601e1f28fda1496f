"""Cost and time of one pass against several passes on all rows, and against the peers that also read once or sample."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import faiss
import numpy as np
from betula_cluster import Betula
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from superkmeans import SuperKMeans

from benchmarks.common import THREADS, cost, median, save, timed
from benchmarks.data import Set, available
from shoal import Coreset
from shoal.solve.k_means import k_means

SEEDS = (0, 1, 2)
BATCH = 65_536
Centres = NDArray[Any]


def shoal_pass(X: NDArray[Any], k: int, seed: int) -> Centres:
    """One pass over batches with the default budget, and the solve."""
    summary = Coreset(k_max=max(64, k), seed=seed)
    for start in range(0, len(X), BATCH):
        summary.update(X[start : start + BATCH])
    points = summary.points()
    return k_means(points.X, k, weights=points.weights, seed=seed).centres


def lloyd(X: NDArray[Any], k: int, seed: int) -> Centres:
    """scikit-learn: k-means++ and Lloyd on all rows."""
    return KMeans(k, n_init=1, random_state=seed).fit(X).cluster_centers_


def mini_batch(X: NDArray[Any], k: int, seed: int) -> Centres:
    """scikit-learn: one pass of mini-batches of 4,096, without labels."""
    model = MiniBatchKMeans(k, random_state=seed, n_init=1, compute_labels=False)
    for start in range(0, len(X), 4096):
        if len(X) - start >= k:
            model.partial_fit(X[start : start + 4096])
    return model.cluster_centers_


def faiss_default(X: NDArray[Any], k: int, seed: int) -> Centres:
    """faiss: 25 iterations on its default sample of 256 rows per centroid."""
    model = faiss.Kmeans(X.shape[1], k, niter=25, seed=seed + 1)
    model.train(X)
    return model.centroids


def faiss_all(X: NDArray[Any], k: int, seed: int) -> Centres:
    """faiss: 25 iterations on all rows."""
    model = faiss.Kmeans(X.shape[1], k, niter=25, seed=seed + 1, max_points_per_centroid=len(X))
    model.train(X)
    return model.centroids


def super_default(X: NDArray[Any], k: int, seed: int) -> Centres:
    """superkmeans with its defaults (it samples 0.3 of the rows)."""
    return np.asarray(SuperKMeans(k, X.shape[1], seed=seed).train(X))


def betula(X: NDArray[Any], k: int, seed: int) -> Centres:
    """betula-cluster: CF-tree of 2,000 leaves and its k-means head; centres are its own."""
    model = Betula(n_clusters=k, method="kmeans", feature="spherical", max_leaves=2000, seed=seed)
    model.fit(X)
    return np.asarray(model.cluster_centers_)


CONTENDERS: dict[str, Callable[[NDArray[Any], int, int], Centres]] = {
    "shoal": shoal_pass,
    "sklearn KMeans": lloyd,
    "sklearn MiniBatch": mini_batch,
    "faiss": faiss_default,
    "faiss, all rows": faiss_all,
    "superkmeans": super_default,
    "betula-cluster": betula,
}


def run(quick: bool = False, only: str | None = None) -> None:
    """Measure all sets; three seeds in turns."""
    faiss.omp_set_num_threads(THREADS)
    rows = []
    for one in available(only):
        X = one.make()
        rows.append(
            _measure(one, np.ascontiguousarray(X[:20_000] if quick else X), SEEDS[: 1 if quick else None])
        )
    if not quick and only is None:
        save("quality", rows)


def _measure(one: Set, X: NDArray[Any], seeds: tuple[int, ...]) -> dict[str, Any]:
    small = X[: max(2000, 4 * one.k)]
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    costs: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    failed: dict[str, str] = {}
    for name, fit in CONTENDERS.items():
        _attempt(failed, name, partial(fit, small, one.k, 0))  # a warm-up for everyone
    for seed in seeds:
        for name, fit in CONTENDERS.items():
            answer = _attempt(failed, name, partial(timed, partial(fit, X, one.k, seed)))
            if answer is not None:
                seconds[name].append(answer[0])
                costs[name].append(cost(X, answer[1]))
    base = float(np.mean(costs["sklearn KMeans"]))
    ratio = {name: [c / base for c in v] for name, v in costs.items()}
    print(one.name, {n: f"{median(v):.4f}" for n, v in ratio.items() if v}, flush=True)
    print("   seconds", {n: f"{median(v):.2f}" for n, v in seconds.items() if v}, failed, flush=True)
    shape = {"set": one.name, "n": len(X), "d": X.shape[1], "k": one.k}
    return shape | {"failed": failed, "ratio": ratio, "seconds": seconds}


def _attempt(failed: dict[str, str], name: str, act: Callable[[], Any]) -> Any:
    """The answer, or a note that the peer does not manage this set."""
    if name in failed:
        return None
    try:
        return act()
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {str(error)[:120]}"
        return None
