"""How many clusters by the silhouette."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from shoal.errors import BadInputError
from shoal.solve.granularity import _distances, choose_by_silhouette, mean_silhouette


def groups(k: int, n: int, d: int, spread: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, d))
    X = centres[rng.integers(k, size=n)] + rng.normal(scale=spread, size=(n, d))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_mean_silhouette_is_scikit_learns(metric: str) -> None:
    X = groups(4, 300, 16, 0.7)
    labels = np.random.default_rng(1).integers(5, size=300)
    labels[0] = 5  # alone
    D = _distances(X.astype(np.float64), metric)  # type: ignore[arg-type]
    assert mean_silhouette(D, labels, 7) == pytest.approx(
        silhouette_score(X, labels, metric=metric), abs=1e-6
    )


@pytest.mark.parametrize("k", [3, 12, 40])
def test_groups_of_embeddings_are_counted(k: int) -> None:
    assert choose_by_silhouette(groups(k, 1500, 128, 0.4), 2, 100) == pytest.approx(k, rel=0.15)


def test_the_range_is_kept_and_few_rows_are_no_error() -> None:
    X = groups(12, 400, 32, 0.3)
    assert choose_by_silhouette(X, 20, 30) in range(20, 31)
    assert choose_by_silhouette(X[:3], 5, 100) <= 3
    assert choose_by_silhouette(X[:1], 5, 100) == 1
    assert choose_by_silhouette(np.repeat(X[:1], 50, axis=0), 2, 9) == 1
    assert choose_by_silhouette(X, 7, 7) == 7


def test_equal_for_any_threads() -> None:
    X = groups(9, 800, 64, 0.8)
    assert choose_by_silhouette(X, 2, 60, n_threads=1) == choose_by_silhouette(X, 2, 60, n_threads=2)


@pytest.mark.parametrize(("n", "low", "high"), [(0, 2, 5), (9, 0, 5), (9, 5, 2)])
def test_nothing_to_choose_from_is_told(n: int, low: int, high: int) -> None:
    with pytest.raises(BadInputError, match="cannot choose"):
        choose_by_silhouette(np.ones((n, 2)), low, high)
