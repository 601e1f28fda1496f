"""An event says in one line what happened, and survives being written down."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import BadInputError
from shoal.model.events import KINDS, Event

ids = st.lists(st.integers(0, 2**40), max_size=4).map(tuple)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(st.sampled_from(KINDS), numbers, st.integers(0, 2**40), numbers, numbers, ids, ids)
def test_json_gives_the_same_event_back(kind, time, cluster, mass, share, parents, children):
    event = Event(kind, time, cluster, mass, share, parents, children, {"before": 0.25, "to": [1.0, 2.0]})
    assert Event.from_dict(json.loads(json.dumps(event.to_dict()))) == event


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("born", {}, "cluster 7 born (25.0% of the weight)"),
        ("died", {}, "cluster 7 died (it had 25.0% of the weight)"),
        ("split", {"children": (7, 8, 9)}, "cluster 7 split into 7, 8 and 9 (25.0% of the weight)"),
        ("merged", {"parents": (3, 7)}, "clusters 3 and 7 merged into 7 (25.0% of the weight)"),
        ("grew", {"detail": {"before": 0.1}}, "cluster 7 grew from 10.0% to 25.0% of the weight"),
        ("shrank", {"detail": {"before": 0.5}}, "cluster 7 shrank from 50.0% to 25.0% of the weight"),
        ("moved", {"detail": {"distance": 2.5}}, "cluster 7 moved by 2.5 radii (25.0% of the weight)"),
    ],
)
def test_every_kind_has_its_words(kind, more, words):
    assert str(Event(kind, 0.0, 7, 10.0, 0.25, **more)) == words


def test_no_other_kinds():
    with pytest.raises(BadInputError, match="exploded"):
        Event("exploded", 0.0, 1, 1.0, 1.0)
