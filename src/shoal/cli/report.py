"""``shoal report``: one HTML file that tells what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli.console import out
from shoal.engines.local import load
from shoal.model.names import read_names


def run(
    model: o.Model,
    out_file: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.", show_default=False)],
) -> None:
    """Write a self-contained HTML report: map, clusters, centres, which k, and where it all came from.

    Example:

      shoal report houses --out houses.html
    """
    from shoal.report.html import write_report  # loads matplotlib: only when drawn

    found = load(model)
    write_report(
        found.model, found.summary.points(), out_file, choice=found.model.choice, called=read_names(model)
    )
    out.print(f"written to {out_file}", markup=False)
