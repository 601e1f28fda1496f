"""The one file that says how far a stream was learned: summary, positions and counts in one atomic write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shoal.errors import DamagedFileError, ShoalError
from shoal.model.durable import replace_durably
from shoal.model.packed_folder import is_packed_folder, newest_version
from shoal.model.persistence import MANIFEST
from shoal.model.store import ModelStore
from shoal.summary import wire
from shoal.summary.coreset import Coreset

CHECKPOINT, LOCK = "checkpoint", "lock"
_KIND = "stream"
_EXTRA = "extra "


@dataclass(frozen=True)
class Checkpoint:
    """What a run goes on from.

    Everything that lies behind it in outputs, logs and the store is cut off and made again.
    """

    number: int
    """Counts up by one with every checkpoint."""
    meta: dict[str, Any]
    """Plain data: positions of source and outputs, learner, settings."""
    summary: Coreset | None
    buckets: dict[float, Coreset]
    """Summaries of time buckets that are still open, by their start."""
    extra: dict[str, bytes] = field(default_factory=dict)
    """What a learner keeps beside its summary."""

    def write(self, folder: Path) -> None:
        """Replace the checkpoint of ``folder``; after this returns it survives a loss of power."""
        blobs = {f"bucket {i}": s.to_bytes() for i, s in enumerate(self.buckets.values())}
        if self.summary is not None:
            blobs["summary"] = self.summary.to_bytes()
        blobs |= {f"{_EXTRA}{name}": data for name, data in self.extra.items()}
        meta = {"number": self.number, "run": self.meta, "buckets": list(self.buckets)}
        arrays = {name: np.frombuffer(data, np.uint8) for name, data in blobs.items()}
        replace_durably(folder / CHECKPOINT, wire.pack(_KIND, meta, arrays))

    @classmethod
    def read(cls, folder: Path) -> Checkpoint | None:
        """The checkpoint of ``folder``, or None if there is none yet.

        Raises
        ------
        DamagedFileError, NewerFormatError : the file cannot be used.
        """
        path = folder / CHECKPOINT
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            meta, arrays = wire.unpack(_KIND, data)
            blobs = {
                name: Coreset.from_bytes(a.tobytes())
                for name, a in arrays.items()
                if not name.startswith(_EXTRA)
            }
            extra = {n.removeprefix(_EXTRA): a.tobytes() for n, a in arrays.items() if n.startswith(_EXTRA)}
            starts = [float(start) for start in meta["buckets"]]
            buckets = {start: blobs[f"bucket {i}"] for i, start in enumerate(starts)}
            return cls(int(meta["number"]), dict(meta["run"]), blobs.get("summary"), buckets, extra)
        except DamagedFileError as error:
            raise DamagedFileError(f"{path}: {error}") from error
        except (LookupError, TypeError, ValueError) as error:
            if isinstance(error, ShoalError):
                raise
            raise DamagedFileError(f"{path} cannot be read: {error!r}; use another copy") from error


def refuse_models(folder: Path) -> None:
    """Look that a directory may become the state of a stream: a checkpoint would hide the models that it holds.

    Raises
    ------
    ShoalError : there is a saved model or a store.
    """
    if not folder.is_dir() or (folder / CHECKPOINT).is_file():
        return
    if (folder / MANIFEST).exists() or is_packed_folder(folder):
        held = "a model"
    elif ModelStore(folder).latest_number() is not None or newest_version(folder) is not None:
        held = "a store of models"
    else:
        return
    raise ShoalError(
        f"{folder} holds {held}, which a stream would hide; choose another directory for its state"
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second run out of the same state.

    Raises
    ------
    ShoalError : another process runs on it, or it holds a model that would be hidden.
    """
    import fcntl

    refuse_models(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ShoalError(
                f"{folder} is in use by another shoal stream; give each run its own --state"
            ) from error
        yield
