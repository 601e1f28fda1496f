"""``shoal alias``: names for versions of a model, such as champion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli.console import out, print_json
from shoal.errors import BadInputError
from shoal.model.aliases import aliases, drop_alias, folder_of_versions, set_alias


def run(
    store: Annotated[
        Path, typer.Argument(help="Store of models, or a stream's --state.", show_default=False)
    ],
    name: Annotated[str | None, typer.Argument(help="The alias.", show_default=False)] = None,
    version: Annotated[
        int | None, typer.Argument(help="The version it is to stand for.", show_default=False)
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Remove it; its version may then leave.")] = False,
    json: o.Json = False,
) -> None:
    """List, set or remove aliases; a version with an alias is kept while others leave.

    Examples:

      shoal alias houses

      shoal alias houses champion 12

      shoal alias houses champion --drop
    """
    folder = folder_of_versions(store)
    if drop:
        _drop(folder, name, version)
    elif name is not None and version is not None:
        set_alias(folder, name, version)
    held = aliases(folder)
    if name is not None and not drop:
        if name not in held:
            raise _unknown(name, held)
        held = {name: held[name]}
    if json:
        print_json({"aliases": held})
    elif drop:
        out.print(f"{name} removed", markup=False)
    else:
        for alias, number in held.items():
            out.print(f"{alias}  {number}", markup=False)


def _drop(folder: Path, name: str | None, version: int | None) -> None:
    if name is None or version is not None:
        raise BadInputError("--drop takes a name alone", remedy="shoal alias STORE NAME --drop")
    if not drop_alias(folder, name):
        raise _unknown(name, aliases(folder))


def _unknown(name: str, held: dict[str, int]) -> BadInputError:
    known = f"there are {', '.join(held)}" if held else "there are none yet: shoal alias STORE NAME VERSION"
    return BadInputError(f"no alias {name!r}", remedy=known)
