"""What it means to forget by event time: checks that any summary with a half-life must pass.

``for check in forgetting_checks(): check(make)`` where ``make(seed)`` builds an empty summary of half-life 10.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ShoalError
from shoal.summary.checks import Check, Make, rows, same

HALF_LIFE = 10.0
Floats = NDArray[np.float64]


def forgetting_checks() -> list[Check]:
    """Every check of this module."""
    return [
        check_weight_is_that_of_the_decayed_rows,
        check_mean_is_that_of_the_decayed_rows,
        check_order_of_arrival_leaves_totals_alone,
        check_a_late_row_counts_with_its_own_age,
        check_batch_size_does_not_matter_to_ageing,
        check_merge_of_periods_commutes,
        check_periods_merge_to_the_whole,
        check_the_distant_past_is_forgotten,
        check_goes_on_ageing_after_bytes,
        check_times_are_needed,
        check_half_lives_must_agree,
    ]


def _demand(condition: bool, sentence: str) -> None:
    if not condition:
        raise AssertionError(sentence)


def _timed(n: int, seed: int = 0, span: float = 200.0) -> tuple[NDArray[np.float32], Floats]:
    """Rows in order of time: their times begin at a large number, as times since 1970 do."""
    rng = np.random.default_rng([seed, n, 7])
    return rows(n, seed=seed), 1.7e9 + np.sort(rng.uniform(0, span, n))


def _age(times: Floats, newest: float | None = None) -> Floats:
    last = times.max() if newest is None else newest
    decayed: Floats = np.exp2(-(last - times) / HALF_LIFE)
    return decayed


def _check_weight(summary: object, expected: float) -> None:
    total = float(summary.points().weights.sum())  # type: ignore[attr-defined]
    _demand(bool(np.isclose(total, expected, rtol=1e-9)), f"weights add up to {total}, not {expected}")


def check_weight_is_that_of_the_decayed_rows(make: Make) -> None:
    """The weight is the sum of ``w * 2 ** (-age / half_life)`` as of the newest row; rows are counted whole."""
    X, t = _timed(3000)
    w = np.random.default_rng(1).uniform(0.5, 2.0, len(X))
    s = make(0).update(X, w, times=t)
    _demand(s.count == len(X), f"count is {s.count}, not {len(X)}")
    _check_weight(s, float(w @ _age(t)))


def check_mean_is_that_of_the_decayed_rows(make: Make) -> None:
    """The points' mean is the decayed mean of the rows."""
    X, t = _timed(300)  # few enough that a sample keeps them all
    points = make(0).update(X, times=t).points()
    mean = points.weights @ points.X.astype(np.float64) / points.weights.sum()
    expected = _age(t) @ X.astype(np.float64) / _age(t).sum()
    _demand(bool(np.allclose(mean, expected, rtol=1e-6)), f"the mean is {mean}, not {expected}")


def check_order_of_arrival_leaves_totals_alone(make: Make) -> None:
    """Rows that arrive late, early or shuffled add up to the same."""
    X, t = _timed(2000, span=900.0)  # over more than one landmark
    for order in (np.arange(2000)[::-1], np.random.default_rng(3).permutation(2000)):
        s = make(0)
        for part in np.array_split(order, 11):
            s.update(X[part], times=t[part])
        _check_weight(s, float(_age(t).sum()))


def check_a_late_row_counts_with_its_own_age(make: Make) -> None:
    """A batch that comes 3 half-lives late weighs an eighth."""
    X, t = _timed(400, span=1.0)
    s = make(0).update(X, times=t).update(X, times=t - 3 * HALF_LIFE)
    _check_weight(s, float(_age(t).sum()) * 1.125)


def check_batch_size_does_not_matter_to_ageing(make: Make) -> None:
    """One batch, many batches and single rows leave the same summary, across landmarks too."""
    X, t = _timed(1500, span=2000.0)
    t[::7] -= 30.0  # some are late
    whole = make(0).update(X, times=t)
    for size in (1, 64, 1000):
        parts = make(0)
        for i in range(0, len(X), size):
            parts.update(X[i : i + size], times=t[i : i + size])
        _demand(same(whole, parts), f"batches of {size} rows leave another summary than one batch")


def check_merge_of_periods_commutes(make: Make) -> None:
    """Old and new merge to the same from either side, bit for bit, and stay as they were."""
    X, t = _timed(1200)
    old, new = make(0).update(X[:600], times=t[:600]), make(0).update(X[600:], times=t[600:] + 2000.0)
    before = old.to_bytes()
    _demand(same(old.merge(new), new.merge(old)), "merging old into new differs from new into old")
    _demand(old.to_bytes() == before, "merging ages one of its parts")


def check_periods_merge_to_the_whole(make: Make) -> None:
    """Summaries of two periods add up to the weight of one over both."""
    X, t = _timed(1200, span=1500.0)
    old, new = make(0).update(X[:600], times=t[:600]), make(0).update(X[600:], times=t[600:])
    _check_weight(old.merge(new), float(_age(t).sum()))


def check_the_distant_past_is_forgotten(make: Make) -> None:
    """After thousands of half-lives the old rows weigh nothing, and memory holds no trace that counts."""
    X, t = _timed(500, span=1.0)
    s = make(0).update(X, times=t).update(X + 500.0, times=t + 1e5 * HALF_LIFE)
    _demand(s.count == 1000, "forgotten rows are not counted any more")
    points = s.points()
    _check_weight(s, float(_age(t).sum()))
    heavy = points.weights > 1e-6 * points.weights.sum()
    low = float(points.X[heavy].min())
    _demand(low > float(X.min()) + 400.0, f"a point at {low} still stands for forgotten rows")


def check_goes_on_ageing_after_bytes(make: Make) -> None:
    """A summary that travelled as bytes ages like one that did not."""
    X, t = _timed(1500, span=1500.0)
    stayed = make(0).update(X[:700], times=t[:700])
    travelled = type(stayed).from_bytes(stayed.to_bytes())
    for s in (stayed, travelled):
        s.update(X[700:], times=t[700:])
    _demand(same(stayed, travelled), "after bytes it ages in another way")


def check_times_are_needed(make: Make) -> None:
    """Rows without times, or with bad ones, are refused and leave no trace."""
    X, t = _timed(100)
    s = make(0).update(X, times=t)
    before = s.to_bytes()
    broken = t.copy()
    broken[3] = np.nan
    for bad in (None, broken, t[:50]):
        try:
            s.update(X, times=bad)
        except ShoalError:
            continue
        raise AssertionError("rows without good event times are taken in")
    _demand(s.to_bytes() == before, "a refused batch leaves traces")


def check_half_lives_must_agree(make: Make) -> None:
    """Summaries of other half-lives do not merge."""
    X, t = _timed(100)
    a, b = make(0).update(X, times=t), make(0)
    b.half_life = 2 * HALF_LIFE
    try:
        a.merge(b)
    except ShoalError:
        return
    raise AssertionError("summaries of different half-lives merge")
