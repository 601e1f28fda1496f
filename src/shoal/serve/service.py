"""What all routes share: the models, the limits, the counts, the feed, and what is kept between requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio
from fastapi import Request

from shoal.errors import ShoalError
from shoal.serve.batcher import Batcher
from shoal.serve.body import Waiting
from shoal.serve.chart import Charts
from shoal.serve.feed import Feed
from shoal.serve.happenings import Happenings
from shoal.serve.learning import Learning
from shoal.serve.learning_process import Child
from shoal.serve.metrics import Metrics
from shoal.serve.models import Models, Served, name_of
from shoal.serve.recent import RecentRows
from shoal.serve.refused import refusal_of
from shoal.serve.scene import Scenes
from shoal.serve.settings import Settings
from shoal.serve.version_cache import VersionCache
from shoal.serve.which_k import WhichK

T = TypeVar("T")

AT_LEISURE = 2
"""Questions that take seconds that are worked on at a time."""
QUESTIONS = 32
"""How many of them may wait; a bound of their own, so that they never take the places of rows."""


@dataclass
class Service:
    """One service, of which every route gets the same."""

    models: Models
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.waiting = Waiting(self.settings, self.metrics)
        self.batcher = Batcher()
        self.feed = Feed()
        self.versions = VersionCache(self.models)
        self.scenes = Scenes(Charts())
        self.which_k = WhichK()
        self.recent = RecentRows(self.scenes, self.feed)
        self.happenings = Happenings(self.models, self.feed, self.recent.look, self.metrics.changed)
        self._learning: dict[str, Learning] = {}
        self.child: Child | None = None
        """The process that learns, if the service has one."""
        self._few = anyio.CapacityLimiter(AT_LEISURE)
        self._questions = Waiting(self.settings, self.metrics, QUESTIONS)

    def served(self, address: str) -> Served:
        """The version of ``name``, ``name@alias`` or ``name@12`` that a request gets.

        Raises
        ------
        RefusedError : 404 for an unknown name, alias or version; 503 while there is no version.
        """
        return self.versions.resolve(address)

    def served_to(self, request: Request) -> Served:
        """As :meth:`served`, for the model a request's path names; what had to be read was read on a thread before."""
        return self.versions.of_request(request, request.path_params["name"])

    def histories(self, served: Served) -> tuple[bool, float | None, dict[int, list[tuple[float, float]]]]:
        """Whether times are dates, the newest time, and the shares of each cluster over time."""
        told = self.happenings
        return told.dated(served.name), told.now(served.name), told.series(served.name)

    def outliers(self, served: Served) -> list[dict[str, Any]]:
        """The newest rows that lay far out."""
        return self.recent.outliers(served)

    def can_learn(self, name: str) -> bool:
        """Whether rows may be sent to be learned."""
        return self.learning_of(name) is not None

    def learning_of(self, name: str) -> Learning | None:
        """Where rows go that one of its models shall learn; None where none are taken.

        Several models have a folder each in the inbox; their names are made of letters that a folder may have.
        """
        inbox = self.settings.inbox
        if inbox is None or name not in self.models.names:
            return None
        served = self.models.get(name)
        if name not in self._learning:
            folder = inbox if len(self.models.names) == 1 else inbox / name_of(Path(name))
            self._learning.setdefault(name, Learning(folder, None if served is None else served.home))
        learning = self._learning[name]
        if learning.state is None and served is not None:
            learning.state = served.home
        return learning

    @property
    def learning_trouble(self) -> str | None:
        """What the process that learns said last, if it does not run or ends again and again."""
        said = None if self.child is None else self.child.trouble
        return None if said is None else refusal_of(ShoalError(said)).error  # health is told to everyone

    async def at_leisure(self, work: Callable[[], T]) -> T:
        """Work that may take seconds, a little at a time: labels for rows must not wait for it.

        Raises
        ------
        RefusedError : 429 while too much waits, 503 if it takes too long.
        """
        async with self._questions.place():
            return await anyio.to_thread.run_sync(work, limiter=self._few, abandon_on_cancel=True)

    def open(self) -> None:
        """Take requests; a service may be opened again after it ended."""
        self.waiting.open()
        self._questions.open()
        self.feed.open()

    def close(self) -> None:
        """Take no more requests with bodies, and let those go who listen; what runs is finished."""
        self.waiting.close()
        self._questions.close()
        self.feed.close()

    def ended(self) -> None:
        """When the last request was answered."""
        self.close()
        for learning in self._learning.values():
            learning.close()
        self._learning.clear()  # when it is opened again, the inboxes are too
