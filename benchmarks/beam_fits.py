"""The pipelines of :mod:`benchmarks.beam` that train and label: the same rows, runner and source for all.

What workers import is in ``beam_rows``.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.examples import online_clustering as beams_own
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from numpy.typing import NDArray

from benchmarks.beam import LABEL, OURS, SAME_NAMES, SOURCE, THEIRS, TRAIN
from benchmarks.beam_rows import PARTS, K, keep, keep_centres, missed, points, rows_of_part
from benchmarks.common import cost, median, timed
from shoal.engines.beam import AssignClusters, FitClusters
from shoal.engines.beam import online_clustering as drop_in

SIZES = {10_000: 5, 100_000: 3, 1_000_000: 1}
"""Rows, and rounds; each round has clusters and rows of its own."""
QUICK = {1_000: 1}
PATIENCE = 180.0
"""Seconds that a single run may be expected to take."""
SCALED, SCALED_QUICK = 1_000_000, 2_000


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Whole fits, in turns."""
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    for work in (TRAIN, LABEL):  # a warm-up of everyone
        for who in CONTENDERS:
            _once(1_000, 99, who, work)
    found: list[dict[str, Any]] = []
    for n, rounds in (QUICK if quick else SIZES).items():
        for work in (TRAIN, LABEL):
            found += _fits(n, rounds, work, found)
    return found


def _train_theirs(rows: Any, folder: str) -> Any:
    return rows | "Train" >> beams_own.OnlineClustering(beams_own.OnlineKMeans, K, {}, folder)


def _train_same_names(rows: Any, folder: str) -> Any:
    return rows | "Train" >> drop_in.OnlineClustering(drop_in.OnlineKMeans, K, {}, folder)


def _train_ours(rows: Any, folder: str) -> Any:
    return rows | "Train" >> FitClusters(K)


def _label_theirs(rows: Any, model: Any) -> Any:
    return rows | "Label" >> beams_own.AssignClusterLabelsInMemoryModel(model, K, 1024)


def _label_same_names(rows: Any, model: Any) -> Any:
    return rows | "Label" >> drop_in.AssignClusterLabelsInMemoryModel(model, K, 1024)


def _label_ours(rows: Any, model: Any) -> Any:
    return rows | "Label" >> AssignClusters(model)


CONTENDERS: dict[str, tuple[Callable[..., Any], Callable[..., Any]] | None] = {
    SOURCE: None,
    THEIRS: (_train_theirs, _label_theirs),
    OURS: (_train_ours, _label_ours),
    SAME_NAMES: (_train_same_names, _label_same_names),
}
"""How each trains and labels; all as they come, with batches of 1,024 rows at most."""


def _fits(n: int, rounds: int, work: str, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    contenders = [who for who in CONTENDERS if _expected(n, who, work, before) <= PATIENCE]
    rows = {who: _row(n, who, work) for who in contenders}
    for seed in range(rounds):
        for who, row in rows.items():
            seconds, centres = _once(n, seed, who, work)
            row["seconds"].append(seconds)
            if centres is not None:
                X = np.vstack([points(seed, part, n // PARTS) for part in range(PARTS)])
                row["costs"].append(cost(X, centres) / n)
                row["missed"].append(missed(seed, centres))
            print(f"{n:,}, {work}: {who} {seconds:.2f} s, missed {row['missed']}", flush=True)
    return list(rows.values())


def _row(n: int, who: str, work: str) -> dict[str, Any]:
    return {"part": "fit", "n": n, "work": work, "who": who, "seconds": [], "costs": [], "missed": []}


def _expected(n: int, who: str, work: str, before: list[dict[str, Any]]) -> float:
    """Seconds, from the run with fewer rows."""
    known = [r for r in before if r["who"] == who and r["work"] == work]
    return n / known[-1]["n"] * median(known[-1]["seconds"]) if known else 0.0


def _once(
    n: int, seed: int, who: str, work: str, options: tuple[str, ...] = ()
) -> tuple[float, NDArray[np.float64] | None]:
    """Seconds of a whole pipeline, from its making to its end, and the centres of the model."""
    with tempfile.TemporaryDirectory() as folder:
        seconds, _ = timed(lambda: _pipeline(n, seed, who, work, Path(folder), options))
        if CONTENDERS[who] is None:
            return seconds, None
        if work == LABEL and (labelled := int(np.load(Path(folder) / "counted.npy"))) != n:
            raise RuntimeError(f"{who}: {n} rows went in, {labelled} were labelled")
        return seconds, np.load(Path(folder) / "centres.npy")


def _pipeline(n: int, seed: int, who: str, work: str, folder: Path, options: tuple[str, ...]) -> None:
    with beam.Pipeline(FnApiRunner(), PipelineOptions(list(options))) as pipeline:
        parts = pipeline | beam.Create([(seed, part, n // PARTS) for part in range(PARTS)])
        rows = parts | "Rows" >> beam.FlatMapTuple(rows_of_part)
        how = CONTENDERS[who]
        if how is None:
            _count(rows | "Touch" >> beam.Map(len), folder)
            return
        train, label = how
        models = train(rows, str(folder / "checkpoints"))
        _ = models | "Keep" >> beam.Map(keep_centres, str(folder / "centres.npy"))
        if work == LABEL:
            _count(label(rows, beam.pvalue.AsSingleton(models)), folder)


def _count(rows: Any, folder: Path) -> None:
    counted = rows | "Count" >> beam.combiners.Count.Globally()
    _ = counted | "Counted" >> beam.Map(keep, str(folder / "counted.npy"))


def scaling(quick: bool = False) -> list[dict[str, Any]]:
    """One process and two, with many rows and with hardly any, which tells what the start of processes costs."""
    n = SCALED_QUICK if quick else SCALED
    found = []
    for workers in (1, 2):
        options = ("--direct_running_mode=multi_processing", f"--direct_num_workers={workers}")
        for rows in (PARTS * K, n):
            seconds, _ = _once(rows, 0, OURS, TRAIN, options)
            print(f"{workers} processes, {rows:,} rows: {seconds:.1f} s", flush=True)
            found.append({"part": "scaling", "n": rows, "workers": workers, "seconds": seconds})
    return found
