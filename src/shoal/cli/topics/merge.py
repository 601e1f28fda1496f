"""``shoal topics merge``: topics of parts become topics of all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli.console import out, print_json
from shoal.cli.topics import options as t
from shoal.cli.topics.models import open_model
from shoal.cli.topics.tables import print_topics, waiting
from shoal.errors import BadInputError


def run(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL", help="Two or more files of topics, or states of streams.", show_default=False
        ),
    ],
    out_file: Annotated[
        Path, typer.Option("--out", "-o", help="File of topics to write.", show_default=False)
    ],
    k: t.K = None,
    json: o.Json = False,
) -> None:
    """Merge topics of parts of the texts into those of all of them, without the texts.

    Ids are those of the first, and so is their number unless -k says otherwise; names given and topics pinned in any of
    them stay. All must come from one embedder.

    Example:

      shoal topics merge june.topics july.topics --out summer.topics
    """
    if len(models) < 2:
        raise BadInputError("one file has nothing to merge with", remedy="name two or more")
    with waiting("merging"):
        whole = open_model(models[0])
        for path in models[1:]:
            whole = whole.merge(open_model(path))
        if k is not None:
            whole.set_params(n_topics=t.parse_k(k))
        topics = whole.topics_
        whole.save(out_file)
    if json:
        print_json({"texts": whole.n_texts_seen_, "topics": [topic.to_dict() for topic in topics]})
        return
    out.print(f"{whole.n_texts_seen_:,} texts, {len(topics)} topics")
    print_topics(topics)
    out.print(f"saved to {out_file}", markup=False)
