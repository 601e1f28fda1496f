"""``shoal sweep``: which k, from one read of the data."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import engine as e
from shoal.cli import options as o
from shoal.cli.console import (
    new_table,
    out,
    print_clusters,
    print_json,
    print_pass,
    print_table,
    summarise,
    watching,
)
from shoal.solve.choose_k import KChoice


def run(
    sources: o.Sources,
    ks: Annotated[
        str, typer.Option("--k", "-k", help="Numbers of clusters: 2:12 (inclusive), 2:20:2 or 3,5,8.")
    ] = "2:12",
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Directory for the model of the suggested k and elbow.png."),
    ] = None,
    recipe: o.RecipeFile = None,
    like: o.Like = None,
    columns: o.Columns = None,
    one_hot: o.OneHot = None,
    top: o.Top = None,
    other: o.OtherOption = None,
    where: o.Where = None,
    scale: o.ScaleOption = None,
    nulls: o.NullsOption = None,
    metric: o.MetricOption = None,
    weight: o.Weight = None,
    names: o.Names = None,
    delimiter: o.Delimiter = None,
    format: o.Format = None,
    encoding: o.Encoding = None,
    on_error: o.OnErrorOption = o.OnError.stop,
    sample_rows: o.SampleRows = None,
    max_bytes: o.MaxBytes = o.MAX_BYTES,
    seed: o.Seed = 0,
    threads: o.Threads = None,
    engine: e.EngineOption = e.Engine.local,
    master: e.Master = None,
    remote: e.Remote = None,
    runner: e.Runner = None,
    json: o.Json = False,
) -> None:
    """Answer every k from one read: the criteria, a suggestion with its reasons, and the elbow picture.

    "No cluster structure found" is a possible answer; the model saved is then the one with the most votes.

    Examples:

      shoal sweep houses.csv --columns longitude,latitude,income -k 2:12

      shoal sweep events.tsv.gz -k 2:12 --recipe events.toml --out events-k
    """
    spec, from_file = o.features(
        recipe,
        like,
        columns=columns,
        one_hot=one_hot,
        top=top,
        other=other,
        where=where,
        scale=scale,
        nulls=nulls,
        metric=metric,
        weight=weight,
    )
    read = o.reading(
        from_file, names=names, delimiter=delimiter, format=format, encoding=encoding, on_error=on_error
    )
    if out_dir is not None:  # loading matplotlib takes half a second: meanwhile the file is read
        threading.Thread(target=import_module, args=("shoal.report.pictures",), daemon=True).start()
    chosen = e.chosen(engine, sources, master=master, remote=remote, runner=runner, threads=threads)
    with chosen.ready() as ready, watching("reading") as watch:
        choice, best = ready.sweep(
            sources,
            o.parse_ks(ks),
            recipe=spec,
            read=read,
            budget=o.budget(sample_rows, max_bytes),
            seed=seed,
            watch=watch,
        )
    if out_dir is not None:
        from shoal.report.pictures import criteria_curves, save_picture  # loads matplotlib: only when drawn

        best = best.save(out_dir)
        save_picture(criteria_curves(choice.to_dict()), out_dir / "elbow.png")
    if json:
        print_json(summarise(best))
        return
    print_pass(best)
    print_choice(choice, o.parse_ks(ks))
    print_clusters(best)
    if out_dir is not None:
        out.print(f"saved to {out_dir}; the curves are in {out_dir / 'elbow.png'}", markup=False)


def print_choice(choice: KChoice, asked: Iterable[int] = ()) -> None:
    """The criteria as a table, the suggestion, and which of those asked for are more than there are rows that differ."""
    if missing := sorted(set(asked) - {c.k for c in choice.candidates}):
        more = ", ..." if len(missing) > 10 else ""
        ks = ", ".join(map(str, missing[:10])) + more
        out.print(f"more clusters than rows that differ: k = {ks}", style="yellow", markup=False)
    table = new_table(
        "k", "inertia", "explained", "Cal.-H.", "Dav.-B.", "silhouette", "BIC", "gap", "stability"
    )
    for c in choice.candidates:
        q = c.quality
        table.add_row(
            f"{c.k}{'*' if c.k == choice.suggested else ' '}",
            f"{q.inertia:.5g}",
            f"{q.explained:.1%}",
            f"{q.calinski_harabasz:.5g}",
            f"{q.davies_bouldin:.3f}",
            f"{q.silhouette:.3f}",
            f"{q.bic:.6g}",
            f"{c.gap:.3f}",
            f"{c.stability:.2f}",
        )
    print_table(table)
    if choice.suggested is None:
        out.print(f"no cluster structure found (confidence {choice.confidence:.0%})", style="bold yellow")
    else:
        out.print(
            f"suggested k = {choice.suggested} (confidence {choice.confidence:.0%})", style="bold green"
        )
    for reason in choice.reasons:
        out.print(f"  - {reason}", markup=False)
