"""Names for versions of a model, such as ``champion``, that can be moved from one version to another."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.model.durable import replace_durably

ALIASES = "aliases.json"
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_VERSION = re.compile(r"v(\d{8,})|(\d{6,})")
"""Folders of a store, and those of a stream."""
OF_STREAMS = "models"
"""Folder of the versions in a stream's state."""
_LOCK = ".lock"


def set_alias(folder: str | os.PathLike[str], name: str, number: int) -> None:
    """Point an alias at a version; from then on the version is kept, whatever else is swept away.

    Parameters
    ----------
    folder : of numbered versions, such as that of a :class:`shoal.model.store.ModelStore`.
    name : a small letter, then at most 63 of a-z, 0-9, _ and -.

    Raises
    ------
    BadInputError : a name of another form, or no such version.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "v00000001").mkdir()
    >>> set_alias(folder, "champion", 1)
    >>> aliases(folder), drop_alias(folder, "champion"), aliases(folder)
    ({'champion': 1}, True, {})
    """
    folder = Path(folder)
    if not _ALIAS.fullmatch(name):
        raise BadInputError(
            f"{name!r} is no alias", remedy="take a small letter, then up to 63 of a-z, 0-9, _ and -"
        )
    with writers_turn(folder):
        there = versions(folder)
        if number not in there:
            raise BadInputError(f"there is no version {number}", remedy=_among(there))
        _write(folder, aliases(folder) | {name: number})


def drop_alias(folder: str | os.PathLike[str], name: str) -> bool:
    """Remove an alias, and answer whether it was there; its version is kept or leaves like any other."""
    folder = Path(folder)
    with writers_turn(folder):
        held = aliases(folder)
        if held.pop(name, None) is None:
            return False
        _write(folder, held)
    return True


def aliases(folder: str | os.PathLike[str]) -> dict[str, int]:
    """The version each alias stands for, by name in order.

    Raises
    ------
    DamagedFileError : they cannot be read.
    """
    path = Path(folder) / ALIASES
    try:
        held = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DamagedFileError(
            f"{path} is not valid JSON: {error}; remove it to be without aliases"
        ) from error
    if not isinstance(held, dict) or not all(type(number) is int for number in held.values()):
        raise DamagedFileError(f"{path} holds no aliases; remove it to be without any")
    return dict(sorted(held.items()))


def versions(folder: str | os.PathLike[str]) -> dict[int, Path]:
    """The numbered versions in a folder, in order; an empty dict if it is no such folder."""
    try:
        children = list(Path(folder).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found = ((_VERSION.fullmatch(child.name), child) for child in children)
    return dict(sorted((int(m[1] or m[2]), child) for m, child in found if m))


def folder_of_versions(path: str | os.PathLike[str]) -> Path:
    """Where the versions of a store lie, or those of a stream's state.

    Raises
    ------
    BadInputError : there are none, so nothing an alias could stand for.
    """
    for folder in (Path(path), Path(path) / OF_STREAMS):
        if versions(folder):
            return folder
    raise BadInputError(
        "holds no numbered versions", place=str(path), remedy="name a store of models, or a stream's --state"
    )


@contextmanager
def writers_turn(folder: Path) -> Iterator[None]:
    """One writer of a folder of versions at a time; the system ends the turn of one that dies."""
    try:
        lock = (folder / _LOCK).open("ab")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ShoalError(f"{folder} is no folder of versions") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(folder: Path, held: dict[str, int]) -> None:
    replace_durably(folder / ALIASES, json.dumps(held, indent=2, sort_keys=True).encode() + b"\n")


def _among(there: dict[int, Path]) -> str:
    numbers = [str(number) for number in there]
    return f"there are {', '.join(numbers[-20:])}" if numbers else "publish one first"
