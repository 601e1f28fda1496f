"""From a summary to a model, and from a model to its successor, as all transforms do it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from shoal.engines.beam.coders import Learned
from shoal.engines.beam.rows import Fields
from shoal.engines.vectors import recipe_of
from shoal.errors import BadInputError
from shoal.model.cluster_model import ClusterModel
from shoal.model.events import Event
from shoal.model.packed import pack_model, unpack_model
from shoal.model.successor import Successor

SOURCE = "Beam pipeline"
FEATURES = "features"
"""Name of the column where elements are vectors and have no names."""


def checked_k(k: Any) -> int | tuple[int, int]:
    """A number of clusters, or the fewest and most.

    Raises
    ------
    BadInputError : it is neither.

    >>> checked_k(3), checked_k([2, 5])
    (3, (2, 5))
    """
    low, high = k if isinstance(k, (tuple, list)) and len(k) == 2 else (k, k)
    whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in (low, high))
    if not whole or not 1 <= low <= high:
        raise BadInputError(f"k is {k!r}", remedy="give a number of at least 1, or a range such as (2, 12)")
    return (int(low), int(high)) if isinstance(k, (tuple, list)) else int(low)


class Solved(NamedTuple):
    """A model, what changed since the one before, and what the next one needs to know."""

    model: ClusterModel
    events: list[Event]
    successor: dict[str, Any]


@dataclass(frozen=True)
class Solving:
    """How summaries are solved.

    Parameters
    ----------
    k : number of clusters, or the fewest and most.
    """

    k: int | tuple[int, int]
    fields: Fields = field(default_factory=Fields)

    def first(self, learned: Learned) -> Solved:
        """A model that has none before it."""
        return self.next(learned, None, None)

    def next(
        self,
        learned: Learned,
        before: ClusterModel | None,
        successor: dict[str, Any] | None,
        *,
        time: float | None = None,
    ) -> Solved:
        """The model after another: clusters that live on keep their ids.

        Parameters
        ----------
        learned : of some rows.
        successor : as told with the model before.
        time : of the events, seconds; default the newest event time, or the number of rows.
        """
        summary = learned.summary
        made = Successor(self.k, seed=summary.seed, n_threads=1)
        if successor:
            made.restore(successor)
        if time is None:
            time = float(summary.count) if summary.newest is None else summary.newest
        recipe = recipe_of(
            self.fields.features or (FEATURES,),
            int(summary.n_features or 0),
            cosine=self.fields.cosine,
            weight=self.fields.weight,
        )
        found = made.next(
            summary, recipe.space, before, time=time, rejects=learned.rejects, sources=(SOURCE,)
        )
        named = unpack_model(pack_model(found.model.replace(version="")))[0]  # named by its content
        return Solved(named, found.events, made.to_dict())
