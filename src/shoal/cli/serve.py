"""``shoal serve``: a model over HTTP."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli.console import err
from shoal.cli.options import parse_bytes
from shoal.errors import ShoalError
from shoal.serve.models import Models
from shoal.serve.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

GRACE = 10
"""Seconds that running requests have when the service is asked to end."""


def run(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL_OR_STORE",
            help="A fitted model, or a store whose newest version is served.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8787,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SHOAL_TOKEN", help="What clients must send as Authorization: Bearer.", show_default=False
        ),
    ] = None,
    max_body: Annotated[str, typer.Option(help="Largest body of a request.")] = "64MiB",
    max_rows: Annotated[int, typer.Option(min=1, help="Most rows of a request.")] = 100_000,
) -> None:
    """Label rows over HTTP, with the newest version of a model.

    Ctrl-C or SIGTERM ends it, after the requests that are running.

    Example:

      shoal serve houses

      curl -H 'Content-Type: text/csv' --data-binary @houses.csv localhost:8787/v1/models/houses/assign
    """
    settings = Settings(host=host, token=token, max_body=parse_bytes(max_body), max_rows=max_rows)
    models = Models.of_path(model)
    try:
        from shoal.serve.app import create_app
    except ImportError as error:
        raise ShoalError(f"{error.name} is not installed: pip install 'shoal[serve]'") from error
    app = create_app(models, settings)
    with listen(host, port) as listening:
        shown = f"[{host}]" if ":" in host else host
        for name in models.names:
            held = models.get(name)
            what = f"version {held.version}, k = {held.model.k}" if held else "no version yet"
            address = f"http://{shown}:{listening.getsockname()[1]}/v1/models/{name}"
            err.print(f"serving {name} ({what}) at {address}", markup=False)
        _serve(app, listening)


def listen(host: str, port: int) -> socket.socket:
    """A socket that waits for clients; raises :class:`OSError` if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=2048)
    # asyncio does so only for sockets it made; without, small answers wait 40 ms for an acknowledgement
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _serve(app: FastAPI, listening: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    # uvicorn raises a signal again once it has ended in good order, which is an end like any other
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])
