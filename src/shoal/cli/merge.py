"""``shoal merge``: two models become one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli.console import out, print_clusters, print_json, print_pass, summarise
from shoal.engines.local import load
from shoal.errors import BadInputError


def run(
    models: Annotated[list[Path], typer.Argument(help="Two or more model directories.", show_default=False)],
    out_dir: o.Out,
    k: Annotated[int | None, typer.Option("--k", "-k", help="Default: that of the first.", min=1)] = None,
    json: o.Json = False,
) -> None:
    """Merge models of parts of the data into the model of all of it, without the data.

    The parts must turn rows into vectors alike: fit all but the first with --like FIRST.

    Example:

      shoal fit june.csv -k 6 --out june && shoal fit july.csv -k 6 --like june --out july

      shoal merge june july --out summer
    """
    if len(models) < 2:
        raise BadInputError("one model has nothing to merge with", remedy="name two or more")
    parts = [load(path) for path in models]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.merge(part, k=k)
    whole = whole.save(out_dir)
    if json:
        print_json(summarise(whole))
        return
    print_pass(whole)
    print_clusters(whole)
    out.print(f"saved to {out_dir}", markup=False)
