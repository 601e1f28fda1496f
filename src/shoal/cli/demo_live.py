"""The live part of ``shoal demo``: a made stream is replayed for as long as somebody looks, and the page shows it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.cli.console import err
from shoal.cli.demo_stream import START
from shoal.cli.serve import listen, serve_service, service_for
from shoal.engines.stream.run import RunOptions, StreamRun
from shoal.engines.stream.settings import Span, StreamSettings
from shoal.features.spec import RecipeSpec
from shoal.serve.models import Models
from shoal.serve.settings import Settings
from shoal.sources.drifting import DriftingStream
from shoal.sources.options import ReadOptions
from shoal.sources.stream_open import open_stream

FASTER = 30.0
"""Seconds of the made stream in a second."""
_ROWS, _SECONDS = 60_000, 3600.0
_STEP = 0.25
"""Seconds between two writes."""
_AHEAD = 600.0
"""Seconds of the stream that are there when the page opens."""


def live(folder: Path, port: int, *, open_browser: bool = False) -> None:
    """Replay a stream into ``folder`` and serve its page until Ctrl-C."""
    file, state = folder / "live.csv", folder / "live"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    file.write_text("at,x,y\n")
    with listen("127.0.0.1", port) as listening:
        ended = threading.Event()
        with _running("replay", _write, ended, file), _running("stream", _learn, ended, file, state):
            address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            err.print(f"a stream of made events, {FASTER:g} times as fast as life: {address}", markup=False)
            err.print("Ctrl-C ends it")
            if open_browser:
                import webbrowser

                webbrowser.open(address)
            serve_service(service_for(Models({"live": state}), Settings(poll_seconds=0.5)), listening)


def _write(ended: threading.Event, file: Path) -> None:
    """Rows as they come: an hour of events in two minutes, then the next hour."""
    began, start = time.monotonic(), START
    with file.open("a") as out:
        for hour in range(1_000_000):
            X, times, _ = DriftingStream(_ROWS, seconds=_SECONDS).rows(0, _ROWS)
            lines = [
                f"{start + hour * _SECONDS + t:.3f},{x:.4f},{y:.4f}\n"
                for t, (x, y) in zip(times, X, strict=True)
            ]
            sent = 0
            while sent < _ROWS:
                now = (time.monotonic() - began) * FASTER + _AHEAD - hour * _SECONDS
                due = int(min(max(now / _SECONDS, 0.0), 1.0) * _ROWS)
                out.writelines(lines[sent:due])
                out.flush()
                sent = due
                if ended.wait(_STEP):
                    return


def _learn(ended: threading.Event, file: Path, state: Path) -> None:
    settings = StreamSettings(
        k=(2, 10),
        time="at",
        half_life=Span(seconds=120.0),
        every=Span(seconds=60.0),
        recipe=RecipeSpec(columns=("x", "y"), scale="none"),
        bucket=60.0,
    )
    rows = open_stream(str(file), follow=True, options=ReadOptions(on_error="skip"), state=state)
    options = RunOptions(checkpoint_seconds=1.0, stopped=ended.is_set, disk_budget=64 << 20)
    StreamRun(rows, settings, state, options=options).run()


@contextmanager
def _running(name: str, work, ended: threading.Event, *given: Path) -> Iterator[None]:  # type: ignore[no-untyped-def]
    """Work on a thread, asked to end when the block does."""
    thread = threading.Thread(target=work, args=(ended, *given), name=f"shoal-demo-{name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10.0)
