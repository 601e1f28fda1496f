"""Models to serve: of a table with categories, and of vectors alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import shoal
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.model.persistence import save_model
from shoal.solve.k_means import k_means


@pytest.fixture(scope="session")
def frame():
    rng = np.random.default_rng(0)
    n = 300
    kinds = rng.choice(["flat", "house"], n)
    price = rng.normal(100, 5, n) + 400 * (kinds == "house")
    return pd.DataFrame({"price": price, "kind": kinds, "rooms": rng.integers(1, 9, n).astype(float)})


@pytest.fixture(scope="session")
def houses(frame, tmp_path_factory):
    """A saved model with scaling and one-hot columns, and its clustering."""
    path = tmp_path_factory.mktemp("models") / "houses"
    return path, shoal.fit(frame, 3, columns=("price", "rooms"), one_hot=("kind",)).save(path)


@pytest.fixture(scope="session")
def rows():
    return np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)


@pytest.fixture(scope="session")
def plain(rows, tmp_path_factory):
    """A saved model of vectors, without a recipe."""
    path = tmp_path_factory.mktemp("models") / "plain"
    model = build_model(rows, np.ones(50), k_means(rows, 3), provenance=Provenance(rows_seen=50))
    return path, save_model(model, path)


@pytest.fixture(scope="session")
def embedded(rows, tmp_path_factory):
    """A saved model of one column of vectors."""
    path = tmp_path_factory.mktemp("models") / "embedded"
    return path, shoal.fit(rows, 3).save(path)
