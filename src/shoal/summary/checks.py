"""What it means to be a summary: checks that any of them must pass.

``for check in all_checks(): check(make)``, and ``exact_checks()`` too where the order of merges is to leave no trace, where ``make(seed)`` builds an empty summary. Each check raises
AssertionError with a sentence that says what was broken. Batches are ordinary normal and clustered rows; a summary
that is special in what it accepts brings its own through ``rows``.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import DamagedFileError, NewerFormatError, ShoalError
from shoal.summary.protocol import Summary

Make = Callable[[int], Any]
Check = Callable[[Make], None]


def all_checks() -> list[Check]:
    """Every check of this module."""
    return [
        check_follows_the_protocol,
        check_empty_is_empty,
        check_weights_add_up,
        check_batch_size_does_not_matter,
        check_merge_commutes,
        check_grouping_conserves_totals,
        check_merge_with_empty_changes_nothing,
        check_looking_changes_nothing,
        check_goes_on_after_bytes,
        check_equal_histories_give_equal_bytes,
        check_damaged_bytes_are_refused,
        check_newer_bytes_are_refused,
        check_callers_arrays_are_not_kept,
        check_bad_rows_are_refused_whole,
        check_memory_is_bounded,
        check_widths_must_agree,
    ]


def exact_checks() -> list[Check]:
    """What a sample keeps and running means cannot: merges that are equal bit for bit however they are grouped."""
    return [check_merge_is_associative]


def rows(n: int, d: int = 3, seed: int = 0) -> NDArray[np.float32]:
    """Clustered rows, far from the origin in one column."""
    rng = np.random.default_rng([seed, n, d])
    centres = rng.normal(size=(7, d)) * 5
    X = centres[rng.integers(7, size=n)] + rng.normal(size=(n, d))
    X[:, 0] += 1000
    return X.astype(np.float32)


def same(a: Any, b: Any) -> bool:
    """Whether two summaries are equal to the last bit."""
    return bool(a.to_bytes() == b.to_bytes())


def _demand(condition: bool, sentence: str) -> None:
    if not condition:
        raise AssertionError(sentence)


def check_follows_the_protocol(make: Make) -> None:
    """It has every member of :class:`Summary`."""
    _demand(isinstance(make(0), Summary), "members of the Summary protocol are missing")


def check_empty_is_empty(make: Make) -> None:
    """Nothing was seen, and bytes of nothing come back as nothing."""
    empty = make(0)
    _demand(empty.is_empty and empty.count == 0, "a new summary says it has seen rows")
    _demand(len(empty.points().X) == 0, "a new summary has points")
    again = type(empty).from_bytes(empty.to_bytes())
    _demand(again.is_empty, "an empty summary is not empty after bytes")


def check_weights_add_up(make: Make) -> None:
    """The points stand for all weight that was seen."""
    X = rows(3000)
    w = np.random.default_rng(0).uniform(0.1, 3.0, len(X))
    s = make(0).update(X, w)
    _demand(s.count == len(X), f"count is {s.count}, not {len(X)}")
    total = float(s.points().weights.sum())
    _demand(bool(np.isclose(total, w.sum(), rtol=1e-9)), f"weights add up to {total}, not {w.sum()}")


def check_batch_size_does_not_matter(make: Make) -> None:
    """One batch, many batches and single rows leave the same summary."""
    X = rows(2500)
    whole = make(0).update(X)
    for size in (1, 7, 64, 1000):
        parts = make(0)
        for i in range(0, len(X), size):
            parts.update(X[i : i + size])
        _demand(same(whole, parts), f"batches of {size} rows leave another summary than one batch")


def check_merge_commutes(make: Make) -> None:
    """a + b is b + a, bit for bit."""
    a, b = make(0).update(rows(2000, seed=1)), make(0).update(rows(2100, seed=2))
    _demand(same(a.merge(b), b.merge(a)), "a.merge(b) differs from b.merge(a)")


def check_merge_is_associative(make: Make) -> None:
    """(a + b) + c is a + (b + c), bit for bit."""
    a, b, c = (make(0).update(rows(1500 + i, seed=i)) for i in range(3))
    _demand(same(a.merge(b).merge(c), a.merge(b.merge(c))), "grouping changes the merge")


def check_grouping_conserves_totals(make: Make) -> None:
    """(a + b) + c stands for the same rows as a + (b + c): count, weight and mean."""
    parts = [rows(100 + i, seed=i) for i in range(3)]  # few enough that a sample keeps them all
    a, b, c = (make(0).update(X) for X in parts)
    expected = np.concatenate(parts).astype(np.float64).mean(axis=0)
    for whole in (a.merge(b).merge(c), a.merge(b.merge(c))):
        points = whole.points()
        _demand(whole.count == 303, f"count is {whole.count} after merges, not 303")
        _demand(bool(np.isclose(points.weights.sum(), 303)), "merges lose weight")
        mean = points.weights @ points.X.astype(np.float64) / points.weights.sum()
        _demand(
            bool(np.allclose(mean, expected, rtol=1e-6)), f"the mean is {mean} after merges, not {expected}"
        )


def check_merge_with_empty_changes_nothing(make: Make) -> None:
    """An empty summary is neutral on both sides, and the parts of a merge are left alone."""
    a = make(0).update(rows(1000))
    before = a.to_bytes()
    _demand(same(a.merge(make(0)), a) and same(make(0).merge(a), a), "merging with nothing changes a summary")
    a.merge(make(0).update(rows(900, seed=5)))
    _demand(a.to_bytes() == before, "merging changes one of its parts")


def check_looking_changes_nothing(make: Make) -> None:
    """points(), to_bytes() and merge() in the middle of a stream do not disturb it."""
    X = rows(3000)
    quiet, looked = make(0), make(0)
    for i in range(0, len(X), 300):
        quiet.update(X[i : i + 300])
        looked.update(X[i : i + 300])
        looked.points()
        looked.to_bytes()
        looked.merge(looked)
    _demand(same(quiet, looked), "looking at a summary changes what it becomes")


def check_goes_on_after_bytes(make: Make) -> None:
    """A summary that travelled as bytes goes on like one that did not."""
    X = rows(3000)
    stayed = make(0).update(X[:1700])
    travelled = type(stayed).from_bytes(stayed.to_bytes())
    _demand(same(stayed, travelled), "bytes do not come back as the same summary")
    _demand(
        same(stayed.update(X[1700:]), travelled.update(X[1700:])), "after bytes it goes on in another way"
    )


def check_equal_histories_give_equal_bytes(make: Make) -> None:
    """Seeding is all the chance there is."""
    _demand(
        same(make(3).update(rows(2500)), make(3).update(rows(2500))), "equal seeds give different summaries"
    )


def check_damaged_bytes_are_refused(make: Make) -> None:
    """Cut, flipped and foreign bytes are a DamagedFileError, never a wrong summary."""
    s = make(0).update(rows(500))
    data = s.to_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    for what, bad in (
        ("cut", data[:-5]),
        ("flipped", bytes(flipped)),
        ("empty", b""),
        ("foreign", b"x" * 500),
    ):
        try:
            type(s).from_bytes(bad)
        except DamagedFileError:
            continue
        raise AssertionError(f"{what} bytes are read as if they were whole")


def check_newer_bytes_are_refused(make: Make) -> None:
    """Bytes of a later format are a NewerFormatError."""
    s = make(0).update(rows(50))
    data = bytearray(s.to_bytes())
    data[8] = 200  # the version follows the eight bytes of magic
    try:
        type(s).from_bytes(bytes(data))
    except NewerFormatError:
        return
    raise AssertionError("bytes of a later format are read as if they were known")


def check_callers_arrays_are_not_kept(make: Make) -> None:
    """Changing an array after update changes nothing, and update changes no array."""
    X = rows(800)
    w = np.ones(len(X))
    before = X.copy()
    a, b = make(0).update(X, w), make(0).update(before, w)
    _demand(bool((before == X).all()), "update changes the caller's rows")
    X[:] = 0
    w[:] = 7
    _demand(same(a, b), "the summary keeps the caller's arrays")


def check_bad_rows_are_refused_whole(make: Make) -> None:
    """A batch with NaN, infinity or a negative weight is refused, and nothing of it is taken in."""
    X = rows(300)
    s = make(0).update(X)
    before = s.to_bytes()
    for bad in (np.nan, np.inf, -np.inf):
        Y = X.copy()
        Y[200, 1] = bad
        try:
            s.update(Y)
        except ShoalError as error:
            _demand("row 200, column 1" in str(error), f"the error does not name the place: {error}")
        else:
            raise AssertionError(f"{bad} is taken in")
    try:
        s.update(X, np.full(len(X), -1.0))
    except ShoalError:
        pass
    else:
        raise AssertionError("a negative weight is taken in")
    _demand(s.to_bytes() == before, "a refused batch leaves traces")


def check_memory_is_bounded(make: Make) -> None:
    """What is held stops growing, and stays inside ``max_bytes`` where there is such a budget."""
    s = make(0)
    sizes = []
    tracemalloc.start()
    for i in range(40):
        s.update(rows(5000, seed=i))
        sizes.append(s.nbytes)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    budget = getattr(s, "max_bytes", None)
    if budget is not None:
        _demand(max(sizes) <= budget, f"{max(sizes)} bytes held, the budget is {budget}")
        _demand(held <= 1.5 * budget + 1_000_000, f"{held} bytes allocated, the budget is {budget}")
    _demand(sizes[-1] <= 1.05 * max(sizes[:20]), f"memory grows with the stream: {sizes[::5]}")


def check_widths_must_agree(make: Make) -> None:
    """Rows or summaries of another width are an error."""
    s = make(0).update(rows(50))
    for wrong, given in ((s.update, rows(50, d=4)), (s.merge, make(0).update(rows(50, d=4)))):
        try:
            wrong(given)
        except ShoalError:
            continue
        raise AssertionError("rows of another width are taken in")
