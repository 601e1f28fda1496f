"""Centres laid out on a plane by their distances, going on from a layout that people have already seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

FloatArray = NDArray[np.float64]

FIRST_STEPS, NEXT_STEPS = 300, 15
"""Steps of the first layout, and of those that go on: few, so that what has not changed stays."""
COVERED = 0.16
"""Share of the map that the discs of all clusters cover together."""


def laid_out(
    centres: FloatArray, ids: Sequence[int], known: Mapping[int, FloatArray]
) -> dict[int, FloatArray]:
    """Place of each centre, after de Leeuw (1977): distances on the plane as near as can be to those in space.

    Parameters
    ----------
    centres : (k, d). ids : of the k clusters.
    known : places from before.

    >>> places = laid_out(np.array([[0.0, 0, 0], [1, 0, 0], [9, 0, 0]]), [4, 5, 6], {})
    >>> near, far = (np.linalg.norm(places[4] - places[i]) for i in (5, 6)); bool(near < far / 3)
    True
    """
    k = len(centres)
    if k == 1:
        return {ids[0]: known.get(ids[0], np.zeros(2))}
    wanted = cdist(centres, centres)
    typical = float(np.median(wanted[wanted > 0])) if (wanted > 0).any() else 1.0
    wanted /= typical
    old = [i for i, cluster in enumerate(ids) if cluster in known]
    at = _principal(centres / typical)
    if old:
        for i, cluster in enumerate(ids):
            at[i] = known[cluster] if cluster in known else _between(wanted[i], old, ids, known)
    for _ in range(NEXT_STEPS if old else FIRST_STEPS):
        moved = _step(at, wanted)
        if np.abs(moved - at).max() < 1e-4:
            break
        at = moved
    return {cluster: at[i] for i, cluster in enumerate(ids)}


def _principal(X: FloatArray) -> FloatArray:
    """(k, 2) principal components of k points."""
    off = X - X.mean(axis=0)
    left, sizes, _ = np.linalg.svd(off, full_matrices=False)
    flat = (left * sizes)[:, :2]
    flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    signs = np.sign(flat[np.abs(flat).argmax(axis=0), np.arange(2)])
    out: FloatArray = flat * np.where(signs == 0, 1.0, signs)
    return out


def _between(
    wanted: FloatArray, old: Sequence[int], ids: Sequence[int], known: Mapping[int, FloatArray]
) -> FloatArray:
    near = sorted(old, key=lambda j: wanted[j])[:3]
    weights = 1.0 / np.maximum([wanted[j] for j in near], 1e-6)
    places = np.array([known[ids[j]] for j in near])
    out: FloatArray = weights @ places / weights.sum()
    return out + 0.02 * np.array([np.cos(len(ids)), np.sin(len(ids))])  # never on top of another


def _step(at: FloatArray, wanted: FloatArray) -> FloatArray:
    """One majorisation step: the Guttman transform for equal weights."""
    held = cdist(at, at)
    ratio = np.divide(wanted, held, out=np.zeros_like(held), where=held > 1e-12)
    matrix = -ratio
    np.fill_diagonal(matrix, ratio.sum(axis=1))
    out: FloatArray = matrix @ at / len(at)
    return out


def turned_like(places: Mapping[int, FloatArray], known: Mapping[int, FloatArray]) -> dict[int, FloatArray]:
    """The same layout, shifted and turned so that what is known lies nearest to where it was (Procrustes)."""
    shared = [i for i in places if i in known]
    if len(shared) < 2:
        return dict(places)
    a, b = (np.array([side[i] for i in shared]) for side in (places, known))
    left, _, right = np.linalg.svd((a - a.mean(0)).T @ (b - b.mean(0)))
    turn = left @ right
    return {i: (at - a.mean(0)) @ turn + b.mean(0) for i, at in places.items()}


def disc_radii(places: FloatArray, shares: FloatArray) -> FloatArray:
    """(k,) radius of each cluster's disc: its area goes by its share, and no two nearest discs cover each other."""
    if not len(places):
        return np.empty(0)
    extent = np.maximum(np.ptp(places, axis=0), 1e-9)
    area = float(extent.prod()) if len(places) > 2 else float(extent.max()) ** 2
    radii = np.sqrt(COVERED * area * np.maximum(shares, 1e-4) / np.pi)
    if len(places) > 1:
        apart = cdist(places, places)
        np.fill_diagonal(apart, np.inf)
        radii = np.minimum(radii, 0.6 * apart.min(axis=1))
    floor = 0.008 * float(extent.max())
    out: FloatArray = np.maximum(radii, floor)
    return out
