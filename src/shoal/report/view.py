"""All that pictures and pages need of a model and its summary, gathered once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ShoalError
from shoal.features.one_hot import OneHot
from shoal.features.recipe import Recipe
from shoal.model.cluster_model import QUANTILES, ClusterModel
from shoal.report.palette import cluster_colours
from shoal.report.thinning import thin
from shoal.report.traits import Column, Trait, column_label, traits_of
from shoal.report.wording import short
from shoal.summary.protocol import WeightedPoints

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_POINTS = 20_000
MOST_CELLS = 4_000_000
"""Numbers kept of the points; wide data is shown by fewer of them."""
OUTLIERS = 10
FAR = 1.5
"""A point is shown as an outlier if it is this many times farther out than 95% of its cluster."""


@dataclass(frozen=True)
class Outlier:
    """A row of the sample that lies far from its centre."""

    position: int
    """Among the view's points."""
    cluster: int
    """Position of its cluster."""
    times: float
    """Its distance over the distance within which 95% of the cluster's rows lie."""


@dataclass(frozen=True, eq=False)
class View:
    """A model and a weighted sample of its rows, in the units people know.

    Clusters are in the order of ``model.centres``. Make one with :meth:`of`.

    >>> from shoal.model.build import build_model
    >>> from shoal.model.cluster_model import Provenance
    >>> from shoal.solve.k_means import k_means
    >>> X = np.array([[0.0], [8.0], [9.0], [10.0]]); w = np.ones(4)
    >>> model = build_model(X, w, k_means(X, 2), provenance=Provenance(rows_seen=4), feature_names=("age",))
    >>> view = View.of(model, WeightedPoints(X, w))
    >>> view.names, view.shares, view.traits[1][0].text
    (('cluster 0', 'cluster 1'), array([0.75, 0.25]), 'age well below: 0.0 (6.8 overall)')
    """

    model: ClusterModel
    columns: tuple[Column, ...]
    """(d,)."""
    centres: FloatArray
    """(k, d) in original units."""
    vectors: FloatArray
    """(m, d) points as the model sees them: scaled, of length 1 under cosine."""
    points: FloatArray
    """(m, d) the same points in original units."""
    weights: FloatArray
    """(m,) rows each point stands for."""
    labels: IntArray
    """(m,) position of the cluster of each point."""
    distances: FloatArray
    """(m,) to its centre."""
    deviations: FloatArray
    """(k, d) of the centres from the mean of all rows, in standard deviations of all rows."""
    mean: FloatArray
    """(d,) of all rows, as the model sees them."""
    choice: Mapping[str, Any] | None = None
    """The answer to "which k", as ``KChoice.to_dict`` has it."""
    called: Mapping[int, str] = field(default_factory=dict)
    """Names that people gave to clusters, by id."""

    @classmethod
    def of(
        cls,
        model: ClusterModel,
        points: WeightedPoints,
        choice: Mapping[str, Any] | None = None,
        *,
        called: Mapping[int, str] | None = None,
        most_points: int = MOST_POINTS,
    ) -> View:
        """Gather what pictures need.

        Parameters
        ----------
        points : (m, d) points of the summary the model was solved on, as the model sees them; may be empty.
        choice : the answer to "which k"; default the model's own, if it has one.
        called : names that people gave to clusters, by id.
        most_points : points kept; more are thinned, each then standing for more rows.

        Raises
        ------
        ShoalError : the points are of another width, or the model's recipe is damaged.
        """
        d = model.n_features
        X = np.asarray(points.X)
        if not len(X):
            X = np.empty((0, d), np.float32)
        if X.shape[1] != d:
            raise ShoalError(
                f"the summary has {X.shape[1]} columns, the model {d}: they do not belong together"
            )
        weights = np.asarray(points.weights, np.float64)
        mean, spread = _moments(X, weights, model)
        labels = model.assign(X).positions if len(X) else np.empty(0, np.int64)
        where, stands_for = thin(labels, weights, model.k, min(most_points, max(200, MOST_CELLS // d)))
        vectors = X[where].astype(np.float64)
        found = model.assign(vectors) if len(where) else None
        recipe = None if model.recipe is None else Recipe.from_dict(dict(model.recipe))
        columns, scale, shift = _columns(model, recipe, mean, spread)
        return cls(
            model=model,
            columns=columns,
            centres=model.centres * scale + shift,
            vectors=vectors,
            points=vectors * scale + shift,
            weights=stands_for,
            labels=labels[where],
            distances=np.empty(0) if found is None else found.distances,
            deviations=np.divide(
                model.centres - mean, spread, out=np.zeros_like(model.centres), where=spread > 0
            ),
            mean=mean,
            choice=model.choice if choice is None else choice,
            called=called or {},
        )

    @property
    def k(self) -> int:
        """Number of clusters."""
        return self.model.k

    @property
    def d(self) -> int:
        """Number of columns."""
        return len(self.columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(k,) ``cluster 3``, by the id that labels have, or ``night owls (3)`` if somebody called it so."""
        called = self.called
        ids = self.model.ids.tolist()
        return tuple(f"{short(called[i], 24)} ({i})" if i in called else f"cluster {i}" for i in ids)

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """(k,) ids as text."""
        return tuple(str(i) for i in self.model.ids.tolist())

    @cached_property
    def colours(self) -> tuple[str, ...]:
        """(k,) ``#rrggbb``."""
        return cluster_colours(self.k)

    @cached_property
    def shares(self) -> FloatArray:
        """(k,) share of all rows, by weight."""
        total = self.model.weights.sum()
        return np.asarray(self.model.weights / total if total > 0 else np.zeros(self.k))

    @cached_property
    def traits(self) -> tuple[tuple[Trait, ...], ...]:
        """For each cluster the columns that set it apart, at most three; none for an empty cluster."""
        return tuple(
            traits_of(self.centres[c], self.deviations[c], self.columns) if self.shares[c] > 0 else ()
            for c in range(self.k)
        )

    @cached_property
    def outliers(self) -> tuple[Outlier, ...]:
        """Points of the sample far outside their cluster, the farthest first, at most ten."""
        if not len(self.distances):
            return ()
        at = int(np.searchsorted(QUANTILES, 0.95 - 1e-9))
        reach = self.model.radii[self.labels, at]
        times = np.divide(self.distances, reach, out=np.zeros_like(self.distances), where=reach > 0)
        order = np.argsort(-times, kind="stable")[:OUTLIERS]
        return tuple(Outlier(int(i), int(self.labels[i]), float(times[i])) for i in order if times[i] > FAR)


def _moments(X: NDArray[Any], weights: FloatArray, model: ClusterModel) -> tuple[FloatArray, FloatArray]:
    """(d,) mean and standard deviation of all rows; of the centres if there are no points."""
    if not len(X) or not weights.sum() > 0:
        X, weights = model.centres, model.weights
    total = max(float(weights.sum()), 1e-300)
    step = max(1, MOST_CELLS // X.shape[1])
    parts = [(X[i : i + step].astype(np.float64), weights[i : i + step]) for i in range(0, len(X), step)]
    mean = sum(((w @ rows for rows, w in parts)), np.zeros(X.shape[1])) / total
    variance = sum((w @ np.square(rows - mean) for rows, w in parts), np.zeros(X.shape[1])) / total
    spread = np.sqrt(variance)
    # What is left of a constant column after rounding is no spread.
    return np.asarray(mean), np.where(spread > 1e-6 * np.abs(mean), spread, 0.0)


def _columns(
    model: ClusterModel, recipe: Recipe | None, mean: FloatArray, spread: FloatArray
) -> tuple[tuple[Column, ...], FloatArray, FloatArray]:
    """The columns, and what turns the model's units into theirs: ``x * scale + shift``."""
    d = model.n_features
    categories: list[str | None] = [None] * d
    if recipe is None:
        scale, shift = np.ones(d), np.zeros(d)
        names = list(model.feature_names)
    else:
        shift = recipe.to_original(np.zeros((1, d)))[0]
        scale = recipe.to_original(np.ones((1, d)))[0] - shift
        names, categories = list(recipe.feature_names), _categories(recipe)
    # Under cosine rows have lost their length: a one-hot column no longer holds a share.
    are_shares = model.metric == "euclidean"
    columns = tuple(
        Column(
            name=name,
            label=column_label(name, category),
            is_category=category is not None and are_shares,
            mean=float(mean[j] * scale[j] + shift[j]),
            spread=float(spread[j] * abs(scale[j])),
        )
        for j, (name, category) in enumerate(zip(names, categories, strict=True))
    )
    return columns, scale, shift


def _categories(recipe: Recipe) -> list[str | None]:
    """(d,) category of each one-hot feature, None for the others."""
    out: list[str | None] = []
    for block in recipe.blocks:
        if isinstance(block, OneHot):
            out += [name.removeprefix(block.name + "=") for name in block.feature_names]
        else:
            out += [None] * block.width
    return out
