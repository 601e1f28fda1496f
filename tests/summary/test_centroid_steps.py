"""The moves of running centres against slow, plain versions of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.summary.centroid_steps import (
    Cells,
    condense,
    follow,
    follow_and_open,
    join,
    seed_cells,
    split_dying,
)


def some_cells(n, d=3, seed=0, offset=0.0):
    rng = np.random.default_rng([seed, n, d])
    return Cells(rng.normal(size=(n, d)) * 5 + offset, rng.uniform(0.1, 9, n), rng.uniform(0, 2, n))


def totals(cells):
    mean = cells.weights @ cells.centres / cells.weights.sum()
    between = cells.weights @ ((cells.centres - mean) ** 2).sum(axis=1)
    return np.array([cells.weights.sum(), *mean, between + cells.scatter.sum()])


def plain_join(cells, m):
    """Ward's method, every pair looked at each time."""
    parts = [(c, w, s) for c, w, s in zip(cells.centres, cells.weights, cells.scatter, strict=True)]
    while len(parts) > m:
        costs = {
            (i, j): parts[i][1]
            * parts[j][1]
            / (parts[i][1] + parts[j][1])
            * ((parts[i][0] - parts[j][0]) ** 2).sum()
            for i in range(len(parts))
            for j in range(i)
        }
        i, j = min(costs, key=costs.get)
        (a, v, r), (b, w, s) = parts[i], parts[j]
        parts[j] = ((v * a + w * b) / (v + w), v + w, r + s + costs[i, j])
        del parts[i]
    return parts


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 100), st.sampled_from([0.0, 1e6]))
def test_join_is_wards_method(n, m, seed, offset):
    cells = some_cells(n, seed=seed, offset=offset)
    found, expected = join(cells, m), plain_join(cells, m)
    assert len(found) == len(expected) == min(n, m)
    order = np.argsort(found.weights)
    expected.sort(key=lambda part: part[1])
    np.testing.assert_allclose(found.weights[order], [p[1] for p in expected])
    np.testing.assert_allclose(found.centres[order], [p[0] for p in expected], rtol=1e-9)
    np.testing.assert_allclose(found.scatter[order], [p[2] for p in expected], rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 50))
def test_joining_and_condensing_conserve_totals(n, m, seed):
    cells = some_cells(n, seed=seed)
    before = totals(cells)
    for smaller in (join(cells, m), condense(cells, m)):
        assert len(smaller) <= min(n, m)
        np.testing.assert_allclose(totals(smaller), before, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(totals(cells), before)  # and leave what they were given


def test_condensing_costs_no_more_than_joining():
    cells = some_cells(120, d=2)
    assert condense(cells, 10).scatter.sum() <= join(cells, 10).scatter.sum()


def test_a_large_join_is_the_same_by_either_product(monkeypatch):
    from shoal.summary import centroid_steps

    cells = some_cells(60, d=130)
    small = join(cells, 20)
    monkeypatch.setattr(centroid_steps, "ONE_THREAD", 0)
    np.testing.assert_allclose(join(cells, 20).centres, small.centres)


@pytest.mark.parametrize("scale", [1.0, 2.0**-890, 2.0**300])
def test_the_size_of_weights_leaves_no_trace(scale):
    """Event-time weights are against a landmark: as small as 2 ** -900, powers of two apart."""
    cells = some_cells(80)
    scaled = Cells(cells.centres, cells.weights * scale, cells.scatter * scale)
    np.testing.assert_allclose(condense(scaled, 9).centres, condense(cells, 9).centres, rtol=1e-9)
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(500, 3)) * 5, rng.uniform(0.5, 2, 500)
    moved = [
        follow_and_open(c.copy(), X, w * s, wanted=80, most=100, rng=np.random.default_rng(1), n_threads=1)
        for c, s in ((cells, 1.0), (scaled, scale))
    ]
    np.testing.assert_array_equal(moved[0].centres, moved[1].centres)
    np.testing.assert_array_equal(moved[0].weights * scale, moved[1].weights)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(0, 50), st.floats(0.1, 100), st.booleans())
def test_following_and_opening_conserve_totals(n, seed, spread, opening):
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(n, 3)) * spread, rng.integers(0, 4, n).astype(float)
    cells = some_cells(12, seed=seed)
    expected = totals(cells + Cells(X, w, np.zeros(n)))
    if opening:
        cells = follow_and_open(cells, X, w, wanted=12, most=15, rng=rng, n_threads=1)
        assert len(cells) <= 15
    else:
        follow(cells, X, w, 1)
        assert len(cells) == 12
    np.testing.assert_allclose(totals(cells), expected, rtol=1e-8, atol=1e-8)
    assert (cells.scatter >= 0).all()


def test_a_far_row_becomes_a_cell():
    cells = some_cells(12)
    X = np.concatenate([np.zeros((50, 3)), [[1e4, 0, 0]]])
    found = follow_and_open(
        cells, X, np.ones(51), wanted=12, most=15, rng=np.random.default_rng(0), n_threads=1
    )
    assert [1e4, 0, 0] in found.centres.tolist()


def test_seeding_finds_all_distinct_rows_and_no_more():
    X = np.repeat([[0.0, 1.0], [5.0, 5.0], [9.0, 0.0]], [100, 1, 20], axis=0)
    cells = seed_cells(X, np.ones(121), 8, np.random.default_rng(0), 1)
    assert sorted(cells.weights.tolist()) == [1.0, 20.0, 100.0]
    assert cells.scatter.sum() == 0


def test_only_a_dying_cell_is_replaced():
    cells = Cells(np.array([[0.0], [2e3], [5.0]]), np.array([1e9, 4.0, 12.0]), np.array([6.0, 2.0, 1.0]))
    cells.weights[1] = 10.0
    assert not split_dying(cells)
    cells.weights[1] = 9.0
    assert split_dying(cells)
    assert cells.weights.tolist() == [(1e9 + 9) / 2, (1e9 + 9) / 2, 12.0]
    assert cells.centres.ravel().tolist() == [1e-14, -1e-14, 5.0]
    assert cells.scatter.tolist() == [4.0, 4.0, 1.0]
