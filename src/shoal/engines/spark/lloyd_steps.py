"""One exact Lloyd iteration from sums that were gathered elsewhere: new centres, empty clusters repaired, when to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.kernels import Totals, accumulate
from shoal.solve.lloyd import Metric, Step
from shoal.summary.coreset import Coreset
from shoal.summary.totals import ExactTotals

Floats = NDArray[np.float64]


@dataclass
class Sums:
    """What one look at some rows adds up to; sums of parts are added in the order of partitions."""

    inertia: float
    moved: float
    """Rows whose nearest centre is another than that of the centres before."""
    counts: Floats
    """(k,)."""
    sums: Floats
    """(k, d)."""

    @classmethod
    def of(cls, found: Totals, moved: int) -> Sums:
        """From the kernel's answer."""
        return cls(found.inertia, float(moved), found.counts, found.sums)

    @classmethod
    def none(cls, k: int, d: int) -> Sums:
        """Of no rows."""
        return cls(0.0, 0.0, np.zeros(k), np.zeros((k, d)))

    def add(self, other: Sums) -> None:
        """Take in another part."""
        self.inertia += other.inertia
        self.moved += other.moved
        self.counts = self.counts + other.counts
        self.sums = self.sums + other.sums

    def to_bytes(self) -> bytes:
        """float64, little-endian."""
        head = [self.inertia, self.moved]
        return np.concatenate([head, self.counts, self.sums.ravel()]).astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, k: int, d: int) -> Sums:
        """Inverse of :meth:`to_bytes`."""
        flat = np.frombuffer(data, "<f8")
        return cls(float(flat[0]), float(flat[1]), flat[2 : 2 + k].copy(), flat[2 + k :].reshape(k, d).copy())


def look(X: NDArray[Any], C: Floats, weights: Floats | None) -> Totals:
    """Nearest centres and totals of rows (n, d); about the centres' own middle, as floats far from zero have no digits left."""
    if X.dtype != np.float32 or not len(X):
        return accumulate(X, C, weights, n_threads=1)
    origin = C.mean(axis=0)
    found = accumulate((X - origin).astype(np.float32), C - origin, weights, n_threads=1)
    return found._replace(sums=found.sums + found.counts[:, None] * origin)


class Candidate(NamedTuple):
    """A row that could become the centre of an empty cluster."""

    cost: float
    label: int
    """Position of its nearest centre."""
    weight: float
    row: Floats


def worst_rows(X: NDArray[Any], weights: Floats | None, centres: Floats, most: int) -> list[Candidate]:
    """The rows that cost most, the worst first; none that lies on its centre."""
    if not len(X):
        return []
    found = look(X, centres, weights)
    cost = found.squared.astype(np.float64) * (1.0 if weights is None else weights)
    order = np.argsort(-cost, kind="stable")[:most]
    return [
        Candidate(
            float(cost[i]),
            int(found.labels[i]),
            1.0 if weights is None else float(weights[i]),
            X[i].astype(np.float64),
        )
        for i in order
        if cost[i] > 0
    ]


def candidates_needed(found: Sums) -> int:
    """Rows that each part must offer: one for every empty cluster, and one for every cluster that cannot spare its last."""
    empty = int((found.counts <= 0).sum())
    return empty + len(found.counts) if empty else 0


def candidates_to_bytes(found: list[Candidate]) -> bytes:
    """float64: cost, label, weight and row of each."""
    flat = [np.concatenate([[c.cost, c.label, c.weight], c.row]) for c in found]
    return np.asarray(flat, "<f8").tobytes()


def candidates_from_bytes(data: bytes, d: int) -> list[Candidate]:
    """Inverse of :func:`candidates_to_bytes`."""
    flat = np.frombuffer(data, "<f8").reshape(-1, 3 + d)
    return [Candidate(float(r[0]), int(r[1]), float(r[2]), r[3:]) for r in flat]


def next_centres(
    found: Sums, centres: Floats, candidates: list[Candidate], metric: Metric
) -> tuple[Floats, int]:
    """Weighted means, and how many empty clusters were given one of the candidates, the worst served first."""
    sums, counts = found.sums.copy(), found.counts.copy()
    empty = list(np.flatnonzero(counts <= 0))
    repaired = 0
    for candidate in sorted(candidates, key=lambda c: -c.cost):
        if not empty:
            break
        if counts[candidate.label] <= candidate.weight * (1 + 1e-9):
            continue  # it is all that its cluster has
        sums[candidate.label] -= candidate.weight * candidate.row
        counts[candidate.label] -= candidate.weight
        at = empty.pop()
        sums[at], counts[at] = candidate.weight * candidate.row, candidate.weight
        repaired += 1
    full = counts > 0
    new = centres.copy()
    new[full] = sums[full] / counts[full, None]
    return (unit_centres(new, centres) if metric == "cosine" else new), repaired


def unit_centres(centres: Floats, before: Floats) -> Floats:
    """Centres of length 1; where rows cancel out any direction is as good, and the one before is kept."""
    length = np.linalg.norm(centres, axis=1)
    kept = np.where((length <= 1e-12)[:, None], before, centres)
    unit: Floats = kept / np.maximum(np.linalg.norm(kept, axis=1), 1e-300)[:, None]
    return unit


def step_of(iteration: int, found: Sums, before: Floats, after: Floats, repaired: int) -> Step:
    """What is told of an iteration."""
    shift = float(np.sqrt(((after - before) ** 2).sum()))
    return Step(iteration, found.inertia, shift, int(found.moved), repaired)


def rests(step: Step, rest: float) -> bool:
    """Whether the centres have come to rest: by the rule of :func:`shoal.solve.lloyd.lloyd`."""
    return not step.repaired and (step.moved == 0 or step.shift**2 <= rest)


def rest_of(totals: ExactTotals, tol: float) -> float:
    """The squared move of all centres that ends the iterations: ``tol`` times the mean variance of the columns."""
    if tol <= 0 or totals.weight <= 0:
        return 0.0
    return tol * float(np.mean(totals.scatter() / totals.weight))


def check_width(centres: Floats, summary: Coreset) -> None:
    """Raises :class:`BadInputError` where the centres to start from are of another width than the rows."""
    if centres.shape[1] != summary.n_features:
        raise BadInputError(
            f"initialModel has centres of {centres.shape[1]} numbers, the rows have {summary.n_features}",
            remedy="give centres of the same columns",
        )
