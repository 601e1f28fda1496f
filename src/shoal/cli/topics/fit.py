"""``shoal topics fit``: topics of the texts of files, in one read."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import options as o
from shoal.cli.console import err, out, print_json, watching
from shoal.cli.topics import options as t
from shoal.cli.topics.models import load_quick, open_model, with_embedder
from shoal.cli.topics.tables import print_rejects, print_topics, waiting
from shoal.cli.topics.text_files import TextFiles, looks_delimited
from shoal.engines.stream.settings import Span
from shoal.errors import BadInputError

if TYPE_CHECKING:
    from shoal.text.topic_model import TopicModel


def run(
    sources: t.Sources,
    text_column: t.TextColumn = None,
    k: t.K = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", "-o", help="File of topics to write. Default: topics.shoal.")
    ] = None,
    more: Annotated[
        Path | None,
        typer.Option(help="Go on from this file of topics; it is replaced unless --out is given."),
    ] = None,
    lines: t.Lines = False,
    time: Annotated[str | None, typer.Option(help="Column of dates, ISO 8601 or seconds.")] = None,
    id: Annotated[
        str | None,
        typer.Option(help="Column that names each text: one that comes again stays one row of the sample."),
    ] = None,
    weight: Annotated[str | None, typer.Option(help="Column of weights.")] = None,
    where: t.Where = None,
    limit: t.Limit = None,
    language: t.Language = None,
    half_life: Annotated[
        str | None, typer.Option(help="Forget: a text counts half after 6h, 7d, ... by its --time.")
    ] = None,
    model: t.ModelName = None,
    device: t.Device = None,
    cache: t.Cache = None,
    no_cache: t.NoCache = False,
    names: o.Names = None,
    delimiter: o.Delimiter = None,
    format: o.Format = None,
    encoding: o.Encoding = None,
    on_error: o.OnErrorOption = o.OnError.stop,
    seed: o.Seed = 0,
    json: o.Json = False,
) -> None:
    """Find the topics of texts, in one read of the files.

    Texts become vectors, vectors clusters, clusters topics with a name, keywords and examples.
    The file that is written goes on learning with --more, and is what the other commands take.

    Examples:

      shoal topics fit tickets.csv --text-column text --out tickets.topics

      shoal topics fit 'news/*.parquet' -t title -k 5:40 --time published --out news.topics

      shoal topics fit titles.txt.gz -k 20 --model hashed --out titles.topics

      shoal topics fit emotion.txt --names text,label --delimiter ';' -t text

      shoal topics fit december.csv -t text --more tickets.topics
    """
    began = monotonic()
    read = o.reading(
        {}, names=names, delimiter=delimiter, format=format, encoding=encoding, on_error=on_error
    )
    files = TextFiles(
        sources, text_column, time, id, weight, where=where, lines=lines, limit=limit, read=read
    )
    if files.guessed and not json:
        err.print(f"texts are in column {files.column!r}", style="dim", markup=False)
    target = out_file or more or t.DEFAULT_FILE
    if target.is_dir():
        raise BadInputError(f"{target} is a directory", remedy="give a file with --out")
    given = {"-k": k, "--language": language, "--half-life": half_life}
    if more is not None and (said := [name for name, value in given.items() if value is not None]):
        raise BadInputError(
            f"{more} has its own {', '.join(said)}", remedy="leave them out, or leave out --more"
        )
    folder = t.cache_folder(cache, no_cache)
    with waiting("loading the language model"):
        if more is not None:
            topics = with_embedder(open_model(more), more, model, device, folder)
        else:
            topics = _new(k, model, folder, device, language, _seconds(half_life, time), seed)
    _learn(topics, files)
    with waiting("finding topics"):
        found = topics.topics_
        topics.save(target)
    seconds = monotonic() - began
    if json:
        print_json(
            {
                "texts": topics.n_texts_seen_,
                "read": files.rows,
                "filtered": files.filtered,
                "rejected": files.rejects.to_dict(),
                "column": files.column,
                "embedder": getattr(topics.embedder, "name", topics.embedder),
                "seconds": round(seconds, 3),
                "out": str(target),
                "topics": [topic.to_dict() for topic in found],
            }
        )
        return
    before = topics.n_texts_seen_ - files.rows
    out.print(
        f"{files.rows:,} texts from {len(files.names)} file{'s'[: len(files.names) != 1]} in {seconds:.1f} s"
        + (f", {topics.n_texts_seen_:,} with those before" if before else "")
        + f": {len(found)} topics"
    )
    print_rejects(files.rejects)
    print_topics(found)
    out.print(f"saved to {target}; next: shoal topics show, search or report {target}", markup=False)


def _new(
    k: str | None,
    model: str | None,
    folder: Path | None,
    device: str | None,
    languages: list[str] | None,
    half_life: float | None,
    seed: int,
) -> TopicModel:
    from shoal.text.topic_model import TopicModel

    number: Any = t.parse_k(k or "auto")
    embedder = load_quick(model, device, folder)
    return TopicModel(number, embedder=embedder, languages=languages, half_life=half_life, random_state=seed)


def _learn(topics: TopicModel, files: TextFiles) -> None:
    with watching("embedding texts") as watch:
        for number, block in enumerate(files.blocks(watch)):
            mark = looks_delimited(block.texts) if files.lines and number == 0 else None
            if mark is not None:
                err.print(
                    f"careful: every line has {mark!r} in it; if it parts columns, give --names a,b --delimiter and -t",
                    style="yellow", markup=False,
                )  # fmt: skip
            topics.partial_fit(block.texts, times=block.times, ids=block.ids, sample_weight=block.weights)
    if not files.rows:
        raise BadInputError(
            f"no text is left: {files.filtered} filtered, {files.rejects.total} left out",
            place=", ".join(files.names[:3]), remedy="check the files, --where and --text-column",
        )  # fmt: skip


def _seconds(half_life: str | None, time: str | None) -> float | None:
    if half_life is None:
        return None
    span = Span.parse(half_life)
    if span.seconds is None:
        raise BadInputError(f"--half-life {half_life!r} is no time", remedy="write 6h or 7d")
    if time is None:
        raise BadInputError(
            "--half-life needs the times of the texts", remedy="name their column with --time"
        )
    return span.seconds
