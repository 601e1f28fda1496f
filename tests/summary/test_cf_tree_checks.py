"""The checks of any summary, over trees of clustering features."""

from __future__ import annotations

import pytest

from shoal.summary.cf_tree import CFTree
from shoal.summary.checks import all_checks
from shoal.summary.forgetting_checks import HALF_LIFE, forgetting_checks

TREES = {
    "roomy": lambda seed: CFTree(),
    "few entries": lambda seed: CFTree(max_leaf_entries=100, branching_factor=7),
    "few bytes": lambda seed: CFTree(max_bytes=30_000),
    "from a threshold": lambda seed: CFTree(threshold=0.5, max_leaf_entries=500),
}
FORGETFUL = {
    "roomy": lambda seed: CFTree(half_life=HALF_LIFE),
    "few entries": lambda seed: CFTree(max_leaf_entries=60, branching_factor=5, half_life=HALF_LIFE),
}


@pytest.mark.parametrize("make", TREES.values(), ids=TREES.keys())
@pytest.mark.parametrize("check", all_checks(), ids=lambda c: c.__name__)
def test_check(check, make):
    check(make)


@pytest.mark.parametrize("make", FORGETFUL.values(), ids=FORGETFUL.keys())
@pytest.mark.parametrize("check", forgetting_checks(), ids=lambda c: c.__name__)
def test_forgetting_check(check, make):
    check(make)
