"""``shoal sagemaker``: jobs, endpoints and batch transform in the manner of SageMaker's built-in k-means, without it."""

from __future__ import annotations

import typer

from shoal.cli.sagemaker import serve, train, transform

app = typer.Typer(
    name="sagemaker",
    help="Compatible with the built-in k-means of Amazon SageMaker, without it: train, serve, transform.",
    epilog="A whole job from its document: shoal job run job.json",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

for command in (train, serve, transform):
    app.command(command.__name__.rpartition(".")[2])(command.run)
