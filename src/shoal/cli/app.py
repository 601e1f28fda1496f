"""The command line: its commands, and how errors leave it."""

from __future__ import annotations

import os
import signal
import sys
import threading

import typer

from shoal.cli import (
    alias,
    assign,
    demo,
    events,
    export,
    fit,
    import_model,
    inspect,
    job,
    merge,
    name,
    plot,
    report,
    sagemaker,
    serve,
    stream,
    sweep,
    topics,
    update,
    window,
)
from shoal.cli.console import out, print_error
from shoal.errors import ShoalError
from shoal.model.release import release

app = typer.Typer(
    name="shoal",
    help="Cluster tables of any size and streams in one read: groups, labels, pictures, events, and which k.",
    epilog="Start with: shoal demo — or: shoal fit data.csv -k 6 --out groups",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)

for command in (
    fit,
    sweep,
    update,
    merge,
    assign,
    inspect,
    name,
    plot,
    report,
    stream,
    events,
    window,
    serve,
    alias,
    demo,
):
    app.command(command.__name__.rpartition(".")[2])(command.run)
app.command("export")(export.run)
app.command("import")(import_model.run)
app.add_typer(topics.app)
app.add_typer(sagemaker.app)
app.add_typer(job.app)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the release and leave.")) -> None:
    if version:
        out.print(f"shoal {release()}")
        raise typer.Exit


class Stopped(BaseException):
    """Ctrl-C, under a name that no library catches on the way."""


def _stop(number: int, frame: object) -> None:
    raise Stopped


def main(arguments: list[str] | None = None) -> None:
    """Run the command; exit code 2 and one line for what the user can mend."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _stop)
    try:
        app(arguments)  # usage errors are told by the library, with exit code 2 as well
    except ShoalError as error:
        print_error(str(error))
        sys.exit(2)
    except Stopped:
        print_error("stopped; what was being written is not there, what was there before is whole")
        sys.stdout.flush()
        os._exit(130)  # a reader may still wait for standard input, which would hold up an ordinary exit
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at exit
        sys.exit(141)
    except OSError as error:
        print_error(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))
        sys.exit(2)
