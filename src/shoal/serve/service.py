"""What all routes share: the models, the limits, the counts and the feed of what happens."""

from __future__ import annotations

from dataclasses import dataclass, field

from shoal.serve.batcher import Batcher
from shoal.serve.feed import Feed
from shoal.serve.metrics import Metrics
from shoal.serve.models import Models, Served
from shoal.serve.refused import RefusedError
from shoal.serve.settings import Settings


@dataclass
class Service:
    """One service, of which every route gets the same."""

    models: Models
    settings: Settings = field(default_factory=Settings)
    metrics: Metrics = field(default_factory=Metrics)
    batcher: Batcher = field(default_factory=Batcher)
    feed: Feed = field(default_factory=Feed)

    def served(self, name: str) -> Served:
        """The version of a model that a request gets.

        Raises
        ------
        RefusedError : 404 for an unknown name, 503 while there is no version.
        """
        served = self.models.get(name)
        if served is not None:
            return served
        if name in self.models.names:
            raise RefusedError(
                503, "there is no version of this model yet", remedy="publish one to the store"
            )
        raise RefusedError(404, "there is no model of this name", remedy="GET /v1/models lists them")
