"""What far-off data costs in digits: scatter and inertia of the same rows moved by 1e4 to 1e8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.preprocessing import StandardScaler

from shoal import Coreset, kernels

OFFSETS = (0.0, 1e4, 1e5, 1e6, 1e7, 1e8)
ROWS, COLUMNS, K = 200_000, 8, 10
BATCH = 65_536
Rows = NDArray[Any]


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Largest relative error of each contender at each offset, in both precisions.

    Moving rounds the rows first; the truth is that of the rounded rows, so only arithmetic is judged.
    """
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(K, COLUMNS)) * 5
    X = centres[rng.integers(K, size=ROWS // 20 if quick else ROWS)]
    X = X + rng.normal(size=X.shape)
    rows = []
    for offset in OFFSETS:
        for kind in (np.float32, np.float64):
            moved, C = (X + offset).astype(kind), (centres + offset).astype(kind)
            row = {"offset": offset, "dtype": kind.__name__}
            row["scatter"] = _errors(SCATTER, _true_scatter(moved, offset), moved)
            row["inertia"] = _errors(INERTIA, _true_inertia(moved, C), moved, C)
            rows.append(row)
            print(
                f"{offset:.0e} {row['dtype']}: scatter {_brief(row['scatter'])}; inertia {_brief(row['inertia'])}"
            )
    return rows


def _true_scatter(X: Rows, offset: float) -> Rows:
    """Two passes in extended precision, on rows moved back without rounding (neighbours subtract exactly)."""
    near = X.astype(np.longdouble) - np.longdouble(offset)
    return ((near - near.mean(axis=0)) ** 2).sum(axis=0).astype(np.float64)


def _true_inertia(X: Rows, C: Rows) -> Rows:
    return np.array([cdist(X.astype(np.float64), C.astype(np.float64), "sqeuclidean").min(axis=1).sum()])


def _shoal_scatter(X: Rows) -> Rows:
    summary = Coreset(rows=100)
    for start in range(0, len(X), BATCH):
        summary.update(X[start : start + BATCH])
    return summary.totals.scatter()


def _sklearn_scatter(X: Rows) -> Rows:
    model = StandardScaler()
    for start in range(0, len(X), BATCH):
        model.partial_fit(X[start : start + BATCH])
    return np.asarray(model.var_ * len(X))


def _from_squares(X: Rows) -> Rows:
    return (X**2).sum(axis=0) - X.sum(axis=0) ** 2 / len(X)


def _expanded(X: Rows, C: Rows) -> Rows:
    squared = (X**2).sum(axis=1)[:, None] - 2 * X @ C.T + (C**2).sum(axis=1)
    return np.array([squared.min(axis=1).sum(dtype=np.float64)])


def _faiss_inertia(X: Rows, C: Rows) -> Rows:
    index = faiss.IndexFlatL2(X.shape[1])  # float32 only: float64 rows are rounded, as its users must
    index.add(C.astype(np.float32))
    return np.array([index.search(X.astype(np.float32), 1)[0].sum(dtype=np.float64)])


SCATTER: dict[str, Callable[..., Rows]] = {
    "shoal": _shoal_scatter,
    "sklearn StandardScaler": _sklearn_scatter,
    "sum of squares": _from_squares,
}
INERTIA: dict[str, Callable[..., Rows]] = {
    "shoal": lambda X, C: np.array([kernels.accumulate(X, C).inertia]),
    "sklearn argmin_min": lambda X, C: np.array(
        [(pairwise_distances_argmin_min(X, C)[1] ** 2.0).sum(dtype=float)]
    ),
    "faiss IndexFlatL2": _faiss_inertia,
    "x² - 2xc + c²": _expanded,
}


def _errors(
    contenders: dict[str, Callable[..., Rows]], truth: Rows, *arrays: Rows
) -> dict[str, float | None]:
    """None where the answer is not a finite number."""
    found: dict[str, float | None] = {}
    for name, act in contenders.items():
        with np.errstate(all="ignore"):
            worst = float(np.max(np.abs(act(*arrays) - truth) / truth))
        found[name] = worst if np.isfinite(worst) else None
    return found


def _brief(errors: dict[str, float | None]) -> str:
    return ", ".join(
        f"{name} {'not finite' if e is None else format(e, '.0e')}" for name, e in errors.items()
    )
