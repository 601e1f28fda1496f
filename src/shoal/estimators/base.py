"""What both k-means estimators share: labelling, distances and scores in scikit-learn's manner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.metrics.pairwise import cosine_distances, euclidean_distances
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from shoal.kernels import nearest
from shoal.model.cluster_model import unit_rows


class CentreEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A clusterer that answers with ``cluster_centers_``; subclasses fit it."""

    metric: str
    n_threads: int | None
    cluster_centers_: NDArray[Any]

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """Position of the nearest centre of each row.

        Parameters
        ----------
        X : (n, d).

        Returns
        -------
        (n,) int32.
        """
        return nearest(self._rows(X), self.cluster_centers_, n_threads=self.n_threads).labels

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Distance of each row to every centre: (n, k), euclidean or cosine as the metric says."""
        rows = self._rows(X)
        distances = cosine_distances if self.metric == "cosine" else euclidean_distances
        out: NDArray[Any] = distances(rows, self.cluster_centers_)
        return out

    def score(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Minus the weighted sum of squared distances to the nearest centre."""
        rows = self._rows(X)
        squared = nearest(rows, self.cluster_centers_, n_threads=self.n_threads).squared.astype(np.float64)
        return -float(np.dot(squared, _check_sample_weight(sample_weight, rows, dtype=np.float64)))

    def fit_transform(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[Any]:
        """Fit, then the distances of the same rows to every centre."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def fit_predict(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[np.int32]:
        """Fit, then the labels of the same rows."""
        labels: NDArray[np.int32] = self.fit(X, sample_weight=sample_weight).labels_
        return labels

    @abstractmethod
    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Find the centres of rows (n, d)."""

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def _rows(self, X: ArrayLike) -> NDArray[Any]:
        check_is_fitted(self)
        return self._validated(X, reset=False)

    def _validated(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        rows: NDArray[Any] = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32])
        return unit_rows(rows) if self.metric == "cosine" else rows
