"""``shoal assign``: a label for every row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli.console import err, out, print_json, watching
from shoal.engines.labelling import label_files
from shoal.engines.local import load


def run(
    model: o.Model,
    sources: o.Sources,
    out_file: Annotated[
        Path,
        typer.Option("--out", "-o", help=".parquet, .csv, .csv.gz, .jsonl or .arrow.", show_default=False),
    ],
    keep: Annotated[str, typer.Option(help="Columns of the input to carry along: a,b or * for all.")] = "",
    outlier_rate: Annotated[
        float | None,
        typer.Option(
            help="Add a column `outlier`: farther out than all but this share of the rows the model has seen.",
            min=0.0,
            max=1.0,
            show_default=False,
        ),
    ] = None,
    names: o.Names = None,
    delimiter: o.Delimiter = None,
    format: o.Format = None,
    encoding: o.Encoding = None,
    on_error: o.OnErrorOption = o.OnError.stop,
    json: o.Json = False,
) -> None:
    """Label every row: cluster, distances and outlier score.

    Rows that the model filters out or cannot use get no cluster; row numbers count from 1.

    Example:

      shoal assign houses houses.csv --keep '*' --out labels.parquet
    """
    read = o.reading(
        {}, names=names, delimiter=delimiter, format=format, encoding=encoding, on_error=on_error
    )
    known = load(model)
    carried = [part.strip() for part in keep.split(",") if part.strip()]
    with watching("labelling") as watch:
        done = label_files(
            known, sources, out_file, keep=carried, outlier_rate=outlier_rate, read=read, watch=watch
        )
    if json:
        print_json(
            {
                "rows": done.rows,
                "assigned": done.assigned,
                "filtered": done.filtered,
                "rejected": done.rejects.to_dict(),
                "sizes": {str(i): n for i, n in done.sizes.items()},
                "inertia": done.inertia,
                "out": str(out_file),
            }
            | ({} if done.outliers is None else {"outliers": done.outliers})
        )
        return
    out.print(f"{done.assigned:,} of {done.rows:,} rows labelled, written to {out_file}", markup=False)
    if done.outliers is not None:
        out.print(f"  outliers: {done.outliers:,} ({done.outliers / max(done.assigned, 1):.2%})")
    for cluster, size in done.sizes.items():
        out.print(f"  cluster {cluster}: {size:,} ({size / max(done.assigned, 1):.1%})")
    for reason, count in sorted(done.rejects.counts.items()):
        err.print(
            f"rejected {count:,}: {reason} (first: {done.rejects.first[reason]})",
            style="yellow",
            markup=False,
        )
