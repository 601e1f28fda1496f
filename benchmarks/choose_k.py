"""How often the suggested k is right: sets with known clusters, and sets without any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.common import timed
from benchmarks.data import SHARED
from shoal.solve.choose_k import choose_k

ROUND = "sipu/a1 sipu/a2 sipu/s1 sipu/s2 sipu/s3 sipu/s4 sipu/r15 sipu/unbalance sipu/d31 fcps/hepta fcps/tetra wut/mk1 wut/mk3 wut/x1 wut/x2"
NOT_ROUND = "fcps/lsun fcps/twodiamonds fcps/wingnut wut/mk2 wut/mk4 wut/x3 wut/twosplashes"


def sets() -> Iterator[tuple[str, str, np.ndarray, int | None]]:
    """Family, name, rows and the true number of clusters (None: no clusters)."""
    rng = np.random.default_rng(0)
    for family, names in (("round", ROUND), ("not round", NOT_ROUND)):
        for name in names.split() if SHARED.exists() else ():
            stem = SHARED / "clustering_benchmarks" / name
            labels = np.loadtxt(f"{stem}.labels0.gz")
            yield family, name, np.loadtxt(f"{stem}.data.gz"), len(set(labels[labels > 0]))
    for k, d, apart in ((3, 5, 8), (5, 20, 8), (8, 50, 8), (4, 2, 12), (2, 2, 8), (2, 10, 8)):
        centres = rng.normal(size=(k, d)) * apart / np.sqrt(2 * d)
        yield (
            "made",
            f"{k} Gaussians, d={d}",
            centres[rng.integers(k, size=6000)] + rng.normal(size=(6000, d)),
            k,
        )
    for name, X in {
        "normal, d=2": rng.normal(size=(5000, 2)),
        "normal, d=10": rng.normal(size=(5000, 10)),
        "normal, d=64": rng.normal(size=(5000, 64)),
        "long normal, d=3": rng.normal(size=(5000, 3)) * [10, 1, 1],
        "normal, 300 rows": rng.normal(size=(300, 2)),
        "uniform, d=1": rng.uniform(size=(3000, 1)),
        "uniform, d=2": rng.uniform(size=(5000, 2)),
        "uniform, d=10": rng.uniform(size=(5000, 10)),
        "exponential, d=3": rng.exponential(size=(5000, 3)),
        "lognormal, d=2": rng.lognormal(size=(5000, 2)),
    }.items():
        yield "none", name, X, None


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Suggest k for every set, from 2 to well beyond the truth."""
    rows: list[dict[str, Any]] = []
    for family, name, X, truth in sets():
        if quick and any(row["family"] == family for row in rows):
            continue
        top = max(12, (truth or 0) + 8)
        X = X.astype(np.float32)
        seconds, answer = timed(lambda X=X, top=top: choose_k(X, np.ones(len(X)), range(2, top + 1)))
        row = {"family": family, "set": name, "true": truth, "suggested": answer.suggested}
        rows.append(row | {"confidence": answer.confidence, "votes": answer.votes, "seconds": seconds})
        mark = "" if answer.suggested == truth else "  WRONG"
        print(f"{family}, {name}: {truth} -> {answer.suggested}{mark}", flush=True)
    return rows
