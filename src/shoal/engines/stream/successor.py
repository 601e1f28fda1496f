"""From the summary as it is now to the next model: solved, with the ids of the one before, and what changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from shoal.engines.local import release
from shoal.engines.stream.settings import StreamSettings
from shoal.errors import Rejects
from shoal.features.recipe import Recipe
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.model.events import Event
from shoal.model.identity import IdentityState, follow
from shoal.solve.follow import Following, next_solution
from shoal.summary.coreset import Coreset


class Made(NamedTuple):
    """A model, and what happened on the way to it."""

    model: ClusterModel
    events: list[Event]


class Successor:
    """Makes one model after the other."""

    def __init__(self, settings: StreamSettings) -> None:
        self.settings = settings
        self.solved_at = -1
        """Rows learned at the last solve."""
        self._following, self._identity = Following(), IdentityState()

    def next(
        self,
        summary: Coreset,
        recipe: Recipe,
        previous: ClusterModel | None,
        *,
        time: float,
        filtered: int,
        rejects: Rejects,
        sources: tuple[str, ...],
    ) -> Made:
        """Solve the summary and follow the clusters; ``time`` is that of the events."""
        s, points = self.settings, summary.points()
        heavy = points.weights > 0
        points = points._replace(X=points.X[heavy], weights=points.weights[heavy])
        found = next_solution(
            points,
            s.k,
            None if previous is None else previous.centres,
            self._following,
            rows=summary.count,
            seed=s.seed,
            metric=recipe.spec.metric,
            n_threads=s.n_threads,
        )
        provenance = Provenance(
            rows_seen=summary.count,
            rows_filtered=filtered,
            rejects=rejects.merge(Rejects()),
            seed=s.seed,
            sources=sources,
            library_version=release(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        model = build_model(
            points.X,
            points.weights,
            found.solution,
            provenance=provenance,
            metric=recipe.spec.metric,
            feature_names=recipe.feature_names,
            recipe=recipe.to_dict(),
            parent=None if previous is None else previous.version or None,
        )
        followed = follow(previous, model, points, time=time, state=self._identity)
        self._following, self._identity = found.following, followed.state
        self.solved_at = summary.count
        return Made(followed.model, followed.events)

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
