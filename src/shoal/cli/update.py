"""``shoal update``: a model goes on learning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli.console import out, print_clusters, print_json, print_pass, summarise, watching
from shoal.engines.local import load


def run(
    model: o.Model,
    sources: o.Sources,
    k: Annotated[int | None, typer.Option("--k", "-k", help="Default: as before.", min=1)] = None,
    out_dir: Annotated[Path | None, typer.Option("--out", "-o", help="Default: the model itself.")] = None,
    names: o.Names = None,
    delimiter: o.Delimiter = None,
    format: o.Format = None,
    encoding: o.Encoding = None,
    on_error: o.OnErrorOption = o.OnError.stop,
    json: o.Json = False,
) -> None:
    """Teach a model more rows, in time proportional to the new rows only.

    A file it has already seen stays one file in the sample, though its rows are counted again.

    Example:

      shoal update houses new_houses.csv
    """
    read = o.reading(
        {}, names=names, delimiter=delimiter, format=format, encoding=encoding, on_error=on_error
    )
    known = load(model)
    with watching("reading") as watch:
        found = known.update(sources, k=k, read=read, watch=watch)
    found = found.save(out_dir or model)
    if json:
        print_json(summarise(found))
        return
    print_pass(found)
    for event in found.events:
        out.print(str(event), markup=False)
    print_clusters(found)
    out.print(f"saved to {out_dir or model}", markup=False)
