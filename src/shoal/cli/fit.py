"""``shoal fit``: groups from one read of the data."""

from __future__ import annotations

from typing import Annotated

import typer

from shoal.cli import engine as e
from shoal.cli import options as o
from shoal.cli.console import out, print_clusters, print_json, print_pass, summarise, watching


def run(
    sources: o.Sources,
    k: Annotated[int, typer.Option("--k", "-k", help="Number of clusters.", min=1, show_default=False)],
    out_dir: o.Out,
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
    """Cluster files into k groups, in one read.

    Examples:

      shoal fit houses.csv -k 6 --columns longitude,latitude,income --out houses

      shoal fit 'data/*.parquet' -k 20 --where "price > 0" --nulls skip --out groups

      shoal fit embeddings.npy -k 50 --metric cosine --out topics

      shoal fit 's3://bucket/events/*.parquet' -k 50 --engine spark --remote sc://host:15002 --out groups
      shoal fit 'gs://bucket/*.parquet' -k 50 --engine beam --runner DataflowRunner --runner project=p --out groups
    """
    chosen = e.chosen(engine, sources, master=master, remote=remote, runner=runner, threads=threads)
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
    with chosen.ready() as ready, watching("reading") as watch:
        found = ready.fit(
            sources,
            k,
            recipe=spec,
            read=read,
            budget=o.budget(sample_rows, max_bytes),
            seed=seed,
            watch=watch,
        )
    found = found.save(out_dir)
    if json:
        print_json(summarise(found))
        return
    print_pass(found)
    print_clusters(found)
    out.print(f"saved to {out_dir}; next: shoal assign, shoal plot or shoal report {out_dir}", markup=False)
