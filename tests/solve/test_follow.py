"""Solving a changing summary again and again: it stays where it is good enough, and moves on where it is not."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from shoal.errors import BadInputError
from shoal.solve.follow import AGREE, EAGER, PATIENT, Following, next_solution
from shoal.summary.protocol import WeightedPoints

PLACES = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]])


def blobs(count, seed=0, n=150):
    rng = np.random.default_rng(seed)
    return np.concatenate([p + rng.normal(size=(n, 2)) for p in PLACES[:count]])


def points(X, w=None):
    return WeightedPoints(X, np.ones(len(X)) if w is None else w)


def walk(snapshots, k, following=None, previous=None, restart=False):
    """All solutions and states on the way."""
    following, out = following or Following(), []
    for X in snapshots:
        if restart:
            following = Following(**json.loads(json.dumps(following.to_dict())))
        found = next_solution(points(X), k, previous, following, rows=len(X))
        previous, following = found.solution.centres, found.following
        out.append(found)
    return out


def test_centres_keep_their_order_while_nothing_happens():
    found = walk([blobs(4, seed) for seed in range(6)], 4)
    for before, after in pairwise(found):
        assert np.abs(before.solution.centres - after.solution.centres).max() < 1.0


def test_k_is_found_and_does_not_flicker():
    found = walk([blobs(3, seed) for seed in range(EAGER + 2 * PATIENT)], (2, 6))
    assert {f.following.k for f in found} == {3}


def test_k_follows_what_appears_and_what_goes():
    found = walk([blobs(2)] * 2 + [blobs(4, seed) for seed in range(AGREE + 1)], (2, 6))
    assert found[-1].following.k == 4
    rest = walk(
        [blobs(2, seed) for seed in range(AGREE + 1)], (2, 6), found[-1].following, found[-1].solution.centres
    )
    assert rest[-1].following.k == 2


def test_a_bad_local_optimum_is_left():
    X = blobs(4)
    stuck = np.array([[-1.0, 0.0], [1.0, 0.0], [10.0, 10.0], [20.0, 20.0]])
    found = next_solution(points(X), 4, stuck, Following(k=4, solves=1, level=1e9), rows=len(X))
    assert found.solution.inertia < 3.0 * len(X)


def test_a_restart_goes_on_identically():
    snapshots = [blobs(2 + (i // 4) % 3, seed=i) for i in range(12)]
    for one, other in zip(walk(snapshots, (2, 6)), walk(snapshots, (2, 6), restart=True), strict=True):
        assert one.following == other.following
        np.testing.assert_array_equal(one.solution.centres, other.solution.centres)


def test_a_faded_cluster_gives_its_place_up():
    X = blobs(3)
    first = next_solution(points(X), (2, 6), None, Following(), rows=len(X))
    w = np.repeat([1.0, 1.0, 0.001], 150)
    after = next_solution(points(X, w), (2, 6), first.solution.centres, first.following, rows=len(X))
    assert after.following.k == 2


def test_no_more_clusters_than_rows():
    X = blobs(1)[:3]
    assert next_solution(points(X), 7, None, Following(), rows=3).following.k == 3
    assert next_solution(points(X[:1]), (2, 5), None, Following(), rows=1).following.k == 1
    assert next_solution(points(np.ones((50, 2))), 4, None, Following(), rows=50).following.k == 1


@pytest.mark.parametrize("k", [0, (5, 2)])
def test_wrong_k_is_an_error(k):
    with pytest.raises(BadInputError):
        next_solution(points(blobs(2)), k, None, Following(), rows=300)


@pytest.mark.parametrize("X", [np.empty((0, 2)), np.full((30, 2), np.nan)])
def test_bad_points_are_an_error(X):
    with pytest.raises(BadInputError):
        next_solution(points(X), 2, None, Following(), rows=30)
