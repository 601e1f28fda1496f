"""Names that people give to clusters, kept beside a model and through all its versions."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.model.durable import replace_durably

FILE = "names.json"
LONGEST = 200


def names_path(home: str | os.PathLike[str]) -> Path:
    """The file of the names: in a directory, or beside a file.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> names_path(folder).name, names_path(folder / "houses.shoal").name
    ('names.json', 'houses.shoal.names.json')
    """
    path = Path(home)
    return path / FILE if path.is_dir() else path.with_name(f"{path.name}.{FILE}")


def read_names(home: str | os.PathLike[str]) -> dict[int, str]:
    """Names by cluster id; empty if none were given.

    Raises
    ------
    DamagedFileError : the file cannot be read.
    """
    path = names_path(home)
    try:
        told = json.loads(path.read_bytes())
        return {int(cluster): str(name) for cluster, name in told["names"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DamagedFileError(f"{path} cannot be read: {error}; mend it or remove it") from error


def give_name(home: str | os.PathLike[str], cluster: int, name: str | None) -> str | None:
    """Name a cluster, or with None take its name away; durable on return, one writer at a time.

    Raises
    ------
    BadInputError : a name of more than 200 characters, or of none.
    ShoalError : it cannot be written there.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> give_name(folder, 3, "  night  owls "), read_names(folder)
    ('night owls', {3: 'night owls'})
    """
    name = None if name is None else checked_name(name, f"cluster {cluster}")
    path = names_path(home)
    try:
        with path.with_name(f".{path.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            names = read_names(home)
            if name is None:
                names.pop(cluster, None)
            else:
                names[cluster] = name
            told = {"names": {str(c): names[c] for c in sorted(names)}}
            replace_durably(path, json.dumps(told, indent=1).encode())
    except OSError as error:
        raise ShoalError(f"{path} cannot be written: {error.strerror or error}") from error
    return name


def checked_name(name: str, place: str) -> str:
    """A name on one line, without blanks at its ends.

    Raises
    ------
    BadInputError : it has more than 200 characters, or none.
    """
    plain = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    if not 0 < len(plain) <= LONGEST:
        raise BadInputError(f"a name has 1 to {LONGEST} characters", place=place, remedy="give another")
    return plain
