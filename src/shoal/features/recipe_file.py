"""Recipe files: a :class:`RecipeSpec` and how to read the data, written in TOML by hand."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from shoal.errors import BadInputError
from shoal.features.spec import RecipeSpec

_READ: dict[str, type | tuple[type, ...]] = {
    "names": (str, list), "delimiter": str, "header": bool, "quote": (str, bool), "encoding": str,
    "format": str, "text": list, "nulls": list,
}  # fmt: skip
_RENAMED = {"text": "text_columns", "nulls": "null_values"}
_SPEC: dict[str, type | tuple[type, ...]] = {
    "columns": list, "one_hot": list, "top": int, "other": str, "scale": str, "nulls": str, "where": str,
    "metric": str, "weight": str,
}  # fmt: skip


def load_recipe(path: str | os.PathLike[str]) -> tuple[RecipeSpec, dict[str, Any]]:
    """The recipe in a TOML file, and the keyword arguments of ``ReadOptions`` its ``[read]`` table asks for.

    A file for the GDELT example::

        columns = ["numarticles", "avgtone", "actor1geo_lat", "actor1geo_long"]
        one_hot = ["eventcode"]
        top = 20
        other = "drop"
        where = "not (actor1geo_lat = 0 and actor1geo_long = 0)"
        scale = "none"

        [read]
        names = "events_column_names.csv"   # a file beside this one, or a list of names
        delimiter = "\\t"
        # also: header, quote (false: none), encoding, format, text = [columns], nulls = [words]

    Raises :class:`BadInputError` for a file that is not there, is no TOML, or holds a key or type that is not
    known.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "r.toml"; _ = file.write_text('colums = ["a"]')
    >>> load_recipe(file)
    Traceback (most recent call last):
    shoal.errors.BadInputError: ...r.toml: no setting named 'colums'; did you mean columns?
    """
    place = os.fspath(path)
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(
            f"cannot be read ({error.strerror})", place=place, remedy="check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"is not TOML ({error})", place=place, remedy="write lines such as: top = 20"
        ) from error
    read = data.pop("read", {})
    if not isinstance(read, dict):
        raise BadInputError("'read' is not a table", place=place, remedy="write [read] on a line of its own")
    _check(data, _SPEC, place)
    _check(read, _READ, f"{place}, [read]")
    try:
        spec = RecipeSpec.from_dict(data)
    except BadInputError as error:
        raise BadInputError(
            error.problem, place=", ".join(filter(None, (place, error.place))), remedy=error.remedy
        ) from error
    return spec, _read_options(read, Path(path))


def read_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Column names from a file that holds nothing else, separated by commas, tabs, semicolons, bars or lines.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "n.csv"; _ = file.write_text("a\\tb\\n")
    >>> read_names(file)
    ('a', 'b')
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"cannot be read ({error})", place=os.fspath(path), remedy="give a file of column names"
        ) from error
    names = tuple(n for part in re.split(r"[,\t;|\r\n]", text) if (n := part.strip().strip('"')))
    if not names:
        raise BadInputError("holds no column names", place=os.fspath(path), remedy="write them on one line")
    return names


def _check(data: dict[str, Any], known: dict[str, type | tuple[type, ...]], place: str) -> None:
    for key, value in data.items():
        if key not in known:
            error = BadInputError.unknown_column(key, list(known), place=place)
            raise BadInputError(
                error.problem.replace("column", "setting", 1), place=place, remedy=error.remedy
            )
        kinds = known[key]
        wrong = not isinstance(value, kinds) or (isinstance(value, bool) and kinds is int)
        if wrong or (isinstance(value, list) and not all(isinstance(v, str) for v in value)):
            names = " or ".join(
                "a list of texts" if k is list else k.__name__
                for k in (kinds if isinstance(kinds, tuple) else (kinds,))
            )
            raise BadInputError(f"{key} is {value!r}", place=place, remedy=f"give {names}")


def _read_options(read: dict[str, Any], path: Path) -> dict[str, Any]:
    options: dict[str, Any] = {
        _RENAMED.get(key, key): tuple(v) if isinstance(v, list) else v for key, v in read.items()
    }
    if isinstance(options.get("names"), str):
        options["names"] = read_names(path.parent / options["names"])
    if "text_columns" in options:
        options["text_columns"] = frozenset(options["text_columns"])
    if isinstance(options.get("quote"), bool):
        options["quote"] = '"' if options["quote"] else None
    return options
