"""``shoal topics``: topics of texts, from files to a report."""

from __future__ import annotations

import typer

from shoal.cli.topics import assign, by_hand, fit, merge, report, search, show, stream

app = typer.Typer(
    name="topics",
    help="Topics of texts: find, show, search, steer by hand, label, merge and report them.",
    epilog="Start with: shoal topics fit tickets.csv --text-column text --out tickets.topics",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

for command in (fit, stream, show, search, assign, merge, report):
    app.command(command.__name__.rpartition(".")[2])(command.run)
for action in (by_hand.rename, by_hand.join, by_hand.split, by_hand.pin, by_hand.unpin):
    app.command(action.__name__)(action)
