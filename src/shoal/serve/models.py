"""The models a service has, each replaced in one step when a newer version is there."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal.engines.stream.state import NoModelYetError
from shoal.errors import ShoalError
from shoal.features.recipe import Recipe
from shoal.model.cluster_model import ClusterModel
from shoal.serve.opening import Kind, find
from shoal.serve.periodic import every
from shoal.serve.topics import ServedTopics
from shoal.summary.coreset import Coreset

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Served:
    """One version of a model, as requests see it."""

    name: str
    model: ClusterModel
    recipe: Recipe | None
    """How rows become vectors; None: rows are vectors, or texts."""
    version: str
    """Number in its store; of a model without one, the hash it was saved under."""
    loaded_at: str
    """UTC, ISO 8601."""
    home: Path
    """Where the model, store, stream or topics lie."""
    kind: Kind
    topics: ServedTopics | None = None
    """If the clusters are topics of texts."""
    read_summary: Callable[[], Coreset | None] = field(default=lambda: None, repr=False)
    names: Mapping[int, str] = field(default_factory=dict)
    """What people call the clusters, by id; those of topics are told by the topics themselves."""

    @cached_property
    def summary(self) -> Coreset | None:
        """The summary the model was solved from, read when it is first asked for; None where there is none."""
        return self.read_summary()

    @cached_property
    def shown_ids(self) -> NDArray[np.int64]:
        """(k,) id under which each cluster of the model is shown: its own, or that of its topic."""
        return self.model.ids if self.topics is None else self.topics.topic_ids()


def name_of(path: Path) -> str:
    """What a model is called in addresses: its file or directory, of letters that need no quoting there.

    >>> name_of(Path("/data/my tickets@2.shoal"))
    'my-tickets-2'
    """
    plain = path.name.removesuffix(".shoal").removesuffix(".topics")
    return re.sub(r"[^\w.-]+", "-", plain, flags=re.ASCII).strip(".-") or "model"


class Models:
    """Models by name, as of the last :meth:`refresh`.

    Parameters
    ----------
    paths : by name, anything :func:`shoal.load` opens, with or without its summary; or an empty folder that a store
        is going to be in.

    Raises
    ------
    ShoalError, DamagedFileError, NewerFormatError : a path holds something else.

    >>> import tempfile
    >>> models = Models({"houses": Path(tempfile.mkdtemp())})
    >>> models.names, models.get("houses"), models.is_ready
    (('houses',), None, False)
    """

    def __init__(self, paths: Mapping[str, str | os.PathLike[str]]) -> None:
        self._paths = {name: Path(path) for name, path in paths.items()}
        self._stamps: dict[str, object] = {}
        self._served: Mapping[str, Served] = {}
        self._complaints: dict[str, str] = {}
        self._turn = threading.Lock()
        self.on_change: list[Callable[[Served], None]] = []
        """Told of every new version, on the thread that read it."""
        for name in self._paths:
            self._refresh_one(name)

    @classmethod
    def of_path(cls, path: str | os.PathLike[str]) -> Models:
        """One model, named like its directory or file."""
        return cls.of_paths([path])

    @classmethod
    def of_paths(cls, paths: Iterable[str | os.PathLike[str]]) -> Models:
        """Several, each named like its directory or file.

        Raises
        ------
        ShoalError : two have the same name.
        """
        named: dict[str, Path] = {}
        for path in paths:
            place = Path(path).resolve()
            name = name_of(place)
            if name in named:
                raise ShoalError(f"{named[name]} and {place} would both be called {name}; rename one")
            named[name] = place
        return cls(named)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, those without a version yet included."""
        return tuple(self._paths)

    @property
    def is_ready(self) -> bool:
        """Whether every name has a version."""
        return len(self._served) == len(self._paths)

    def get(self, name: str) -> Served | None:
        """The newest version known; the caller keeps it however often it is replaced."""
        return self._served.get(name)

    def refresh(self) -> bool:
        """Look for newer versions, and answer whether there was one; what cannot be read leaves the version before."""
        changed = False
        for name in self._paths:
            try:
                changed |= self._refresh_one(name)
                self._complaints.pop(name, None)
            except (ShoalError, OSError) as error:
                if self._complaints.get(name) != str(error):  # once, not every second
                    _log.warning("model %r stays as it is: %s", name, error)
                self._complaints[name] = str(error)
        return changed

    def watching(self, seconds: float = 1.0) -> AbstractContextManager[None]:
        """Refresh every so often, on a thread, while the block runs."""
        return every(seconds, self.refresh, name="shoal-refresh")

    def _refresh_one(self, name: str) -> bool:
        with self._turn:
            found = find(self._paths[name])
            if found is None:
                return False
            stamp = found.stamp  # taken before reading: what is replaced meanwhile is read once more
            if self._stamps.get(name) == stamp:
                return False
            try:
                held = found.read()
            except NoModelYetError:
                return False
            model = held.model
            recipe = None if model.recipe is None else Recipe.from_dict(dict(model.recipe))
            served = Served(
                name=name,
                model=model,
                recipe=recipe,
                version=model.version if found.number is None else str(found.number),
                loaded_at=datetime.now(UTC).isoformat(timespec="seconds"),
                home=self._paths[name].resolve(),
                kind=found.kind,
                topics=held.topics,
                read_summary=held.summary,
                names=held.names,
            )
            self._served = {**self._served, name: served}
            self._stamps[name] = stamp
        for told in self.on_change:
            told(served)
        return True
