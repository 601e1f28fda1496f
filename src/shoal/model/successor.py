"""From the summary as it is now to the next model: solved, with the ids of the one before, and what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from numpy.typing import NDArray

from shoal.errors import Rejects
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.model.events import Event
from shoal.model.identity import IdentityState, follow
from shoal.model.pins import Pins, solve_around, with_pinned_ids
from shoal.model.release import release
from shoal.solve.follow import Criterion, Following, next_solution
from shoal.solve.lloyd import Metric, Solution
from shoal.summary.coreset import Coreset
from shoal.summary.protocol import WeightedPoints


class Made(NamedTuple):
    """A model, and what happened on the way to it."""

    model: ClusterModel
    events: list[Event]


@dataclass(frozen=True)
class Space:
    """What the columns of the rows are."""

    metric: Metric = "euclidean"
    feature_names: tuple[str, ...] = ()
    recipe: Mapping[str, Any] | None = None


class Successor:
    """Makes one model after the other.

    Parameters
    ----------
    k : number of clusters, or the fewest and most to choose among at every solve.
    criterion : by what it is chosen.
    """

    def __init__(
        self,
        k: int | tuple[int, int],
        *,
        seed: int = 0,
        criterion: Criterion = "votes",
        n_threads: int | None = None,
    ) -> None:
        self.k, self.seed, self.criterion, self.n_threads = k, seed, criterion, n_threads
        self.solved_at = -1
        """Rows learned at the last solve."""
        self._following, self._identity = Following(), IdentityState()

    def next(
        self,
        summary: Coreset,
        space: Space,
        previous: ClusterModel | None,
        *,
        time: float,
        filtered: int = 0,
        rejects: Rejects | None = None,
        sources: tuple[str, ...] = (),
        pins: Pins | None = None,
    ) -> Made:
        """Solve the summary and follow the clusters.

        Parameters
        ----------
        time : of the events.
        pins : centres that stay where they are; they count among the k.
        """
        points = summary.points()
        heavy = points.weights > 0
        points = points._replace(X=points.X[heavy], weights=points.weights[heavy])
        following, solution = self._solution(points, summary.count, space, previous, pins)
        provenance = Provenance(
            rows_seen=summary.count,
            rows_filtered=filtered,
            rejects=(rejects or Rejects()).merge(Rejects()),
            seed=self.seed,
            sources=sources,
            library_version=release(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        model = build_model(
            points.X,
            points.weights,
            solution,
            provenance=provenance,
            metric=space.metric,
            feature_names=space.feature_names,
            recipe=space.recipe,
            parent=None if previous is None else previous.version or None,
        )
        followed = follow(previous, model, points, time=time, state=self._identity)
        self._following, self._identity = following, followed.state
        self.solved_at = summary.count
        named = followed.model if pins is None or not len(pins) else with_pinned_ids(followed.model, pins)
        return Made(named, followed.events)

    def _solution(
        self,
        points: WeightedPoints,
        rows: int,
        space: Space,
        previous: ClusterModel | None,
        pins: Pins | None,
    ) -> tuple[Following, Solution]:
        pinned = 0 if pins is None else len(pins)
        low, high = self.k if isinstance(self.k, tuple) else (self.k, self.k)
        following = self._following

        def solve(some: WeightedPoints, centres: NDArray[Any] | None) -> Solution:
            nonlocal following
            found = next_solution(
                some,
                (max(low - pinned, 1), max(high - pinned, 1))
                if isinstance(self.k, tuple)
                else max(low - pinned, 1),
                centres,
                following,
                rows=rows,
                seed=self.seed,
                metric=space.metric,
                criterion=self.criterion,
                n_threads=self.n_threads,
            )
            following = found.following
            return found.solution

        if pins is not None and len(pins):
            solution = solve_around(points, pins, previous, solve, n_threads=self.n_threads)
        else:
            solution = solve(points, None if previous is None else previous.centres)
        return following, solution

    def expect(self, k: int) -> None:
        """So many centres are free now: others were pinned, or set free, by hand. Go on from them as they are."""
        if self._following.k:
            self._following = replace(self._following, k=k, wanted=0, times=0)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "solved_at": self.solved_at,
            "following": self._following.to_dict(),
            "identity": self._identity.to_dict(),
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from :meth:`to_dict`."""
        self.solved_at = int(data["solved_at"])
        self._following = Following(**data["following"])
        self._identity = IdentityState.from_dict(data["identity"])
