"""Shoal on Apache Beam beside Beam's own ``OnlineClustering``, and beside the clustering of texts in Beam's guide: the tables.

The pipelines are in ``beam_fits`` and ``beam_texts``, so that the page is written without Beam.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from benchmarks.beam_rows import PARTS, D, K
from benchmarks.common import median
from benchmarks.tables import Target, ratio, spread, table

AIMED = 100_000
"""Rows from which there is a target for the speed: with fewer most of the time is the runner's."""
SOURCE = "source alone"
THEIRS = "Beam, OnlineClustering"
OURS = "shoal, FitClusters"
SAME_NAMES = "shoal, OnlineClustering"
TRAIN, LABEL = "train", "train and label all"

TEXTS_OURS, TEXTS_THEIRS, TEXTS_ALONE = "shoal, OnlineClusters", "the guide's BIRCH", "stream alone"
TEXTS_D, BUNDLE = 384, 10


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Fits in turns, then texts, then two processes beside one."""
    from benchmarks import beam_fits, beam_texts

    return [*beam_fits.run(quick), *beam_texts.run(quick), *beam_fits.scaling(quick)]


def section(rows: list[dict[str, Any]], targets: list[Target]) -> Iterator[str]:
    """Fits beside Beam's, texts beside the guide's, and two processes."""
    yield "## Apache Beam: beside its own online clustering\n"
    yield (
        f"{K} separated Gaussians of {D} numbers as tuples, on Beam's FnApiRunner in memory, whole pipelines from their making to their"
        f" end; each round has other clusters. The source, {PARTS} seeds that become rows in the pipeline, is the same for all and"
        " timed alone; a factor without it is beside the whole one. Everyone as he comes, with batches of 1,024 at most. Costs and"
        " missed centres are of the model on all rows, one after the other for the rounds.\n"
    )
    yield from _fit_tables([r for r in rows if r["part"] == "fit"], targets)
    yield from _texts_section([r for r in rows if r["part"] == "texts"], targets)
    yield from _scaling_table([r for r in rows if r["part"] == "scaling"])


def _fit_tables(rows: list[dict[str, Any]], targets: list[Target]) -> Iterator[str]:
    faster = Target(
        "Beam: a model at least 5x faster than Beam's OnlineClustering, source included", 5.0, least=True
    )
    cheaper = Target("Beam: cost no higher than that of Beam's OnlineClustering, in no round (ratio)", 1.0)
    targets += [faster, cheaper]
    cases: dict[tuple[str, int], dict[str, Any]] = defaultdict(dict)
    for r in rows:
        cases[r["work"], r["n"]][r["who"]] = r
    body = []
    for (work, n), case in cases.items():
        theirs = case.get(THEIRS)
        alone = median(case[SOURCE]["seconds"])
        for who, r in case.items():
            name = f"{work}, {n:,}"
            factor = ratio(theirs and median(theirs["seconds"]), median(r["seconds"]))
            net = ratio(theirs and median(theirs["seconds"]) - alone, max(median(r["seconds"]) - alone, 1e-9))
            verdicts = []
            if who in (OURS, SAME_NAMES):
                if work == TRAIN and n >= AIMED and theirs:
                    verdicts.append(f"speed {faster.verdict(f'{name}, {who}', factor)}")
                if theirs:
                    worse = max(a / b for a, b in zip(r["costs"], theirs["costs"], strict=True))
                    verdicts.append(f"cost {cheaper.verdict(f'{name}, {who}', worse)}")
            shown = [name, who, spread(r["seconds"], ".2f"), f"{n / median(r['seconds']):,.0f}"]
            factors = ["", ""] if who == SOURCE else [_times(factor), _times(net)]
            costs = " ".join(f"{c:.4f}" for c in r["costs"]), " ".join(map(str, r["missed"]))
            body.append([*shown, *factors, *costs, "; ".join(verdicts)])
    heads = ["", "", "seconds", "rows/s", "x", "x without source", "cost a row", f"missed of {K}", "target"]
    yield from table(heads, body)


def _times(factor: float | None) -> str:
    return "" if factor is None else f"{factor:.1f}"


def _scaling_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    few, many = (sorted(r["n"] for r in rows)[i] for i in (0, -1))
    seconds = {(r["n"], r["workers"]): r["seconds"] for r in rows}
    gain = seconds[many, 1] / seconds[many, 2]
    one, two = (seconds[many, workers] - seconds[few, workers] for workers in (1, 2))
    bare = f", {one / two:.2f} times without what {few} rows take" if min(one, two) > 0 else ""
    yield (
        f"\n`FitClusters` with the FnApiRunner's worker processes (`multi_processing`), training only: two are {gain:.2f} times as fast"
        f" as one{bare}; with {few} rows it is the start of the processes that is timed. No target: it is told as it is.\n"
    )
    body = [[str(r["workers"]), f"{r['n']:,}", f"{r['seconds']:.1f}"] for r in rows]
    yield from table(["processes", "rows", "seconds"], body)


def _texts_section(rows: list[dict[str, Any]], targets: list[Target]) -> Iterator[str]:
    """Time and state by the number of texts."""
    flat = Target("Beam, texts: time per text at the most texts at most 1.3x that of the fewest", 1.3)
    bounded = Target("Beam, texts: state of the clusters within its budget (ratio)", 1.0)
    targets += [flat, bounded]
    per_text = {(r["who"], r["n"]): r["seconds"] / r["n"] for r in rows}
    ours = sorted(n for who, n in per_text if who == TEXTS_OURS)
    budget = rows[0]["budget"]
    yield (
        f"\nTexts one after the other: unit vectors of {TEXTS_D} numbers on the streaming local runner, in bundles of {BUNDLE} (TestStream),"
        f" each labelled in the same pipeline. Ours has {budget >> 20} MiB for the summary and hands on rows after {rows[0]['flush_rows']:,}; beside"
        " the summary there are the rows that wait for that, and the ids of the last 20,000. The guide's state is rebuilt here from its"
        " description: four pickled values, one row into BIRCH and a label for all texts with every text. It stops at"
        f" {max(r['n'] for r in rows if r['who'] == TEXTS_THEIRS):,} for want of patience. No language model runs.\n"
    )
    body = []
    for r in rows:
        verdicts = []
        if r["who"] == TEXTS_OURS and r["n"] == ours[-1]:
            verdicts.append(
                f"flat {flat.verdict(_texts_of(r), per_text[TEXTS_OURS, ours[-1]] / per_text[TEXTS_OURS, ours[0]])}"
            )
        if r["who"] == TEXTS_OURS:
            verdicts.append(f"state {bounded.verdict(_texts_of(r), r['state'] / budget)}")
        state = f"{r['state'] / 2**20:.2f}" if r["state"] else ""
        waiting = f"{r['waiting'] / 2**20:.2f}" if r["waiting"] else ""
        each = f"{per_text[r['who'], r['n']] * 1e3:.2f}"
        body.append(
            [r["who"], f"{r['n']:,}", f"{r['seconds']:.1f}", each, state, waiting, "; ".join(verdicts)]
        )
    heads = ["", "texts", "seconds", "ms a text", "state, MiB", "waiting rows, MiB", "target"]
    yield from table(heads, body)


def _texts_of(row: dict[str, Any]) -> str:
    return f"{row['n']:,} texts"
