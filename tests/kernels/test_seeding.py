"""k-means++ seeding against a plain float64 oracle."""

from __future__ import annotations

import numpy as np
import pytest

from shoal import kernels
from shoal.errors import BadInputError


def oracle(X, k, weights, draws, rng):
    """Greedy k-means++ as it is written in papers."""
    X = np.asarray(X, np.float64)
    uniforms = rng.random((k, draws))
    closest = np.full(len(X), np.inf)
    chosen = []
    for step in range(k):
        share = weights if step == 0 else weights * closest
        cumulated = np.cumsum(share)
        trials = np.searchsorted(
            cumulated, uniforms[step][: 1 if step == 0 else draws] * cumulated[-1], side="right"
        )
        costs = [(weights * np.minimum(closest, ((X - X[t]) ** 2).sum(1))).sum() for t in trials]
        best = trials[int(np.argmin(costs))]
        chosen.append(best)
        closest = np.minimum(closest, ((X - X[best]) ** 2).sum(1))
    return np.array(chosen), closest


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "d", "k", "draws"), [(1, 1, 1, 1), (63, 2, 5, 3), (200, 17, 20, 4), (1000, 3, 7, 1)]
)
def test_seeds_equal_those_of_a_plain_implementation(n, d, k, draws, dtype):
    X = np.random.default_rng(n).normal(size=(n, d)).astype(dtype)
    w = np.random.default_rng(1).random(n)
    got, closest = kernels.greedy_seeds(X, k, weights=w, candidates=draws, rng=np.random.default_rng(7))
    want, far = oracle(X, k, w, draws, np.random.default_rng(7))
    np.testing.assert_array_equal(got, want)
    np.testing.assert_allclose(closest, far, rtol=1e-5, atol=1e-6)


def test_result_equal_in_diff_n_threads():
    X = np.random.default_rng(0).normal(size=(5000, 30)).astype(np.float32)
    one, _ = kernels.greedy_seeds(X, 40, rng=np.random.default_rng(3), n_threads=1)
    many, _ = kernels.greedy_seeds(X, 40, rng=np.random.default_rng(3), n_threads=4)
    np.testing.assert_array_equal(one, many)


def test_rows_without_weight_are_never_drawn():
    X = np.random.default_rng(0).normal(size=(300, 2))
    w = np.zeros(300)
    w[::10] = 1.0
    chosen, _ = kernels.greedy_seeds(X, 30, weights=w, rng=np.random.default_rng(0))
    assert set(chosen) == set(range(0, 300, 10))


def test_more_seeds_than_distinct_rows_repeat_rows():
    X = np.repeat([[0.0], [1.0]], 5, axis=0)
    chosen, closest = kernels.greedy_seeds(X, 4, rng=np.random.default_rng(0))
    assert set(X[chosen].ravel()) == {0.0, 1.0}
    assert (closest == 0).all()


def test_fortran_and_strided_rows_give_the_same_seeds():
    X = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
    wide = np.zeros((1000, 12), np.float32)
    wide[::2, ::2] = X
    seeds = [
        kernels.greedy_seeds(A, 9, rng=np.random.default_rng(1))[0]
        for A in (X, np.asfortranarray(X), wide[::2, ::2])
    ]
    np.testing.assert_array_equal(seeds[0], seeds[1])
    np.testing.assert_array_equal(seeds[0], seeds[2])


def test_no_rows_is_an_error():
    with pytest.raises(BadInputError, match="no rows"):
        kernels.greedy_seeds(np.empty((0, 2)), 1, rng=np.random.default_rng(0))
