"""Which k: known structure is found, none is admitted, criteria equal their definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score

from shoal.errors import BadInputError
from shoal.solve.choose_k import adjusted_rand, choose_k
from shoal.solve.k_means import k_means
from shoal.solve.quality import quality

SIPU = Path(__file__).parents[3] / "shared/data/clustering_benchmarks/sipu"


def blobs(k, d, n=3000, apart=8.0, seed=0):
    rng = np.random.default_rng(seed)
    C = rng.normal(size=(k, d)) * apart / np.sqrt(d) * 2
    return (C[rng.integers(k, size=n)] + rng.normal(size=(n, d))).astype(np.float32)


@pytest.mark.parametrize(("k", "d"), [(3, 2), (5, 4), (4, 20), (8, 30)])
def test_clear_clusters_are_counted(k, d):
    answer = choose_k(blobs(k, d, seed=k), np.ones(3000), range(2, 13))
    assert answer.suggested == k
    assert answer.confidence > 0.3
    assert f"k = {k}" in answer.reasons[0]


NONE = {
    "normal 2-d": lambda rng: rng.normal(size=(3000, 2)),
    "normal 10-d": lambda rng: rng.normal(size=(3000, 10)),
    "long normal": lambda rng: rng.normal(size=(3000, 3)) * [10, 1, 1],
    "uniform square": lambda rng: rng.uniform(size=(3000, 2)),
    "uniform cube": lambda rng: rng.uniform(size=(3000, 6)),
    "few rows": lambda rng: rng.normal(size=(150, 2)),
}


@pytest.mark.parametrize("make", NONE.values(), ids=NONE.keys())
def test_no_structure_is_admitted(make):
    answer = choose_k(
        make(np.random.default_rng(0)).astype(np.float32),
        None or np.ones(len(make(np.random.default_rng(0)))),
        range(2, 11),
    )
    assert answer.suggested is None
    assert not answer.structure
    assert answer.reasons
    assert answer.most_voted in range(2, 11)


@pytest.mark.parametrize("n", [30, 60, 200, 1000])
def test_unequal_weights_do_not_make_structure_of_noise(n):
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X, w = rng.uniform(size=(n, 2)).astype(np.float32), rng.uniform(0.5, 1.5, n)
        found.append(choose_k(X, w, range(2, 9)).suggested)
    assert found.count(None) >= 5


def test_too_few_rows_to_tell_is_said():
    answer = choose_k(np.array([[0.0], [1.0], [5.0]]), np.ones(3), [2])
    assert answer.suggested is None
    assert answer.confidence == 0.0
    assert "too few rows" in answer.reasons[0]


@pytest.mark.skipif(not SIPU.exists(), reason="../shared/data is not here")
@pytest.mark.parametrize(("name", "k"), [("r15", 15), ("s1", 15), ("unbalance", 8), ("a1", 20)])
def test_benchmark_sets_are_counted(name, k):
    X = np.loadtxt(SIPU / f"{name}.data.gz").astype(np.float32)
    assert choose_k(X, np.ones(len(X)), range(2, 25)).suggested == k


def test_weights_count():
    X = blobs(3, 2)
    far = np.concatenate([X, X[:50] + 500]).astype(np.float32)
    w = np.ones(len(far))
    w[3000:] = 0.0
    assert choose_k(far, w, range(2, 7)).suggested == choose_k(X, np.ones(3000), range(2, 7)).suggested == 3


def test_equal_seeds_give_equal_answers():
    X = blobs(4, 3)
    a, b = (choose_k(X, np.ones(len(X)), range(2, 6), seed=1).to_dict() for _ in range(2))
    assert a == b


def test_a_range_cut_off_says_so():
    answer = choose_k(blobs(8, 5), np.ones(3000), range(2, 9))
    assert any("largest k tried" in r for r in answer.reasons)


def test_k_of_one_is_answered():
    answer = choose_k(blobs(3, 2), np.ones(3000), [1, 2, 3])
    assert answer.candidates[0].quality.explained == 0.0
    assert answer.to_dict()["candidates"][0]["silhouette"] is None


def test_more_clusters_than_distinct_rows_are_left_out():
    X = np.repeat(np.array([[0.0], [5.0], [9.0]], np.float32), 100, axis=0)
    answer = choose_k(X, np.ones(300), range(2, 8))
    assert [c.k for c in answer.candidates] == [2, 3]
    with pytest.raises(BadInputError, match="too much alike"):
        choose_k(X, np.ones(300), [5, 6])


@pytest.mark.parametrize("ks", [[], [0, 1]])
def test_a_bad_range_is_an_error(ks):
    with pytest.raises(BadInputError, match="cannot choose"):
        choose_k(blobs(2, 2), np.ones(3000), ks)


def test_criteria_equal_their_definitions():
    X = blobs(4, 3, n=800)
    found = k_means(X, 4)
    q = quality(X, np.ones(len(X)), found, len(X))
    assert q.calinski_harabasz == pytest.approx(calinski_harabasz_score(X, found.labels), rel=1e-5)
    D = np.sort(((X[:, None] - found.centres[None]) ** 2).sum(-1) ** 0.5, axis=1)
    assert q.silhouette == pytest.approx((1 - D[:, 0] / D[:, 1]).mean(), rel=1e-5)
    total = ((X - X.mean(0)) ** 2).sum()
    assert q.explained == pytest.approx(1 - found.inertia / total, rel=1e-5)
    spread = np.array(
        [np.sqrt(((X[found.labels == c] - found.centres[c]) ** 2).sum(1).mean()) for c in range(4)]
    )
    apart = np.linalg.norm(found.centres[:, None] - found.centres[None], axis=-1) + np.diag(
        np.full(4, np.inf)
    )
    assert q.davies_bouldin == pytest.approx(((spread[:, None] + spread) / apart).max(1).mean(), rel=1e-5)


def test_adjusted_rand_equals_scikit_learns():
    rng = np.random.default_rng(0)
    for k in (1, 2, 5):
        a, b = rng.integers(k, size=500), rng.integers(4, size=500)
        assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b))
