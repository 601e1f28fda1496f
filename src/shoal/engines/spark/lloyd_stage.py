"""What every rank of the barrier stage does: read its rows once, meet the others, iterate with rank 0 in the lead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.engines.shares import Summarised, SummarySettings, fill, joined, packed, solved, unpacked
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
from shoal.engines.spark.rendezvous import Star
from shoal.engines.spark.rows import RowColumns, RowReader
from shoal.engines.spark.summary_plan import no_rows, no_weight
from shoal.errors import Rejects, ShoalError
from shoal.solve.lloyd import Metric, Step
from shoal.summary import wire
from shoal.summary.coreset import Coreset

_MOVE, _WORST, _DONE, _FAILED = b"m", b"w", b"d", b"f"
"""What rank 0 tells the others: new centres, show your worst rows, the last centres, it cannot go on."""


@dataclass(frozen=True)
class StageWork:
    """One rank; rank 0 answers for all."""

    columns: RowColumns
    settings: SummarySettings
    k: int
    start: Floats | None
    metric: Metric
    max_iter: int
    tol: float
    token: str
    kept_numbers: int

    def __call__(self, partition: int, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
        """One reply from rank 0: what :func:`unpacked_stage` reads."""
        from pyspark import BarrierTaskContext

        context = BarrierTaskContext.get()
        hosts = [str(info.address).rpartition(":")[0] for info in context.getTaskInfos()]
        rows, error = self._read(partition, batches)
        with Star(
            partition,
            len(hosts),
            exchange=context.allGather,
            host=hosts[0],
            token=self.token,
            told=str(error or ""),
        ) as star:
            if error is not None:
                raise error
            if any(star.told):
                return  # the rank that found the error tells it
            if partition == 0:
                yield self._lead(star, rows)
            else:
                self._follow(star, rows)

    def _read(self, partition: int, batches: Iterator[pa.RecordBatch]) -> tuple[_Rows, ShoalError | None]:
        """All rows of the partition, in memory, and the summary of them."""
        reader, summary = RowReader(self.columns, partition), self.settings.new()
        parts: list[NDArray[Any]] = []
        weights: list[Floats] = []
        try:
            for batch in batches:
                found = reader.read(batch)
                if not len(found.X):
                    continue
                fill(summary, found)
                parts.append(found.X)
                weights += [] if found.weights is None else [found.weights]
        except ShoalError as error:
            return _Rows(np.empty((0, 0)), None, packed(summary, reader.rejects)), error
        X = np.concatenate(parts) if parts else np.empty((0, 0))
        w = np.concatenate(weights) if weights else None
        return _Rows(X, w, packed(summary, reader.rejects) if reader.rows else b""), None

    def _lead(self, star: Star, rows: _Rows) -> bytes:
        try:
            known, C = self._begin(star.gather(rows.summary))
        except ShoalError as error:
            star.share(_FAILED + str(error).encode())
            raise
        rest = rest_of(known.summary.totals, self.tol)
        steps: list[Step] = []
        trajectory: list[Floats] = []
        converged = False
        while len(steps) < self.max_iter and not converged:
            star.share(_MOVE + C.tobytes())
            found = self._summed(star.gather(rows.sums(C).to_bytes()))
            new, repaired = next_centres(found, C, self._worst(star, rows, C, found), self.metric)
            steps.append(step_of(len(steps) + 1, found, C, new, repaired))
            C = new
            if C.size * len(steps) <= self.kept_numbers:
                trajectory.append(C)
            converged = rests(steps[-1], rest)
        star.share(_DONE + C.tobytes())
        last = self._summed(star.gather(rows.sums(C).to_bytes()))
        return _packed_stage(C, last, steps, trajectory, converged=converged, known=known)

    def _follow(self, star: Star, rows: _Rows) -> None:
        star.gather(rows.summary)
        C = np.empty((0, 0))
        while True:
            told = star.share()
            kind, content = told[:1], told[1:]
            if kind == _FAILED:
                return
            if kind == _WORST:
                star.gather(candidates_to_bytes(rows.worst(C, int(content))))
                continue
            C = np.frombuffer(content, np.float64).reshape(self._k, -1)
            star.gather(rows.sums(C).to_bytes())
            if kind == _DONE:
                return

    @property
    def _k(self) -> int:
        return self.k if self.start is None else len(self.start)

    def _begin(self, replies: list[bytes]) -> tuple[Summarised, Floats]:
        """The summary of all ranks' rows, and the centres to start from."""
        known = joined(reply for reply in replies if reply)
        if known is None or known.summary.is_empty:
            raise no_rows(known)
        if not known.summary.weight > 0:
            raise no_weight()
        if self.start is None:
            C = solved(known.summary, self.k, metric=self.metric).centres
        else:
            C = np.asarray(self.start, np.float64)
        check_width(C, known.summary)
        return known, np.ascontiguousarray(unit_centres(C, C) if self.metric == "cosine" else C)

    def _summed(self, replies: list[bytes]) -> Sums:
        width = (len(replies[0]) // 8 - 2 - self._k) // self._k
        out = Sums.none(self._k, width)
        for reply in replies:
            out.add(Sums.from_bytes(reply, self._k, width))
        return out

    def _worst(self, star: Star, rows: _Rows, C: Floats, found: Sums) -> list[Candidate]:
        """Rows for empty clusters, if there are any."""
        most = candidates_needed(found)
        if not most:
            return []
        star.share(_WORST + str(most).encode())
        replies = star.gather(candidates_to_bytes(rows.worst(C, most)))
        return [c for reply in replies for c in candidates_from_bytes(reply, C.shape[1])]


class _Rows:
    """The rows of one rank, and where they belonged last."""

    def __init__(self, X: NDArray[Any], weights: Floats | None, summary: bytes) -> None:
        self.X, self.weights, self.summary = X, weights, summary
        self._labels: NDArray[np.int32] | None = None

    def sums(self, C: Floats) -> Sums:
        """What this rank's rows add up to by nearest centre."""
        if not len(self.X):
            return Sums.none(*C.shape)
        found = look(self.X, C, self.weights)
        before, self._labels = self._labels, found.labels
        moved = len(self.X) if before is None else int((before != found.labels).sum())
        return Sums.of(found, moved)

    def worst(self, C: Floats, most: int) -> list[Candidate]:
        """This rank's rows that cost most."""
        return worst_rows(self.X, self.weights, C, most)


def _packed_stage(
    C: Floats,
    last: Sums,
    steps: list[Step],
    trajectory: list[Floats],
    *,
    converged: bool,
    known: Summarised,
) -> bytes:
    meta = {"inertia": last.inertia, "converged": converged}
    arrays: dict[str, NDArray[Any]] = {
        "centres": C,
        "counts": last.counts,
        "steps": np.asarray(steps, np.float64).reshape(-1, len(Step._fields)),
        "trajectory": np.asarray(trajectory, np.float64).reshape(-1, *C.shape),
        "known": np.frombuffer(packed(*known), np.uint8),
    }
    return wire.pack("lloyd", meta, arrays)


def unpacked_stage(
    reply: bytes,
) -> tuple[Floats, Floats, float, tuple[Step, ...], tuple[Floats, ...], bool, Coreset, Rejects]:
    """Centres, counts, inertia, steps, trajectory, whether they rest, summary and what was refused."""
    meta, arrays = wire.unpack("lloyd", reply)
    steps = tuple(Step(int(i), inertia, shift, int(m), int(r)) for i, inertia, shift, m, r in arrays["steps"])
    known = unpacked(arrays["known"].tobytes())
    trajectory = tuple(arrays["trajectory"])
    head = (arrays["centres"], arrays["counts"], float(meta["inertia"]))
    return (*head, steps, trajectory, bool(meta["converged"]), known.summary, known.rejects)
