"""``shoal plot``: one picture of a model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli.console import out
from shoal.engines.local import load
from shoal.errors import BadInputError
from shoal.model.names import read_names


class Kind(StrEnum):
    """Values of --kind."""

    map = "map"
    sizes = "sizes"
    centres = "centres"
    choice = "choice"
    steps = "steps"


class Projection(StrEnum):
    """Values of --projection."""

    auto = "auto"
    columns = "columns"
    pca = "pca"
    tsne = "tsne"


def run(
    model: o.Model,
    out_file: Annotated[Path, typer.Option("--out", "-o", help=".png, .svg or .pdf.", show_default=False)],
    kind: Annotated[
        Kind,
        typer.Option(help="The clusters, their sizes, a heat map of centres, the k curves, or the solve."),
    ] = Kind.map,
    x: Annotated[str | None, typer.Option(help="Column across.")] = None,
    y: Annotated[str | None, typer.Option(help="Column up.")] = None,
    projection: Annotated[Projection, typer.Option(help="How many columns become two.")] = Projection.auto,
) -> None:
    """Draw a picture of a model from its summary.

    Examples:

      shoal plot houses --out houses.png

      shoal plot houses --x income --y latitude --out income.svg

      shoal plot houses --kind centres --out centres.png
    """
    from shoal.report import pictures  # loads matplotlib: only when drawn
    from shoal.report.view import View

    found = load(model)
    view = View.of(found.model, found.summary.points(), called=read_names(model))
    if kind is Kind.map:
        figure = pictures.cluster_map(view, x=x, y=y, projection=projection.value)
    elif kind is Kind.sizes:
        figure = pictures.size_bars(view)
    elif kind is Kind.centres:
        figure = pictures.centre_heatmap(view)
    elif kind is Kind.steps:
        figure = pictures.convergence(view)
    elif found.model.choice is None:
        raise BadInputError(f"{model} holds no k curves", remedy="make it with shoal sweep")
    else:
        figure = pictures.criteria_curves(found.model.choice)
    pictures.save_picture(figure, out_file)
    out.print(f"drawn to {out_file}", markup=False)
