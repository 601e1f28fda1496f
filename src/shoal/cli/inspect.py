"""``shoal inspect``: what a model holds."""

from __future__ import annotations

from shoal.cli import options as o
from shoal.cli.console import out, print_clusters, print_json, print_pass, summarise
from shoal.engines.local import load
from shoal.model.names import read_names


def run(model: o.Model, json: o.Json = False) -> None:
    """Show a model: its clusters, quality, and where it came from.

    Example:

      shoal inspect houses --json
    """
    found = load(model)
    called = read_names(model)
    if json:
        told = summarise(found)
        clusters = [c | ({"name": called[c["id"]]} if c["id"] in called else {}) for c in told["clusters"]]
        print_json(told | {"clusters": clusters})
        return
    print_pass(found)
    print_clusters(found, called)
    was = found.model.provenance
    for name, value in found.model.quality.items():
        out.print(f"{name.replace('_', ' '):>18}  {value:.6g}")
    out.print(f"metric {found.model.metric}, seed {was.seed}, shoal {was.library_version}, {was.created}")
    version, parent = found.model.version, found.model.parent
    out.print(f"version {version}{f', updated from {parent}' if parent else ''}")
    out.print(f"from {', '.join(was.sources)}", markup=False)
