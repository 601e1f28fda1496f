"""The checks of any summary, over those there are."""

from __future__ import annotations

import pytest

from shoal.summary.centroids import Centroids
from shoal.summary.checks import all_checks, exact_checks
from shoal.summary.coreset import Coreset
from shoal.summary.forgetting_checks import HALF_LIFE, forgetting_checks

SUMMARIES = {
    "coreset": lambda seed: Coreset(k_max=5, seed=seed),
    "small coreset": lambda seed: Coreset(k_max=5, rows=400, seed=seed),
    "coreset of few bytes": lambda seed: Coreset(k_max=5, rows=5000, max_bytes=200_000, seed=seed),
}


INEXACT = {
    "centroids": lambda seed: Centroids(5, seed=seed),
    "centroids of small batches": lambda seed: Centroids(5, batch_size=64, seed=seed),
}
"""Summaries whose merges conserve totals, but depend on their grouping."""
FORGETFUL = {
    "coreset": lambda seed: Coreset(k_max=5, seed=seed, half_life=HALF_LIFE),
    "small coreset": lambda seed: Coreset(k_max=5, rows=400, seed=seed, half_life=HALF_LIFE),
    "centroids": lambda seed: Centroids(5, half_life=HALF_LIFE, time_unit="time", seed=seed),
}


@pytest.mark.parametrize("make", SUMMARIES.values(), ids=SUMMARIES.keys())
@pytest.mark.parametrize("check", all_checks() + exact_checks(), ids=lambda c: c.__name__)
def test_check(check, make):
    check(make)


@pytest.mark.parametrize("make", INEXACT.values(), ids=INEXACT.keys())
@pytest.mark.parametrize("check", all_checks(), ids=lambda c: c.__name__)
def test_check_of_inexact_merges(check, make):
    check(make)


@pytest.mark.parametrize("make", FORGETFUL.values(), ids=FORGETFUL.keys())
@pytest.mark.parametrize("check", forgetting_checks(), ids=lambda c: c.__name__)
def test_forgetting_check(check, make):
    check(make)


class Broken(Coreset):
    """A summary that lets batch sizes matter and forgets part of a merge."""

    def update(self, X, weights=None, **rest):
        return super().update(
            X[: max(1, len(X) - 1)], None if weights is None else weights[: max(1, len(X) - 1)]
        )


def test_the_checks_can_fail():
    failed = []
    for check in all_checks() + exact_checks():
        try:
            check(lambda seed: Broken(k_max=5, rows=400, seed=seed))
        except AssertionError:
            failed.append(check.__name__)
    assert {"check_weights_add_up", "check_batch_size_does_not_matter"} <= set(failed)
