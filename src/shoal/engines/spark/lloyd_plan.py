"""Exact Lloyd over all rows: one barrier stage that keeps them in memory, or one job for each iteration."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from shoal.engines.shares import Summarised, SummarySettings, solved
from shoal.engines.spark import jobs
from shoal.engines.spark.columns import select_rows
from shoal.engines.spark.lloyd_stage import StageWork, unpacked_stage
from shoal.engines.spark.lloyd_steps import (
    Candidate,
    Floats,
    Sums,
    candidates_from_bytes,
    candidates_needed,
    candidates_to_bytes,
    check_width,
    look,
    next_centres,
    rest_of,
    rests,
    step_of,
    unit_centres,
    worst_rows,
)
from shoal.engines.spark.rows import RowColumns, RowReader
from shoal.engines.spark.sessions import barrier_slots
from shoal.engines.spark.summary_plan import no_rows, summarise
from shoal.errors import BadInputError, Rejects
from shoal.solve.lloyd import Metric, Step
from shoal.summary.coreset import Coreset

Way = Literal["auto", "barrier", "jobs"]
KEPT_NUMBERS = 4_000_000
"""Coordinates of centres kept of the trajectory; the steps after are told without."""


class LloydFound(NamedTuple):
    """Where the centres came to rest."""

    centres: Floats
    """(k, d)."""
    counts: Floats
    """(k,) weight of each cluster, exact."""
    inertia: float
    """Of the centres as they are, measured after their last move."""
    steps: tuple[Step, ...]
    trajectory: tuple[Floats, ...]
    """Centres after each step."""
    converged: bool
    summary: Coreset
    """Of all rows."""
    rejects: Rejects
    plan: Literal["barrier", "jobs"]


def lloyd_fit(
    df: Any,
    columns: RowColumns,
    k: int,
    *,
    settings: SummarySettings,
    start: Floats | None = None,
    metric: Metric = "euclidean",
    max_iter: int = 300,
    tol: float = 1e-4,
    way: Way = "auto",
    known: Summarised | None = None,
) -> LloydFound:
    """Move centres to the weighted means of their rows until they rest, on all rows of a DataFrame.

    Parameters
    ----------
    start : (k, d); None: what the summary of the same read says.
    tol : stop when the squared move of the centres is at most ``tol`` times the mean variance of the columns.
    way : ``barrier`` shuffles the rows once into as many partitions as tasks run at a time and keeps them there; ``jobs``
        sends one job an iteration; ``auto`` takes ``jobs`` where a barrier stage cannot run, with a warning.
    known : the summary, if there was a pass already; ``jobs`` makes one otherwise.

    Raises
    ------
    BadInputError : rows that cannot be used, fewer that differ than clusters, centres of another width.
    """
    if way == "jobs":
        return _by_jobs(df, columns, k, settings, start, metric, max_iter, tol, known)
    n = barrier_slots(df.sparkSession)
    if n is not None:
        try:
            return _by_barrier(df, columns, k, settings, start, metric, max_iter, tol, n)
        except jobs.NoBarrierError:
            if way == "barrier":
                raise
    elif way == "barrier":
        raise jobs.NoBarrierError(_NO_BARRIER)
    warnings.warn(f"{_NO_BARRIER}, so exact Lloyd runs one job an iteration; {_REMEDY}", stacklevel=4)
    return _by_jobs(df, columns, k, settings, start, metric, max_iter, tol, known)


_NO_BARRIER = "the session allows no barrier stage, or does not tell how many tasks run at a time"
_REMEDY = (
    "for the faster barrier stage turn off dynamic allocation, and set spark.executor.instances and "
    "spark.executor.cores or leave spark.default.parallelism unset"
)


def _by_barrier(
    df: Any,
    columns: RowColumns,
    k: int,
    settings: SummarySettings,
    start: Floats | None,
    metric: Metric,
    max_iter: int,
    tol: float,
    n: int,
) -> LloydFound:
    work = StageWork(columns, settings, k, start, metric, max_iter, tol, secrets.token_hex(16), KEPT_NUMBERS)
    rows = select_rows(df, columns).repartition(n)
    replies = jobs.run(rows, work, barrier=True)
    if not replies:
        raise no_rows(None)
    return _all_used(LloydFound(*unpacked_stage(replies[0][1]), "barrier"))


def _all_used(found: LloydFound) -> LloydFound:
    distinct = int((found.counts > 0).sum())
    if distinct < len(found.counts):
        raise BadInputError(
            f"k={len(found.counts)} clusters asked of rows of which only {distinct} differ",
            remedy=f"choose k up to {distinct}",
        )
    return found


@dataclass(frozen=True)
class SumsWork:
    """One look at a partition: its sums by nearest centre, and how many rows moved since the centres before."""

    columns: RowColumns
    centres: Floats
    before: Floats | None

    def __call__(self, partition: int, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
        """One reply: :meth:`Sums.to_bytes`."""
        k, d = self.centres.shape
        reader, out = RowReader(self.columns, partition, width=d), Sums.none(k, d)
        for batch in batches:
            rows = reader.read(batch)
            found = look(rows.X, self.centres, rows.weights)
            moved = len(rows.X)
            if self.before is not None and moved:
                was = look(rows.X, self.before, None).labels
                moved = int((was != found.labels).sum())
            out.add(Sums.of(found, moved))
        if reader.rows:
            yield out.to_bytes()


@dataclass(frozen=True)
class WorstWork:
    """The rows of a partition that are worst served."""

    columns: RowColumns
    centres: Floats
    most: int

    def __call__(self, partition: int, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
        """One reply: cost, label, weight and row of each as float64."""
        reader = RowReader(self.columns, partition, width=self.centres.shape[1])
        found: list[Candidate] = []
        for batch in batches:
            rows = reader.read(batch)
            found += worst_rows(rows.X, rows.weights, self.centres, self.most)
            found = sorted(found, key=lambda c: -c.cost)[: self.most]
        if found:
            yield candidates_to_bytes(found)


def _by_jobs(
    df: Any,
    columns: RowColumns,
    k: int,
    settings: SummarySettings,
    start: Floats | None,
    metric: Metric,
    max_iter: int,
    tol: float,
    known: Summarised | None,
) -> LloydFound:
    rows = select_rows(df, columns).persist()
    try:
        known = known or summarise(rows, columns, settings)
        C = (
            solved(known.summary, k, metric=metric).centres
            if start is None
            else np.asarray(start, np.float64)
        )
        check_width(C, known.summary)
        if metric == "cosine":
            C = unit_centres(C, C)
        steps: list[Step] = []
        trajectory: list[Floats] = []
        before: Floats | None = None
        converged, rest = False, rest_of(known.summary.totals, tol)
        for iteration in range(1, max_iter + 1):
            found = _sums(rows, SumsWork(columns, C, before))
            candidates: list[Candidate] = []
            if most := candidates_needed(found):
                worst = WorstWork(columns, C, most)
                candidates = [
                    c for _, r in jobs.run(rows, worst) for c in candidates_from_bytes(r, C.shape[1])
                ]
            new, repaired = next_centres(found, C, candidates, metric)
            steps.append(step_of(iteration, found, C, new, repaired))
            before, C = C, new
            if C.size * iteration <= KEPT_NUMBERS:
                trajectory.append(C)
            if rests(steps[-1], rest):
                converged = True
                break
        last = _sums(rows, SumsWork(columns, C, None))
    finally:
        rows.unpersist()
    return _all_used(
        LloydFound(C, last.counts, last.inertia, tuple(steps), tuple(trajectory), converged, *known, "jobs")
    )


def _sums(rows: Any, work: SumsWork) -> Sums:
    k, d = work.centres.shape
    out = Sums.none(k, d)
    for _, reply in jobs.run(rows, work):
        out.add(Sums.from_bytes(reply, k, d))
    return out
