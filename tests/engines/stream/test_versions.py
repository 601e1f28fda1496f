"""Numbered models of a stream: which stay."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.engines.stream.versions import Versions
from shoal.model.aliases import set_alias
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.solve.k_means import k_means


@pytest.fixture
def versions(tmp_path):
    X = np.arange(20.0)[:, None]
    held = Versions(tmp_path / "models", keep=2)
    for number in range(1, 6):
        held.write(number, build_model(X, np.ones(20), k_means(X, 2), provenance=Provenance(20)))
    return held


def test_the_newest_stay(versions):
    versions.thin(5)
    assert versions.numbers() == [4, 5]


def test_one_that_an_alias_names_stays(versions):
    set_alias(versions.folder, "champion", 2)
    versions.thin(5)
    assert versions.numbers() == [2, 4, 5]


def test_while_aliases_cannot_be_read_none_leaves(versions):
    (versions.folder / "aliases.json").write_text("{")
    versions.thin(5)
    assert versions.numbers() == [1, 2, 3, 4, 5]
