"""Which engine does the work of a command: this process, or Spark."""

from __future__ import annotations

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


EngineOption = Annotated[
    Engine, typer.Option(help="Who reads the rows: this process, or Spark's workers.", rich_help_panel=_PANEL)
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
    threads: int | None = None,
) -> Chosen:
    """The engine, its options checked.

    Raises
    ------
    BadInputError : options of one engine given to another.
    """
    if engine is Engine.spark:
        if threads is not None:
            raise BadInputError(
                "--threads is for --engine local", remedy=f"say --master 'local[{threads}]' instead"
            )
        if master is not None and remote is not None:
            raise BadInputError("--master and --remote are both given", remedy="leave one of them out")
        return Chosen(partial(_spark, master, remote))
    for name, value in (("--master", master), ("--remote", remote)):
        if value is not None:
            raise BadInputError(f"{name} is for --engine spark", remedy="add --engine spark")
    table = next((s for s in sources if s.startswith(_TABLE) and not Path(s).exists()), None)
    if table is not None:
        raise BadInputError("only Spark has tables", place=table, remedy="add --engine spark")
    return Chosen(partial(_local, threads))


@contextmanager
def _local(threads: int | None) -> Iterator[Ready]:
    yield Ready(partial(local.fit, n_threads=threads), partial(local.sweep, n_threads=threads))


@contextmanager
def _spark(master: str | None, remote: str | None) -> Iterator[Ready]:
    from shoal.engines.spark import need_pyspark

    need_pyspark()
    from pyspark.errors import PySparkException

    from shoal.engines.spark.fit import fit, sweep
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
