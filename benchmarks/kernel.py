"""Rows per second of the search for the nearest centre, and whether everybody finds the same one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.metrics import pairwise_distances_argmin
from superkmeans import SuperKMeans

from benchmarks import THREADS
from benchmarks.common import in_turns, shown, why
from shoal import ShoalError, kernels

SHAPES = (
    (100_000, 400, 500),
    (200_000, 128, 1000),
    (100_000, 768, 100),
    (1_000_000, 26, 12),
    (1_000_000, 20, 50),
    (2_000_000, 2, 8),
    (500_000, 64, 50),
    (500_000, 32, 100),
    (50_000, 1536, 200),
)
ROUNDS = 5
ORACLE_ROWS = 5000
Search = Callable[[], NDArray[Any]]


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Measure every shape and every variant, with the peers in between."""
    usual = kernels.variant()
    rows = []
    try:
        for n, d, k in SHAPES:
            rows.append(_measure(n // 20 if quick else n, d, k, 1 if quick else ROUNDS))
    finally:
        kernels.use_variant(usual)
    return rows


def _measure(n: int, d: int, k: int, rounds: int) -> dict[str, Any]:
    rng = np.random.default_rng(d)
    X = rng.normal(size=(n, d)).astype(np.float32)
    C = rng.normal(size=(k, d)).astype(np.float32)
    contenders, failed = _working(X, C)
    seconds = in_turns(contenders, rounds)
    rates = {name: [n / s for s in v] for name, v in seconds.items()}
    labels = {name: search().astype(np.int64) for name, search in contenders.items()}
    first = next(iter(labels))
    row = {"n": n, "d": d, "k": k, "rows_per_second": rates, "failed": failed}
    row["unlike_shoal"] = {name: differing(X, C, labels[first], found) for name, found in labels.items()}
    row["wrong"] = {name: wrong(X, C, found) for name, found in labels.items()}
    print((n, d, k), f"rows/s: {shown(rates)}; wrong: {row['wrong']}", failed or "", flush=True)
    return row


def _working(X: NDArray[Any], C: NDArray[Any]) -> tuple[dict[str, Search], dict[str, str]]:
    """Everyone who manages this shape; the variants this processor runs, the usual one first."""
    index = faiss.IndexFlatL2(X.shape[1])
    index.add(C)
    other = SuperKMeans(len(C), X.shape[1], n_threads=THREADS)
    asked: dict[str, Search] = {f"shoal {name}": _variant(name, X, C) for name in usable_variants()}
    asked["sklearn argmin"] = lambda: pairwise_distances_argmin(X, C)
    asked["faiss IndexFlatL2"] = lambda: index.search(X, 1)[1][:, 0]
    asked["superkmeans assign"] = lambda: other.assign(X, C)
    failed = {}
    for name, search in list(asked.items()):
        try:
            search()
        except Exception as error:
            failed[name] = why(error)
            del asked[name]
    return asked, failed


def usable_variants() -> list[str]:
    """Instruction-set variants this processor runs, widest first."""
    found = []
    for name in kernels.VARIANTS:
        try:
            kernels.use_variant(name)
        except ShoalError:
            continue
        found.append(name)
    return found


def _variant(name: str, X: NDArray[Any], C: NDArray[Any]) -> Search:
    def search() -> NDArray[Any]:
        kernels.use_variant(name)
        return kernels.nearest(X, C).labels

    return search


def differing(X: NDArray[Any], C: NDArray[Any], a: NDArray[Any], b: NDArray[Any]) -> dict[str, int]:
    """Rows labelled differently, and how many of them are no ties within float32 rounding."""
    at = np.flatnonzero(a != b)
    return {"rows": len(at), "no_ties": int((~_tied(X[at], C, a[at], b[at])).sum())}


def wrong(X: NDArray[Any], C: NDArray[Any], labels: NDArray[Any]) -> int:
    """Labels of the first rows that no rounding of float32 excuses, by SciPy's float64 distances."""
    best = cdist(X[:ORACLE_ROWS].astype(np.float64), C.astype(np.float64), "sqeuclidean").argmin(axis=1)
    return differing(X[:ORACLE_ROWS], C, best, labels[:ORACLE_ROWS])["no_ties"]


def _tied(X: NDArray[Any], C: NDArray[Any], a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether two squared distances differ by less than float32 could have told apart at the size of the terms."""
    rows, centres = X.astype(np.float64), C.astype(np.float64)
    to_a, to_b = (((rows - centres[of]) ** 2).sum(axis=1) for of in (a, b))
    size = (rows**2).sum(axis=1) + np.maximum((centres[a] ** 2).sum(axis=1), (centres[b] ** 2).sum(axis=1))
    return np.abs(to_a - to_b) <= 8 * np.finfo(np.float32).eps * size
