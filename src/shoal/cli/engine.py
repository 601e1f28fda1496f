"""Which engine does the work of a command: this process, Spark, or a Beam runner."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from shoal.engines import local
from shoal.engines.local import Clustering
from shoal.errors import BadInputError, ShoalError

_PANEL = "Engine"
_TABLE = "table:"


class Engine(StrEnum):
    """Values of --engine."""

    local = "local"
    spark = "spark"
    beam = "beam"


EngineOption = Annotated[
    Engine,
    typer.Option(
        help="Who reads the rows: this process, Spark's workers, or those of a Beam runner.",
        rich_help_panel=_PANEL,
    ),
]
Master = Annotated[
    str | None,
    typer.Option(
        help="Spark's master: local[2], spark://host:7077. Default local[*].", rich_help_panel=_PANEL
    ),
]
Remote = Annotated[
    str | None, typer.Option(help="A Spark Connect server: sc://host:15002.", rich_help_panel=_PANEL)
]
Runner = Annotated[
    list[str] | None,
    typer.Option(
        "--runner",
        metavar="NAME|OPTION=VALUE",
        help="Beam's runner: DirectRunner, DataflowRunner; and any of its options: --runner direct_num_workers=2. May be repeated.",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True)
class Ready:
    """An engine that can be asked now."""

    fit: Callable[..., Clustering]
    """As :func:`shoal.engines.local.fit`."""
    sweep: Callable[..., Any]
    """As :func:`shoal.engines.local.sweep`."""


@dataclass(frozen=True)
class Chosen:
    """The engine a person asked for, not started yet."""

    ready: Callable[[], AbstractContextManager[Ready]]
    """Starts it; what it started is stopped when the block is left."""


def chosen(
    engine: Engine,
    sources: Sequence[str],
    *,
    master: str | None = None,
    remote: str | None = None,
    runner: Sequence[str] | None = None,
    threads: int | None = None,
) -> Chosen:
    """The engine, its options checked.

    Raises
    ------
    BadInputError : options of one engine given to another.
    """
    _check_options(engine, {"--master": master, "--remote": remote, "--runner": runner or None})
    if engine is not Engine.local and threads is not None:
        instead = (
            f"--master 'local[{threads}]'"
            if engine is Engine.spark
            else f"--runner direct_num_workers={threads}"
        )
        raise BadInputError("--threads is for --engine local", remedy=f"say {instead} instead")
    if engine is Engine.spark:
        if master is not None and remote is not None:
            raise BadInputError("--master and --remote are both given", remedy="leave one of them out")
        return Chosen(partial(_spark, master, remote))
    table = next((s for s in sources if s.startswith(_TABLE) and not Path(s).exists()), None)
    if table is not None:
        raise BadInputError("only Spark has tables", place=table, remedy="add --engine spark")
    return Chosen(partial(_beam, runner or ()) if engine is Engine.beam else partial(_local, threads))


_OPTIONS = {"--master": Engine.spark, "--remote": Engine.spark, "--runner": Engine.beam}


def _check_options(engine: Engine, given: dict[str, Any]) -> None:
    for name, value in given.items():
        if value is not None and engine is not _OPTIONS[name]:
            other = _OPTIONS[name].value
            raise BadInputError(f"{name} is for --engine {other}", remedy=f"add --engine {other}")


@contextmanager
def _local(threads: int | None) -> Iterator[Ready]:
    yield Ready(partial(local.fit, n_threads=threads), partial(local.sweep, n_threads=threads))


@contextmanager
def _beam(runner: Sequence[str]) -> Iterator[Ready]:
    from shoal.engines.beam import need_beam

    need_beam()
    logging.disable(logging.WARNING)  # Beam tells of what it did not find while it is imported, and of itself
    from apache_beam.options.pipeline_options import PipelineOptions

    from shoal.engines.beam.files import fit, sweep

    told = [f"--{text}" if "=" in text else f"--runner={text}" for text in runner]
    try:
        options = PipelineOptions(told)
        yield Ready(partial(fit, options=options), partial(sweep, options=options))
    except ShoalError:
        raise
    except (ValueError, RuntimeError, ImportError, OSError) as error:
        said = str(error).strip().splitlines()
        raise ShoalError(f"Beam failed: {said[0][:300] if said else type(error).__name__}") from error
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _spark(master: str | None, remote: str | None) -> Iterator[Ready]:
    from shoal.engines.spark import need_pyspark

    need_pyspark()
    from pyspark.errors import PySparkException

    from shoal.engines.spark.files import fit, sweep
    from shoal.engines.spark.sessions import active

    was = active()
    start = partial(
        _session, master, remote
    )  # only once the files are found and their beginning is understood
    try:
        yield Ready(partial(fit, spark=start), partial(sweep, spark=start))
    except Exception as error:
        if (stopped := _interruption(error)) is not None:
            raise stopped from None
        if isinstance(error, PySparkException):
            said = str(error).strip().splitlines()
            raise ShoalError(f"Spark failed: {said[0][:300] if said else type(error).__name__}") from error
        raise
    finally:
        if was is None:
            _stop(active)


def _interruption(error: BaseException) -> BaseException | None:
    """Ctrl-C, where what Spark raised because of it has taken its place."""
    seen: BaseException | None = error
    while seen is not None and isinstance(seen, Exception):
        seen = seen.__context__
    return seen


def _stop(active: Callable[[], Any]) -> None:
    """Stop the session; one that was interrupted while it started ends with this process."""
    with suppress(Exception):
        started = active()
        if started is not None:
            started.stop()


def _session(master: str | None, remote: str | None) -> Any:
    from shoal.engines.spark.sessions import session

    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        return session(master, remote)
    except KeyboardInterrupt:
        # Spark puts a handler of its own in place of ours while it starts.
        if callable(handler):
            handler(signal.SIGINT, None)
        raise
    finally:
        if is_main:
            signal.signal(signal.SIGINT, handler)
