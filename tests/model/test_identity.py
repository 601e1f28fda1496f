"""Clusters keep their ids, and every kind of change is told for what it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.model.identity import IdentityState, follow
from shoal.solve.k_means import k_means
from shoal.summary.protocol import WeightedPoints

A, B, C, D = (0.0, 0.0), (30.0, 0.0), (0.0, 30.0), (30.0, 30.0)


def blobs(places, n=400, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([np.array(p) + rng.normal(size=(n, 2)) for p in places])


def solved(X, w, k, metric="euclidean"):
    found = k_means(X, k, weights=w, metric=metric, seed=0)
    return build_model(X, w, found, provenance=Provenance(rows_seen=len(X)), metric=metric)


class Story:
    """Weighted snapshots, one after the other, followed."""

    def __init__(self):
        self.model, self.state, self.clock = None, None, 0.0

    def next(self, X, k, w=None):
        w = np.ones(len(X)) if w is None else w
        self.clock += 1.0
        found = follow(self.model, solved(X, w, k), WeightedPoints(X, w), time=self.clock, state=self.state)
        self.model = found.model
        self.state = IdentityState.from_dict(json.loads(json.dumps(found.state.to_dict())))
        return found.events

    def id_at(self, place):
        return int(self.model.predict(np.array([place]))[0])


def kinds(events):
    return [e.kind for e in events]


def test_the_first_clusters_are_born():
    events = Story().next(blobs([A, B]), 2)
    assert kinds(events) == ["born", "born"]
    assert sorted(e.cluster for e in events) == [0, 1]
    assert sum(e.share for e in events) == pytest.approx(1.0)


def test_ids_stay_whatever_the_order_of_a_solve():
    story = Story()
    story.next(blobs([A, B, C]), 3)
    names = {p: story.id_at(p) for p in (A, B, C)}
    for seed in range(1, 6):
        heavy = np.repeat([1.0 + seed, 1.0, 2.0], 400)
        story.next(blobs([A, B, C], seed=seed), 3, heavy)
        assert {p: story.id_at(p) for p in (A, B, C)} == names


def test_a_new_place_is_a_birth():
    story = Story()
    story.next(blobs([A, B]), 2)
    (event,) = [e for e in story.next(blobs([A, B, D]), 3) if e.kind != "shrank"]  # every other share shrinks
    assert (event.kind, event.cluster) == ("born", story.id_at(D))
    assert event.cluster == 2


def test_a_birth_that_was_noticed_late_is_no_split():
    """For a few solves the new rows lie in an old cell, because k is still the old one."""
    story = Story()
    for _ in range(3):
        story.next(blobs([A, B], 400), 2)
    story.next(np.concatenate([blobs([A, B], 400), blobs([(30.0, 14.0)], 40)]), 2)
    events = story.next(np.concatenate([blobs([A, B], 400), blobs([(30.0, 14.0)], 120)]), 3)
    assert [e.kind for e in events if e.kind in ("born", "split")] == ["born"]


LOW, HIGH = (30.0, -4.0), (30.0, 4.0)


def test_a_split_names_parent_and_children():
    story, X = Story(), blobs([A, LOW, HIGH])
    story.next(X, 2)
    parent = story.id_at(B)
    (event,) = (e for e in story.next(X, 3) if e.kind != "moved")
    assert (event.kind, event.cluster) == ("split", parent)
    assert set(event.children) == {story.id_at(LOW), story.id_at(HIGH)}
    assert parent in event.children


def test_halves_of_one_cluster_are_a_split_even_if_it_grew():
    story = Story()
    story.next(blobs([A, B]), 2)
    parent = story.id_at(A)
    events = story.next(np.concatenate([blobs([A], 3000), blobs([B])]), 3)
    assert ("split", parent) in [(e.kind, e.cluster) for e in events]


def test_a_merge_brings_its_mass_along():
    story, X = Story(), blobs([A, LOW, HIGH])
    story.next(X, 3)
    parts = {story.id_at(LOW), story.id_at(HIGH)}
    (event,) = (e for e in story.next(X, 2) if e.kind != "moved")
    assert event.kind == "merged"
    assert set(event.parents) == parts
    assert event.cluster == story.id_at(B)
    assert event.cluster in parts


def test_a_fading_cluster_dies_and_does_not_merge():
    story = Story()
    X = blobs([A, B, C])
    for old in (1.0, 0.5, 0.2, 0.05):
        story.next(X, 3, np.repeat([1.0, 1.0, old], 400))
    gone = story.id_at(C)
    events = story.next(X, 2, np.repeat([1.0, 1.0, 0.01], 400))
    assert ("died", gone) in [(e.kind, e.cluster) for e in events]
    assert "merged" not in kinds(events)


def test_ids_are_never_used_again():
    story, seen = Story(), []
    for step in range(6):
        story.next(blobs([A, (40.0 + 40.0 * step, 0.0)], seed=step), 2)
        seen.append(story.id_at((40.0 + 40.0 * step, 0.0)))
    assert len(set(seen)) == 6
    assert story.model.next_id == max(seen) + 1


def test_growth_and_movement_are_told_once():
    story = Story()
    X = blobs([A, B])
    story.next(X, 2)
    first = story.next(X, 2, np.repeat([3.0, 1.0], 400))
    assert sorted(kinds(first)) == ["grew", "shrank"]
    assert story.next(X, 2, np.repeat([3.1, 1.0], 400)) == []
    away = np.concatenate([blobs([(2.0, 0.0)]), blobs([B])])
    (moved,) = story.next(away, 2, np.repeat([3.1, 1.0], 400))
    assert moved.kind == "moved"
    assert moved.detail["distance"] == pytest.approx(2.0 / np.sqrt(2), rel=0.1)
    assert story.next(away, 2, np.repeat([3.1, 1.0], 400)) == []


def test_a_new_cluster_that_fills_up_has_not_grown():
    """Under forgetting the share of a newcomer rises for some half-lives."""
    story = Story()
    story.next(blobs([A, B]), 2)
    X = blobs([A, B, D])
    assert "born" in kinds(story.next(X, 3, np.repeat([1.0, 1.0, 0.1], 400)))
    fresh = story.id_at(D)
    told = [e for m in (0.3, 0.5, 0.7, 0.8, 0.85) for e in story.next(X, 3, np.repeat([1.0, 1.0, m], 400))]
    assert fresh not in {e.cluster for e in told}
    later = story.next(X, 3, np.repeat([1.0, 1.0, 3.0], 400))
    assert ("grew", fresh) in [(e.kind, e.cluster) for e in later]


def test_what_is_left_after_a_split_dies_into_its_parts():
    story = Story()
    low, high = (30.0, -7.0), (30.0, 7.0)
    X = blobs([A, low, high, B])
    story.next(X, 2, np.repeat([1.0, 0.25, 0.25, 0.5], 400))
    parent = story.id_at(B)
    (split,) = (e for e in story.next(X, 4, np.repeat([1.0, 0.3, 0.3, 0.4], 400)) if e.kind == "split")
    assert (split.cluster, story.id_at(B)) == (parent, parent)
    story.next(X, 4, np.repeat([1.0, 0.45, 0.45, 0.1], 400))
    events = story.next(X, 3, np.repeat([1.0, 0.49, 0.49, 0.02], 400))
    (died,) = (e for e in events if e.kind == "died")
    assert died.cluster == parent
    assert set(died.children) == {story.id_at(low), story.id_at(high)}
    assert "lives on in" in str(died)


def test_states_of_before_are_read():
    old = IdentityState.from_dict({"3": [0.5, [1.0, 2.0], [0.4, 0.5]]})
    assert (old.shares, old.lately, old.rising, old.origin) == ({3: 0.5}, {3: [0.4, 0.5]}, set(), {})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_moves_nothing(dtype):
    """A place of equal rows has no radius, and its centre is exact but for rounding."""
    story = Story()
    X = np.concatenate([blobs([A]), np.full((400, 2), 5.1) + 30]).astype(dtype)
    story.next(X, 2)
    for tenth in range(1, 8):
        assert story.next(X, 2, np.linspace(1.0, 1.0 + tenth / 10, 800)) == []


def test_points_without_weight_and_other_metrics_are_errors():
    X, w = blobs([A, B]) + 5, np.ones(800)
    model = solved(X, w, 2)
    with pytest.raises(BadInputError, match="no weight"):
        follow(model, model, WeightedPoints(X, np.zeros(800)), time=0.0)
    with pytest.raises(BadInputError, match="cosine"):
        follow(solved(X, w, 2, "cosine"), model, WeightedPoints(X, w), time=0.0)


def test_one_cluster_and_identical_points():
    story = Story()
    X = np.zeros((10, 2))
    story.next(X, 1)
    assert story.next(X, 1) == []
    assert story.model.ids.tolist() == [0]


def test_cosine():
    X = np.concatenate([blobs([(20.0, 0.0)]), blobs([(0.0, 20.0)])])
    w = np.ones(len(X))
    first = follow(None, solved(X, w, 2, "cosine"), WeightedPoints(X, w), time=0.0)
    again = follow(
        first.model, solved(X * 3, w, 2, "cosine"), WeightedPoints(X * 3, w), time=1.0, state=first.state
    )
    assert again.events == []
    assert sorted(again.model.ids.tolist()) == [0, 1]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 1000))
def test_ids_are_distinct_and_weight_is_conserved_whatever_happens(k0, k1, seed):
    rng = np.random.default_rng(seed)
    X0, X1 = rng.normal(size=(60, 2)) * 5, rng.normal(size=(60, 2)) * 5
    w = rng.uniform(0.1, 2.0, 60)
    first = follow(None, solved(X0, w, k0), WeightedPoints(X0, w), time=0.0)
    after = follow(first.model, solved(X1, w, k1), WeightedPoints(X1, w), time=1.0, state=first.state)
    ids = after.model.ids.tolist()
    assert len(set(ids)) == k1
    assert after.model.next_id > max(ids)
    assert after.overlap.sum() == pytest.approx(w.sum())
    fresh = {i for i in ids if i >= first.model.next_id}
    told = {i for e in after.events for i in (e.cluster, *e.children)}
    assert fresh <= told  # whoever is new was announced
    gone = set(first.model.ids.tolist()) - set(ids)
    assert gone <= {i for e in after.events for i in (e.cluster, *e.parents)}  # and so was whoever left
