"""The quality part of the page: cost, time, and who beats us where."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean
from typing import Any

from benchmarks.common import median
from benchmarks.peers import CONTENDERS, CONVERGED, OURS, REFERENCE, STREAMING
from benchmarks.tables import Target, middle, percent, ratio, spread, table

Row = dict[str, Any]


def section(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    """Lines of the section; its targets are added to those given."""
    yield "## Quality and time of one pass\n"
    yield from table(["contender", "what it reads"], [[c.name, c.reads] for c in CONTENDERS])
    yield from _cost(rows, targets)
    yield from _time(rows, targets)
    yield from _losses(rows)
    failed = [(row["set"], name, reason) for row in rows for name, reason in row["failed"].items()]
    for where, name, reason in failed:
        yield f"\n{name} **failed** on {where}: `{reason}`"


def _cost(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    names = list(rows[0]["ratio"])
    agreed = Target("one pass costs at most 1.005 of multi-pass k-means", 1.005)
    stricter = Target(
        "stricter than agreed: at most 1.005 of multi-pass k-means run until nothing moves", 1.005
    )
    targets += [agreed, stricter]
    yield f"\n### Cost, divided by the mean of the runs of {REFERENCE}\n"
    yield (
        "Median of three seeds [lowest, highest]; below 1 is better than many passes. Target: the median is at most 1.005. The last"
        f" column divides by the mean of {CONVERGED} instead, as scikit-learn's default tolerance ends some runs early.\n"
    )
    body = []
    for row in rows:
        found = row["ratio"][OURS]
        verdict = agreed.verdict(row["set"], _ours(row, "ratio"))
        if found and max(found) > agreed.limit >= median(found):
            verdict += f"; worst seed over it by {percent(max(found) / agreed.limit - 1)}"
        converged = row["cost"][CONVERGED]
        strict = ratio(_ours(row, "cost"), mean(converged) if converged else None)
        cells = [spread(row["ratio"][n], _digits(row["ratio"][n])) for n in names]
        body.append([_shape(row), *cells, verdict, stricter.verdict(row["set"], strict)])
    yield from table(["data", *names, "target", f"vs {CONVERGED}"], body)


def _time(rows: list[Row], targets: list[Target]) -> Iterator[str]:
    names = list(rows[0]["seconds"])
    no_slower = Target(f"one pass and its solve take no longer than {REFERENCE} (n_init=1)", 1.0)
    within = Target(f"one pass and its solve take at most twice the time of {STREAMING}", 2.0)
    targets += [no_slower, within]
    yield "\n### Seconds of the same runs, solve included\n"
    yield f"Targets: at most the time of {REFERENCE}; at most twice that of {STREAMING}.\n"
    body = []
    for row in rows:
        mine = _ours(row, "seconds")
        reference, streaming = (middle(row["seconds"][n]) for n in (REFERENCE, STREAMING))
        verdicts = [
            no_slower.verdict(row["set"], ratio(mine, reference)),
            within.verdict(row["set"], ratio(mine, streaming)),
        ]
        body.append([row["set"], *(spread(row["seconds"][n], ".2f") for n in names), *verdicts])
    yield from table(["data", *names, f"vs {REFERENCE}", f"vs {STREAMING}"], body)


def _losses(rows: list[Row]) -> Iterator[str]:
    yield "\n### Where others are better\n"
    yield "By medians, however small the difference. Bold: costs less *and* takes less time than Shoal.\n"
    body = []
    for row in rows:
        cheaper = _ahead(row["cost"], lambda gain: percent(1 - 1 / gain))
        faster = _ahead(row["seconds"], lambda gain: f"{gain:.1f}x")
        both = cheaper.keys() & faster.keys()
        cells = [
            ", ".join(f"**{n}** {by}" if n in both else f"{n} {by}" for n, by in part.items()) or "nobody"
            for part in (cheaper, faster)
        ]
        body.append([row["set"], *cells])
    yield from table(["data", "who costs less, and by how much", "who is faster, and how many times"], body)


def _ahead(figures: dict[str, list[float]], wording: Any) -> dict[str, str]:
    mine = middle(figures[OURS])
    others = {n: median(v) for n, v in figures.items() if v and n != OURS}
    return {n: wording(mine / theirs) for n, theirs in others.items() if mine is not None and theirs < mine}


def _ours(row: Row, part: str) -> float | None:
    """Our median; nothing if we failed for even one seed, so that two good ones cannot hide it."""
    return None if OURS in row["failed"] else middle(row[part][OURS])


def _shape(row: Row) -> str:
    k = "" if "k=" in row["set"] else f", k={row['k']}"
    return f"{row['set']} ({row['n']:,} x {row['d']}{k})"


def _digits(values: list[float]) -> str:
    """Four decimals where the target is near, fewer where it is far."""
    return ".4f" if values and max(values) < 1.1 else ".3g"
