"""Models to draw: small, of every awkward shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shoal.errors import Rejects
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance, unit_rows
from shoal.solve.k_means import k_means
from shoal.summary.protocol import WeightedPoints

Made = tuple[ClusterModel, WeightedPoints]


def make(
    k: int = 3,
    d: int = 2,
    n: int = 300,
    *,
    metric: Any = "euclidean",
    names: tuple[str, ...] = (),
    recipe: dict[str, Any] | None = None,
    X: Any = None,
    sources: tuple[str, ...] = ("data/houses.csv",),
    rejects: Rejects | None = None,
    choice: dict[str, Any] | None = None,
) -> Made:
    """A model of n rows about k well parted places, some rows weighing more."""
    rng = np.random.default_rng(7)
    if X is None:
        places = rng.uniform(-10, 10, (k, d))
        X = places[np.arange(n) % k] + rng.normal(0, 0.2, (n, d))
    X = np.asarray(X, np.float32)
    weights = np.where(np.arange(len(X)) % 5 == 0, 4.0, 1.0)
    if metric == "cosine":
        X = unit_rows(X)
    provenance = Provenance(
        rows_seen=int(weights.sum()),
        sources=sources,
        rejects=rejects or Rejects(),
        seconds=0.42,
        created="2026-11-21T02:05:09+00:00",
        library_version="0.1.0",
    )
    model = build_model(
        X,
        weights,
        k_means(X, k, weights=weights, metric=metric),
        provenance=provenance,
        metric=metric,
        feature_names=names,
        recipe=recipe,
        choice=choice,
    )
    return model, WeightedPoints(X, weights)


def candidates(ks: range = range(2, 7), **changes: Any) -> list[dict[str, Any]]:
    """Figures for each k, with a best k of 3 by most criteria."""
    return [
        {
            "k": k,
            "inertia": 1000.0 / k,
            "explained": 1 - 1 / k,
            "calinski_harabasz": 100.0 - (k - 3) ** 2,
            "davies_bouldin": 0.5 + abs(k - 3) / 10,
            "silhouette": 0.8 - abs(k - 3) / 10,
            "bic": 5000.0 + 10 * abs(k - 4),
            "stability": 0.95 - abs(k - 3) / 20,
            "gap": 0.4 + 0.02 * k,
            "gap_error": 0.01,
        }
        | changes
        for k in ks
    ]


@pytest.fixture
def choice() -> dict[str, Any]:
    """A clear answer."""
    return {
        "suggested": 3,
        "confidence": 0.72,
        "votes": {
            "Calinski-Harabasz": 3,
            "Davies-Bouldin": 3,
            "silhouette": 3,
            "gap": 6,
            "stability": 3,
            "BIC": 4,
        },
        "reasons": ["4 of 6 criteria choose k = 3"],
        "candidates": candidates(),
    }


@pytest.fixture
def no_structure(choice: dict[str, Any]) -> dict[str, Any]:
    """An honest none."""
    return choice | {"suggested": None, "confidence": 1.0, "reasons": ["no k is stable"]}


@pytest.fixture
def build() -> Callable[..., Made]:
    """The maker of models, for tests."""
    return make


@pytest.fixture
def figures() -> Callable[..., list[dict[str, Any]]]:
    """The maker of candidates."""
    return candidates
