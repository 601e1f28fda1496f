"""Events between two windows that have no row in common."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.engines.window_changes import changes
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.solve.k_means import k_means
from shoal.summary.protocol import WeightedPoints


def window(seed, *places, n=600, shares=None, scale=1.0, k=None):
    """Model and points of normal blobs at these places."""
    rng = np.random.default_rng(seed)
    places = np.asarray(places, float)
    X = places[rng.choice(len(places), size=n, p=shares)] + rng.normal(scale=scale, size=(n, places.shape[1]))
    points = WeightedPoints(X, rng.uniform(0.5, 1.5, n))
    found = k_means(X, k or len(places), weights=points.weights)
    return build_model(X, points.weights, found, provenance=Provenance(n)), points


def at(model, place):
    """Id of the cluster there."""
    return int(model.ids[np.linalg.norm(model.centres - np.asarray(place), axis=1).argmin()])


A, B, C, D = (0, 0), (30, 0), (0, 30), (30, 30)


def test_the_same_place_is_the_same_cluster_however_many_rows():
    before, after = window(0, A, B, C), window(1, C, B, A, n=5000)
    model, events = changes(before, after, time=5.0)
    assert events == []
    assert [at(model, p) for p in (A, B, C)] == [at(before[0], p) for p in (A, B, C)]
    assert model.next_id == before[0].next_id
    np.testing.assert_array_equal(model.centres, after[0].centres)


def test_born_and_died_even_in_the_cell_of_another():
    before = window(0, A, B, C)
    model, events = changes(before, window(1, A, B, D), time=5.0)
    born, died = events
    assert (born.kind, born.cluster, died.kind, died.cluster) == ("born", 3, "died", at(before[0], C))
    assert born.share == pytest.approx(1 / 3, abs=0.1)
    assert (model.next_id, born.time) == (4, 5.0)
    assert at(model, D) == 3


def test_an_id_is_not_used_again():
    a, points = window(0, A, B)
    gone = a.replace(next_id=17)
    model, _ = changes((gone, points), window(1, A, D), time=1.0)
    assert sorted(model.ids.tolist()) == [at(a, A), 17]
    assert model.next_id == 18


def test_split_and_merged_are_each_others_mirror():
    one = window(0, A, (-3, 0), B, k=2)
    two = window(1, A, (-3, 0), B, n=900)
    model, events = changes(one, two, time=1.0)
    (split,) = events
    parent = at(one[0], (-1.5, 0))
    assert (split.kind, split.cluster, split.parents) == ("split", parent, (parent,))
    assert set(split.children) == {at(model, A), at(model, (-3, 0))}
    assert parent in split.children
    model, events = changes(two, one, time=1.0)
    (merged,) = events
    assert merged.kind == "merged"
    assert set(merged.parents) == {at(two[0], A), at(two[0], (-3, 0))}
    assert merged.cluster == at(model, (-1.5, 0))
    assert merged.cluster in merged.parents
    assert at(model, B) == at(two[0], B)


def test_moved_grew_and_shrank():
    before = window(0, A, B, C, n=3000, shares=[0.6, 0.2, 0.2])
    after = window(1, A, B, (0, 31.7), n=9000, shares=[0.3, 0.5, 0.2])
    model, events = changes(before, after, time=1.0)
    told = {e.kind: e for e in events}
    assert sorted(told) == ["grew", "moved", "shrank"]
    assert [told[kind].cluster for kind in ("shrank", "grew", "moved")] == [
        at(before[0], p) for p in (A, B, C)
    ]
    assert told["grew"].detail["before"] == pytest.approx(0.2, abs=0.03)
    assert told["grew"].share == pytest.approx(0.5, abs=0.03)
    assert told["moved"].detail["distance"] == pytest.approx(1.7 / np.sqrt(2), abs=0.1)
    assert model.ids.tolist() == [at(before[0], c) for c in model.centres]


def test_all_of_it_elsewhere():
    _, events = changes(window(0, A, B), window(1, C, D), time=1.0)
    assert sorted(e.kind for e in events) == ["born", "born", "died", "died"]


def test_rows_all_equal():
    X = np.repeat([[1.0, 2.0], [5.0, 5.0]], 20, axis=0)
    points = WeightedPoints(X, np.ones(40))
    model = build_model(X, points.weights, k_means(X, 2), provenance=Provenance(40))
    same, events = changes((model, points), (model, points), time=1.0)
    assert events == []
    np.testing.assert_array_equal(same.ids, model.ids)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), k=st.integers(1, 6), d=st.integers(1, 4))
def test_a_window_against_itself_has_no_events(seed, k, d):
    rng = np.random.default_rng(seed)
    one = window(seed, *rng.normal(scale=8, size=(4, d)), n=200, k=k)
    model, events = changes(one, one, time=0.0)
    assert events == []
    np.testing.assert_array_equal(model.ids, one[0].ids)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), ks=st.tuples(st.integers(1, 6), st.integers(1, 6)))
def test_every_id_that_comes_or_goes_is_told(seed, ks):
    rng = np.random.default_rng(seed)
    places = rng.normal(scale=6, size=(7, 2))
    before = window(seed, *places[:4], n=300, k=ks[0])
    after = window(seed + 1, *places[2:], n=300, k=ks[1])
    model, events = changes(before, after, time=0.0)
    old, new = set(before[0].ids.tolist()), set(model.ids.tolist())
    assert len(new) == model.k
    come = {e.cluster for e in events if e.kind == "born"} | {i for e in events for i in e.children}
    gone = {e.cluster for e in events if e.kind == "died"} | {i for e in events for i in e.parents}
    assert new - old <= come
    assert old - new <= gone
    assert min(new - old, default=before[0].next_id) >= before[0].next_id
    assert all(str(e).startswith("cluster") for e in events)
