"""``shoal topics assign``: a topic for every text."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from shoal.cli import options as o
from shoal.cli.console import out, print_json, watching
from shoal.cli.topics import options as t
from shoal.cli.topics.label_file import format_of, label_file
from shoal.cli.topics.models import open_model, with_embedder
from shoal.cli.topics.tables import one_line, print_rejects, waiting
from shoal.cli.topics.text_files import TextBlock, TextFiles
from shoal.errors import BadInputError

OUTLIER = -1


def run(
    model: t.State,
    sources: t.Sources,
    out_file: Annotated[
        Path,
        typer.Option("--out", "-o", help=".parquet, .csv, .csv.gz, .jsonl or .arrow.", show_default=False),
    ],
    text_column: t.TextColumn = None,
    keep: Annotated[str, typer.Option(help="Columns of the input to carry along: a,b or * for all.")] = "",
    outlier_rate: Annotated[
        float | None,
        typer.Option(
            help="Topic -1 for texts farther out than all but this share of the texts the model has seen.",
            min=0.0,
            max=0.999,
            show_default=False,
        ),
    ] = None,
    lines: t.Lines = False,
    where: t.Where = None,
    limit: t.Limit = None,
    language_model: t.SameModel = None,
    device: t.Device = None,
    cache: t.Cache = None,
    no_cache: t.NoCache = False,
    names: o.Names = None,
    delimiter: o.Delimiter = None,
    format: o.Format = None,
    encoding: o.Encoding = None,
    on_error: o.OnErrorOption = o.OnError.stop,
    json: o.Json = False,
) -> None:
    """Write a row for every text: file, row, topic, name, similarity, outlier score.

    Texts need not be those the topics were found in. Empty ones have topic -1; row numbers count from 1.

    Examples:

      shoal topics assign tickets.topics december.csv -t text --out labels.csv

      shoal topics assign tickets.topics december.csv -t text --keep id --outlier-rate 0.02 --out labels.parquet
    """
    format_of(out_file)
    read = o.reading(
        {}, names=names, delimiter=delimiter, format=format, encoding=encoding, on_error=on_error
    )
    carried = [part.strip() for part in keep.split(",") if part.strip()]
    files = TextFiles(
        sources, text_column, where=where, lines=lines, limit=limit, keep=carried, drop_empty=False, read=read
    )
    _refuse_input(out_file, files.names)
    with waiting("loading the language model"):
        folder = t.cache_folder(cache, no_cache)
        found = with_embedder(open_model(model), model, language_model, device, folder)
        if outlier_rate is not None:
            found.set_params(outlier_rate=outlier_rate)
        of = {topic.id: topic.name for topic in found.topics_}
    sizes: dict[int, int] = {}
    with ExitStack() as stack:
        watch, sink = stack.enter_context(watching("labelling texts")), None
        for block in files.blocks(watch):
            labels = found.assign(block.texts)
            for number, count in zip(*np.unique(labels.topics, return_counts=True), strict=True):
                sizes[int(number)] = sizes.get(int(number), 0) + int(count)
            table = _table(block, labels, of, files.carried)
            if sink is None:
                sink = stack.enter_context(label_file(out_file, table.schema))
            sink.write(table)
    if sink is None:
        raise BadInputError("no text is left", place=", ".join(files.names[:3]), remedy="check --where")
    _tell(files, sizes, of, out_file, json)


def _table(block: TextBlock, labels: Any, names: dict[int, str], carried: list[str]) -> pa.Table:
    n = len(block.texts)
    ours = {
        "file": pa.array([block.batch.origin] * n, pa.string()),
        "row": pa.array(block.batch.row_numbers + 1),
        "topic": pa.array(labels.topics),
        "name": pa.array([names.get(int(topic)) for topic in labels.topics], pa.string()),
        "similarity": pa.array(labels.similarities, from_pandas=True),
        "outlier_score": pa.array(labels.outlier_scores, from_pandas=True),
    }
    theirs = {f"{name}_in" if name in ours else name: block.batch.table.column(name) for name in carried}
    return pa.table(theirs | ours)


def _refuse_input(path: Path, names: list[str]) -> None:
    """An output that is one of the inputs would replace the texts by their labels."""
    for name in names:
        if path.exists() and Path(name).exists() and path.samefile(name):
            raise BadInputError(
                "is one of the files to be labelled", place=str(path), remedy="choose another --out"
            )


def _tell(files: TextFiles, sizes: dict[int, int], names: dict[int, str], path: Path, json: bool) -> None:
    ordered = dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))
    if json:
        print_json(
            {
                "rows": files.rows,
                "filtered": files.filtered,
                "rejected": files.rejects.to_dict(),
                "sizes": {str(number): count for number, count in ordered.items()},
                "out": str(path),
            }
        )
        return
    out.print(f"{files.rows:,} texts labelled, written to {path}", markup=False)
    for number, count in ordered.items():
        name = "no topic" if number == OUTLIER else one_line(names[number], 60)
        out.print(f"  {number:>4}  {count:>9,}  {count / files.rows:>6.1%}  {name}", markup=False)
    print_rejects(files.rejects)
