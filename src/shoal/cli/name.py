"""``shoal name``: names for clusters, such as "night owls"."""

from __future__ import annotations

from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli.console import out, print_json
from shoal.engines.local import load
from shoal.errors import BadInputError
from shoal.model.names import give_name, read_names


def run(
    model: o.Model,
    cluster: Annotated[int | None, typer.Argument(help="Id of the cluster.", show_default=False)] = None,
    name: Annotated[str | None, typer.Argument(help="What to call it.", show_default=False)] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Take its name away.")] = False,
    json: o.Json = False,
) -> None:
    """List the names of clusters, give one, or take it away.

    Names stay with the ids through all versions of a model; inspect, plot, report and the live page show them.

    Examples:

      shoal name houses

      shoal name houses 3 "near the sea"

      shoal name houses 3 --drop
    """
    if cluster is not None and (name is not None or drop):
        if name is not None and drop:
            raise BadInputError("--drop takes no name", remedy="shoal name MODEL CLUSTER --drop")
        _change(model, cluster, None if drop else name)
    elif drop:
        raise BadInputError("--drop needs a cluster", remedy="shoal name MODEL CLUSTER --drop")
    called = read_names(model)
    if cluster is not None:
        called = {cluster: called[cluster]} if cluster in called else {}
    if json:
        print_json({"names": {str(i): called[i] for i in sorted(called)}})
        return
    for i in sorted(called):
        out.print(f"{i}  {called[i]}", markup=False)


def _change(model: o.Model, cluster: int, name: str | None) -> None:
    """Dead clusters may lose their names, but get none."""
    ids = load(model).model.ids.tolist()
    if name is not None and cluster not in ids:
        known = ", ".join(map(str, ids[:20])) + (", ..." if len(ids) > 20 else "")
        raise BadInputError(f"there is no cluster {cluster}", place=str(model), remedy=f"use one of {known}")
    if name is None and cluster not in read_names(model):
        raise BadInputError(f"cluster {cluster} has no name", place=str(model))
    give_name(model, cluster, name)
