"""What outputs on a disk share: durable folders, locks, errors that say what to do."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.errors import BadInputError, ShoalError
from shoal.model.durable import sync_folder

_REMEDIES = {
    errno.ENOSPC: "free some space and start again from the checkpoint",
    errno.EDQUOT: "free some space and start again from the checkpoint",
    errno.EACCES: "give this user the right to write there, or choose another output",
    errno.EPERM: "give this user the right to write there, or choose another output",
    errno.EROFS: "choose an output on a disk that can be written",
    errno.ENOTDIR: "a file is where a directory should be; choose another output",
    errno.EEXIST: "a file is where a directory should be; choose another output",
    errno.EISDIR: "a directory is where a file should be; choose another output",
}


@contextmanager
def naming_disk_errors(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into one line with the place and the remedy."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "mend the disk and start again from the checkpoint")
        said = error.strerror or str(error) or type(error).__name__
        raise ShoalError(f"{path}: cannot be written: {said}; {remedy}") from error


def make_folder(folder: Path) -> None:
    """Make a directory and those above it, each durable in the one above."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def lock(descriptor: int, place: Path) -> None:
    """Keep other processes from writing to the same output; the lock ends with the process, however it ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BadInputError(
            "another process is writing there", place=str(place), remedy="stop it, or choose another output"
        ) from error


def foreign(place: Path, found: str) -> BadInputError:
    """An error for something in the way that no checkpoint speaks of."""
    return BadInputError(
        found, place=str(place), remedy="choose another output, move it away, or go on from its checkpoint"
    )
