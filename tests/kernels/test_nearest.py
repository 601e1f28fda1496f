"""Nearest centre against a plain float64 oracle, for every instruction-set variant."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal import kernels
from shoal.errors import BadInputError, ShoalError

AVAILABLE = [v for v in kernels.VARIANTS if kernels._native.variant_supported(v)]
ROWS = (1, 2, 7, 31, 64, 65, 257)
WIDTHS = (1, 2, 3, 13, 16, 47, 64, 65, 128, 129, 500, 2000)
CENTRES = (1, 2, 5, 6, 7, 13, 97, 101, 300)


@pytest.fixture(params=AVAILABLE)
def variant(request):
    before = kernels.variant()
    kernels.use_variant(request.param)
    yield request.param
    kernels.use_variant(before)


def oracle(X, C):
    """(n, k) squared distances in float64, centre by centre."""
    X, C = np.asarray(X, np.float64), np.asarray(C, np.float64)
    return np.stack([((X - c) ** 2).sum(axis=1) for c in C], axis=1)


def data(n, d, k, dtype, offset=0.0):
    rng = np.random.default_rng([n, d, k])
    return (rng.normal(size=(n, d)) + offset).astype(dtype), (rng.normal(size=(k, d)) + offset).astype(dtype)


def check(X, C, *, rtol):
    found = kernels.nearest(X, C, second=True)
    D = oracle(X, C)
    rows = np.arange(len(D))
    least = D.min(axis=1)
    floor = 1e-12 + rtol * 1e-3 * np.median(D)
    # the label's true distance is the least one, up to rounding: ties may go either way
    np.testing.assert_allclose(D[rows, found.labels], least, rtol=rtol, atol=floor)
    np.testing.assert_allclose(found.squared, D[rows, found.labels], rtol=rtol, atol=floor)
    if len(C) > 1:
        np.testing.assert_allclose(found.second, np.sort(D, axis=1)[:, 1], rtol=rtol, atol=floor)
    else:
        assert np.isinf(found.second).all()
    assert found.labels.dtype == np.int32
    assert found.squared.dtype == found.second.dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", WIDTHS)
def test_labels_and_distances_equal_a_float64_oracle(variant, d, dtype):
    for n in ROWS:
        for k in CENTRES:
            if n * k * d > 20_000_000:
                continue
            X, C = data(n, d, k, dtype)
            check(X, C, rtol=2e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("d", [5, 60, 200])
def test_float32_labels_equal_the_exact_argmin_but_for_ties(variant, d):
    X, C = data(3000, d, 150, np.float32)
    labels = kernels.nearest(X, C).labels
    D = oracle(X, C)
    wrong = labels != D.argmin(axis=1)
    gap = D[np.arange(len(D)), labels] - D.min(axis=1)
    assert wrong.mean() < 1e-3
    assert (gap[wrong] <= 1e-5 * D.min(axis=1)[wrong]).all()


@pytest.mark.parametrize("d", [3, 100, 300])
def test_nearly_tied_centres_are_told_apart(variant, d):
    """Where |c|^2 - 2 x.c in float32 is too coarse, the bound must send the row to the exact search."""
    rng = np.random.default_rng(d)
    base = rng.normal(size=d) * 100
    C = (base + rng.normal(size=(120, d)) * 1e-3).astype(np.float32)
    X = C[rng.integers(len(C), size=400)] + (rng.normal(size=(400, d)) * 1e-5).astype(np.float32)
    D = oracle(X, C)
    labels = kernels.nearest(X, C).labels
    chosen = D[np.arange(len(D)), labels]
    assert (chosen <= D.min(axis=1) * (1 + 1e-4) + 1e-12).all()


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_an_offset_of_all_data_does_not_disturb(variant, offset):
    for d in (4, 200):
        X, C = data(300, d, 20, np.float64, offset)
        check(X, C, rtol=1e-9)


def layouts(X):
    yield "fortran", np.asfortranarray(X)
    yield "reversed", np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    wide = np.zeros((X.shape[0] * 2, X.shape[1] * 3), X.dtype)
    wide[::2, ::3] = X
    yield "strided", wide[::2, ::3]
    frozen = X.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    raw = np.zeros(X.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(X.dtype).reshape(X.shape)
    unaligned[...] = X
    yield "unaligned", unaligned
    yield "byte-swapped", X.astype(X.dtype.newbyteorder())


@pytest.mark.parametrize("d", [5, 150])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_layout_does_not_matter(variant, d, dtype):
    X, C = data(133, d, 11, dtype)
    plain = kernels.nearest(X, C, second=True)
    totals = kernels.accumulate(X, C)
    for name, same in layouts(X):
        found = kernels.nearest(same, C, second=True)
        np.testing.assert_array_equal(found.labels, plain.labels, err_msg=name)
        np.testing.assert_allclose(found.squared, plain.squared, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(
            kernels.accumulate(same, C).sums, totals.sums, rtol=1e-6, atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("d", [2, 70, 200])
def test_totals_equal_a_plain_sum(variant, d):
    X, C = data(5000, d, 23, np.float32)
    w = np.random.default_rng(0).random(5000)
    t = kernels.accumulate(X, C, w)
    sums = np.zeros((23, d))
    np.add.at(sums, t.labels, w[:, None] * X.astype(np.float64))
    np.testing.assert_allclose(t.sums, sums, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(t.counts, np.bincount(t.labels, w, 23), rtol=1e-12)
    D = oracle(X, C)
    np.testing.assert_allclose(t.inertia, w @ D[np.arange(5000), t.labels], rtol=1e-5)


@pytest.mark.parametrize("d", [2, 64, 300])
def test_result_equal_in_diff_n_threads(variant, d):
    X, C = data(20_001, d, 9, np.float32)
    w = np.random.default_rng(1).random(len(X))
    one = kernels.accumulate(X, C, w, n_threads=1)
    for n_threads in (2, 3, 7):
        many = kernels.accumulate(X, C, w, n_threads=n_threads)
        assert one.inertia == many.inertia
        for a, b in zip(one, many, strict=True):
            np.testing.assert_array_equal(a, b)


def test_no_rows_give_empty_answers(variant):
    found = kernels.nearest(np.empty((0, 3)), np.zeros((2, 3)), second=True)
    assert found.labels.shape == found.squared.shape == found.second.shape == (0,)
    assert kernels.accumulate(np.empty((0, 3)), np.zeros((2, 3))).inertia == 0.0


def test_no_centres_is_an_error():
    with pytest.raises(BadInputError, match="no centres"):
        kernels.nearest(np.zeros((2, 3)), np.empty((0, 3)))


def test_widths_that_differ_are_named():
    with pytest.raises(BadInputError, match="3 columns but the centres have 2"):
        kernels.nearest(np.zeros((2, 3)), np.zeros((1, 2)))


def test_weights_of_another_length_are_an_error():
    with pytest.raises(BadInputError, match=r"weights have shape \(3,\), not \(2,\)"):
        kernels.accumulate(np.zeros((2, 3)), np.zeros((1, 3)), [1, 2, 3])


@given(st.integers(1, 80), st.integers(1, 90), st.integers(1, 20), st.integers(0, 2**32 - 1), st.booleans())
def test_any_shape_agrees_with_the_oracle(n, d, k, seed, single):
    rng = np.random.default_rng(seed)
    dtype = np.float32 if single else np.float64
    X, C = rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(k, d)).astype(dtype)
    check(X, C, rtol=2e-5 if single else 1e-12)


@pytest.mark.parametrize("name", AVAILABLE)
def test_the_environment_forces_a_variant(name):
    code = "from shoal import kernels; print(kernels.variant())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"SHOAL_KERNEL": name}, capture_output=True, text=True
    )
    assert done.stdout.strip() == name


def test_an_unknown_variant_is_an_error_that_lists_the_known():
    with pytest.raises(ShoalError, match="portable"):
        kernels.use_variant("mmx")


def test_threads_obey_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert kernels.default_threads() == 3
    assert kernels.default_threads(1) == 1
    with pytest.raises(ShoalError, match="n_threads=0"):
        kernels.default_threads(0)


def test_the_gil_is_released():
    """Two Python threads in the kernel at once: the second makes progress while the first computes."""
    import threading

    X, C = data(100_000, 64, 200, np.float32)
    ticks, running = 0, True

    def work():
        nonlocal running
        kernels.nearest(X, C, n_threads=1)
        running = False

    thread = threading.Thread(target=work)
    thread.start()
    while running:
        ticks += 1
    thread.join()
    assert ticks > 1000


def test_rows_without_columns_all_lie_on_the_first_centre(variant):
    found = kernels.nearest(np.empty((5, 0)), np.empty((2, 0)), second=True)
    assert (found.labels == 0).all()
    assert (found.squared == 0).all()
    assert kernels.accumulate(np.empty((5, 0), np.float32), np.empty((3, 0))).counts.tolist() == [5, 0, 0]


def test_vectors_of_equal_values_keep_their_labels(variant):
    """Rounding errors that all point one way: a probabilistic bound is broken by them."""
    values = np.random.default_rng(0).uniform(0.5, 2, size=120).astype(np.float32)
    rows = np.random.default_rng(1).uniform(0.5, 2, size=500).astype(np.float32)
    for d in (300, 1024):
        labels = kernels.nearest(np.repeat(rows[:, None], d, 1), np.repeat(values[:, None], d, 1)).labels
        gaps = np.abs(rows[:, None].astype(float) - values.astype(float))
        assert (gaps[np.arange(500), labels] == gaps.min(axis=1)).all()


def test_more_threads_than_the_system_gives_are_no_crash():
    """Threads that cannot be had must not take the process down; run apart, as memory is limited for it."""
    code = (
        "import resource, numpy as np\n"
        "from shoal import kernels\n"
        "X = np.random.default_rng(0).normal(size=(2048 * 300, 2)).astype('f4')\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "print(kernels.nearest(X, X[:3], n_threads=1000).labels.shape[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == str(2048 * 300), done.stderr


def test_no_candidates_are_an_error():
    with pytest.raises(BadInputError, match="at least one candidate"):
        kernels.greedy_seeds(np.zeros((5, 2)), 2, candidates=0, rng=np.random.default_rng(0))
