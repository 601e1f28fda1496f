"""Clusters of any shape: the adjusted Rand index of methods on a summary beside the batch algorithms on all rows.

Points that the truth calls noise (label 0) are left out of the index; points that a method calls noise are one more
group of it, so that calling everything noise does not pay. Everyone who is told k is told the true one. The index of
a method with a random start is that of seed 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering, KMeans, SpectralClustering

from benchmarks.common import median, timed, why
from benchmarks.data import SHARED
from benchmarks.tables import Target, table
from shoal.estimators.summary_clusterer import SummaryClusterer
from shoal.solve.choose_k import adjusted_rand
from shoal.solve.density import CLUSTER_ROWS, CLUSTER_SHARE, LEAST_ROWS, default_eps
from shoal.summary.protocol import WeightedPoints

FOLDER = SHARED / "clustering_benchmarks"
BATTERIES = ("fcps", "sipu", "wut")
QUICK_ROWS = 1_000
SMALL_SUMMARY = 2_000
"""Rows of the summary that really compresses; half the rows where there are fewer than 4,000."""
LARGEST = {"spectral": 5_000, "ward": 12_000, "HDBSCAN": 30_000}
"""Rows up to which a batch algorithm is run: their time or memory grows with the square."""
PAIRS = (
    ("hdbscan, summary", "HDBSCAN, same minimum"),
    ("dbscan, summary", "DBSCAN, same eps"),
    ("ward, summary", "ward, true k"),
    ("spectral, summary", "spectral, true k"),
)
LOST = 0.05
"""A summary loses a set when its index is lower by more than this."""

Labels = NDArray[np.integer[Any]]


def sets(quick: bool) -> Iterator[tuple[str, NDArray[np.float64], Labels]]:
    """Every labelled set with its first labelling."""
    for battery in BATTERIES:
        for file in sorted((FOLDER / battery).glob("*.data.gz")):
            labels = Path(str(file).replace(".data.gz", ".labels0.gz"))
            truth = np.loadtxt(labels, dtype=np.int64)
            if not quick or len(truth) <= QUICK_ROWS:
                yield f"{battery}/{file.name.removesuffix('.data.gz')}", np.loadtxt(file, ndmin=2), truth


def contenders(X: NDArray[np.float64], k: int) -> dict[str, Callable[[], Labels]]:
    """Who clusters rows X, by name."""
    n = len(X)
    small = min(SMALL_SUMMARY, n // 2)

    def ours(method: Any, rows: int | None = None, told: int | None = None) -> Callable[[], Labels]:
        return lambda: SummaryClusterer(method, told, sample_rows=rows, random_state=0).fit(X).labels_

    least = max(CLUSTER_ROWS, int(np.ceil(CLUSTER_SHARE * n)))
    out = {
        "hdbscan": ours("hdbscan"),
        "hdbscan, summary": ours("hdbscan", small),
        "hdbscan, summary, true k": ours("hdbscan", small, k),
        "dbscan": ours("dbscan"),
        "dbscan, summary": ours("dbscan", small),
        "ward": ours("ward", None, k),
        "ward, summary": ours("ward", small, k),
        "ward, summary, no k": ours("ward", small),
        "spectral": ours("spectral", None, k),
        "spectral, summary": ours("spectral", small, k),
        "spectral, summary, no k": ours("spectral", small),
        "KMeans on summary, true k": ours(KMeans(k, n_init=10, random_state=0), small),
        "DBSCAN, same eps": lambda: DBSCAN(eps=_eps(X), min_samples=LEAST_ROWS).fit(X).labels_,
        "KMeans, true k": lambda: KMeans(k, n_init=10, random_state=0).fit(X).labels_,
    }
    if n <= LARGEST["HDBSCAN"]:
        out["HDBSCAN, same minimum"] = lambda: (
            HDBSCAN(min_cluster_size=least, min_samples=LEAST_ROWS, copy=True).fit(X).labels_
        )
        out["HDBSCAN, its defaults"] = lambda: HDBSCAN(copy=True).fit(X).labels_
    if n <= LARGEST["ward"]:
        out["ward, true k"] = lambda: AgglomerativeClustering(k).fit(X).labels_
    if n <= LARGEST["spectral"]:
        out["spectral, true k"] = lambda: (
            SpectralClustering(k, affinity="nearest_neighbors", random_state=0).fit(X).labels_
        )
    return out


def _eps(X: NDArray[np.float64]) -> float:
    """The default of our own DBSCAN on all rows."""
    return default_eps(WeightedPoints(X, np.ones(len(X))))


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Measure every set."""
    if not FOLDER.exists():
        print("skipped: ../shared/data is not beside the checkout")
        return []
    rows = []
    for name, X, truth in sets(quick):
        k = len(np.unique(truth[truth > 0]))
        row: dict[str, Any] = {"set": name, "n": len(X), "d": X.shape[1], "k": k}
        row |= {"ari": {}, "seconds": {}, "found": {}, "failed": {}}
        for who, fit in contenders(X, k).items():
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    seconds, labels = timed(fit)
            except Exception as error:  # a method that fails is a row saying so
                row["failed"][who] = why(error)
                continue
            row["ari"][who] = agreement(truth, labels)
            row["seconds"][who] = seconds
            row["found"][who] = int(labels.max()) + 1
        shown = ", ".join(f"{who} {value:.2f}" for who, value in row["ari"].items())
        print(f"{name} ({len(X)} x {X.shape[1]}, k={k})\n   {shown}", flush=True)
        for who, reason in row["failed"].items():
            print(f"   {who} failed: {reason}", flush=True)
        rows.append(row)
    return rows


def agreement(truth: Labels, labels: Labels) -> float:
    """Adjusted Rand index where the truth names a cluster."""
    known = truth > 0
    return adjusted_rand(truth[known], labels[known] + 1)


def section(rows: list[dict[str, Any]], targets: list[Target]) -> Iterator[str]:
    """Means and medians of every method, where summaries lose, and every figure."""
    names = list(dict.fromkeys(who for row in rows for who in row["ari"]))
    yield "## Clusters of any shape\n"
    yield f"Adjusted Rand index on {len(rows)} labelled sets. " + " ".join(
        (__doc__ or "").split("\n\n")[1].split()
    )
    yield "`summary`: 2,000 kept rows, half the rows of sets below 4,000; else 20,000. Batch algorithms on all rows.\n"
    lines = []
    for who in names:
        found = [row["ari"][who] for row in rows if who in row["ari"]]
        lines.append([who, f"{np.mean(found):.3f}", f"{median(found):.3f}", str(len(found))])
    yield from table(["method", "mean", "median", "sets"], lines)
    yield ""
    for ours, theirs in PAIRS:
        both = [
            (row["set"], row["ari"][ours] - row["ari"][theirs])
            for row in rows
            if {ours, theirs} <= set(row["ari"])
        ]
        lost = sorted((gap, name) for name, gap in both if gap < -LOST)
        won = sum(gap > LOST for _, gap in both)
        worst = "; ".join(f"{name} by {-gap:.2f}" for gap, name in lost) or "none"
        yield f"- **{ours}** against *{theirs}*: better on {won}, worse on {len(lost)} of {len(both)}: {worst}."
    yield ""
    short = [who for pair in PAIRS for who in pair] + ["KMeans, true k"]
    cells = [
        [row["set"], str(row["n"]), str(row["k"])]
        + [f"{row['ari'][who]:.2f}" if who in row["ari"] else "-" for who in short]
        for row in rows
    ]
    yield from table(["set", "n", "k", *short], cells)
