"""Topics of two lots of texts become those of both, with what people decided about either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shoal.kernels import nearest

if TYPE_CHECKING:
    from shoal.text.topic_state import TopicState

SAME_CLUSTER, SAME_PLACE = 0.9, 0.995
"""Cosine between two pins of one id, and of any, from which they are the same."""


def merged(mine: TopicState, other: TopicState) -> TopicState:
    """The state of the texts of both; ids are those of the first, and what was decided about the other's finds its topics.

    A pin that both have, as they grew from the same topics, stays one.
    """
    if mine.summary.is_empty or other.summary.is_empty:
        whole = (other if mine.summary.is_empty else mine).copy()
        whole.settings = mine.settings
        whole.rejects = mine.rejects.merge(other.rejects)
        return whole
    for state in (mine, other):
        state.solve()
    before = mine.copy()
    out = type(mine)(
        mine.settings,
        mine.summary.merge(other.summary),
        before.curation,
        mine.rejects.merge(other.rejects),
        before.model,
        [*mine.events, *other.events],
    )
    out.continue_from(before)
    for cluster, centre in other.curation.pins.items():
        if not _has_pin(out, cluster, centre):
            out.curation.pins[_adopted(out, cluster, centre)] = list(centre)
            out.curation.added += 1
    out.settle()
    out.solve()
    _take_decisions(out, other)
    return out


def _has_pin(state: TopicState, cluster: int, centre: list[float]) -> bool:
    """Whether a pin of another state is one of this: the same cluster's, or at the same place."""
    near = {c: _cosine(np.array(held), np.array(centre)) for c, held in state.curation.pins.items()}
    return near.get(cluster, -1.0) > SAME_CLUSTER or max(near.values(), default=-1.0) > SAME_PLACE


def _adopted(state: TopicState, cluster: int, centre: list[float]) -> int:
    """An id for a pinned cluster of another state: its own where that is free, else a new one."""
    model = state.solved()
    new = cluster if cluster >= model.next_id else model.next_id
    centres = np.concatenate([model.centres, np.array([centre])])
    state.model = state.model_of(state.points(), centres, [*model.ids.tolist(), new])
    return new


def _take_decisions(state: TopicState, other: TopicState) -> None:
    """Names and mergers of another state, for the topics nearest to its own; where both decided, this one's stay."""
    model, theirs = state.solved(), other.solved()
    near = nearest(theirs.centres, model.centres).labels
    here = {c: int(model.ids[j]) for c, j in zip(theirs.ids.tolist(), near.tolist(), strict=True)}
    for cluster, topic in other.curation.groups.items():
        parts = {state.curation.topic_of(here[c]) for c in (topic, cluster) if c in here}
        if len(parts) == 2:
            state.curation.merge(sorted(parts))
    for cluster, at in here.items():
        name = other.curation.names.get(other.curation.topic_of(cluster))
        if name is not None:
            state.curation.names.setdefault(state.curation.topic_of(at), name)
    state.forget_words()


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-300))
