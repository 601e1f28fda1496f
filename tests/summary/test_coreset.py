"""What the priority sample promises beyond the checks of any summary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.summary.checks import rows
from shoal.summary.coreset import Coreset


def summary(X, w=None, *, key, keep=300, seed=0, start=0):
    numbers = np.arange(start, start + len(X))
    return Coreset(k_max=4, rows=keep, seed=seed).update(X, w, key=key, rows=numbers)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 900), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_any_grouping_and_order_of_merges_is_the_same_bit_for_bit(sizes, random):
    parts = [
        summary(rows(n, seed=i), key=i) if n else Coreset(k_max=4, rows=300) for i, n in enumerate(sizes)
    ]
    expected = None
    for _ in range(3):
        left = list(parts)
        while len(left) > 1:
            a = left.pop(random.randrange(len(left)))
            b = left.pop(random.randrange(len(left)))
            left.append(a.merge(b))
        data = left[0].to_bytes()
        expected = expected or data
        assert data == expected


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=12))
def test_any_batch_sizes_give_the_same_bits(sizes):
    X = rows(sum(sizes))
    whole = summary(X, key=9, keep=200)
    parts = Coreset(k_max=4, rows=200)
    start = 0
    for n in sizes:
        parts.update(X[start : start + n], key=9, rows=np.arange(start, start + n))
        start += n
    keyed = Coreset(k_max=4, rows=200).update(X, key=9, rows=np.arange(len(X)))
    assert keyed.to_bytes() == parts.to_bytes()
    assert whole.points().X.tobytes() == keyed.points().X.tobytes()


def test_result_equal_in_diff_n_threads():
    X = rows(30_000, d=20)
    answers = {Coreset(rows=500, n_threads=n).update(X).to_bytes() for n in (1, 2, 5)}
    assert len(answers) == 1


def test_the_same_rows_twice_count_once_in_the_sample():
    a = summary(rows(2000, seed=1), key=1)
    b = summary(rows(2000, seed=2), key=2)
    once, twice = a.merge(b), a.merge(b).merge(a)
    np.testing.assert_array_equal(once.points().X, twice.points().X)
    assert once.tau == twice.tau
    assert twice.count == 6000  # totals cannot know


def test_redelivered_rows_in_one_stream_count_once():
    X = rows(1000)
    s = Coreset(k_max=4, rows=5000).update(X, key=3, rows=np.arange(1000))
    s.update(X[:400], key=3, rows=np.arange(400))
    assert len(s.points().X) == 1000


def test_few_rows_are_kept_exactly():
    X = rows(300)
    points = Coreset(k_max=4, rows=300).update(X).points()
    assert sorted(map(tuple, points.X)) == sorted(map(tuple, X))
    assert (points.weights == 1.0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_estimates_are_unbiased(weighted):
    """Horvitz-Thompson: over many seeds the estimate of any total meets the truth."""
    X = rows(4000, d=2)
    w = np.random.default_rng(0).exponential(size=len(X)) if weighted else None
    truth = np.average(X, axis=0, weights=w), np.average((X[:, 1] > 4), weights=w)
    means, shares = [], []
    for seed in range(60):
        p = summary(X, w, key=1, keep=200, seed=seed).points()
        means.append(np.average(p.X, axis=0, weights=p.weights))
        shares.append(np.average(p.X[:, 1] > 4, weights=p.weights))
    error = np.std(means, axis=0) / np.sqrt(60)
    assert (np.abs(np.mean(means, axis=0) - truth[0]) < 4 * error).all()
    assert abs(np.mean(shares) - truth[1]) < 4 * np.std(shares) / np.sqrt(60)


def test_weighted_equals_repeated_in_expectation():
    X = rows(1500, d=2)
    times = np.random.default_rng(2).integers(1, 5, size=len(X))
    repeated = np.repeat(X, times, axis=0)

    def cost(points):
        return float(points.weights @ ((points.X - X.mean(axis=0)) ** 2).sum(axis=1))

    a = [cost(summary(X, times.astype(float), key=1, keep=200, seed=s).points()) for s in range(40)]
    b = [cost(summary(repeated, key=1, keep=200, seed=s).points()) for s in range(40)]
    truth = float(times @ ((X - X.mean(axis=0)) ** 2).sum(axis=1))
    for found in (a, b):
        assert abs(np.mean(found) - truth) < 4 * np.std(found) / np.sqrt(40)


def test_far_and_rare_rows_are_kept():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50_000, 2)).astype(np.float32)
    X[40_000:40_008] += 500
    p = Coreset(k_max=4, rows=500).update(X).points()
    assert (p.X[:, 0] > 250).sum() == 8


def test_sorted_rows_are_summarised_as_well_as_shuffled():
    X = rows(40_000, d=3)
    ordered = X[np.argsort(X[:, 1])]
    truth = ((X - X.mean(axis=0)) ** 2).sum(axis=1).mean()
    for data in (X, ordered):
        p = Coreset(k_max=8, rows=2000).update(data).points()
        mean = np.average(p.X, axis=0, weights=p.weights)
        spread = np.average(((p.X - mean) ** 2).sum(axis=1), weights=p.weights)
        assert abs(spread / truth - 1) < 0.1


@pytest.mark.parametrize("max_bytes", [300_000, 2_000_000, 20_000_000])
@pytest.mark.parametrize("d", [2, 64])
def test_memory_stays_inside_the_budget(d, max_bytes):
    s = Coreset(max_bytes=max_bytes)
    for i in range(12):
        s.update(rows(20_000, d=d, seed=i))
        assert s.nbytes <= max_bytes
        s.points()
        assert s.nbytes <= max_bytes


def test_a_budget_too_small_for_the_width_says_how_much_is_needed():
    with pytest.raises(ShoalError, match="give at least"):
        Coreset(max_bytes=10_000).update(rows(10, d=500))
    need = 5_000_000
    assert Coreset(max_bytes=need).update(rows(10, d=500)).nbytes <= need


def test_other_seeds_do_not_merge():
    a, b = Coreset(seed=1).update(rows(10)), Coreset(seed=2).update(rows(10))
    with pytest.raises(ShoalError, match="seeds"):
        a.merge(b)


def test_precisions_merge_to_the_finer():
    a = Coreset(k_max=4).update(rows(100))
    b = Coreset(k_max=4).update(rows(100, seed=1).astype(np.float64) + 1e-9)
    merged = a.merge(b).points()
    assert merged.X.dtype == np.float64
    assert a.merge(b).to_bytes() == b.merge(a).to_bytes()
    assert 1e-9 in np.abs(merged.X[:, :1] - rows(100, seed=1)[:, 0]).round(12)


def test_a_summary_that_learns_the_same_array_again_after_a_merge_takes_it_as_new():
    merged = summary(rows(900), key=1).merge(summary(rows(900, seed=2), key=2))
    a = Coreset(k_max=4, rows=300).update(rows(900, seed=3))
    again = a.merge(merged).update(rows(900, seed=3))
    kept = again.points().X
    assert len(np.unique(kept, axis=0)) > 0.9 * len(kept)


BAD = {
    "key without rows": (lambda s: s.update(rows(5), key=1), "go together"),
    "rows of another length": (lambda s: s.update(rows(5), key=1, rows=[0]), "5 rows with numbers of shape"),
    "negative key": (lambda s: s.update(rows(5), key=-1, rows=range(5)), "key -1"),
    "beyond float32": (
        lambda s: s.update(rows(5)).update(np.full((1, 3), 1e60)),
        "row 0, column 0.*scale the column",
    ),
    "beyond float64": (lambda s: s.update(np.full((1, 3), 1e120)), "scale the column"),
    "huge weight": (lambda s: s.update(rows(2), [1.0, 1e308]), "row 1: weight is 1e"),
    "NaN weight": (lambda s: s.update(rows(2), [1.0, np.nan]), "row 1: weight is nan"),
    "negative seed": (lambda s: Coreset(seed=-1), "seed=-1"),
}


@pytest.mark.parametrize(("act", "words"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_taken_in_is_refused_at_once(act, words):
    s = Coreset(k_max=4)
    with pytest.raises(ShoalError, match=words):
        act(s)
    s.points()


@pytest.mark.parametrize(
    "change",
    [
        lambda meta, arrays: meta.update(d=10**11),
        lambda meta, arrays: meta.update(rows=10**13, max_bytes=10**16),
        lambda meta, arrays: meta.update(tau=float("nan")),
        lambda meta, arrays: meta.pop("tau"),
        lambda meta, arrays: meta.update(dtype="O"),
        lambda meta, arrays: meta.update(m=10**9),
        lambda meta, arrays: meta["starts"].update(sum_limbs=69),
        lambda meta, arrays: arrays.update(sum_limbs=arrays["sum_limbs"][:1]),
        lambda meta, arrays: arrays.update(rough_weight=arrays["rough_weight"][:1]),
        lambda meta, arrays: arrays.update(kept_X=arrays["kept_X"][:, :1]),
        lambda meta, arrays: arrays.update(kept_ids=arrays["kept_ids"][:-1]),
        lambda meta, arrays: arrays.update(kept_X=arrays["kept_X"] * np.float32(np.nan)),
        lambda meta, arrays: arrays.update(pending_named=arrays["pending_named"][:-1]),
    ],
)
def test_well_sealed_nonsense_is_refused(change):
    """A right checksum over wrong contents must not reach the kernels."""
    from shoal.summary import wire

    s = Coreset(k_max=4, rows=300).update(rows(20_000))
    meta, arrays = wire.unpack("coreset", s.to_bytes())
    change(meta, arrays)
    with pytest.raises(DamagedFileError):
        Coreset.from_bytes(wire.pack("coreset", meta, arrays))


def test_small_and_large_budgets_and_precisions_merge():
    small = Coreset(max_bytes=1 << 20).update(rows(30_000, d=4))
    large = Coreset().update(rows(30_000, d=4, seed=1).astype(np.float64))
    merged = small.merge(large)
    assert merged.nbytes <= 1 << 20
    assert merged.to_bytes() == large.merge(small).to_bytes()


def test_pickles_are_small_and_safe_for_workers():
    import copy
    import pickle

    s = Coreset().update(rows(200))
    data = pickle.dumps(s)
    assert len(data) < 20_000
    assert pickle.loads(data).to_bytes() == copy.deepcopy(s).to_bytes() == s.to_bytes()


def test_rows_of_no_columns_and_of_one_dimension_are_errors():
    with pytest.raises(BadInputError, match="no columns"):
        Coreset().update(np.empty((3, 0)))
    with pytest.raises(BadInputError, match="1 dimensions"):
        Coreset().update(np.zeros(3))


def test_identical_rows_are_no_trouble():
    p = Coreset(k_max=4, rows=50).update(np.ones((20_000, 3))).points()
    assert (p.X == 1).all()
    assert p.weights.sum() == pytest.approx(20_000)


def test_rows_without_weight_are_never_kept():
    X = rows(1000)
    w = np.ones(1000)
    w[500:] = 0
    p = Coreset(k_max=4).update(X, w).points()
    assert len(p.X) == 500
    assert Coreset(k_max=4).update(X, np.zeros(1000)).points().weights.sum() == 0
