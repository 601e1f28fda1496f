"""What lies at a path, and its newest version: models, stores, streams, topics."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from shoal.engines.stream.checkpoint import CHECKPOINT, Checkpoint
from shoal.engines.stream.state import is_new_stream, is_stream_state, load_stream
from shoal.errors import ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.model.names import names_path, read_names
from shoal.model.packed import unpack_model
from shoal.model.packed_folder import is_packed_folder, load_packed_folder, newest_version
from shoal.model.persistence import MANIFEST, load_model, load_summary
from shoal.model.store import ModelStore
from shoal.serve.topics import ServedTopics, served_topics
from shoal.summary.coreset import Coreset
from shoal.text.topic_file import DECISIONS, FILE, is_topic_file

Kind = Literal["model", "file", "store", "stream", "topics"]


@dataclass(frozen=True)
class Contents:
    """A version that was read."""

    model: ClusterModel
    summary: Callable[[], Coreset | None]
    """Reads the summary; None where there is none."""
    topics: ServedTopics | None = None
    names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """The newest version at a path, not read yet."""

    kind: Kind
    watched: tuple[Path, ...]
    """What are other files, or have another time, when there is a newer version; the first must be there."""
    number: int | None
    read: Callable[[], Contents]

    @cached_property
    def stamp(self) -> tuple[tuple[str, int, int, int], ...]:
        """Another for every version."""
        return tuple(_stamp(path, needed=i == 0) for i, path in enumerate(self.watched))


def find(path: Path) -> Found | None:
    """The newest version at a path, with the names people gave; None in an empty folder.

    Raises
    ------
    ShoalError : nothing is there, or something else.
    """
    found = _find(path)
    if found is None or found.kind == "topics":
        return found

    def read() -> Contents:
        return replace(found.read(), names=read_names(path))

    return replace(found, watched=(*found.watched, names_path(path)), read=read)


def _find(path: Path) -> Found | None:
    if path.is_dir() and (path / FILE).is_file():
        return Found("topics", (path / FILE, path / DECISIONS), None, lambda: _topics(path))
    if is_stream_state(path):
        return Found("stream", (path / CHECKPOINT,), None, lambda: _stream(path))
    if not path.is_dir():
        if not path.exists():
            raise ShoalError(f"{path} does not exist")
        if is_topic_file(path) and not _is_packed(path):
            return Found("topics", (path,), None, lambda: _topics(path))
        return Found("file", (path,), None, lambda: _packed(path))
    if is_packed_folder(path):
        return Found("model", (path / "data",), None, lambda: _pair(*load_packed_folder(path)))
    if (file := newest_version(path)) is not None:
        return Found("store", (file,), int(file.name[1:].partition("-")[0]), lambda: _packed(file))
    if (number := ModelStore(path).latest_number()) is not None:
        folder = ModelStore(path).path(number)
        return Found("store", (folder / MANIFEST,), number, lambda: _folder(folder))
    if is_new_stream(path) or all(child.name.startswith(".") for child in path.iterdir()):
        return None
    if not (path / MANIFEST).exists():
        raise ShoalError(f"{path} is neither a Shoal model nor a store of them: it has no {MANIFEST}")
    return Found("model", (path / MANIFEST,), None, lambda: _folder(path))


def _stamp(path: Path, *, needed: bool) -> tuple[str, int, int, int]:
    try:
        held = path.stat()
    except FileNotFoundError:
        if needed:
            raise
        return str(path), 0, 0, 0
    return str(path), held.st_ino, held.st_mtime_ns, held.st_size


def _folder(folder: Path) -> Contents:
    model = load_model(folder)

    def summary() -> Coreset | None:
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            return load_summary(folder) if "summary" in manifest["files"] else None
        except (FileNotFoundError, ShoalError):
            if folder.exists():
                raise
            return None  # a store has let this version go

    return Contents(model, summary)


def _packed(file: Path) -> Contents:
    data = file.read_bytes()
    return Contents(unpack_model(data)[0], lambda: unpack_model(data)[1])


def _pair(model: ClusterModel, summary: Coreset) -> Contents:
    return Contents(model, lambda: summary)


def _stream(path: Path) -> Contents:
    model = load_stream(path).model

    def summary() -> Coreset | None:
        known = Checkpoint.read(path)
        return None if known is None else known.summary

    return Contents(model, summary)


def _topics(path: Path) -> Contents:
    topics = served_topics(path)
    return Contents(topics.model, lambda: topics.vectors, topics)


def _is_packed(path: Path) -> bool:
    """Whether a file of ours holds a model of numbers; what it is stands in the JSON behind its head."""
    with path.open("rb") as file:
        return b'"kind": "topic model"' not in file.read(4096)
