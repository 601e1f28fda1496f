"""Clusters of an interval, from files of summaries."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shoal.engines.local import fit
from shoal.engines.windows import compare_windows, window_clustering
from shoal.errors import BadInputError
from shoal.features.spec import RecipeSpec
from shoal.model.time_pyramid import Pyramid
from shoal.model.time_store import TimeStore
from shoal.summary.coreset import Coreset

HOUR = 3600.0
PLACES = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]])


def blobs(which, n, seed):
    """(n, 2) rows of some of the places."""
    rng = np.random.default_rng(seed)
    return PLACES[which][rng.integers(len(which), size=n)] + rng.normal(size=(n, 2))


@pytest.fixture
def folder():
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="shoal-test-") as name:
        yield Path(name)


@pytest.fixture
def store(folder):
    """Four hours with places 0, 1, 2, then four with 0, 1, 3."""
    with TimeStore(folder / "s") as store:
        for hour in range(8):
            X = blobs([0, 1, 2 if hour < 4 else 3], 300, hour)
            store.add(HOUR * hour, Coreset().update(X, key=hour, rows=np.arange(300)), piece="a")
        yield store


def near(model, place):
    """Position of the cluster at a place; None if there is none."""
    distances = np.linalg.norm(model.centres - PLACES[place], axis=1)
    return int(distances.argmin()) if distances.min() < 2 else None


def test_each_window_has_the_clusters_of_its_time(store):
    first = window_clustering(store, 0, 4 * HOUR, 3)
    assert [near(first.model, p) is not None for p in range(4)] == [True, True, True, False]
    last = window_clustering(store, 4 * HOUR, None, 3)
    assert [near(last.model, p) is not None for p in range(4)] == [True, True, False, True]
    whole = window_clustering(store, None, None, range(2, 8))
    assert whole.model.k == 4
    assert whole.model.choice["suggested"] == 4
    assert whole.model.provenance.rows_seen == 2400
    assert "1970-01-01T00:00:00 to 1970-01-01T08:00:00" in whole.model.provenance.sources[0]
    assert len(whole.model.recipe or ()) == 0


def test_a_window_is_what_a_fit_of_its_rows_is(folder):
    tables = [
        pa.table(dict(zip("ab", (X * [1, 1000]).T))) for X in (blobs([0, 1, 2], 400, s) for s in range(6))
    ]
    whole = pa.concat_tables(tables[2:5])
    recipe = RecipeSpec(scale="standard").learn(whole, place="t")
    with TimeStore(folder) as store:
        store.set_recipe(recipe.to_dict(), "euclidean")
        for hour, table in enumerate(tables):
            part = fit(table, 3, recipe=recipe)
            store.add(HOUR * hour, part.summary, piece="a")
        found = window_clustering(store, 2 * HOUR, 5 * HOUR, 3)
    direct = fit(whole, 3, recipe=recipe)
    assert found.recipe.to_dict() == recipe.to_dict()
    assert found.model.feature_names == ("a", "b")
    np.testing.assert_allclose(found.model.centres, direct.model.centres, atol=1e-6)
    np.testing.assert_allclose(found.model.weights, direct.model.weights)
    original = found.recipe.to_original(found.model.centres)
    assert np.abs(original[:, 1]).max() > 10_000
    np.testing.assert_array_equal(found.assign(whole).ids, direct.assign(whole).ids)


def test_a_window_is_saved_and_loaded(store, folder):
    from shoal.engines.local import load

    found = window_clustering(store, 0, 4 * HOUR, 3).save(folder / "m")
    again = load(folder / "m")
    assert again.summary.count == 1200
    np.testing.assert_array_equal(again.model.centres, found.model.centres)
    assert again.model.provenance == found.model.provenance


def test_cosine_rows_are_solved_by_direction(folder):
    rng = np.random.default_rng(0)
    X = np.repeat([[1.0, 0.0], [0.0, 1.0]], 100, axis=0) + rng.normal(scale=0.05, size=(200, 2))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    with TimeStore(folder) as store:
        store.set_recipe(None, "cosine")
        store.add(0, Coreset().update(X), piece="a")
        model = window_clustering(store, None, None, 2).model
    assert model.metric == "cosine"
    np.testing.assert_allclose(np.linalg.norm(model.centres, axis=1), 1.0)
    assert model.predict(10 * X[:1]) == model.predict(X[:1])


def test_more_clusters_than_rows_are_refused(folder):
    with TimeStore(folder) as store:
        store.add(0, Coreset().update(np.ones((50, 2))), piece="a")
        with pytest.raises(BadInputError, match="only 1 rows differ"):
            window_clustering(store, None, None, 2)
        with pytest.raises(BadInputError, match="k=99"):
            window_clustering(store, None, None, 99)
        assert window_clustering(store, None, None, 1).model.k == 1
        with pytest.raises(BadInputError, match="holds no rows"):
            window_clustering(store, HOUR, None, 1)


def kinds(events, *wanted):
    return sorted(e.kind for e in events if e.kind in wanted)


def test_what_changed_between_two_windows(store):
    a, b, events = compare_windows(store, (0, 4 * HOUR), (4 * HOUR, 8 * HOUR), 3)
    assert kinds(events, "born", "died", "split", "merged") == ["born", "died"]
    born, died = (next(e for e in events if e.kind == kind) for kind in ("born", "died"))
    assert died.cluster == a.model.ids[near(a.model, 2)]
    assert born.cluster == b.model.ids[near(b.model, 3)]
    assert born.cluster not in a.model.ids
    for place in (0, 1):  # they are who they were
        assert a.model.ids[near(a.model, place)] == b.model.ids[near(b.model, place)]
    assert all(e.time == 8 * HOUR for e in events)


def test_nothing_changed_between_windows_alike_though_one_is_longer(store):
    a, b, events = compare_windows(store, (0, HOUR), (HOUR, 4 * HOUR), 3)
    assert events == []
    assert sorted(a.model.ids) == sorted(b.model.ids)
    a, b, events = compare_windows(store, (HOUR, 4 * HOUR), (0, HOUR), range(2, 6))
    assert events == []
    assert (a.model.k, b.model.k) == (3, 3)


def test_growth_is_told_by_share(folder):
    with TimeStore(folder) as store:
        for hour, shares in enumerate(([0.5, 0.4, 0.1], [0.2, 0.4, 0.4])):
            rng = np.random.default_rng(hour)
            X = PLACES[rng.choice(3, size=3000 * (1 + 3 * hour), p=shares)]
            X = X + rng.normal(size=X.shape)
            store.add(HOUR * hour, Coreset().update(X), piece="a")
        a, _, events = compare_windows(store, (0, HOUR), (HOUR, 2 * HOUR), 3)
        grew = [e.cluster for e in events if e.kind == "grew"]
        shrank = [e.cluster for e in events if e.kind == "shrank"]
        assert grew == [a.model.ids[near(a.model, 2)]]
        assert shrank == [a.model.ids[near(a.model, 0)]]


def test_windows_that_share_a_bucket_are_refused_unless_meant_to_overlap(folder):
    with TimeStore(folder, pyramid=Pyramid(newest=1, then=1)) as store:
        for hour in range(16):
            store.add(HOUR * hour, Coreset().update(blobs([0, 1], 100, hour)), piece="a")
        store.settle()
        with pytest.raises(
            BadInputError, match="both windows have a part in the bucket from 1970-01-01T00:00:00 to"
        ):
            compare_windows(store, (0, HOUR), (HOUR, 2 * HOUR), 2)
        _, _, events = compare_windows(store, (0, 16 * HOUR), (15 * HOUR, 16 * HOUR), 2)
        assert events == []
