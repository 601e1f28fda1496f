"""``SummaryClusterer``: clusters of any shape from one pass, by any method that understands weighted points."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, ClusterMixin, _fit_context, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from shoal.errors import BadInputError
from shoal.kernels import default_threads, nearest
from shoal.solve.density import DensityClusters, dbscan, hdbscan
from shoal.solve.from_estimator import with_estimator
from shoal.solve.hierarchy import ward
from shoal.solve.neighbours import TREE_COLUMNS, places
from shoal.solve.spectral import spectral
from shoal.summary.coreset import DEFAULT_BYTES, Coreset
from shoal.summary.protocol import WeightedPoints

DEFAULT_ROWS = 20_000
METHODS = {"hdbscan", "dbscan", "ward", "spectral"}


class _Answer(NamedTuple):
    """Labels of the kept points, and how new rows come to theirs."""

    points: WeightedPoints
    labels: NDArray[np.int32]
    density: DensityClusters | None


class SummaryClusterer(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Read rows once into a small sample, cluster the sample, and label any row by its nearest kept point.

    The number of clusters need not be given. ``partial_fit`` only fills the summary; clusters are found when first
    asked for, and ``set_params`` asks another question of the same pass.

    Parameters
    ----------
    method : ``"hdbscan"``, ``"dbscan"``, ``"ward"``, ``"spectral"``, or a scikit-learn clusterer whose ``fit`` takes
        ``sample_weight``.
    n_clusters : how many; default: ``"hdbscan"`` and ``"dbscan"`` find it by density, ``"ward"`` takes the longest-lived
        cut (or ``distance_threshold``), ``"spectral"`` the widest gap. An error with ``"dbscan"``; with a
        scikit-learn clusterer it sets the parameter of that name.
    eps : distance for ``"dbscan"``; default the distance at which most clusters are apart.
    min_weight : weight (rows, if they have none) that makes a place dense; default 5 rows or 3 kept points.
    min_cluster_weight : weight of the smallest cluster for ``"hdbscan"``; default 0.5 % of all, at least 15 rows or
        kept points.
    distance_threshold : height up to which ``"ward"`` merges, in place of ``n_clusters``.
    sample_rows : rows the summary keeps; default 20,000.
    max_bytes : memory budget of the summary.
    random_state : int, or None for 0; also the seed by which summaries merge.
    n_threads : default all processors, or ``OMP_NUM_THREADS``.

    Attributes
    ----------
    labels_ : (n,) int32, -1 for noise; after ``fit`` only. probabilities_ : (n,) strength of membership, with
    ``"hdbscan"`` after ``fit`` only. n_clusters_ : int. point_labels_ : (m,) labels of ``summary_.points()``.
    n_samples_seen_ : int. summary_ : Coreset.

    >>> from shoal.estimators.summary_clusterer import SummaryClusterer
    >>> rows = np.r_[np.linspace(0, 1, 40), np.linspace(5, 6, 40)][:, None]
    >>> model = SummaryClusterer().fit(rows)
    >>> model.n_clusters_, model.predict([[0.5], [5.5], [99.0]])
    (2, array([ 0,  1, -1], dtype=int32))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "method": [StrOptions(METHODS), HasMethods(["fit", "get_params"])],
        "n_clusters": [None, Interval(Integral, 1, None, closed="left")],
        "eps": [None, Interval(Real, 0, None, closed="neither")],
        "min_weight": [None, Interval(Real, 0, None, closed="neither")],
        "min_cluster_weight": [None, Interval(Real, 0, None, closed="neither")],
        "distance_threshold": [None, Interval(Real, 0, None, closed="left")],
        "sample_rows": [None, Interval(Integral, 1, None, closed="left")],
        "max_bytes": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "n_threads": [None, Interval(Integral, 1, None, closed="left")],
    }

    labels_: NDArray[np.int32]
    probabilities_: NDArray[np.float64]
    summary_: Coreset
    _solved_for: tuple[int, str] | None

    def __init__(
        self,
        method: Any = "hdbscan",
        n_clusters: int | None = None,
        *,
        eps: float | None = None,
        min_weight: float | None = None,
        min_cluster_weight: float | None = None,
        distance_threshold: float | None = None,
        sample_rows: int | None = None,
        max_bytes: int = DEFAULT_BYTES,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.method = method
        self.n_clusters = n_clusters
        self.eps = eps
        self.min_weight = min_weight
        self.min_cluster_weight = min_cluster_weight
        self.distance_threshold = distance_threshold
        self.sample_rows = sample_rows
        self.max_bytes = max_bytes
        self.random_state = random_state
        self.n_threads = n_threads

    @_fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]
    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Forget what was learned, learn rows (n, d) and label them.

        Raises
        ------
        BadInputError : parameters that do not go with the method, a method that takes no weights, more clusters than
            rows that differ, no weight at all.
        """
        rows = self._validated(X, reset=True)
        self.summary_ = self._filled(self._new_summary(), rows, sample_weight)
        self._solved_for = None
        near = self._nearest(rows)
        answer = self._answer()
        self.labels_ = self._labelled(rows, *near)
        if hasattr(self, "probabilities_"):
            del self.probabilities_
        if answer.density is not None and self.method == "hdbscan":
            strengths = answer.density.strengths[near[0]]
            self.probabilities_ = np.where(self.labels_ >= 0, strengths, 0.0)
        return self

    @_fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn one more batch of any size."""
        first = not hasattr(self, "summary_")
        rows = self._validated(X, reset=first)
        known = self._new_summary() if first else self.summary_
        self.summary_ = self._filled(known, rows, sample_weight)
        self._solved_for = None
        for name in ("labels_", "probabilities_"):  # they were of the rows of fit only
            if hasattr(self, name):
                delattr(self, name)
        return self

    def merge(self, other: Self) -> Self:
        """A new estimator, with the parameters of this one, that has learned the rows of both.

        Raises
        ------
        ShoalError : widths or random states differ.
        """
        check_is_fitted(self)
        check_is_fitted(other)
        out: Self = clone(self)
        out.summary_ = self.summary_.merge(other.summary_)
        out._solved_for = None
        out.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            out.feature_names_in_ = self.feature_names_in_
        return out

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """Label (n,) of the nearest kept point of each row; by density, -1 where it is noise or out of reach.

        With ``"hdbscan"`` a cluster reaches as far as the distance at which it parts from its neighbours; with
        ``"dbscan"``, ``eps`` from its core points.
        """
        check_is_fitted(self)
        rows = self._validated(X, reset=False)
        return self._labelled(rows, *self._nearest(rows))

    @property
    def n_clusters_(self) -> int:
        """Clusters found; noise is none."""
        return int(self._answer().labels.max(initial=-1)) + 1

    @property
    def point_labels_(self) -> NDArray[np.int32]:
        """(m,) labels of the kept points, in the order of ``summary_.points()``."""
        return self._answer().labels

    @property
    def n_samples_seen_(self) -> int:
        """Rows learned."""
        self._need_summary()
        return self.summary_.count

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "summary_")

    def _need_summary(self) -> None:
        if not hasattr(self, "summary_"):  # so that hasattr(model, "n_clusters_") is False before fit
            raise AttributeError("nothing was learned yet: call fit or partial_fit first")

    def _validated(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        rows: NDArray[Any] = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32])
        return rows

    def _new_summary(self) -> Coreset:
        state = self.random_state
        if state is not None and not isinstance(state, Integral):
            state = check_random_state(state).randint(2**31)
        return Coreset(
            rows=DEFAULT_ROWS if self.sample_rows is None else self.sample_rows,
            max_bytes=self.max_bytes,
            seed=int(state or 0),
            n_threads=self.n_threads,
        )

    def _filled(self, summary: Coreset, rows: NDArray[Any], sample_weight: ArrayLike | None) -> Coreset:
        if sample_weight is None:
            return summary.update(rows)
        return summary.update(rows, _check_sample_weight(sample_weight, rows, dtype=np.float64))

    def _answer(self) -> _Answer:
        """Clusters of what was learned, found anew only if rows or parameters changed."""
        self._need_summary()
        asked = (self.summary_.count, repr(sorted(self.get_params().items(), key=lambda p: p[0])))
        if self._solved_for != asked:
            points = self.summary_.points()
            if not len(points.X):
                raise BadInputError("every row weighs nothing", remedy="give at least one row a weight")
            self._solved, self._solved_for = self._solve(points), asked
        return self._solved

    def _solve(self, points: WeightedPoints) -> _Answer:
        seed, sampled = self.summary_.seed, self.summary_.tau > 0
        if not isinstance(self.method, str):
            model = clone(self.method)
            if self.n_clusters is not None:
                model.set_params(n_clusters=self.n_clusters)
            return _Answer(points, with_estimator(points, model)[0], None)
        self._check_parameters()
        if self.method == "hdbscan":
            found = hdbscan(
                points,
                self.min_cluster_weight,
                self.min_weight,
                k=self.n_clusters,
                sampled=sampled,
                n_threads=self.n_threads,
            )
            return _Answer(points, found.labels, found)
        if self.method == "dbscan":
            found = dbscan(points, self.eps, self.min_weight, sampled=sampled, n_threads=self.n_threads)
            return _Answer(points, found.labels, found)
        if self.method == "spectral":
            cut = spectral(points, self.n_clusters, seed=seed, n_threads=self.n_threads)
            return _Answer(points, cut.labels, None)
        tree = ward(points, seed=seed, n_threads=self.n_threads)
        if self.distance_threshold is not None:
            return _Answer(points, tree.cut(distance_threshold=self.distance_threshold), None)
        return _Answer(points, tree.cut(self.n_clusters or tree.longest_lived()), None)

    def _check_parameters(self) -> None:
        """A parameter that the method would pass over in silence is an error."""
        takes = {
            "hdbscan": {"n_clusters", "min_weight", "min_cluster_weight"},
            "dbscan": {"eps", "min_weight"},
            "ward": {"n_clusters", "distance_threshold"},
            "spectral": {"n_clusters"},
        }
        known = set().union(*takes.values())
        for name in sorted(known - takes[self.method]):
            if getattr(self, name) is not None:
                fitting = ", ".join(sorted(takes[self.method]))
                raise BadInputError(
                    f'method="{self.method}" does not use {name}', remedy=f"leave it None; it uses {fitting}"
                )
        if self.n_clusters is not None and self.distance_threshold is not None:
            raise BadInputError("both n_clusters and distance_threshold are given", remedy="leave one None")

    def _nearest(self, rows: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        return _nearest(self._answer().points.X, rows, self.n_threads)

    def _labelled(
        self, rows: NDArray[Any], near: NDArray[np.intp], distance: NDArray[np.float64]
    ) -> NDArray[np.int32]:
        answer = self._answer()
        labels: NDArray[np.int32] = answer.labels[near]
        if answer.density is None:
            return labels
        if self.method == "dbscan":  # a row belongs to a core point, not to whatever lies nearest
            core, new = np.flatnonzero(answer.density.core), np.flatnonzero(distance > 0)
            if not len(core) or not len(new):
                return labels
            among, distance[new] = _nearest(answer.points.X[core], rows[new], self.n_threads)
            labels[new] = answer.labels[core[among]]
        inside = labels >= 0
        far = np.flatnonzero(inside)[distance[inside] > answer.density.reach[labels[inside]]]
        labels[far[distance[far] > 0]] = -1
        return labels


def _nearest(
    points: NDArray[Any], rows: NDArray[Any], n_threads: int | None
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Nearest of the points for each row, the first of equal ones, and its distance in float64."""
    if points.shape[1] <= TREE_COLUMNS:
        at = places(points.astype(np.float64), np.ones(len(points)))
        first = np.unique(at.of, return_index=True)[1]
        distance, place = cKDTree(at.X).query(rows, workers=default_threads(n_threads))
        return first[place], distance
    near = nearest(rows, points, n_threads=n_threads).labels.astype(np.intp)
    distance = np.empty(len(rows))
    for start in range(0, len(rows), 50_000):
        part = slice(start, start + 50_000)
        gap = rows[part].astype(np.float64) - points[near[part]]
        distance[part] = np.sqrt(np.einsum("ij,ij->i", gap, gap))
    return near, distance
