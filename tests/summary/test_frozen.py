"""Files of every format that was written must be read by every later release: these were written by 0.1.0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shoal.summary.centroids import Centroids
from shoal.summary.cf_tree import CFTree
from shoal.summary.checks import rows
from shoal.summary.coreset import Coreset

FROZEN = Path(__file__).parent / "frozen"
TIMES = 1.7e9 + np.arange(400.0)


def made():
    """What the files hold, made anew."""
    X = rows(400)
    return {
        "coreset-1": Coreset(k_max=3, rows=100).update(X),
        "coreset-forgetful-1": Coreset(k_max=3, rows=100, half_life=50.0).update(X, times=TIMES),
        "cf_tree-1": CFTree(max_leaf_entries=40).update(X),
        "cf_tree-forgetful-1": CFTree(max_leaf_entries=40, half_life=50.0).update(X, times=TIMES),
        "centroids-1": Centroids(4, batch_size=64).update(X),
        "centroids-forgetful-1": Centroids(4, batch_size=64, half_life=50.0, time_unit="time").update(
            X, times=TIMES
        ),
    }


@pytest.mark.parametrize("name", sorted(made()))
def test_what_was_written_is_read(name):
    fresh = made()[name]
    kept = type(fresh).from_bytes((FROZEN / f"{name}.shoal").read_bytes())
    assert kept.count == 400
    # the last bits of sums may differ between instruction sets; the rows and weights behind them may not
    assert kept.points().weights.sum() == pytest.approx(fresh.points().weights.sum(), rel=1e-9)
    assert kept.points().X.shape[1] == 3
    assert kept.merge(fresh).count == 800
