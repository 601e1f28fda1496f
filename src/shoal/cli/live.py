"""A running stream on the console: what happens, how fast it goes, and how it is stopped."""

from __future__ import annotations

import json as json_module
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.live import Live
from rich.text import Text

from shoal.cli.console import err, out
from shoal.cli.events import when
from shoal.engines.stream.run import Status
from shoal.model.events import Event


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM end the run after the batch at hand, with a checkpoint; a second Ctrl-C ends it at once."""
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def telling(
    *,
    json: bool,
    to_stderr: bool,
    told: Callable[[Event], str] = str,
    noun: str = "clusters",
) -> Iterator[Callable[[Status], None]]:
    """Events as they happen, a line each; on a terminal a status line below them.

    Parameters
    ----------
    told : an event as people read it.
    noun : what clusters are called.
    """
    console = err if to_stderr else out

    def tell(record: dict[str, Any], text: str) -> None:
        if json:
            stream = sys.stderr if to_stderr else sys.stdout
            stream.write(json_module.dumps(record) + "\n")
            stream.flush()
        else:
            console.print(text, markup=False)

    with Live(console=err, transient=True, auto_refresh=False) if err.is_terminal else _nothing() as live:

        def watch(status: Status) -> None:
            for event in status.events:
                tell({"type": "event"} | event.to_dict(), f"{when(event.time)}{told(event)}")
            for alarm in status.alarms:
                tell({"type": "alarm"} | alarm.to_dict(), f"{when(alarm.time)}careful: {alarm.message}")
            if live is not None:
                live.update(Text(_line(status, noun)), refresh=True)

        yield watch


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def _line(status: Status, noun: str) -> str:
    speed = status.read / max(status.seconds, 1e-9)
    text = f"{status.read:,} rows, {speed:,.0f}/s"
    if status.model is None:
        text += f", {status.waiting:,} waiting for the first model"
    else:
        text += f", {status.model.k} {noun}, model {status.models}"
    if status.rejected:
        text += f", {status.rejected:,} dead letters"
    if status.backlog:
        text += f", {status.backlog:,} to come"
    return text
