"""Where vectors go on the map of the live page, so that nothing jumps when the model is replaced.

Few columns, and data that two principal components show well, keep one straight projection for as long as the columns
stay the same. Otherwise the centres are laid out by their distances (SMACOF: de Leeuw 1977) going on from where they
were, and rows lie around their own centre.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from shoal.kernels import nearest
from shoal.model.cluster_model import ClusterModel, unit_rows
from shoal.report.layout import limits
from shoal.report.projection import east_and_north, principal_axes, project
from shoal.report.view import View
from shoal.serve.landmarks import disc_radii, laid_out, turned_like

FloatArray = NDArray[np.float64]

STRAIGHT = 0.6
"""Share of the variance between centres that two principal components must show, to be the map."""
ROOM = 0.06
"""Of the width, left free at the edges when limits grow."""
_HALF = 10
"""Position of the median among the levels of radii."""


@dataclass(frozen=True, eq=False)
class Chart:
    """A map of one model, and where its clusters lie on it."""

    number: int
    """Another when positions can no longer be compared with those before."""
    kind: str
    """``line``, ``columns``, ``map``, ``pca`` or ``landmarks``."""
    labels: tuple[str, str]
    space: tuple[str, ...]
    """Metric and columns: a chart holds as long as these do, however their scales are learned anew."""
    axes: FloatArray
    """(2, d): a row lies at ``axes @ row + shift``, in the units of the columns, seen from its centre for landmarks."""
    shift: FloatArray
    """(2,)."""
    units: tuple[FloatArray, FloatArray]
    """(d,) scale and shift that turn the model's vectors into rows."""
    low: FloatArray
    high: FloatArray
    """(2,) limits; they only grow."""
    aspect: float | None
    model: ClusterModel
    places: Mapping[int, FloatArray] = field(default_factory=dict)
    """Of landmarks: where the cluster of an id lies; those that are gone, too."""
    radii: FloatArray = field(default_factory=lambda: np.empty(0))
    """(k,) of landmarks: the radius within which half of a cluster's rows are drawn."""

    def centres(self) -> FloatArray:
        """(k, 2) places of the model's centres."""
        if self.kind == "landmarks":
            return np.array([self.places[i] for i in self.model.ids.tolist()]).reshape(-1, 2)
        return self._straight(self.model.centres, centres=True)

    def place(self, vectors: NDArray[np.floating]) -> FloatArray:
        """(n, 2) places of vectors as the model sees them."""
        X = np.asarray(vectors, np.float64)
        if not len(X):
            return np.empty((0, 2))
        if self.model.metric == "cosine":
            X = unit_rows(X)
        if self.kind != "landmarks":
            return self._straight(X)
        found = nearest(X, self.model.centres)
        own = found.labels
        centres = self.model.centres[own]
        if (
            self.model.metric == "cosine"
        ):  # along the centre all unit vectors fall short of it, which is no direction
            X = X - (X * centres).sum(axis=1, keepdims=True) * centres
        else:
            X = X - centres
        off = (X * self.units[0]) @ self.axes.T
        length = np.linalg.norm(off, axis=1, keepdims=True)
        reach = np.maximum(self.model.radii[own, _HALF], 1e-300)
        squared = np.asarray(found.squared, np.float64)
        far = (squared / 2 if self.model.metric == "cosine" else np.sqrt(squared)) / reach
        step = self.radii[own] * np.minimum(far, 2.5)
        direction = np.divide(off, length, out=np.zeros_like(off), where=length > 0)
        placed: FloatArray = self.centres()[own] + direction * step[:, None]
        return placed

    def _straight(self, X: FloatArray, *, centres: bool = False) -> FloatArray:
        scale, offset = self.units
        at: FloatArray = (X * scale + offset) @ self.axes.T + self.shift
        if self.kind == "line" and not centres:
            at[:, 1] = _scattered(at[:, 0])
        return at


class Charts:
    """The chart of every model, each going on from the one before.

    >>> charts = Charts()
    """

    def __init__(self) -> None:
        self._held: dict[str, Chart] = {}

    def get(self, name: str) -> Chart | None:
        """The chart of a model, if one was drawn."""
        return self._held.get(name)

    def follow(self, name: str, view: View) -> Chart:
        """The chart of a model's newest version."""
        before = self._held.get(name)
        space = _space_of(view.model)
        if before is not None and before.space == space:
            chart = _continued(before, view)
        else:
            chart = _first(view, space, 1 if before is None else before.number + 1)
        self._held[name] = chart
        return chart


def _space_of(model: ClusterModel) -> tuple[str, ...]:
    return (model.metric, *model.feature_names)


def _first(view: View, space: tuple[str, ...], number: int) -> Chart:
    axes, shift, kind, labels, aspect = _straight_axes(view)
    chart = Chart(
        number,
        kind,
        labels,
        space,
        axes,
        shift,
        _units(view),
        np.full(2, np.inf),
        np.full(2, -np.inf),
        aspect,
        view.model,
    )
    if kind == "pca" and view.k > 3 and _shown(view, axes) < STRAIGHT:
        chart = _with_landmarks(replace(chart, kind="landmarks", labels=("", ""), aspect=1.0), view)
    return _grown(chart, view)


def _continued(before: Chart, view: View) -> Chart:
    chart = replace(before, model=view.model, units=_units(view))
    if chart.kind == "landmarks":
        chart = _with_landmarks(chart, view)
    return _grown(chart, view)


def _with_landmarks(chart: Chart, view: View) -> Chart:
    """Centres by their distances, from where they lay; new ones begin between those most like them."""
    model = view.model
    known = chart.places
    places = laid_out(model.centres, model.ids.tolist(), known)
    if known:
        both = [i for i in model.ids.tolist() if i in known]
        places = turned_like(places, {i: known[i] for i in both})
    radii = disc_radii(np.array([places[i] for i in model.ids.tolist()]), view.shares)
    return replace(chart, places={**known, **places}, radii=radii)


def _grown(chart: Chart, view: View) -> Chart:
    """Limits that hold what is there, in steps, so that they seldom move."""
    points, centres = chart.place(view.vectors), chart.centres()
    low, high = chart.low.copy(), chart.high.copy()
    for axis in range(2):
        least, most = limits(points[:, axis], view.weights, centres[:, axis])
        room = ROOM * max(most - least, 1e-12)
        if least < low[axis]:
            low[axis] = least - room
        if most > high[axis]:
            high[axis] = most + room
    if chart.kind == "line":
        low[1], high[1] = -1.2, 1.2
    return replace(chart, low=low, high=high)


def _straight_axes(
    view: View,
) -> tuple[FloatArray, FloatArray, str, tuple[str, str], float | None]:
    """Two rows of an affine map from vectors to the plane."""
    d = view.d
    unit = np.eye(d)
    if d == 1:
        axes = np.zeros((2, 1))
        axes[0, 0] = 1.0
        return axes, np.zeros(2), "line", (view.columns[0].label, ""), None
    pair = (0, 1) if d == 2 else east_and_north(view)
    if pair is not None:
        placed = project(view, *(view.columns[j].name for j in pair))
        return unit[list(pair)], np.zeros(2), placed.kind, placed.labels, placed.aspect
    axes, explained = principal_axes(view)
    names = [
        f"principal component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(explained)
    ]
    scale, offset = _units(view)
    axes = axes / np.where(scale == 0, 1.0, scale)
    return axes, -(axes @ (view.mean * scale + offset)), "pca", (names[0], names[1]), None


def _units(view: View) -> tuple[FloatArray, FloatArray]:
    """What turns the model's units into those of the columns: ``x * scale + shift``."""
    from shoal.features.recipe import Recipe

    if view.model.recipe is None:
        return np.ones(view.d), np.zeros(view.d)
    recipe = Recipe.from_dict(dict(view.model.recipe))
    zero = recipe.to_original(np.zeros((1, view.d)))[0]
    one = recipe.to_original(np.ones((1, view.d)))[0]
    return one - zero, zero


def _shown(view: View, axes: FloatArray) -> float:
    """Share of the variance between the centres that two axes show."""
    off = (view.model.centres - view.shares @ view.model.centres) * np.sqrt(view.shares)[:, None]
    whole = float(np.square(off).sum())
    flat = (off * _units(view)[0]) @ axes.T
    return float(np.square(flat).sum()) / whole if whole > 0 else 1.0


def _scattered(values: FloatArray) -> FloatArray:
    """A height for each value, at random but always the same."""
    bits = np.ascontiguousarray(values).view(np.uint64)
    mixed = (bits ^ (bits >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    heights: FloatArray = (mixed >> np.uint64(11)).astype(np.float64) / 2**53 * 2.0 - 1.0
    return heights
