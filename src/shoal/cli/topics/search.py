"""``shoal topics search``: the topics, or the texts, nearest to some words."""

from __future__ import annotations

from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli.console import out, print_json
from shoal.cli.topics import options as t
from shoal.cli.topics.models import open_model, with_embedder
from shoal.cli.topics.tables import one_line, print_topics, waiting


def run(
    model: t.State,
    query: Annotated[str, typer.Argument(help="What to look for.", show_default=False)],
    texts: Annotated[bool, typer.Option("--texts", help="Texts of the sample instead of topics.")] = False,
    n: Annotated[int, typer.Option("--number", "-n", help="How many.", min=1)] = 5,
    language_model: t.SameModel = None,
    device: t.Device = None,
    json: o.Json = False,
) -> None:
    """Find the topics nearest in meaning to a text.

    Examples:

      shoal topics search tickets.topics "my card was stolen"

      shoal topics search tickets.topics "my card was stolen" --texts -n 10
    """
    with waiting("searching"):
        found = with_embedder(open_model(model), model, language_model, device)
        if texts:
            near = found.search_texts(query, n)
        else:
            topics = found.search(query, n)
    if texts and json:
        print_json([{"text": text, "similarity": similarity} for text, similarity in near])
    elif texts:
        for text, similarity in near:
            out.print(f"{similarity:.2f}  {one_line(text, 400)}", markup=False)
    elif json:
        print_json([each.topic.to_dict() | {"similarity": each.similarity} for each in topics])
    else:
        print_topics([each.topic for each in topics], similarities=[each.similarity for each in topics])
