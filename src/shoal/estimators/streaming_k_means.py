"""``StreamingKMeans``: k-means from one pass over any number of batches, which merges."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from shoal.errors import ShoalError
from shoal.estimators.base import CentreEstimator
from shoal.kernels import nearest
from shoal.solve.choose_k import KChoice, choose_k
from shoal.solve.k_means import k_means
from shoal.summary.coreset import DEFAULT_BYTES, Coreset


class StreamingKMeans(CentreEstimator):
    """One pass, bounded memory, multi-pass quality: batches fill a summary, and k centres are solved from it.

    ``partial_fit`` only fills the summary; the centres are solved when first asked for. Two fitted estimators
    become one by ``merge``, and ``sweep`` answers every k from the same pass.

    Parameters
    ----------
    n_clusters : k. May be changed at any time; so may a batch be smaller than k.
    metric : ``"euclidean"``, or ``"cosine"`` for spherical k-means on rows scaled to length 1.
    max_clusters : largest k that will be asked of the summary; default the larger of 64 and ``n_clusters``.
    sample_rows : rows the summary keeps; default the larger of 50,000 and 200 per cluster.
    max_bytes : memory budget of the summary.
    half_life : time after which a row counts half, by its event time; ``partial_fit`` then takes ``times``. Default:
        nothing is forgotten.
    random_state : int for the same answer every time; also the seed by which summaries merge. None: 0, so that any two
        merge. A RandomState gives every fit a seed of its own, so such estimators do not merge.
    n_threads : default all processors, or ``OMP_NUM_THREADS``. No effect on the result.

    Attributes
    ----------
    cluster_centers_ : (k, d). labels_ : (n,) int32, after ``fit`` only. inertia_ : float, estimated from the summary;
    exact while no row was dropped. n_iter_ : int. n_samples_seen_ : int. summary_ : Coreset.

    >>> from shoal import StreamingKMeans
    >>> a = StreamingKMeans(2, random_state=0).partial_fit([[0.0], [1.0]])
    >>> b = StreamingKMeans(2, random_state=0).partial_fit([[8.0], [9.0]])
    >>> a.merge(b).cluster_centers_.ravel()
    array([0.5, 8.5])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions({"euclidean", "cosine"})],
        "max_clusters": [None, Interval(Integral, 1, None, closed="left")],
        "sample_rows": [None, Interval(Integral, 1, None, closed="left")],
        "max_bytes": [Interval(Integral, 1, None, closed="left")],
        "half_life": [None, Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
        "n_threads": [None, Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        metric: str = "euclidean",
        max_clusters: int | None = None,
        sample_rows: int | None = None,
        max_bytes: int = DEFAULT_BYTES,
        half_life: float | None = None,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.metric = metric
        self.max_clusters = max_clusters
        self.sample_rows = sample_rows
        self.max_bytes = max_bytes
        self.half_life = half_life
        self.random_state = random_state
        self.n_threads = n_threads

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        times: ArrayLike | None = None,
    ) -> Self:
        """Forget what was learned, learn rows (n, d) and label them."""
        rows = self._validated(X, reset=True)
        if len(rows) < self.n_clusters:
            raise ValueError(f"n_samples={len(rows)} should be >= n_clusters={self.n_clusters}.")
        self.summary_ = self._filled(self._new_summary(), rows, sample_weight, times)
        self._summary_metric = self.metric
        self._solve()
        self.labels_ = nearest(rows, self._centres, n_threads=self.n_threads).labels
        return self

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        times: ArrayLike | None = None,
    ) -> Self:
        """Learn one more batch of any size; (n,) event ``times`` are needed if there is a half-life."""
        first = not hasattr(self, "summary_")
        rows = self._validated(X, reset=first)
        if not first:
            self._check_metric()
        known = self._new_summary() if first else self.summary_
        self.summary_ = self._filled(known, rows, sample_weight, times)
        self._summary_metric = self.metric
        if hasattr(self, "labels_"):
            del self.labels_  # they were of the rows of fit only
        return self

    def merge(self, other: Self) -> Self:
        """A new estimator that has learned the rows of both.

        Raises
        ------
        ShoalError : widths, metrics or random states differ.
        """
        check_is_fitted(self)
        check_is_fitted(other)
        if self.metric != other.metric:
            raise ShoalError(f"metrics differ: {self.metric} and {other.metric}")
        out = type(self)(**self.get_params())
        out.summary_ = self.summary_.merge(other.summary_)
        out._summary_metric = self.metric
        out.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            out.feature_names_in_ = self.feature_names_in_
        return out

    def sweep(self, ks: Iterable[int]) -> KChoice:
        """Every k and the criteria to choose by, from what was learned."""
        check_is_fitted(self)
        points = self.summary_.points()
        return choose_k(
            points.X,
            points.weights,
            ks,
            rows=self.summary_.count,
            metric=self.metric,  # type: ignore[arg-type]
            seed=self.summary_.seed,
            n_threads=self.n_threads,
        )

    @property
    def cluster_centers_(self) -> NDArray[Any]:  # type: ignore[override]
        """(k, d) centres, solved when first asked for."""
        self._solve_if_needed()
        return self._centres

    @property
    def inertia_(self) -> float:
        """Weighted sum of squared distances to the nearest centre."""
        self._solve_if_needed()
        return self._inertia

    @property
    def n_iter_(self) -> int:
        """Lloyd iterations of the last run of the solve."""
        self._solve_if_needed()
        return self._n_iter

    @property
    def n_samples_seen_(self) -> int:
        """Rows learned."""
        self._need_summary()
        return self.summary_.count

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "summary_")

    def _need_summary(self) -> None:
        if not hasattr(self, "summary_"):  # so that hasattr(model, "cluster_centers_") is False before fit
            raise AttributeError("nothing was learned yet: call fit or partial_fit first")

    def _seed(self) -> int:
        if self.random_state is None:
            return 0
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    def _new_summary(self) -> Coreset:
        return Coreset(
            k_max=max(self.n_clusters, 64) if self.max_clusters is None else self.max_clusters,
            rows=self.sample_rows,
            max_bytes=self.max_bytes,
            seed=self._seed(),
            n_threads=self.n_threads,
            half_life=self.half_life,
        )

    def _filled(
        self,
        summary: Coreset,
        rows: NDArray[Any],
        sample_weight: ArrayLike | None,
        times: ArrayLike | None,
    ) -> Coreset:
        weights = (
            None if sample_weight is None else _check_sample_weight(sample_weight, rows, dtype=np.float64)
        )
        return summary.update(rows, weights, times=times)

    def _check_metric(self) -> None:
        if self.metric != self._summary_metric:
            raise ShoalError(
                f"the metric was {self._summary_metric} while learning and is {self.metric} now: call fit again"
            )

    def _solve_if_needed(self) -> None:
        self._need_summary()
        if getattr(self, "_solved_for", None) != (self.n_clusters, self.summary_.count):
            self._solve()

    def _solve(self) -> None:
        self._check_metric()
        points = self.summary_.points()
        if len(points.X) < self.n_clusters:
            raise ValueError(f"n_samples={len(points.X)} should be >= n_clusters={self.n_clusters}.")
        best = k_means(
            points.X,
            self.n_clusters,
            weights=points.weights,
            metric=self.metric,  # type: ignore[arg-type]
            seed=self.summary_.seed,
            n_threads=self.n_threads,
        )
        order = best.largest_first()
        self._centres = best.centres[order].astype(points.X.dtype)
        self._inertia, self._n_iter = best.inertia, best.iterations
        self._solved_for = (self.n_clusters, self.summary_.count)
