"""A topic model in one file: everything it knows, checksummed, replaced in one step."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shoal.errors import DamagedFileError, ShoalError
from shoal.model.durable import replace_durably
from shoal.summary import wire
from shoal.text.curation import Curation
from shoal.text.topic_state import TopicState

_KIND = "topic model"
FILE, DECISIONS = "topics.shoal", "decisions.json"
"""In the directory of a stream: its topics, and what people decided about them."""


class Saved(NamedTuple):
    """What a file holds."""

    state: TopicState
    source: tuple[str, str]
    """Name and fingerprint of what made the vectors."""
    outlier_rate: float = 0.0


def topic_path(path: Path) -> Path:
    """The file of a topic model: as it is, or in the directory of a stream."""
    return path / FILE if path.is_dir() else path


def read_decisions(folder: Path) -> Curation | None:
    """What people decided about the topics of a stream; None if nothing.

    Raises
    ------
    DamagedFileError : the file cannot be read.
    """
    return _decisions(folder)[0]


def change_decisions(folder: Path, change: Callable[[Curation | None], Curation]) -> Curation:
    """Replace what was decided about the topics of a stream, one writer at a time; answers what it is then."""
    with (folder / f".{DECISIONS}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known, revision = _decisions(folder)
        new = change(known)
        told = {"revision": revision + 1, "decisions": new.to_dict()}
        replace_durably(folder / DECISIONS, json.dumps(told).encode())
        return new


def _decisions(folder: Path) -> tuple[Curation | None, int]:
    path = folder / DECISIONS
    try:
        told = json.loads(path.read_bytes())
        return Curation.from_dict(told["decisions"]), int(told["revision"])
    except FileNotFoundError:
        return None, 0
    except (ValueError, OSError, KeyError, TypeError) as error:
        if isinstance(error, ShoalError):
            raise DamagedFileError(f"{path}: {error}") from error
        raise DamagedFileError(f"{path} cannot be read: {error}; mend it or remove it") from error


def save_topics(path: Path, saved: Saved) -> None:
    """Write a file; in the directory of a stream only what people decided, which the stream takes up with its next model.

    Raises
    ------
    ShoalError : it cannot be written; somebody else decided something about the same stream since it was read.
    """
    if not path.is_dir():
        write_topics(path, saved)
        return
    if not (path / FILE).exists():
        raise ShoalError(f"{path} is a directory, but not that of a stream of topics; give a file")
    if saved.state.home != (path.resolve(), saved.state.summary.count):
        raise ShoalError(
            f"{path} is that of a stream, which learns by itself and takes decisions about its own topics only; give a file"
        )

    def change(now: Curation | None) -> Curation:
        if now is not None and now.to_dict() != saved.state.decided_before:
            raise ShoalError(f"somebody else decided about the topics of {path} meanwhile; open it again")
        return saved.state.curation

    saved.state.decided_before = change_decisions(path, change).to_dict()


def write_topics(path: Path, saved: Saved) -> None:
    """Write a file, or replace it.

    Raises
    ------
    ShoalError : it cannot be written, or a file that is something else is there.
    """
    if path.is_dir() or (path.exists() and not is_topic_file(path)):
        raise ShoalError(f"{path} exists and is no topic model of Shoal's; choose another name")
    meta = {"source": list(saved.source), "outlier_rate": saved.outlier_rate}
    content = wire.pack(_KIND, meta, {"state": np.frombuffer(saved.state.to_bytes(), np.uint8)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(path, content)
    except OSError as error:
        raise ShoalError(f"{path} cannot be written: {error.strerror or error}") from error


def read_topics(path: Path) -> Saved:
    """Inverse of :func:`write_topics`.

    Raises
    ------
    ShoalError : there is no such file. DamagedFileError, NewerFormatError : it cannot be trusted.
    """
    folder, path = path, topic_path(path)
    if folder.is_dir() and not path.exists():
        raise ShoalError(f"{folder} is a directory, but not that of a stream of topics; give a file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ShoalError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        meta, arrays = wire.unpack(_KIND, data)
        state = TopicState.from_bytes(arrays["state"].tobytes())
        name, fingerprint = meta["source"]
        if folder.is_dir():
            state.home = (folder.resolve(), state.summary.count)
        told = read_decisions(folder) if folder.is_dir() else None
        if told is not None:
            state.decide(told)
        return Saved(state, (str(name), str(fingerprint)), float(meta["outlier_rate"]))
    except DamagedFileError as error:
        raise DamagedFileError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ShoalError):
            raise
        raise DamagedFileError(f"{path} cannot be read: {error!r}; use another copy") from error


def is_topic_file(path: Path) -> bool:
    """Whether a file begins like one of ours."""
    try:
        with path.open("rb") as file:
            return file.read(len(wire.MAGIC)) == wire.MAGIC
    except OSError:
        return False
