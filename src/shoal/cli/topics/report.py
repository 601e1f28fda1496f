"""``shoal topics report``: one HTML file to look at topics and to show them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoal.cli.console import out
from shoal.cli.topics import options as t
from shoal.cli.topics.models import open_model
from shoal.cli.topics.tables import waiting


def run(
    model: t.State,
    out_file: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.", show_default=False)],
    title: Annotated[str | None, typer.Option(help="Heading of the page.", show_default=False)] = None,
    bins: Annotated[int, typer.Option(help="Stretches of time.", min=2)] = 24,
) -> None:
    """Write a self-contained HTML page: a map of topics, their words and examples, their hierarchy, sizes over time.

    It loads nothing from anywhere, and holds some of the texts: pass it on to people who may read them.

    Example:

      shoal topics report tickets.topics --out tickets.html
    """
    from shoal.report.topics_page import write_topics_page

    with waiting("drawing"):
        write_topics_page(open_model(model), out_file, title=title, bins=bins)
    out.print(f"written to {out_file}", markup=False)
