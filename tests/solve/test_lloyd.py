"""Lloyd's iteration against a plain float64 oracle and its own promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError
from shoal.solve.lloyd import lloyd


def blobs(n=600, d=3, k=4, seed=0):
    rng = np.random.default_rng(seed)
    C = rng.normal(size=(k, d)) * 8
    return C[rng.integers(k, size=n)] + rng.normal(size=(n, d))


def oracle(X, C, w, steps):
    for _ in range(steps):
        labels = ((X[:, None] - C[None]) ** 2).sum(-1).argmin(1)
        C = np.stack(
            [
                np.average(X[labels == c], axis=0, weights=w[labels == c]) if (labels == c).any() else C[c]
                for c in range(len(C))
            ]
        )
    return C


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_steps_equal_those_of_a_plain_implementation(steps):
    X = blobs()
    w = np.random.default_rng(1).random(len(X)) + 0.1
    found = lloyd(X, X[:4], weights=w, max_iter=steps, tol=0.0)
    np.testing.assert_allclose(found.centres, oracle(X, X[:4], w, steps), rtol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 4))
def test_inertia_never_rises_and_the_end_is_consistent(seed, k, d):
    X = blobs(200, d, 5, seed)
    found = lloyd(X, X[:k], tol=0.0)
    inertias = [s.inertia for s in found.steps if not s.repaired]
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(inertias))
    D = ((X[:, None] - found.centres[None]) ** 2).sum(-1)
    assert found.inertia == pytest.approx(D.min(1).sum(), rel=1e-9)
    np.testing.assert_allclose(D[np.arange(len(X)), found.labels], D.min(1), rtol=1e-12)
    np.testing.assert_allclose(found.counts, np.bincount(found.labels, minlength=k))


def test_weighted_equals_repeated():
    X = blobs(200)
    times = np.random.default_rng(0).integers(1, 5, len(X))
    a = lloyd(X, X[:4], weights=times.astype(float), tol=0.0)
    b = lloyd(np.repeat(X, times, axis=0), X[:4], tol=0.0)
    np.testing.assert_allclose(a.centres, b.centres, rtol=1e-10)
    assert a.inertia == pytest.approx(b.inertia)


def test_an_empty_cluster_is_given_the_row_worst_served():
    X = np.array([[0.0], [1.0], [2.0], [50.0]])
    found = lloyd(X, [[1.0], [1000.0]])
    assert found.steps[0].repaired == 1
    np.testing.assert_allclose(np.sort(found.centres.ravel()), [1.0, 50.0])


def test_fewer_distinct_rows_than_clusters_end_without_error():
    found = lloyd(np.ones((10, 2)), np.zeros((3, 2)) + np.arange(3)[:, None])
    assert found.inertia == 0.0
    assert found.converged


def test_cosine_centres_are_unit_vectors_and_opposite_rows_keep_the_old_one():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    found = lloyd(X, X[:3], metric="cosine")
    np.testing.assert_allclose(np.linalg.norm(found.centres, axis=1), 1.0)
    opposite = lloyd([[1.0, 0.0], [-1.0, 0.0]], [[0.0, 1.0]], metric="cosine")
    np.testing.assert_allclose(opposite.centres, [[0.0, 1.0]])


def test_spherical_means_equal_a_plain_implementation():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(200, 4)) + 1
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    C = X[:3]
    for _ in range(4):
        labels = (X @ C.T).argmax(1)
        C = np.stack([X[labels == c].sum(0) / np.linalg.norm(X[labels == c].sum(0)) for c in range(3)])
    np.testing.assert_allclose(lloyd(X, X[:3], metric="cosine", max_iter=4, tol=0.0).centres, C, rtol=1e-9)


def test_every_step_is_told_to_the_watcher():
    seen = []
    found = lloyd(blobs(), blobs()[:4], watch=lambda step, centres: seen.append((step, centres.copy())))
    assert tuple(step for step, _ in seen) == found.steps
    assert seen[0][0].moved == 600
    np.testing.assert_array_equal(seen[-1][1], found.centres)


def test_the_starting_centres_are_not_changed():
    X = blobs()
    start = X[:4].copy()
    lloyd(X, start)
    np.testing.assert_array_equal(start, X[:4])


def test_float32_far_from_zero_is_solved_as_well_as_float64():
    grid = np.random.default_rng(0).integers(0, 200, size=(2000, 2)) / 16
    far = (1e6 + grid).astype(np.float32)
    near = lloyd(grid, grid[:5], tol=0.0)
    moved = lloyd(far, far[:5], tol=0.0)
    assert moved.inertia == pytest.approx(near.inertia, rel=1e-4)
    np.testing.assert_allclose(moved.centres - 1e6, near.centres, atol=0.1)


def test_cosine_starts_of_any_length_mean_their_direction():
    X = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    a = lloyd(X, [[10.0, 10.0], [0.0, 1.0]], metric="cosine")
    b = lloyd(X, [[0.5**0.5, 0.5**0.5], [0.0, 1.0]], metric="cosine")
    np.testing.assert_array_equal(a.labels, b.labels)


def test_all_empty_clusters_are_repaired_though_some_donors_cannot_give():
    X = np.array([[0.0], [100.0], [200.0], [200.5], [201.0], [201.5]])
    found = lloyd(X, [[0.0], [201.0], [1e6], [2e6]], tol=0.0)
    assert (found.counts > 0).all()


def test_no_rows_is_an_error():
    with pytest.raises(BadInputError, match="no rows"):
        lloyd(np.empty((0, 2)), [[0.0, 0.0]])
