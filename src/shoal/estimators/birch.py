"""``Birch``: scikit-learn's estimator of that name over a :class:`~shoal.summary.cf_tree.CFTree`."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    _fit_context,
    clone,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    has_fit_parameter,
    validate_data,
)

from shoal.errors import ShoalError
from shoal.kernels import nearest
from shoal.solve.hierarchy import ward
from shoal.summary.cf_tree import CFTree
from shoal.summary.protocol import WeightedPoints


class Birch(ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Drop-in for :class:`sklearn.cluster.Birch`, with exact features, a budget, weights, forgetting and ``merge``.

    At equal ``threshold`` and ``branching_factor`` entries are formed by the same rules. What differs: features do not
    cancel far from the origin; ``n_clusters=int`` merges the entries by Ward with their weights, so that an entry of a
    thousand rows counts a thousand times; an estimator is
    given ``sample_weight`` where its ``fit`` takes it; sparse rows are not taken.

    Parameters
    ----------
    threshold : largest radius of an entry.
    branching_factor : most entries of a node.
    n_clusters : k; a clusterer to be fitted on the entries; or None: every entry is a cluster.
    compute_labels : whether ``fit`` labels its rows.
    max_leaf_entries, max_bytes : budgets beyond which the threshold grows; None, as in scikit-learn, for no limit.
    half_life : time after which a row counts half, by its event time; ``fit`` and ``partial_fit`` then need ``times``.
    n_threads : for labelling; default all.

    Attributes
    ----------
    subcluster_centers_ : (m, d) means of the entries. subcluster_labels_ : (m,) cluster of each.
    subcluster_weights_ : (m,) weight of each. labels_ : (n,) of the rows of the last call, if they were to be computed.
    summary_ : CFTree. n_features_in_ : d.

    >>> from shoal.estimators.birch import Birch
    >>> Birch(n_clusters=2).fit([[0.0], [0.2], [8.0], [8.2], [8.1]]).predict([[0.1], [9.0]]).tolist()
    [1, 0]
    """

    summary_: CFTree
    labels_: NDArray[Any]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "threshold": [Interval(Real, 0.0, None, closed="left")],
        "branching_factor": [Interval(Integral, 1, None, closed="neither")],
        "n_clusters": [None, ClusterMixin, Interval(Integral, 1, None, closed="left")],
        "compute_labels": ["boolean"],
        "max_leaf_entries": [None, Interval(Integral, 1, None, closed="left")],
        "max_bytes": [None, Interval(Integral, 1, None, closed="left")],
        "half_life": [None, Interval(Real, 0, None, closed="neither")],
        "n_threads": [None, Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        threshold: float = 0.5,
        branching_factor: int = 50,
        n_clusters: Any = 3,
        compute_labels: bool = True,
        max_leaf_entries: int | None = None,
        max_bytes: int | None = None,
        half_life: float | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.threshold = threshold
        self.branching_factor = branching_factor
        self.n_clusters = n_clusters
        self.compute_labels = compute_labels
        self.max_leaf_entries = max_leaf_entries
        self.max_bytes = max_bytes
        self.half_life = half_life
        self.n_threads = n_threads

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        times: ArrayLike | None = None,
    ) -> Self:
        """Forget what was learned and learn rows (n, d)."""
        return self._learn(X, sample_weight, times, first=True)

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: ArrayLike | None = None,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        times: ArrayLike | None = None,
    ) -> Self:
        """Learn one more batch; without rows only the clustering of the entries is done again."""
        if X is None:
            check_is_fitted(self)
            self._cluster_entries()
            return self
        return self._learn(X, sample_weight, times, first=not hasattr(self, "summary_"))

    def merge(self, other: Self) -> Self:
        """A new estimator that has learned the rows of both; see :meth:`CFTree.merge`.

        Raises
        ------
        ShoalError : widths, branching factors or half-lives differ.
        """
        check_is_fitted(self)
        check_is_fitted(other)
        out: Self = clone(self)
        out.summary_ = self.summary_.merge(other.summary_)
        out.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            out.feature_names_in_ = self.feature_names_in_
        out._cluster_entries()
        return out

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Cluster of the entry nearest to each row: (n,)."""
        check_is_fitted(self)
        return self._labels_of(validate_data(self, X, reset=False, dtype=[np.float64, np.float32]))

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Distance of each row to every entry: (n, m)."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        shift = self.subcluster_centers_.mean(
            axis=0
        )  # distances do not change, digits far from the origin do
        near = (self.subcluster_centers_ - shift).astype(rows.dtype)
        out: NDArray[Any] = euclidean_distances((rows - shift).astype(rows.dtype), near)
        return out

    def fit_predict(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[Any]:
        """Fit, then the labels of the same rows."""
        self.fit(X, sample_weight=sample_weight)
        return self.labels_ if self.compute_labels else self.predict(X)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "summary_")

    @property
    def _n_features_out(self) -> int:
        return len(self.subcluster_centers_)

    def _learn(
        self, X: ArrayLike, sample_weight: ArrayLike | None, times: ArrayLike | None, *, first: bool
    ) -> Self:
        rows = validate_data(self, X, reset=first, dtype=[np.float64, np.float32])
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        summary = self._new_summary() if first else self.summary_
        self.summary_ = summary.update(rows, weights, times=times)
        self._cluster_entries()
        if self.compute_labels:
            self.labels_ = self._labels_of(rows)
        return self

    def _new_summary(self) -> CFTree:
        return CFTree(
            self.threshold,
            branching_factor=self.branching_factor,
            max_leaf_entries=self.max_leaf_entries,
            max_bytes=self.max_bytes,
            half_life=self.half_life,
        )

    def _labels_of(self, rows: NDArray[Any]) -> NDArray[Any]:
        at = nearest(rows, self.subcluster_centers_, n_threads=self.n_threads).labels
        labels: NDArray[Any] = self.subcluster_labels_[at]
        return labels

    def _cluster_entries(self) -> None:
        points = self.summary_.points()
        if not len(points.X):
            raise ShoalError("every row weighs 0: there is nothing to cluster")
        self.subcluster_centers_, self.subcluster_weights_ = points.X, points.weights
        self.subcluster_labels_ = self._clusters(np.asarray(points.X), points.weights)

    def _clusters(self, means: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[Any]:
        if self.n_clusters is None:
            return np.arange(len(means))
        if not isinstance(self.n_clusters, Integral):
            clusterer = clone(self.n_clusters)
            given = {"sample_weight": weights} if has_fit_parameter(clusterer, "sample_weight") else {}
            found: NDArray[Any] = np.asarray(clusterer.fit_predict(means, **given))
            return found
        k = int(self.n_clusters)
        if len(means) < k:
            warnings.warn(
                f"Number of subclusters found ({len(means)}) by BIRCH is less than ({k}). "
                "Decrease the threshold.",
                ConvergenceWarning,
                stacklevel=3,
            )
            return np.arange(len(means))
        heavy = weights > 0
        labels = np.zeros(len(means), np.int32)
        labels[heavy] = ward(WeightedPoints(means[heavy] - means.mean(axis=0), weights[heavy])).cut(k)
        return labels
