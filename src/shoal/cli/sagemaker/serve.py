"""``shoal sagemaker serve``: a model artefact over HTTP as the container of the built-in k-means serves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from shoal.cli.console import err
from shoal.cli.serve import listen, serve_app
from shoal.errors import ShoalError
from shoal.serve.settings import Settings


def run(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="model.tar.gz, or its folder; default: model in $SAGEMAKER_DATA_PATH, else /opt/ml/model.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 lets everyone in who reaches it.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Default: $SAGEMAKER_BIND_TO_PORT, $SAGEMAKER_HTTP_PORT, else 8080; 0: any that is free.",
            show_default=False,
        ),
    ] = None,
    max_payload_mb: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=2047,
            help="Largest body in MiB, 0: any. Default: $SAGEMAKER_MAX_PAYLOAD_IN_MB, else 6.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Answer GET /ping and POST /invocations: the closest cluster of each record, and its distance.

    Compatible with clients of the built-in k-means of Amazon SageMaker. Records are text/csv, application/json,
    application/jsonlines or application/x-recordio-protobuf, and so are answers, by Accept. A boto3 client takes
    endpoint_url="http://127.0.0.1:8080".

    Examples:

      shoal sagemaker serve model.tar.gz

      curl -H 'Content-Type: text/csv' --data-binary @rows.csv localhost:8080/invocations
    """
    try:
        from shoal.sagemaker.answering import Answering
        from shoal.sagemaker.serving import ServingOptions, serving_app
        from shoal.sagemaker.tree import Tree
    except ImportError as error:
        raise ShoalError(f"{error.name} is not installed: pip install 'shoal[serve]'") from error
    options = ServingOptions.of_environment()
    if max_payload_mb is not None:
        options = replace(options, max_payload_mb=max_payload_mb)
    answering = Answering.of_artefact(Tree.at().model if model is None else model)
    shown = f"[{host}]" if ":" in host else host
    app = serving_app(answering, options, open_to_all=not Settings().knows_host(shown))
    with listen(host, options.port if port is None else port) as listening:
        at = f"http://{shown}:{listening.getsockname()[1]}"
        k, d = answering.served.model.k, answering.width
        err.print(f"serving {k} clusters of {d} features at {at}/invocations", markup=False)
        serve_app(app, listening)
