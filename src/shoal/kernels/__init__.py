"""The hot loops in C++: nearest centre, fused weighted totals, k-means++ seeding, exact sums, row scores.

Arrays may be float32 or float64, of any strides, and read-only; float32 is computed in float32 with float64
totals, float64 stays float64. Labels equal an exact float64 argmin except at ties within rounding. The GIL is
released, and no result depends on the number of threads.

The instruction set is chosen at run time. Set ``SHOAL_KERNEL`` to ``avx512``, ``avx2`` or ``portable`` before
import to force one, and ``OMP_NUM_THREADS`` (or ``n_threads``) to limit threads.
"""

from __future__ import annotations

import os
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError, ShoalError
from shoal.kernels import _native

__all__ = [
    "VARIANTS",
    "Nearest",
    "Totals",
    "accumulate",
    "as_floats",
    "default_threads",
    "greedy_seeds",
    "nearest",
    "row_ids",
    "score",
    "use_variant",
    "variant",
]

VARIANTS = ("avx512", "avx2", "portable")
"""Instruction-set variants, widest first; not every processor runs every one."""

Floats = NDArray[np.float32] | NDArray[np.float64]
F = TypeVar("F", np.float32, np.float64)


class Nearest(NamedTuple):
    """Nearest centre of n rows."""

    labels: NDArray[np.int32]
    """(n,) position of the nearest centre; the lower one at exact ties."""
    squared: Floats
    """(n,) squared distance to it."""
    second: Floats | None
    """(n,) squared distance to the second nearest (infinity if k is 1), or None if not asked for."""


class Totals(NamedTuple):
    """Nearest centre of n rows and the weighted totals of each cluster."""

    labels: NDArray[np.int32]
    squared: Floats
    sums: NDArray[np.float64]
    """(k, d) sum of weight times row."""
    counts: NDArray[np.float64]
    """(k,) sum of weights."""
    inertia: float
    """Sum of weight times squared distance."""


def variant() -> str:
    """Name of the instruction-set variant in use.

    >>> variant() in VARIANTS
    True
    """
    return _native.variant()


def use_variant(name: str) -> None:
    """Force one variant for the whole process.

    Raises
    ------
    ShoalError : the name is unknown or this processor does not run it.

    >>> before = variant(); use_variant("portable"); variant()
    'portable'
    >>> use_variant(before)
    """
    if not _native.select_variant(name):
        usable = ", ".join(v for v in VARIANTS if _native.variant_supported(v))
        raise ShoalError(f"SHOAL_KERNEL={name!r} does not run on this processor; choose one of: {usable}")


def default_threads(n_threads: int | None = None) -> int:
    """Threads to use: ``n_threads``, else ``OMP_NUM_THREADS``, else the processors this process may run on."""
    if n_threads is not None:
        if n_threads < 1:
            raise ShoalError(f"n_threads={n_threads} must be at least 1 (None: all processors)")
        return n_threads
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def as_floats(X: ArrayLike, name: str = "X") -> Floats:
    """A 2-d float array: float32 and float64 as they are, everything else as float64.

    >>> as_floats([[1, 2], [3, 4]]).dtype
    dtype('float64')
    """
    array = np.asarray(X)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.ndim != 2:
        raise BadInputError(f"{name} has {array.ndim} dimensions, not 2", remedy="reshape to (rows, columns)")
    if not array.dtype.isnative or any(s % array.itemsize for s in array.strides) or not array.flags.aligned:
        array = array.astype(array.dtype.newbyteorder("="), copy=True)
    return array


def nearest(
    X: ArrayLike, centres: ArrayLike, *, second: bool = False, n_threads: int | None = None
) -> Nearest:
    """Nearest centre of each row, without an n x k matrix in memory.

    Parameters
    ----------
    X : (n, d) rows.
    centres : (k, d), k at least 1; taken in the precision of X.
    second : also answer the squared distance to the second nearest centre.

    Raises
    ------
    BadInputError : no centres, or widths that differ.

    >>> nearest([[0.0], [9.0]], [[1.0], [8.0]]).labels
    array([0, 1], dtype=int32)
    """
    rows, C = _pair(X, centres)
    labels = np.empty(len(rows), np.int32)
    squared = np.empty(len(rows), rows.dtype)
    other = np.empty(len(rows), rows.dtype) if second else None
    if len(rows):
        _native.nearest(rows, C, labels, squared, other, default_threads(n_threads))
    return Nearest(labels, squared, other)


def accumulate(
    X: ArrayLike, centres: ArrayLike, weights: ArrayLike | None = None, *, n_threads: int | None = None
) -> Totals:
    """Nearest centre and, in the same read of X, the weighted totals of every cluster.

    >>> t = accumulate([[0.0], [2.0], [9.0]], [[1.0], [9.0]], weights=[1, 3, 1])
    >>> t.sums.ravel(), t.counts, t.inertia
    (array([6., 9.]), array([4., 1.]), 4.0)
    """
    rows, C = _pair(X, centres)
    labels = np.empty(len(rows), np.int32)
    squared = np.empty(len(rows), rows.dtype)
    sums, counts = np.zeros(C.shape, np.float64), np.zeros(len(C), np.float64)
    inertia = 0.0
    if len(rows):
        w = _weights(weights, len(rows))
        inertia = _native.accumulate(rows, C, w, labels, squared, sums, counts, default_threads(n_threads))
    return Totals(labels, squared, sums, counts, inertia)


def greedy_seeds(
    X: ArrayLike,
    k: int,
    *,
    weights: ArrayLike | None = None,
    candidates: int | None = None,
    rng: np.random.Generator,
    n_threads: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Row numbers of k seeds by greedy k-means++ (Arthur and Vassilvitskii 2007).

    Parameters
    ----------
    X : (n, d) rows, n at least 1. Rows may be drawn twice when fewer than k differ.
    candidates : draws per step, the best is kept; default ``2 + ln k``, and 1 gives plain k-means++.

    Returns
    -------
    (k,) row numbers, and (n,) squared distance of each row to the nearest seed.
    """
    rows = as_floats(X)
    if not len(rows):
        raise BadInputError("no rows to seed from", remedy="check the input and its filter")
    draws = candidates if candidates is not None else 2 + int(np.log(max(k, 1)))
    if draws < 1 or k < 0:
        raise BadInputError(
            f"candidates={draws} and k={k}", remedy="give at least one candidate and no negative k"
        )
    chosen, closest = np.zeros(k, np.int64), np.empty(len(rows), np.float64)
    uniforms = rng.random((k, draws))
    if k:
        w = _weights(weights, len(rows))
        _native.seed_rows(rows, w, uniforms, chosen, closest, default_threads(n_threads))
    return chosen, closest


def row_ids(key: int, rows: ArrayLike) -> NDArray[np.uint64]:
    """64-bit identities of rows: a hash of the source's key and the row number.

    >>> bool((row_ids(7, [0, 1]) == row_ids(7, [1, 0])[::-1]).all())
    True
    """
    numbers = np.ascontiguousarray(rows, np.int64)
    ids = np.empty(len(numbers), np.uint64)
    _native.row_ids(key, numbers, ids)
    return ids


def score(
    found: Nearest,
    weights: NDArray[np.float64] | None,
    *,
    mean_squared: float,
    rarity: NDArray[np.float64],
    ids: NDArray[np.uint64],
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Importance ``w * (1 + d²/mean d² + rarity of the cluster)`` of rows and their sampling priority.

    Returns
    -------
    (n,) importance q, and (n,) priority q / u, with u in (0, 1] a hash of identity and seed.
    """
    importance, priority = np.empty(len(ids), np.float64), np.empty(len(ids), np.float64)
    _native.score(found.labels, found.squared, weights, mean_squared, rarity, ids, seed, importance, priority)
    return importance, priority


def _pair(X: ArrayLike, centres: ArrayLike) -> tuple[Floats, Floats]:
    rows = as_floats(X)
    C: Floats = np.ascontiguousarray(as_floats(centres, "centres"), dtype=rows.dtype)  # type: ignore[assignment]
    if not len(C):
        raise BadInputError("there are no centres", remedy="give at least one")
    if C.shape[1] != rows.shape[1]:
        raise BadInputError(f"rows have {rows.shape[1]} columns but the centres have {C.shape[1]}")
    return rows, C


def _weights(weights: ArrayLike | None, n: int) -> NDArray[np.float64] | None:
    if weights is None:
        return None
    w = np.ascontiguousarray(weights, np.float64)
    if w.shape != (n,):
        raise BadInputError(f"weights have shape {w.shape}, not ({n},)")
    return w


if os.environ.get("SHOAL_KERNEL"):
    use_variant(os.environ["SHOAL_KERNEL"])
