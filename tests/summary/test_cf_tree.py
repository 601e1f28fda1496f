from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shoal import kernels
from shoal.errors import ShoalError
from shoal.summary.cf_tree import CFTree, node_bytes


class PlainTree:
    """Insertion in plain float64 Python: nodes are lists of [n, mean, S, child]."""

    def __init__(self, threshold, branching):
        self.root, self.leaf, self.T2, self.B = [], True, threshold**2, branching
        self.depth = 0

    def insert(self, x, w):
        fresh = self._into(self.root, self.depth, np.asarray(x, float), w)
        if fresh is not None:
            self.root = [self.summary(self.root), self.summary(fresh)]
            self.depth += 1

    def _into(self, node, depth, x, w):
        if node:
            i = int(np.argmin([((e[1] - x) ** 2).sum() for e in node]))
            n, mean, S, child = node[i]
            joined = [n + w, mean + w / (n + w) * (x - mean), S + n * w / (n + w) * ((x - mean) ** 2).sum()]
            if depth:
                fresh = self._into(child, depth - 1, x, w)
                if fresh is None:
                    node[i] = [*joined, child]
                    return None
                node[i] = self.summary(child)
                node.append(self.summary(fresh))
                return self.divided(node) if len(node) > self.B else None
            if joined[2] <= self.T2 * joined[0]:
                node[i] = [*joined, None]
                return None
        node.append([w, x.copy(), 0.0, None])
        return self.divided(node) if len(node) > self.B else None

    @staticmethod
    def divided(node):
        M = np.array([e[1] for e in node])
        D = ((M[:, None] - M) ** 2).sum(axis=2)
        a, b = np.unravel_index(D.argmax(), D.shape)
        stays = D[a] < D[b]
        stays[a] = True
        fresh = [e for e, s in zip(node, stays, strict=True) if not s]
        node[:] = [e for e, s in zip(node, stays, strict=True) if s]
        return fresh

    @staticmethod
    def summary(node):
        n = sum(e[0] for e in node)
        mean = sum(e[0] * e[1] for e in node) / n
        return [n, mean, sum(e[2] + e[0] * ((e[1] - mean) ** 2).sum() for e in node), node]

    def entries(self):
        level = [self.root]
        for _ in range(self.depth):
            level = [e[3] for node in level for e in node]
        return [e for node in level for e in node]


@pytest.fixture(params=kernels.VARIANTS)
def variant(request):
    usual = kernels.variant()
    try:
        kernels.use_variant(request.param)
    except ShoalError:
        pytest.skip("this processor does not run it")
    yield request.param
    kernels.use_variant(usual)


@pytest.mark.parametrize(
    ("branching", "threshold", "d"), [(2, 0.3, 1), (4, 0.5, 3), (20, 0.2, 2), (70, 0.1, 2), (9, 3.0, 17)]
)
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_entries_are_those_of_plain_insertion(variant, branching, threshold, d, offset):
    rng = np.random.default_rng(d)
    X, w = rng.normal(size=(600, d)) + offset, rng.uniform(0.5, 2, 600)
    plain = PlainTree(threshold, branching)
    for x, one in zip(X, w, strict=True):
        plain.insert(x, one)
    expected = plain.entries()
    found = CFTree(threshold, branching_factor=branching, max_leaf_entries=None).update(X, w).points()
    assert len(found.X) == len(expected)
    np.testing.assert_allclose(
        found.X - offset, [e[1] - offset for e in expected], rtol=0, atol=1e-12 + offset * 1e-15
    )
    np.testing.assert_allclose(found.weights, [e[0] for e in expected], rtol=1e-12)
    np.testing.assert_allclose(found.scatter, [e[2] for e in expected], rtol=1e-6, atol=1e-9)


def totals(X, w):
    mean = w @ X / w.sum()
    return w.sum(), mean, (w[:, None] * (X - mean) ** 2).sum()


def held(points):
    n, mean, between = totals(points.X, points.weights)
    return n, mean, between + points.scatter.sum()


def assert_conserved(points, X, w):
    for found, expected in zip(held(points), totals(X, w), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-7)


rows_of_three = arrays(
    np.float64, st.tuples(st.integers(1, 120), st.just(3)), elements=st.floats(-100, 100, width=32)
)


@settings(max_examples=60, deadline=None)
@given(rows_of_three, rows_of_three, st.integers(2, 9), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_totals_are_conserved(A, B, branching, budget, seed):
    rng = np.random.default_rng(seed)
    v, w = rng.uniform(0.1, 5, len(A)), rng.uniform(0.1, 5, len(B))
    a = CFTree(branching_factor=branching, max_leaf_entries=budget)
    for part in np.array_split(rng.permutation(len(A)), 3):
        a.update(A[part], v[part])
    b = CFTree(branching_factor=branching, max_leaf_entries=budget).update(B, w)
    assert a.n_entries <= budget
    assert_conserved(a.points(), A, v)
    merged = a.merge(b)
    assert merged.n_entries <= budget
    assert merged.to_bytes() == b.merge(a).to_bytes()
    assert_conserved(merged.points(), np.concatenate([A, B]), np.concatenate([v, w]))


def test_offset_of_1e8_keeps_scatter():
    X = np.random.default_rng(0).normal(size=(20_000, 4))
    far = X + 1e8
    n, mean, scatter = held(CFTree(max_leaf_entries=50).update(far).points())
    assert n == 20_000
    np.testing.assert_allclose(mean - 1e8, X.mean(axis=0), atol=2e-6)
    np.testing.assert_allclose(scatter, totals(X, np.ones(len(X)))[2], rtol=1e-6)


def test_weighted_equals_repeated():
    rng = np.random.default_rng(1)
    X, w = rng.normal(size=(300, 2)), rng.integers(1, 5, 300)
    one = CFTree(0.2).update(X, w.astype(float)).points()
    many = CFTree(0.2).update(np.repeat(X, w, axis=0)).points()
    # a row that is split between two entries by the threshold may differ; totals do not
    np.testing.assert_allclose(held(one)[0], held(many)[0])
    np.testing.assert_allclose(held(one)[2], held(many)[2])


def test_equal_rows_are_one_entry():
    tree = CFTree().update(np.full((1000, 3), 0.1))
    points = tree.points()
    assert (points.X == 0.1).all()
    assert points.weights.tolist() == [1000.0]
    assert points.scatter.tolist() == [0.0]


def test_rows_of_weight_zero_are_counted_only():
    tree = CFTree().update([[1.0], [5.0]], [0.0, 1.0])
    assert tree.count == 2
    assert tree.points().X.tolist() == [[5.0]]
    nothing = CFTree().update([[1.0]], [0.0])
    assert nothing.count == 1
    assert len(nothing.points().X) == 0
    assert CFTree.from_bytes(nothing.to_bytes()).to_bytes() == nothing.to_bytes()
    assert nothing.merge(tree).points().X.tolist() == [[5.0]]


def test_a_deep_tree_needs_no_recursion():
    tree = CFTree(branching_factor=2, max_leaf_entries=None).update(np.arange(20_000.0)[:, None] ** 2)
    assert tree.n_entries == 20_000
    again = pickle.loads(pickle.dumps(tree))
    assert again.to_bytes() == tree.to_bytes()
    assert again.points().weights.sum() == 20_000


def test_budget_of_bytes_is_kept():
    X = np.random.default_rng(0).normal(size=(20_000, 8))
    budget = 40 * node_bytes(8, 50)
    tree = CFTree(max_bytes=budget, max_leaf_entries=None)
    for part in np.array_split(X, 20):
        assert tree.update(part).nbytes <= budget
    assert_conserved(tree.points(), X, np.ones(len(X)))
    with pytest.raises(ShoalError, match="at least"):
        CFTree(max_bytes=100).update(X)


def test_merge_takes_smaller_budget_and_larger_threshold():
    X = np.random.default_rng(0).normal(size=(500, 2))
    a, b = CFTree(0.1, max_leaf_entries=100).update(X), CFTree(0.3, max_leaf_entries=300).update(X + 1)
    ab = a.merge(b)
    assert ab.max_leaf_entries == 100
    assert ab.threshold == 0.3
    assert ab.current_threshold >= max(a.current_threshold, b.current_threshold)
    with pytest.raises(ShoalError, match="branching"):
        a.merge(CFTree(branching_factor=9))


def test_a_threshold_of_rows_that_barely_differ_grows_out_of_zero():
    X = np.linspace(0, 1e-200, 500)[:, None]
    tree = CFTree(max_leaf_entries=10).update(X)
    assert 1 <= tree.n_entries <= 10
    assert tree.points().weights.sum() == 500


@pytest.mark.parametrize(
    "settings",
    [
        {"threshold": -1},
        {"threshold": np.nan},
        {"branching_factor": 1},
        {"max_leaf_entries": 0},
        {"half_life": 0},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ShoalError):
        CFTree(**settings)
