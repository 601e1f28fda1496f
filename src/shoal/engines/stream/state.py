"""The state directory of a stream as a clustering: what the other commands see of it."""

from __future__ import annotations

from pathlib import Path

from shoal.engines.local import Clustering
from shoal.engines.stream.checkpoint import CHECKPOINT, LOCK, Checkpoint
from shoal.engines.stream.versions import Versions
from shoal.errors import ShoalError
from shoal.model.aliases import OF_STREAMS

MODELS = OF_STREAMS


class NoModelYetError(ShoalError):
    """A stream that has not seen rows enough."""


def is_new_stream(path: Path) -> bool:
    """Whether a directory is the state of a stream that has begun and saved nothing yet."""
    return (path / LOCK).is_file() and not is_stream_state(path)


def is_stream_state(path: Path) -> bool:
    """Whether a directory is the state of a stream."""
    return (path / CHECKPOINT).is_file()


def load_stream(path: Path) -> Clustering:
    """The model and the summary as of the last checkpoint, while a run goes on or after it.

    Raises
    ------
    NoModelYetError : let it see more rows first. DamagedFileError : the state cannot be used.
    """
    known = Checkpoint.read(path)
    if known is None or known.summary is None or not known.meta["learner"]["solves"]:
        raise NoModelYetError(f"{path} is a stream that has no model yet; let it see more rows first")
    return Clustering(Versions(path / MODELS, 1).read(int(known.meta["learner"]["solves"])), known.summary)
