"""Exact totals against rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shoal.kernels import _native
from shoal.summary.totals import ExactTotals, trim, untrim

single = st.floats(width=32, allow_nan=False, allow_infinity=False)
double = st.floats(-1e150, 1e150).filter(lambda x: x == 0 or abs(x) > 1e-120)


def exact(column, weights=None):
    """Weight, mean and scatter of a column as fractions."""
    xs = [Fraction(float(x)) for x in column]
    ws = [Fraction(1)] * len(xs) if weights is None else [Fraction(float(w)) for w in weights]
    W = sum(ws)
    S = sum(w * x for w, x in zip(ws, xs, strict=True))
    Q = sum(w * x * x for w, x in zip(ws, xs, strict=True))
    return W, S / W, Q - S * S / W


def limbs(t):
    return t.sum_limbs.tobytes() + t.square_limbs.tobytes() + t.weight_limbs.tobytes()


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=single))
def test_float32_is_exact_to_the_last_bit(X):
    t = ExactTotals.empty(X.shape[1]).add(X)
    for j in range(X.shape[1]):
        W, mean, scatter = exact(X[:, j])
        assert t.weight == float(W)
        assert t.mean()[j] == float(mean)
        assert t.scatter()[j] == float(scatter)


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 2)), elements=double))
def test_float64_is_exact_to_the_last_bit(X):
    t = ExactTotals.empty(X.shape[1]).add(X)
    for j in range(X.shape[1]):
        _, mean, scatter = exact(X[:, j])
        assert t.mean()[j] == float(mean)
        assert t.scatter()[j] == float(scatter)


@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(2, 30), st.just(1)), elements=st.floats(-1e6, 1e6, width=32)
    ),
    st.integers(0, 2**32 - 1),
)
def test_weighted_totals_are_right_to_rounding(X, seed):
    w = np.random.default_rng(seed).exponential(size=len(X)) + 1e-3
    t = ExactTotals.empty(1).add(X, w)
    W, mean, scatter = exact(X[:, 0], w)
    assert t.weight == float(W)
    assert t.mean()[0] == pytest.approx(float(mean), rel=1e-14, abs=1e-290)
    assert t.scatter()[0] == pytest.approx(
        float(scatter), rel=1e-12, abs=float(X[:, 0].astype(float) @ X[:, 0]) * 1e-25
    )


@settings(max_examples=30)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.permutations(range(6)), st.booleans())
def test_order_and_grouping_do_not_change_a_bit(sizes, order, weighted):
    rng = np.random.default_rng(sum(sizes))
    blocks = [(rng.normal(size=(n, 2)) * 10.0 ** rng.integers(-20, 20)).astype(np.float32) for n in sizes]
    weights = [rng.random(n) if weighted else None for n in sizes]
    forward = ExactTotals.empty(2)
    for X, w in zip(blocks, weights, strict=True):
        forward.add(X, w)
    merged = ExactTotals.empty(2)
    for i in [i for i in order if i < len(blocks)]:
        merged = (
            ExactTotals.empty(2)
            .add(blocks[i][::-1], None if weights[i] is None else weights[i][::-1])
            .merge(merged)
        )
    assert limbs(forward) == limbs(merged)
    assert forward.count == merged.count


def test_result_equal_in_diff_n_threads():
    X = np.random.default_rng(0).normal(size=(60_000, 5)).astype(np.float32)
    assert len({limbs(ExactTotals.empty(5).add(X, None, n)) for n in (1, 2, 7)}) == 1


@pytest.mark.parametrize("offset", [1e4, 1e8, 1e12])
def test_an_offset_cancels_nothing(offset):
    base = np.random.default_rng(0).integers(-1000, 1000, size=(5000, 1)).astype(np.float64)
    t = ExactTotals.empty(1).add(base + offset)
    assert t.scatter()[0] == float(exact(base[:, 0])[2])


def test_strided_columns_and_many_columns():
    X = np.random.default_rng(0).normal(size=(500, 70)).astype(np.float32)
    assert limbs(ExactTotals.empty(70).add(np.asfortranarray(X))) == limbs(ExactTotals.empty(70).add(X))
    wide = np.repeat(X, 2, axis=1)
    assert limbs(ExactTotals.empty(70).add(wide[:, ::2])) == limbs(ExactTotals.empty(70).add(X))


def fractions_of(column):
    """The sums of a float32 column and of its squares, by exponent and Python's own integers."""
    mantissas, exponents = np.frexp(column.astype(np.float64))
    whole = (mantissas * 2**24).astype(np.int64)
    total = square = Fraction(0)
    for e in np.unique(exponents):
        some = whole[exponents == e].tolist()
        total += sum(some) * Fraction(2) ** (int(e) - 24)
        square += sum(m * m for m in some) * Fraction(2) ** (2 * int(e) - 48)
    return total, square


KINDS = {
    "near": lambda rng, shape: rng.normal(size=shape) * 3 + 1,
    "far apart": lambda rng, shape: 10.0 ** rng.uniform(-44, 38, size=shape),
    "one far": lambda rng, shape: np.where(rng.random(shape) < 0.001, 1e30, rng.normal(size=shape)),
    "below normal": lambda rng, shape: rng.normal(size=shape) * 1e-39,
    "at both edges": lambda rng, shape: 2.0 ** rng.integers(0, 30, size=shape) * (2 - 2.0**-23),
    "largest": lambda rng, shape: np.full(shape, -3.4028234e38),
    "zeros": lambda rng, shape: np.where(rng.random(shape) < 0.5, -0.0, 7.0) * (rng.random(shape[1]) < 0.7),
}
LAYOUTS = {
    "packed": lambda X: X,
    "fewer columns": lambda X: np.pad(X, ((0, 0), (1, 2)))[:, 1:-2],
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "by columns": np.asfortranarray,
}


@pytest.mark.parametrize("kernel", ["portable", "avx2", "avx512"])
@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(sorted(LAYOUTS)),
    st.one_of(st.integers(1, 40), st.integers(500, 1200)),
    st.integers(1, 36),
    st.integers(0, 2**32 - 1),
)
def test_every_kernel_adds_float32_exactly_whatever_the_layout(kernel, kind, layout, n, d, seed):
    if not _native.variant_supported(kernel):
        pytest.skip(f"this processor has no {kernel}")
    with np.errstate(over="ignore"):
        X = KINDS[kind](np.random.default_rng(seed), (n, d)).astype(np.float32)
    used = _native.variant()
    _native.select_variant(kernel)
    try:
        t = ExactTotals.empty(d).add(LAYOUTS[layout](X), None, 1 + seed % 3)
    finally:
        _native.select_variant(used)
    for j in range(d):
        total, square = fractions_of(X[:, j])
        assert t.mean()[j] == float(total / n)
        assert t.scatter()[j] == float(square - total**2 / n)


def test_more_rows_than_a_bin_holds():
    X = np.full((70_000, 1), 3.4e38, np.float32)
    t = ExactTotals.empty(1).add(X)
    assert t.mean()[0] == float(X[0, 0])
    assert t.scatter()[0] == 0.0


def test_trim_comes_back():
    t = ExactTotals.empty(3).add(np.random.default_rng(0).normal(size=(100, 3)) * 1e30)
    small, negative, start = trim(t.sum_limbs)
    assert small.shape[1] < 8
    assert negative.any()
    assert not negative.all()
    np.testing.assert_array_equal(untrim(small, negative, start), t.sum_limbs)


def test_no_rows_have_no_mean():
    t = ExactTotals.empty(2)
    assert t.weight == 0.0
    assert (t.mean() == 0).all()
    assert (t.scatter() == 0).all()
