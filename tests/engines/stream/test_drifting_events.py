"""On a made drifting stream whose truth is known, what is told is true, and ids stay."""

from __future__ import annotations

import pytest
from benchmarks.events import one


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_events_and_ids(seed):
    found = one(seed)
    for kind, count in found["true"].items():
        assert found["right"][kind] == count, kind
    told, right = (
        sum(found[name][kind] for kind in ("born", "split", "merged", "died")) for name in ("told", "right")
    )
    assert (
        right >= 0.4 * told
    )  # what is on its way between two places is at times told as a cluster of its own
    assert found["churn"] < 0.02
