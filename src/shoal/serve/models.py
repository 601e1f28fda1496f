"""The models a service has, each replaced in one step when a newer version is there."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shoal.engines.stream.checkpoint import CHECKPOINT
from shoal.engines.stream.state import is_stream_state, load_stream
from shoal.errors import ShoalError
from shoal.features.recipe import Recipe
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import unpack_model
from shoal.model.packed_folder import is_packed_folder, load_packed_folder, newest_version
from shoal.model.persistence import MANIFEST, load_model
from shoal.model.store import ModelStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Served:
    """One version of a model, as requests see it."""

    name: str
    model: ClusterModel
    recipe: Recipe | None
    """How rows become vectors; None: rows are vectors."""
    version: str
    """Number in its store; of a model without one, the hash it was saved under."""
    loaded_at: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class _Found:
    """The newest version at a path, not read yet."""

    watched: Path
    """What is another file, or has another time, when there is a newer version."""
    number: int | None
    read: Callable[[], ClusterModel]

    @property
    def stamp(self) -> tuple[str, int, int, int]:
        held = self.watched.stat()
        return str(self.watched), held.st_ino, held.st_mtime_ns, held.st_size


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
        self._stamps: dict[str, tuple[str, int, int, int]] = {}
        self._served: Mapping[str, Served] = {}
        self._complaints: dict[str, str] = {}
        self._turn = threading.Lock()
        for name in self._paths:
            self._refresh_one(name)

    @classmethod
    def of_path(cls, path: str | os.PathLike[str]) -> Models:
        """One model, named like its directory or file."""
        place = Path(path).resolve()
        return cls({place.name.removesuffix(".shoal") or "model": place})

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

    @contextmanager
    def watching(self, seconds: float = 1.0) -> Iterator[None]:
        """Refresh every so often, on a thread, while the block runs."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(seconds):
                try:
                    self.refresh()
                except Exception:  # a thread that dies would leave an old version for ever
                    _log.exception("looking for newer versions failed")

        thread = threading.Thread(target=watch, name="shoal-refresh", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(timeout=5.0)

    def _refresh_one(self, name: str) -> bool:
        with self._turn:
            found = _find(self._paths[name])
            if found is None:
                return False
            stamp = found.stamp  # taken before reading: what is replaced meanwhile is read once more
            if self._stamps.get(name) == stamp:
                return False
            model = found.read()
            recipe = None if model.recipe is None else Recipe.from_dict(dict(model.recipe))
            version = model.version if found.number is None else str(found.number)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._served = {**self._served, name: Served(name, model, recipe, version, now)}
            self._stamps[name] = stamp
            return True


def _find(path: Path) -> _Found | None:
    """The newest version; None in an empty folder."""
    if is_stream_state(path):
        return _Found(path / CHECKPOINT, None, lambda: load_stream(path).model)
    if not path.is_dir():
        if not path.exists():
            raise ShoalError(f"{path} does not exist")
        return _Found(path, None, lambda: unpack_model(path.read_bytes())[0])
    if is_packed_folder(path):
        return _Found(path / "data", None, lambda: load_packed_folder(path)[0])
    if (file := newest_version(path)) is not None:
        return _Found(file, int(file.name[1:].partition("-")[0]), lambda: unpack_model(file.read_bytes())[0])
    if (number := ModelStore(path).latest_number()) is not None:
        folder = ModelStore(path).path(number)
        return _Found(folder / MANIFEST, number, lambda: load_model(folder))
    if all(child.name.startswith(".") for child in path.iterdir()):
        return None
    if not (path / MANIFEST).exists():
        raise ShoalError(f"{path} is neither a Shoal model nor a store of them: it has no {MANIFEST}")
    return _Found(path / MANIFEST, None, lambda: load_model(path))
