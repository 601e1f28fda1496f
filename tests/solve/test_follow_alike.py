"""Rows that do not differ leave no choice of k, and are no error: a stream must go on."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.solve.follow import Following, next_solution
from shoal.summary.protocol import WeightedPoints


@pytest.mark.parametrize(("low", "distinct"), [(2, 1), (3, 2), (5, 4)])
def test_fewer_distinct_rows_than_the_range_begins_with(low, distinct):
    X = np.repeat(np.arange(float(distinct))[:, None] * [1.0, 2.0], 50, axis=0)
    points, following, previous = WeightedPoints(X, np.ones(len(X))), Following(), None
    for _ in range(3):
        found = next_solution(points, (low, 8), previous, following, rows=len(X))
        following, previous = found.following, found.solution.centres
        assert following.k == distinct
        assert found.solution.inertia == pytest.approx(0.0, abs=1e-9)
