"""The stream part of ``shoal demo``: a drifting stream is replayed, and the console tells what happens to the clusters."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from shoal.cli.console import out
from shoal.cli.events import when
from shoal.engines.outputs.open import open_output
from shoal.engines.stream.run import EVENTS, HISTORY, RunOptions, Status, StreamRun
from shoal.engines.stream.settings import Span, StreamSettings
from shoal.features.spec import RecipeSpec
from shoal.model.event_log import read_events, read_shares
from shoal.sources.drifting import DriftingStream
from shoal.sources.options import ReadOptions
from shoal.sources.stream_open import open_stream

ROWS, SECONDS, START = 60_000, 3600.0, 1_767_225_600.0
_TOLD = ("born", "split", "merged", "died")


def replay(folder: Path) -> None:
    """Write an hour of a made stream, follow it, and draw its clusters over time."""
    out.rule("A stream: clusters that are born, split, merge and die")
    file, state = folder / "stream.csv", folder / "stream"
    _write(file)
    settings = StreamSettings(
        k=(2, 10),
        time="at",
        half_life=Span(seconds=90.0),
        every=Span(seconds=60.0),
        recipe=RecipeSpec(columns=("x", "y"), scale="none"),
        bucket=300.0,
    )
    rows = open_stream(str(file), follow=False, options=ReadOptions(on_error="skip"), state=state)
    labels = open_output(str(folder / "stream-labels.jsonl"))
    out.print("an hour of made events, replayed; clusters keep their ids, and changes are told:")
    done = StreamRun(rows, settings, state, labels=labels, options=RunOptions(watch=_tell)).run()
    speed = done.read / max(done.seconds, 1e-9)
    out.print(
        f"{done.read:,} rows in {done.seconds:.1f} s ({speed:,.0f}/s), {done.models} models, all labelled"
    )
    _draw(folder, state)
    out.print(
        f"  what were the clusters at ten past? shoal window {state} --from -50m --to -45m -k 2:8",
        markup=False,
    )


def _write(file: Path) -> None:
    X, times, _ = DriftingStream(ROWS, seconds=SECONDS, start=START).rows(0, ROWS)
    pa_csv.write_csv(pa.table({"at": times, "x": X[:, 0].round(4), "y": X[:, 1].round(4)}), file)


def _tell(status: Status) -> None:
    for event in status.events:
        if event.kind in _TOLD:
            out.print(f"  {when(event.time)}{event}", markup=False)


def _draw(folder: Path, state: Path) -> None:
    from shoal.report import pictures

    shares = read_shares(state / HISTORY)
    figure = pictures.lineage(list(read_events(state / EVENTS)), shares, dated=True)
    pictures.save_picture(figure, folder / "stream-lineage.png")
