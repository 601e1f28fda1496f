"""The data sets: real ones from ``../shared/data``, synthetic ones made from fixed seeds."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHARED = Path(__file__).parents[2] / "shared" / "data"
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Set:
    """Rows to cluster, and into how many."""

    name: str
    k: int
    make: Callable[[], Matrix]
    real: bool


def overlapping(*, ordered: bool, n: int = 500_000, d: int = 32, k: int = 50) -> Matrix:
    """50 overlapping Gaussians with Zipf weights."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(k, d)) * 6 / np.sqrt(d)
    share = 1 / np.arange(1, k + 1)
    labels = rng.choice(k, n, p=share / share.sum())
    if ordered:
        labels.sort()
    return (centres[labels] + rng.normal(size=(n, d))).astype(np.float32)


def structureless(n: int = 300_000, d: int = 64) -> Matrix:
    """One round Gaussian."""
    return np.random.default_rng(1).normal(size=(n, d)).astype(np.float32)


def tiny_far(n: int = 300_000, d: int = 16) -> Matrix:
    """A Gaussian and twenty clusters of thirty rows, far away."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    for i in range(20):
        X[i * 30 : (i + 1) * 30] += rng.normal(size=d) / np.sqrt(d) * 300
    return X[rng.permutation(n)].astype(np.float32)


def kdd() -> Matrix:
    """Network connections, the 38 columns of numbers."""
    with gzip.open(SHARED / "kddcup99/kddcup.data_10_percent.gz", "rt") as file:
        return np.array([r[:1] + r[4:41] for r in csv.reader(file)], np.float32)


def covertype() -> Matrix:
    """Forest cover, 10 columns."""
    return np.load(SHARED / "cover/10_cover.npz")["X"].astype(np.float32)


def mnist() -> Matrix:
    """Handwritten digits, 784 pixels."""
    raw = gzip.decompress((SHARED / "mnist/train-images-idx3-ubyte.gz").read_bytes())[16:]
    return np.frombuffer(raw, np.uint8).reshape(-1, 784).astype(np.float32)


def birch1() -> Matrix:
    """A grid of 100 clusters."""
    return np.loadtxt(SHARED / "clustering_benchmarks/sipu/birch1.data.gz").astype(np.float32)


def california() -> Matrix:
    """Census blocks, the 8 columns of numbers without gaps, each brought to mean 0 and variance 1."""
    with (SHARED / "california_housing/housing.csv").open() as file:
        rows = [[*r[:4], *r[5:9]] for r in csv.reader(file)][1:]
    X = np.array(rows, np.float64)
    return ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)


SETS = (
    Set("50 overlapping Gaussians, d=32", 50, lambda: overlapping(ordered=False), False),
    Set("the same, sorted by component", 50, lambda: overlapping(ordered=True), False),
    Set("no structure, d=64", 50, structureless, False),
    Set("tiny far clusters, d=16", 30, tiny_far, False),
    Set("KDD Cup 99 10 %, k=25", 25, kdd, True),
    Set("KDD Cup 99 10 %, k=100", 100, kdd, True),
    Set("covertype", 50, covertype, True),
    Set("MNIST", 50, mnist, True),
    Set("birch1", 100, birch1, True),
    Set("California housing", 50, california, True),
)


def available() -> Iterator[Set]:
    """The sets there are on this machine; what is missing is said."""
    for one in SETS:
        if one.real and not SHARED.exists():
            print(f"skipped {one.name}: ../shared/data is not beside the checkout")
            continue
        yield one
