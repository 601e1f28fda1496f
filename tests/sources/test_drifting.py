"""The made stream is the same from wherever it is read, and what it says of itself is true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.sources.drifting import SPREAD, DriftingStream

STREAM = DriftingStream(20_000, seconds=1000.0, start=50.0, seed=3)
WHOLE = STREAM.rows(0, 20_000)


@given(st.integers(0, 19_999), st.integers(1, 2500))
def test_any_part_is_a_part_of_the_whole(first, n):
    last = min(first + n, STREAM.n)
    for part, whole in zip(STREAM.rows(first, first + n), WHOLE, strict=True):
        np.testing.assert_array_equal(part, whole[first:last])


def test_seeds_differ():
    assert not np.array_equal(DriftingStream(20_000, seconds=1000.0, seed=4).rows(0, 10)[0], WHOLE[0][:10])


def test_event_times_go_from_start_to_end():
    times = WHOLE[1]
    assert times[0] == 50.0
    assert times[-1] == pytest.approx(1050.0, abs=0.1)
    assert (np.diff(times) > 0).all()


def near(place, since, until):
    X, times, _ = WHOLE
    when = (times >= since) & (times < until)
    return float((np.linalg.norm(X - place, axis=1) < 5 * SPREAD)[when].mean())


def test_the_truth_is_what_the_rows_do():
    truth = {t.kind: t for t in STREAM.truth}
    assert set(truth) == {"born", "split", "merged", "died", "grew"}
    born, died, grew = truth["born"], truth["died"], truth["grew"]
    assert near(born.place, 50.0, born.time) == 0.0 < 0.1 < near(born.place, born.time, 1050.0)
    assert near(died.place, died.time, 1050.0) == 0.0 < 0.1 < near(died.place, 50.0, died.time)
    assert near(grew.place, grew.time, 1050.0) > 1.8 * near(grew.place, died.time, grew.time)
    split, merged = truth["split"], truth["merged"]
    assert near(split.place, 50.0, split.time - 30.0) > 0.1 > near(split.place, split.time + 30.0, 1050.0)
    assert near(merged.place, merged.time + 20.0, 1050.0) > 0.1 > near(merged.place, 50.0, merged.time - 40.0)
