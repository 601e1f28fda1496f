"""A topic model in one file: everything it knows, checksummed, replaced in one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shoal.errors import DamagedFileError, ShoalError
from shoal.model.durable import replace_durably
from shoal.summary import wire
from shoal.text.topic_state import TopicState

_KIND = "topic model"


class Saved(NamedTuple):
    """What a file holds."""

    state: TopicState
    source: tuple[str, str]
    """Name and fingerprint of what made the vectors."""
    settings: dict[str, Any]
    """Parameters of the model that are not the state's."""


def write_topics(path: Path, saved: Saved) -> None:
    """Write a file, or replace it.

    Raises
    ------
    ShoalError : it cannot be written, or a file that is something else is there.
    """
    if path.is_dir() or (path.exists() and not is_topic_file(path)):
        raise ShoalError(f"{path} exists and is no topic model of Shoal's; choose another name")
    meta = {"source": list(saved.source), "settings": saved.settings}
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
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ShoalError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        meta, arrays = wire.unpack(_KIND, data)
        state = TopicState.from_bytes(arrays["state"].tobytes())
        name, fingerprint = meta["source"]
        return Saved(state, (str(name), str(fingerprint)), dict(meta["settings"]))
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
