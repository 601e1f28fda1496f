"""``shoal sagemaker train``: a training job as the container of the built-in k-means runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Folder of the job; default: $SAGEMAKER_DATA_PATH, else /opt/ml."),
    ] = None,
) -> None:
    """Train from the folders of a training job: input/config, input/data, model, output, checkpoints.

    Compatible with jobs of the built-in k-means of Amazon SageMaker: hyperparameters, channels, log lines, model.

    Example:

      shoal sagemaker train --root job
    """
    from shoal.sagemaker.train import main

    raise typer.Exit(main(root))
