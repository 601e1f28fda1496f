"""BIRCH three ways: rows per second into the tree, and the cost of k centres solved from its entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from betula_cluster import Betula
from numpy.typing import NDArray
from sklearn.cluster import Birch as SklearnBirch

from benchmarks.common import cost, in_turns, median, shown, thinned
from shoal.solve.k_means import k_means
from shoal.summary.cf_tree import CFTree

SHAPES = ((1_000_000, 2), (1_000_000, 20), (100_000, 128))
K, BUDGET, ROUNDS = 100, 2000, 3
SKLEARN_ROWS = 20_000
"""scikit-learn takes minutes for all of them; both are given these few rows, at the threshold our tree has grown to."""
Entries = tuple[NDArray[Any], NDArray[Any]]


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Every shape with a budget of entries, then against scikit-learn at equal threshold."""
    rows = []
    for n, d in SHAPES:
        X = _clustered(n // 20 if quick else n, d)
        rows.append(_with_budget(X, 1 if quick else ROUNDS))
        rows.append(_at_equal_threshold(thinned(X, SKLEARN_ROWS), 1))
    return rows


def _clustered(n: int, d: int) -> NDArray[np.float64]:
    """Overlapping Gaussians with weights of Zipf, in no order."""
    rng = np.random.default_rng(d)
    share = 1 / np.arange(1, K + 1)
    centres = rng.normal(size=(K, d)) * (10 / np.sqrt(d) + 1)
    X: NDArray[np.float64] = centres[rng.choice(K, n, p=share / share.sum())] + rng.normal(size=(n, d))
    return X


def _with_budget(X: NDArray[Any], rounds: int) -> dict[str, Any]:
    def ours() -> Entries:
        points = CFTree(max_leaf_entries=BUDGET).update(X).points()
        return np.asarray(points.X), points.weights

    def betula() -> Entries:
        made = Betula(K, feature="spherical", method="kmeans", max_leaves=BUDGET, max_iter=1)
        made.partial_fit(X)  # one thread, no clustering
        return np.asarray(made.microcluster_centers_), np.asarray(made.microcluster_weights_)

    return _measured("budget", X, {"shoal": ours, "betula-cluster": betula}, rounds)


def _at_equal_threshold(X: NDArray[Any], rounds: int) -> dict[str, Any]:
    threshold = max(CFTree(max_leaf_entries=BUDGET).update(X).current_threshold, 1e-9)

    def ours() -> Entries:
        points = CFTree(threshold, max_leaf_entries=None).update(X).points()
        return np.asarray(points.X), points.weights

    def theirs() -> Entries:
        made = SklearnBirch(threshold=threshold, n_clusters=None, compute_labels=False).fit(X)
        leaves = made._get_leaves()
        return made.subcluster_centers_, np.array(
            [s.n_samples_ for leaf in leaves for s in leaf.subclusters_]
        )

    return _measured("equal threshold", X, {"shoal": ours, "sklearn Birch": theirs}, rounds)


def _measured(
    task: str, X: NDArray[Any], contenders: dict[str, Callable[[], Entries]], rounds: int
) -> dict[str, Any]:
    seconds = in_turns(contenders, rounds)
    rates = {name: [len(X) / s for s in v] for name, v in seconds.items()}
    row: dict[str, Any] = {"task": task, "n": len(X), "d": X.shape[1], "k": K, "rows_per_second": rates}
    row["entries"], row["cost"] = {}, {}
    for name, learn in contenders.items():
        means, weights = learn()
        row["entries"][name] = len(means)
        if len(means) >= K:
            row["cost"][name] = cost(X, k_means(means, K, weights=weights, seed=0).centres)
    first = median(rates["shoal"])
    row["times_faster"] = {name: first / median(v) for name, v in rates.items() if name != "shoal"}
    print(task, X.shape, shown(rates), row["entries"], row["cost"], flush=True)
    return row
