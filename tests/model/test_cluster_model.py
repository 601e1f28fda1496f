"""What a model answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import BadInputError
from shoal.model.cluster_model import QUANTILES, radius_quantiles, unit_rows

from .test_persistence import fitted


def test_assign_agrees_with_a_plain_search():
    model, _, X = fitted(k=4)
    got = model.assign(X)
    D = np.linalg.norm(X[:, None] - model.centres[None], axis=-1)
    np.testing.assert_array_equal(got.positions, D.argmin(1))
    np.testing.assert_allclose(got.distances, D.min(1))
    np.testing.assert_allclose(got.second_distances, np.sort(D, 1)[:, 1])
    np.testing.assert_array_equal(got.ids, model.ids[got.positions])
    np.testing.assert_allclose(model.transform(X), D)
    assert model.score(X) == pytest.approx(-(D.min(1) ** 2).sum())


def test_clusters_are_numbered_from_the_largest():
    model, _, _ = fitted(k=5)
    assert list(model.ids) == [0, 1, 2, 3, 4]
    assert (np.diff(model.weights) <= 0).all()


def test_scatter_adds_up_to_the_inertia_of_the_summary():
    model, summary, X = fitted()
    assert model.inertia == pytest.approx(-model.score(X))
    assert model.quality["inertia"] == pytest.approx(model.inertia)
    assert model.weights.sum() == summary.count


def test_cosine_distances_do_not_depend_on_length():
    model, _, X = fitted(k=2, metric="cosine")
    a, b = model.assign(X), model.assign(X * 7.5)
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_allclose(a.distances, b.distances, atol=1e-12)
    np.testing.assert_allclose(a.distances, 1 - (X @ model.centres.T).max(axis=1), atol=1e-9)


def test_one_cluster_has_no_second():
    model, _, X = fitted(k=1)
    assert np.isinf(model.assign(X).second_distances).all()


def test_bad_rows_are_named():
    model, _, X = fitted()
    with pytest.raises(BadInputError, match="3 columns, the model has 2; give the columns f0, f1"):
        model.assign(np.zeros((1, 3)))
    X[4, 1] = np.nan
    with pytest.raises(BadInputError, match="row 4, column 'f1'"):
        model.predict(X)
    np.testing.assert_allclose(unit_rows(np.array([[3e200, 4e200], [3e-200, 4e-200]])), [[0.6, 0.8]] * 2)
    with pytest.raises(BadInputError, match="row 1: the row is all zeros"):
        unit_rows(np.array([[1.0, 0.0], [0.0, 0.0]]))


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0.01, 10)), min_size=1, max_size=60))
def test_radius_quantiles_are_weighted_quantiles(pairs):
    distances, weights = np.array(pairs).T
    got = radius_quantiles(distances, np.zeros(len(distances), int), weights, 2)
    assert (np.diff(got[0]) >= 0).all()
    assert got[0][-1] == distances.max()
    assert (got[1] == 0).all()
    for level, radius in zip(QUANTILES, got[0], strict=True):
        assert weights[distances <= radius].sum() >= level * weights.sum() * (1 - 1e-9)
        assert weights[distances < radius].sum() <= level * weights.sum() * (1 + 1e-9)
