"""Versions that are published while a page is open."""

from __future__ import annotations

import time

import numpy as np
from tests.serve.browser.seen import get

from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.model.store import ModelStore
from shoal.solve.k_means import k_means


def publish(store, seed, spread=1.0, rows=600, seen=None):
    rng = np.random.default_rng(seed)
    homes = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    X = homes[rng.integers(0, 4, rows)] * spread + rng.normal(0, 0.6, (rows, 2))
    solution = k_means(X, 4)
    ids = np.argmin(((solution.centres[:, None] - homes * spread) ** 2).sum(2), axis=1)  # those of before
    seen = rows * (seed + 1) if seen is None else seen
    built = build_model(X, np.ones(rows), solution, provenance=Provenance(rows_seen=seen))
    return ModelStore(store).publish(built.replace(ids=ids))


def until(address, name, version):
    """The scene of a version, once the service has seen it."""
    for _ in range(200):
        if (version,) == tuple(m["version"] for m in get(address, "")["models"] if m["name"] == name):
            return get(address, f"{name}/scene")
        time.sleep(0.05)
    raise AssertionError(f"no version {version}")
