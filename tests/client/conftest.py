"""Models to ask about, and a service of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.client.servers import running

import shoal
from shoal.model.aliases import set_alias
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.model.persistence import save_model
from shoal.model.store import ModelStore
from shoal.serve.app import app_of
from shoal.serve.models import Models
from shoal.serve.service import Service
from shoal.serve.settings import Settings
from shoal.solve.k_means import k_means


@pytest.fixture(scope="session")
def frame():
    rng = np.random.default_rng(0)
    kinds = rng.choice(["flat", "house"], 300)
    price = rng.normal(100, 5, 300) + 400 * (kinds == "house")
    return pd.DataFrame({"price": price, "kind": kinds, "rooms": rng.integers(1, 9, 300).astype(float)})


@pytest.fixture(scope="session")
def rows():
    return np.random.default_rng(1).normal(size=(50, 4))


@pytest.fixture(scope="session")
def found(frame, rows, tmp_path_factory):
    """What is served, by name: a table with categories, one of numbers, one of vectors, a store of plain models."""
    home = tmp_path_factory.mktemp("models")
    numbers = pd.DataFrame(rows, columns=list("abcd"))
    held = {
        "houses": shoal.fit(frame, 3, columns=("price", "rooms"), one_hot=("kind",)).save(home / "houses"),
        "numbers": shoal.fit(numbers, 3).save(home / "numbers"),
        "embedded": shoal.fit(rows.astype(np.float32), 3).save(home / "embedded"),
    }
    store = ModelStore(home / "plain")
    for k in (2, 3):
        model = build_model(rows, np.ones(50), k_means(rows, k), provenance=Provenance(rows_seen=50))
        store.publish(model)
    set_alias(store.folder, "champion", 1)
    held["plain"] = save_model(model, home / "copy")
    return home, held


@pytest.fixture(scope="session")
def address(found):
    """A service of all of them, which asks for a token."""
    home, held = found
    service = Service(Models({name: home / name for name in held}), Settings(token="s3cret"))
    with running(app_of(service)) as address:
        yield address
