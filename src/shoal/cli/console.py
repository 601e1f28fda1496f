"""What commands share on the terminal: progress, tables, one-line errors, JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from shoal.engines.local import Clustering
from shoal.engines.reading import Progress as Done

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout and sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False, soft_wrap=True)

MOST_COLUMNS = 8
"""Columns of a table of centres in a pipe; on a terminal as many as fit."""
MOST_CLUSTERS = 40


class Watch:
    """A progress bar that is told of long work."""

    def __init__(self, bar: Progress, verb: str) -> None:
        self._bar, self._task = bar, bar.add_task(verb, total=None, rows=0, speed=0.0)

    def __call__(self, done: Done) -> None:
        """How far a pass over the data is."""
        speed = done.rows / max(done.seconds, 1e-9)
        self._bar.update(
            self._task, total=done.total_bytes, completed=done.bytes_read, rows=done.rows, speed=speed
        )

    def solved(self, k: int) -> None:
        """So many clusters were found in what was read."""
        self._bar.update(self._task, description=f"solved for k = {k}")


@contextmanager
def watching(verb: str) -> Iterator[Watch]:
    """A progress bar on a terminal (rows, rows/s, bytes left); nothing in a pipe."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[speed]:,.0f}/s"),
        TimeRemainingColumn(compact=True),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as bar:
        yield Watch(bar, verb)


def print_json(data: Any, *, to_stderr: bool = False) -> None:
    """One JSON document on standard output, for machines; or beside it, where labels go there."""
    (sys.stderr if to_stderr else sys.stdout).write(
        json.dumps(_finite(data), indent=2, ensure_ascii=False) + "\n"
    )


def _finite(data: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def print_error(text: str) -> None:
    """One clear line on standard error."""
    err.print("shoal: ", style="bold red", end="")
    err.print(text, markup=False)


def summarise(clustering: Clustering) -> dict[str, Any]:
    """A model as plain data: what ``--json`` prints."""
    model = clustering.model
    original = clustering.recipe.to_original(model.centres) if model.recipe is not None else model.centres
    total = float(model.weights.sum())
    return {
        "k": model.k,
        "metric": model.metric,
        "version": model.version,
        "parent": model.parent,
        "rows_seen": model.provenance.rows_seen,
        "rows_filtered": model.provenance.rows_filtered,
        "rejected": model.provenance.rejects.to_dict(),
        "rows_kept_in_summary": len(clustering.summary.points().X),
        "sources": list(model.provenance.sources),
        "seconds": round(model.provenance.seconds, 3),
        "seed": model.provenance.seed,
        "release": model.provenance.library_version,
        "created": model.provenance.created,
        "left_out": list(model.provenance.left_out),
        "doubts": clustering.doubts(),
        "quality": dict(model.quality),
        "clusters": [
            {
                "id": int(model.ids[c]),
                "share": float(model.weights[c]) / total,
                "weight": float(model.weights[c]),
                "median_distance": float(model.radii[c][10]),
                "centre": dict(zip(model.feature_names, (float(v) for v in original[c]), strict=True)),
            }
            for c in range(model.k)
        ],
        "choice": model.choice,
    }


def print_clusters(clustering: Clustering, called: Mapping[int, str] | None = None) -> None:
    """A table of the clusters, with centres in the units of the data, and the names people gave them."""
    data = summarise(clustering)
    names = list(clustering.model.feature_names)
    shown = names[: _columns_that_fit(names)]
    table = new_table("cluster", *(["name"] if called else []), "share", "rows", "radius", *shown)
    nothing = {n: 1e-6 * max(abs(c["centre"][n]) for c in data["clusters"]) for n in shown}
    for cluster in data["clusters"][:MOST_CLUSTERS]:
        values = [cluster["centre"][name] for name in shown]
        numbers = [f"{v if abs(v) > nothing[n] else 0.0:.4g}" for n, v in zip(shown, values, strict=True)]
        size = f"{cluster['weight']:,.0f}"
        name = [escape(called.get(cluster["id"], ""))] if called else []
        table.add_row(
            str(cluster["id"]),
            *name,
            f"{cluster['share']:.1%}",
            size,
            f"{cluster['median_distance']:.3g}",
            *numbers,
        )
    print_table(table)
    hidden = []
    if len(names) > len(shown):
        hidden.append(f"{len(names) - len(shown)} more columns")
    if data["k"] > MOST_CLUSTERS:
        hidden.append(f"{data['k'] - MOST_CLUSTERS} more clusters")
    if hidden:
        out.print(f"({', '.join(hidden)}: see --json or a report)", style="dim")


def new_table(*heads: str) -> Table:
    """A plain table of numbers; it is printed whole, however narrow the terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True, min_width=len(head))
    return table


def print_table(table: Table) -> None:
    """The table in its full width, whatever the terminal's: numbers must not be cut."""
    wide = Measurement.get(out, out.options.update(max_width=10_000), table).maximum
    out.print(table, width=wide, crop=False, overflow="ignore", soft_wrap=True)


def _columns_that_fit(names: list[str]) -> int:
    if not out.is_terminal:
        return MOST_COLUMNS
    room, fit = out.width - 36, 0  # the four columns before the centre's
    for name in names:
        room -= max(len(name), 7) + 2
        fit += room >= 0
    return max(fit, 1)


def print_pass(clustering: Clustering) -> None:
    """What was read, and what was left out."""
    was = clustering.model.provenance
    kept = len(clustering.summary.points().X)
    text = f"{was.rows_seen:,} rows from {len(was.sources)} file{'s'[: len(was.sources) != 1]}"
    took = "" if math.isnan(was.seconds) else f" in {was.seconds:.2f} s"
    text += f"{took}; the summary keeps {kept:,}"
    if was.rows_filtered:
        text += f"; {was.rows_filtered:,} filtered out"
    out.print(text)
    if was.left_out:
        err.print(f"not used: {', '.join(was.left_out)}", style="yellow", markup=False)
    for doubt in clustering.doubts():
        err.print(f"careful: {doubt}", style="yellow", markup=False)
    for reason, count in sorted(was.rejects.counts.items()):
        err.print(
            f"rejected {count:,}: {reason} (first: {was.rejects.first[reason]})", style="yellow", markup=False
        )
