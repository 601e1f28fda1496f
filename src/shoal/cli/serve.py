"""``shoal serve``: models over HTTP, and the live page."""

from __future__ import annotations

import asyncio
import shlex
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli.console import err
from shoal.cli.options import parse_bytes
from shoal.errors import BadInputError, ShoalError
from shoal.serve.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from shoal.serve.learning_process import Child
    from shoal.serve.models import Models
    from shoal.serve.service import Service

GRACE = 10
"""Seconds that running requests have when the service is asked to end."""
ACCESS, LIMITS, LEARN = "Who may ask", "Limits", "Learning"
INBOX = ".inbox"
"""In the state of a stream: rows that were sent and are not learned yet."""


class Log(StrEnum):
    """What is said of each request."""

    json = "json"
    text = "text"
    none = "none"


def run(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL_OR_STORE...",
            help="Fitted models, states of streams, topics, or stores whose newest version is served.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8787,
    open_page: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SHOAL_TOKEN",
            help="What clients must send as Authorization: Bearer; it may read and write.",
            rich_help_panel=ACCESS,
            show_default=False,
        ),
    ] = None,
    read_token: Annotated[
        str | None,
        typer.Option(
            envvar="SHOAL_READ_TOKEN",
            help="One that may look and label rows.",
            rich_help_panel=ACCESS,
            show_default=False,
        ),
    ] = None,
    write_token: Annotated[
        str | None,
        typer.Option(
            envvar="SHOAL_WRITE_TOKEN",
            help="One that may also name clusters, move aliases and send rows to learn.",
            rich_help_panel=ACCESS,
            show_default=False,
        ),
    ] = None,
    max_body: Annotated[
        str, typer.Option(help="Largest body of a request.", rich_help_panel=LIMITS)
    ] = "64MiB",
    max_rows: Annotated[
        int, typer.Option(min=1, help="Most rows of a request.", rich_help_panel=LIMITS)
    ] = 100_000,
    max_waiting: Annotated[
        int,
        typer.Option(
            min=1,
            help="Most requests that wait; those beyond are told to come again.",
            rich_help_panel=LIMITS,
        ),
    ] = 256,
    learn: Annotated[
        str | None,
        typer.Option(
            metavar="OPTIONS",
            help="Learn rows that are sent to /learn into this state, with options of shoal stream: '-k 2:12 --time at'; "
            "'' goes on with those of the state.",
            rich_help_panel=LEARN,
            show_default=False,
        ),
    ] = None,
    inbox: Annotated[
        Path | None,
        typer.Option(
            help="Where such rows are kept until they are learned. Without --learn: for a stream of yours that reads "
            "this directory.",
            rich_help_panel=LEARN,
            show_default=False,
        ),
    ] = None,
    log: Annotated[
        Log | None,
        typer.Option(
            help="A line on standard error for each request. Default: text on a terminal, else json.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Label rows over HTTP with the newest versions of models, and show their clusters live in a browser.

    The page is at /, the description for machines at /openapi.json. Ctrl-C or SIGTERM ends it, after the requests that
    are running.

    Examples:

      shoal serve houses --open

      curl -H 'Content-Type: text/csv' --data-binary @houses.csv localhost:8787/v1/models/houses/assign

      shoal serve clicks --learn '-k 2:12 --half-life 6h'

      SHOAL_TOKEN=... shoal serve clicks-state tickets.topics --host 0.0.0.0
    """
    if learn is not None:
        if len(models) != 1:
            raise BadInputError("--learn takes one state of a stream", remedy="serve the others apart")
        inbox = inbox or models[0] / INBOX
    settings = Settings(
        host=host,
        token=token,
        read_token=read_token,
        write_token=write_token,
        max_body=parse_bytes(max_body),
        max_rows=max_rows,
        max_waiting=max_waiting,
        inbox=inbox,
        log=(log or (Log.text if sys.stderr.isatty() else Log.json)).value,
    )
    from shoal.serve.models import Models  # loads what reads texts: only when served

    with ExitStack() as stack:
        child = None if learn is None else _learn(models, settings, learn, stack)
        held = Models.of_paths(models)
        service = service_for(held, settings)
        service.child = child
        listening = stack.enter_context(listen(host, port))
        address = _told(held, host, listening)
        if open_page:
            webbrowser.open(address)
        serve_service(service, listening)


def _learn(models: list[Path], settings: Settings, options: str, stack: ExitStack) -> Child:
    """A process that learns what is sent, into the state that is served, until the stack is left."""
    from shoal.serve.learning_process import start_learning

    assert settings.inbox is not None
    (state,) = models
    try:
        given = shlex.split(options)
    except ValueError as error:
        raise BadInputError(f"--learn {options!r}: {error}", remedy="close the quotes") from error
    child = start_learning(state, settings.inbox, given, waits=True)
    stack.callback(child.stop)
    return child


def service_for(models: Models, settings: Settings) -> Service:
    """The service, or an error that names what is not installed."""
    try:
        from shoal.serve.service import Service
    except ImportError as error:
        raise ShoalError(f"{error.name} is not installed: pip install 'shoal[serve]'") from error
    return Service(models, settings)


def _told(models: Models, host: str, listening: socket.socket) -> str:
    """Say what is served; answers the address of the page."""
    shown = f"[{host}]" if ":" in host else host
    page = f"http://{shown}:{listening.getsockname()[1]}/"
    for name in models.names:
        served = models.get(name)
        what = f"version {served.version}, k = {served.model.k}" if served else "no version yet"
        err.print(f"serving {name} ({what}) at {page}v1/models/{name}", markup=False)
    err.print(f"the live page: {page}", markup=False)
    return page


def listen(host: str, port: int) -> socket.socket:
    """A socket that waits for clients; raises :class:`OSError` if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=2048)
    # asyncio does so only for sockets it made; without, small answers wait 40 ms for an acknowledgement
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def serve_service(service: Service, listening: socket.socket) -> None:
    """Answer requests until a signal ends it."""
    from shoal.serve.app import app_of

    serve_app(app_of(service), listening, service.close)


def serve_app(app: ASGIApp, listening: socket.socket, closing: Callable[[], None] = lambda: None) -> None:
    """Answer requests until a signal ends it; ``closing`` is called then, before running requests are waited for."""
    import uvicorn

    from shoal.serve.impatient import ImpatientProtocol

    class Server(uvicorn.Server):
        """One that lets listeners go when it is asked to end; it waits for open answers first."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            asyncio.get_running_loop().call_soon_threadsafe(closing)
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    # uvicorn raises a signal again once it has ended in good order, which is an end like any other
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    Server(config).run(sockets=[listening])
