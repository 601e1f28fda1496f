"""``shoal window``: the clusters of any interval of the past, and what changed between two."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import options as o
from shoal.cli.console import err, new_table, out, print_clusters, print_json, print_table, summarise
from shoal.engines.local import Clustering
from shoal.engines.windows import compare_solved, solve_window
from shoal.errors import BadInputError, ShoalError
from shoal.model.names import read_names
from shoal.model.time_answers import Holdings, Window, told
from shoal.model.time_catalogue import CATALOGUE
from shoal.model.time_store import TimeStore

if TYPE_CHECKING:
    from shoal.model.events import Event

BUCKETS = "buckets"
"""Where a stream's state directory has its store."""
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_RELATIVE = re.compile(r"([+-])(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
Edge = tuple[float | None, float | None]


def run(
    store: Annotated[
        Path,
        typer.Argument(help="A store of time buckets, or a stream's state directory.", show_default=False),
    ],
    start: Annotated[
        str | None, typer.Option("--from", help="A date, a time, seconds since 1970, or -2h before the end.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="The same; not included. Default: the end of what is held.")
    ] = None,
    k: Annotated[
        str | None, typer.Option("--k", "-k", help="8, or a range to choose from. Default: 2:12.")
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(help="Window to compare with, FROM..TO; events tell what happened since."),
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", "-o", help="Directory to write the model to.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="HTML report to write.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Map to draw: .png, .svg or .pdf.")] = None,
    give_up: Annotated[
        str | None, typer.Option(help="Forget this summary file, which is damaged, and count it as lost.")
    ] = None,
    threads: o.Threads = None,
    json: o.Json = False,
) -> None:
    """Cluster the rows of an interval of time, from the summaries a stream left; alone: list what is held.

    Times are UTC unless they say otherwise; relative ones count back from the end of what is held.

    Examples:

      shoal window state

      shoal window state --from 2026-01-01T10:00 --to 2026-01-01T14:00 -k 8 --out morning

      shoal window state --from -2h --compare -4h..-2h -k 2:12
    """
    folder = find_store(store)
    if give_up is not None:
        with TimeStore(folder, read_only=True) as opened:
            budget = opened.describe().disk_budget
        with TimeStore(folder, disk_budget=budget) as opened:
            opened.give_up(give_up)
    asked = (start, end, k, compare, out_dir, report, plot)
    with TimeStore(folder, read_only=True) as opened:
        held = opened.describe()
        if all(option is None for option in asked):
            print_json(held.to_dict()) if json else print_holdings(held, folder)
            return
        ks = o.parse_ks(k or "2:12")
        wanted = ks if len(ks) > 1 else ks[0]
        edges = (parse_time(start, held.end), parse_time(end, held.end))
        window = opened.window(*edges)
        windows, before, events = [window], None, None
        if compare is None:
            found = solve_window(opened, window, wanted, n_threads=threads)
        else:
            earlier = opened.window(*parse_window(compare, held.end))
            windows.insert(0, earlier)
            before, found, events = compare_solved(opened, earlier, window, wanted, n_threads=threads)
    if out_dir is not None:
        found = found.save(out_dir)
    if json:
        print_json(_as_data(windows, found, before, events))
    else:
        _print(windows, found, events)
    _draw(found, report, plot, read_names(store), quiet=json)
    if out_dir is not None and not json:
        out.print(f"saved to {out_dir}", markup=False)


def find_store(path: Path) -> Path:
    """The store at a path, or in the stream's state directory that it is.

    Raises
    ------
    ShoalError : there is none.
    """
    for folder in (path, path / BUCKETS):
        if (folder / CATALOGUE).is_file():
            return folder
    raise ShoalError(f"{path} is neither a store of time buckets nor the state of a stream that keeps one")


def parse_time(text: str | None, now: float | None) -> float | None:
    """Seconds since 1970 of a date, a time (UTC unless it names an offset), seconds, or a time relative to ``now``.

    >>> parse_time("1970-01-02", None), parse_time("1970-01-01T01:00+01:00", None), parse_time("90.5", None)
    (86400.0, 0.0, 90.5)
    >>> parse_time("-2h", 10_000.0), parse_time("now", 10_000.0)
    (2800.0, 10000.0)
    """
    if text is None:
        return None
    word = text.strip()
    relative = _RELATIVE.fullmatch(word)
    if (relative or word == "now") and now is None:
        raise BadInputError(f"{text!r} is relative to the end of a store that is empty", remedy="give a date")
    if relative:
        sign, number, unit = relative.groups()
        assert now is not None
        return now + float(number) * _UNITS[unit] * (1.0 if sign == "+" else -1.0)
    if word == "now":
        return now
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if math.isfinite(seconds):
        return seconds
    try:
        moment = datetime.fromisoformat(word)
    except ValueError:
        raise BadInputError(
            f"{text!r} is no time", remedy="write 2026-01-31, 2026-01-31T10:00, seconds since 1970, or -2h"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def parse_window(text: str, now: float | None) -> Edge:
    """The two edges of ``FROM..TO``; one may be left out.

    >>> parse_window("-4h..-2h", 14400.0), parse_window("1970-01-01..", None)
    ((0.0, 7200.0), (0.0, None))
    """
    first, dots, last = text.partition("..")
    if not dots:
        raise BadInputError(f"{text!r} is no window", remedy="write FROM..TO, such as -4h..-2h")
    return parse_time(first or None, now), parse_time(last or None, now)


def print_holdings(held: Holdings, folder: Path) -> None:
    """What a store holds, by resolution, and what it gave up."""
    if not held.levels:
        out.print(f"{folder} holds nothing yet", markup=False)
    else:
        table = new_table("resolution", "from", "to", "buckets", "rows", "kept", "bytes")
        for level in held.levels:
            cells = (told(level.start), told(level.end), *(_n(x) for x in (level.buckets, level.rows)))
            table.add_row(_length(level.resolution), *cells, _n(level.kept), _n(level.bytes))
        print_table(table)
        limit = "" if held.disk_budget is None else f" of {held.disk_budget:,} allowed"
        out.print(f"{held.rows:,} rows in {held.bytes:,} bytes{limit}")
    if held.over_budget:
        err.print("careful: the newest rows alone take more than the budget", style="yellow")
    for gone in held.given_up:
        what = f"{gone.times:,} time{'s'[: gone.times != 1]}, {gone.rows:,} rows"
        text = f"{gone.how}: {what}, between {told(gone.start)} and {told(gone.end)}"
        err.print(text, style="yellow", markup=False)


def _print(windows: Sequence[Window], found: Clustering, events: Sequence[Event] | None) -> None:
    window = windows[-1]
    kept = len(found.summary.points().X)
    text = f"{found.summary.count:,} rows from {told(window.start)} to {told(window.end)}"
    out.print(f"{text}; the summary keeps {kept:,}", markup=False)
    for line in (line for w in windows for line in _doubts(w)):
        err.print(f"careful: {line}", style="yellow", markup=False)
    if found.model.choice is not None:
        suggested, confidence = found.model.choice["suggested"], found.model.choice["confidence"]
        said = f"k = {suggested} suggested" if suggested else "no cluster structure found"
        out.print(f"{said} (confidence {confidence:.0%})")
    print_clusters(found)
    if events is not None:
        for event in events:
            out.print(f"  {event}", markup=False)
        if not events:
            out.print("nothing changed between the two windows")


def _doubts(window: Window) -> list[str]:
    lines = []
    if window.widened:
        (low, high), whole = window.asked, f"{told(window.start)} to {told(window.end)}"
        lines.append(f"{told(low)} to {told(high)} lies inside buckets kept as a whole: this is {whole}")
    if window.gaps:
        lines.append("rows of this time were dropped for want of room or lost: see shoal window alone")
    return lines


def _as_data(
    windows: Sequence[Window], found: Clustering, before: Clustering | None, events: Sequence[Event] | None
) -> dict[str, Any]:
    data = _window_data(windows[-1], found)
    if before is not None and events is not None:
        data |= {"before": _window_data(windows[0], before), "events": [event.to_dict() for event in events]}
    return data


def _window_data(window: Window, found: Clustering) -> dict[str, Any]:
    return {
        "from": window.start,
        "to": window.end,
        "asked": list(window.asked),
        "widened": window.widened,
        "gaps": window.gaps,
        "buckets": [list(span) for span in window.buckets],
        "clustering": summarise(found),
    }


def _draw(
    found: Clustering, report: Path | None, plot: Path | None, called: dict[int, str], *, quiet: bool
) -> None:
    points = found.summary.points()
    if report is not None:
        from shoal.report.html import write_report  # loads matplotlib: only when drawn

        write_report(found.model, points, report, choice=found.model.choice, called=called)
    if plot is not None:
        from shoal.report import pictures
        from shoal.report.view import View

        pictures.save_picture(pictures.cluster_map(View.of(found.model, points, called=called)), plot)
    for path in (report, plot):
        if path is not None and not quiet:
            out.print(f"written to {path}", markup=False)


def _length(seconds: float) -> str:
    for unit in ("d", "h", "min"):
        if seconds >= _UNITS[unit]:
            return f"{seconds / _UNITS[unit]:g} {unit}"
    return f"{seconds:g} s"


def _n(number: int) -> str:
    return f"{number:,}"
