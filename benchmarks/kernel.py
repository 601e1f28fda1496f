"""Rows per second of the nearest-centre search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from sklearn.metrics import pairwise_distances_argmin

from benchmarks.common import THREADS, in_turns, median, save
from shoal import kernels

SHAPES = (
    (100_000, 400, 500),
    (200_000, 128, 1000),
    (100_000, 768, 100),
    (1_000_000, 26, 12),
    (1_000_000, 20, 50),
    (2_000_000, 2, 8),
    (200_000, 64, 50),
    (300_000, 32, 100),
    (50_000, 1536, 200),
)


def run(quick: bool = False) -> None:
    """Measure every shape and every variant, the peers in between."""
    faiss.omp_set_num_threads(THREADS)
    usual = kernels.variant()
    rows = []
    for n, d, k in SHAPES:
        size = n // 20 if quick else n
        rng = np.random.default_rng(d)
        X = rng.normal(size=(size, d)).astype(np.float32)
        C = rng.normal(size=(k, d)).astype(np.float32)
        index = faiss.IndexFlatL2(d)
        index.add(C)

        def ours(name: str, X: Any = X, C: Any = C) -> Callable[[], Any]:
            def act() -> Any:
                kernels.use_variant(name)
                return kernels.nearest(X, C)

            return act

        variants = [v for v in kernels.VARIANTS if kernels._native.variant_supported(v)]
        contenders: dict[str, Callable[[], Any]] = {f"shoal {v}": ours(v) for v in variants}
        contenders["sklearn argmin"] = lambda X=X, C=C: pairwise_distances_argmin(X, C)
        contenders["faiss IndexFlatL2"] = lambda X=X, index=index: index.search(X, 1)
        seconds = in_turns(contenders, 1 if quick else 5)
        kernels.use_variant(usual)
        theirs = index.search(X, 1)[1][:, 0]
        differ = np.flatnonzero(theirs != kernels.nearest(X, C).labels)
        rates = {name: [size / s for s in v] for name, v in seconds.items()}
        rows.append({"n": size, "d": d, "k": k, "rows_per_second": rates, "labels_unlike_faiss": len(differ)})
        shown = {name: f"{median(v) / 1e6:.2f}" for name, v in rates.items()}
        print((size, d, k), "Mrows/s", shown, "labels that differ", len(differ), flush=True)
    if not quick:
        save("kernel", rows)
