"""The state directory of a stream as a clustering: what the other commands see of it."""

from __future__ import annotations

from pathlib import Path

from shoal.engines.local import Clustering
from shoal.engines.stream.checkpoint import CHECKPOINT, Checkpoint
from shoal.engines.stream.versions import Versions
from shoal.errors import ShoalError

MODELS = "models"


def is_stream_state(path: Path) -> bool:
    """Whether a directory is the state of a stream."""
    return (path / CHECKPOINT).is_file()


def load_stream(path: Path) -> Clustering:
    """The model and the summary as of the last checkpoint, while a run goes on or after it.

    Raises
    ------
    ShoalError : there is no model yet. DamagedFileError : the state cannot be used.
    """
    known = Checkpoint.read(path)
    if known is None or known.summary is None or not known.meta["learner"]["solves"]:
        raise ShoalError(f"{path} is a stream that has no model yet; let it see more rows first")
    return Clustering(Versions(path / MODELS, 1).read(int(known.meta["learner"]["solves"])), known.summary)
