"""Two axes to look at the points from: columns, principal components, or t-SNE."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from shoal.errors import BadInputError
from shoal.report.thinning import thin
from shoal.report.view import View
from shoal.report.wording import percent_text

FloatArray = NDArray[np.float64]

PROJECTIONS = ("auto", "columns", "pca", "tsne")
TSNE_POINTS = 3000
PCA_WIDTH = 1024
"""Columns up to which the full covariance is solved; of wider data a few thousand points are."""
EAST = frozenset({"longitude", "lon", "lng", "long"})
NORTH = frozenset({"latitude", "lat"})


@dataclass(frozen=True)
class Projection:
    """Points and centres on a plane."""

    kind: str
    """``columns``, ``map`` (longitude and latitude), ``pca``, ``tsne`` or ``line`` (one column)."""
    rows: NDArray[np.int64]
    """(n,) positions of the view's points that are shown."""
    weights: FloatArray
    """(n,) rows each of them stands for."""
    points: FloatArray
    """(n, 2)."""
    centres: FloatArray
    """(k, 2)."""
    labels: tuple[str, str]
    """Of the axes."""
    columns: tuple[int, int] | None = None
    """Positions of the two columns, if that is what the axes are."""

    @property
    def aspect(self) -> float | None:
        """Length of a step north over that of a step east, for maps."""
        if self.kind != "map":
            return None
        middle = np.median(np.concatenate([self.points[:, 1], self.centres[:, 1]]))
        return float(1.0 / max(np.cos(np.radians(middle)), 0.2))


def project(view: View, x: str | None = None, y: str | None = None, projection: str = "auto") -> Projection:
    """Choose the axes.

    Parameters
    ----------
    x, y : names of two columns; both or none.
    projection : ``auto`` takes two columns if there are just two, longitude and latitude if the model has them,
        else principal components; ``columns`` needs ``x`` and ``y``; ``pca``; ``tsne`` (slow: a minute).

    Raises
    ------
    BadInputError : a column or a projection that is not there, or one column without the other.
    """
    if projection not in PROJECTIONS:
        raise BadInputError(f"projection is {projection!r}", remedy=f"use one of {', '.join(PROJECTIONS)}")
    if x is not None or y is not None:
        if x is None or y is None or projection in ("pca", "tsne"):
            raise BadInputError(
                "a map needs two columns or a projection", remedy="give both x and y, or neither"
            )
        return on_columns(view, _position(view, x), _position(view, y))
    if projection == "columns":
        raise BadInputError("no columns to draw", remedy="give x and y")
    if projection == "tsne":
        return by_tsne(view)
    if view.d == 1:
        return on_a_line(view)
    if projection == "auto":
        pair = (0, 1) if view.d == 2 else None
        pair = east_and_north(view) or pair
        if pair is not None:
            return on_columns(view, *pair)
    return by_pca(view)


def on_columns(view: View, x: int, y: int) -> Projection:
    """Two columns, in original units."""
    pair = [x, y]
    kind = "map" if east_and_north(view) == (x, y) or _are_coordinates(view, x, y) else "columns"
    labels = (view.columns[x].label, view.columns[y].label)
    return Projection(
        kind, _all(view), view.weights, view.points[:, pair], view.centres[:, pair], labels, (x, y)
    )


def on_a_line(view: View) -> Projection:
    """The only column; heights are drawn at random within a band for each cluster, to see how many there are."""
    heights = np.random.default_rng(0).uniform(-1, 1, len(view.points))
    points = np.column_stack([view.points[:, 0], heights])
    centres = np.column_stack([view.centres[:, 0], np.zeros(view.k)])
    labels = (view.columns[0].label, "height at random, to part the points")
    return Projection("line", _all(view), view.weights, points, centres, labels)


def by_pca(view: View) -> Projection:
    """The two directions of greatest variance of what the model sees."""
    axes, explained = principal_axes(view)
    points, centres = (view.vectors - view.mean) @ axes.T, (view.model.centres - view.mean) @ axes.T
    labels = tuple(
        f"principal component {i + 1} ({percent_text(share)} of the variance)"
        for i, share in enumerate(explained)
    )
    return Projection("pca", _all(view), view.weights, points, centres, (labels[0], labels[1]))


def principal_axes(view: View) -> tuple[FloatArray, tuple[float, float]]:
    """(2, d) unit vectors, and the share of the variance along each.

    Their signs are chosen such that the largest part of each is positive: pictures of one model are alike.
    """
    X, w = view.vectors - view.mean, view.weights
    if len(X) < 2:
        X, w = view.model.centres - view.mean, np.maximum(view.model.weights, 0.0)
    X = X * np.sqrt(w / max(w.sum(), 1e-300))[:, None]
    if view.d > PCA_WIDTH:
        X = X[np.random.default_rng(0).permutation(len(X))[:PCA_WIDTH]]
    total = float(np.square(X).sum())
    axes, variance = _first_two(X)
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    shares = variance / max(total, 1e-300)
    return axes * np.where(signs == 0, 1.0, signs)[:, None], (float(shares[0]), float(shares[1]))


def _first_two(X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(2, d) unit vectors and (2,) sums of squares along them, from the smaller of the two Gram matrices."""
    wide = X.shape[0] < X.shape[1]
    gram = X @ X.T if wide else X.T @ X
    size = len(gram)
    values, vectors = eigh(gram, subset_by_index=[max(0, size - 2), size - 1])
    axes, values = (vectors.T @ X if wide else vectors.T)[::-1], np.maximum(values[::-1], 0.0)
    length = np.linalg.norm(axes, axis=1, keepdims=True)
    axes = np.divide(axes, length, out=np.zeros_like(axes), where=length > 0)
    missing = 2 - len(axes)
    return np.pad(axes, ((0, missing), (0, 0))), np.pad(values, (0, missing))


def by_tsne(view: View) -> Projection:
    """Neighbours kept near one another (van der Maaten and Hinton 2008); far distances mean little.

    A centre is drawn where the point nearest to it came to lie, as t-SNE has no place for new rows.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rows, weights = thin(view.labels, view.weights, view.k, TSNE_POINTS)
    if len(rows) < 5:
        raise BadInputError(f"t-SNE of {len(rows)} points says nothing", remedy="use --projection pca")
    X = view.vectors[rows]
    if not np.ptp(X, axis=0).any():
        raise BadInputError("all points are at one place", remedy="use --projection pca")
    if view.d > 50:
        X = PCA(min(50, len(rows)), random_state=0).fit_transform(X)
    flat = TSNE(init="pca", random_state=0, perplexity=min(30.0, (len(rows) - 1) / 3)).fit_transform(
        X if X.shape[1] > 1 else np.column_stack([X, np.zeros(len(X))])
    )
    points = np.asarray(flat, np.float64)
    centres = np.full((view.k, 2), np.nan)
    for c in range(view.k):
        mine = np.flatnonzero(view.labels[rows] == c)
        if len(mine):
            centres[c] = points[mine[view.distances[rows[mine]].argmin()]]
    return Projection("tsne", rows, weights, points, centres, ("t-SNE 1", "t-SNE 2"))


def east_and_north(view: View) -> tuple[int, int] | None:
    """Positions of the first pair of columns that are a longitude and a latitude, such as ``Geo_Long``, ``Geo_Lat``."""
    easts: dict[tuple[str, ...], int] = {}
    norths: dict[tuple[str, ...], int] = {}
    for j, column in enumerate(view.columns):
        words = _words(column.name)
        if column.is_category or not words:
            continue
        for found, names in ((easts, EAST), (norths, NORTH)):
            if words[-1] in names or words[0] in names:
                rest = tuple(word for word in words if word not in names)
                found.setdefault(rest, j)
    for rest, j in easts.items():
        if rest in norths and _on_earth(view, j, norths[rest]):
            return j, norths[rest]
    return None


def _are_coordinates(view: View, x: int, y: int) -> bool:
    words = [set(_words(view.columns[j].name)) for j in (x, y)]
    return bool(words[0] & EAST and words[1] & NORTH) and _on_earth(view, x, y)


def _on_earth(view: View, x: int, y: int) -> bool:
    if view.model.metric == "cosine":
        return False
    far = [np.abs(np.concatenate([view.points[:, j], view.centres[:, j]])).max(initial=0.0) for j in (x, y)]
    return bool(far[0] <= 360 and far[1] <= 90)


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^a-z0-9]+", apart.lower()) if word]


def _position(view: View, name: str) -> int:
    names = [column.name for column in view.columns]
    if name not in names:
        raise BadInputError.unknown_column(name, names)
    return names.index(name)


def _all(view: View) -> NDArray[np.int64]:
    return np.arange(len(view.points), dtype=np.int64)
