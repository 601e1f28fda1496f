"""Centres that were set by hand stay where they are, under their ids."""

from __future__ import annotations

import numpy as np

from shoal.model.pins import Pins, solution_of
from shoal.model.successor import Space, Successor
from shoal.summary.coreset import Coreset
from shoal.summary.protocol import WeightedPoints

RNG = np.random.default_rng(0)
CENTRES = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]])


def rows(n: int, of: list[int]) -> np.ndarray:
    return CENTRES[RNG.choice(of, size=n)] + RNG.normal(size=(n, 2))


def test_a_pinned_centre_does_not_move_and_keeps_its_id() -> None:
    successor, summary = Successor(3), Coreset(k_max=8).update(rows(300, [0, 1, 2]))
    first = successor.next(summary, Space(), None, time=0.0).model
    pinned = int(first.ids[np.argmin(((first.centres - CENTRES[1]) ** 2).sum(axis=1))])
    pins = Pins(np.array([pinned]), np.array([[18.0, -2.0]]))  # not where the rows would have it
    successor.expect(2)
    model = first
    for turn in range(4):
        summary.update(rows(400, [0, 2, 3]))  # nothing comes to the pinned one any more
        model = successor.next(summary, Space(), model, time=float(turn), pins=pins).model
        at = model.ids.tolist().index(pinned)
        assert model.centres[at].tolist() == [18.0, -2.0]
        assert model.k == 3
        assert len(set(model.ids.tolist())) == 3
    assert model.weights.sum() == 1900.0


def test_pins_alone_are_a_model_too() -> None:
    successor, summary = Successor(2), Coreset(k_max=8).update(rows(100, [0, 1]))
    first = successor.next(summary, Space(), None, time=0.0).model
    pins = Pins(first.ids, first.centres)
    successor.expect(0)
    again = successor.next(summary.update(rows(100, [2])), Space(), first, time=1.0, pins=pins).model
    order = [again.ids.tolist().index(i) for i in first.ids.tolist()]
    assert np.array_equal(again.centres[order], first.centres)


def test_a_solution_of_given_centres_is_that_of_an_oracle() -> None:
    X, w, C = RNG.normal(size=(200, 5)), RNG.uniform(0.1, 2.0, 200), RNG.normal(size=(7, 5))
    found = solution_of(WeightedPoints(X, w), C)
    squared = ((X[:, None] - C) ** 2).sum(axis=2)
    assert np.array_equal(found.labels, squared.argmin(axis=1))
    assert np.isclose(found.inertia, float(w @ squared.min(axis=1)))
    assert np.allclose(found.counts, [w[squared.argmin(axis=1) == j].sum() for j in range(7)])
