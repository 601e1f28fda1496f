"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.errors import ShoalError


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside ``path`` that takes its place at the end, unless something was raised.

    Raises
    ------
    ShoalError : the folder is not there or cannot be written.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name[:40]}.", suffix=target.suffix
        )
    except OSError as error:
        raise ShoalError(f"{target} cannot be written: {error.strerror or error}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files only their owner can read; a report is to be passed on.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except IsADirectoryError as error:
        raise ShoalError(f"{target} is a directory; name a file") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
