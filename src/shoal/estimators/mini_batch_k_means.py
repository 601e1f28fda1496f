"""``MiniBatchKMeans``: running means over batches of any size, a drop-in for scikit-learn's, which also forgets."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from shoal.errors import ShoalError
from shoal.estimators.base import CentreEstimator
from shoal.model.cluster_model import unit_rows
from shoal.solve.lloyd import Solution, lloyd
from shoal.summary.centroids import Centroids

POLISHED = 1e-3
"""Passes after the first end when one lowers the cost by less than this share."""
ROWS_AT_ONCE = 16_384
_FIXED = ("n_clusters", "metric", "batch_size", "half_life", "decay_factor", "time_unit")


class MiniBatchKMeans(CentreEstimator):
    """k-means by running means: every batch moves the centres, nothing but the centres is kept.

    ``partial_fit`` takes batches of any size, also of fewer rows than clusters, and their sizes leave no trace. ``fit``
    makes one such pass in random order, then a few Lloyd passes. With a half-life or a decay factor old rows count
    less and less, and ``fit`` is one pass in the order given. Rows that are badly served become centres and near
    centres are joined, so that sorted rows and small far clusters are no harm.

    Parameters
    ----------
    n_clusters : k.
    init : ``"k-means++"``, on the first few batches. A (k, d) array, ``"random"`` rows of the first data, or a function
        of ``(X, k, random_state=...)``: exactly those centres move, by the rule of Spark's streaming k-means.
    max_iter : most passes of ``fit``.
    batch_size : rows that move the centres together. None: those of every call, as in Spark.
    tol : ``fit`` stops when the squared move of the centres is at most this share of the mean column variance, or
        when a pass lowers the cost by less than 0.1 %.
    n_init : times ``fit`` starts anew, the best is kept; ``"auto"`` is 1.
    random_state : int for the same answer every time; None: 0.
    verbose : 1 prints every pass of ``fit`` after the first.
    compute_labels : False saves the labels of ``fit``.
    max_no_improvement, init_size, reassignment_ratio : accepted for compatibility, without effect.
    half_life, decay_factor, time_unit : forgetting, see :class:`shoal.summary.centroids.Centroids`; with
        ``time_unit="time"`` rows are forgotten by their event ``times``, and late ones count with their own age.
    metric : ``"euclidean"``, or ``"cosine"`` for spherical k-means on rows scaled to length 1.
    n_threads : default all processors, or ``OMP_NUM_THREADS``. No effect on the result.

    Attributes
    ----------
    cluster_centers_ : (k, d), heaviest first unless they were given. labels_ : (n,) int32, after ``fit`` only.
    inertia_ : float; after ``partial_fit`` the cost of the rows where they went as they came. n_iter_ : passes of
    ``fit``. n_steps_ : whole batches so far. n_samples_seen_ : int. summary_ : Centroids.

    >>> from shoal import MiniBatchKMeans
    >>> a = MiniBatchKMeans(2).partial_fit([[0.0]]).partial_fit([[1.0], [8.0], [9.0]])
    >>> a.cluster_centers_.ravel(), a.inertia_
    (array([0.5, 8.5]), 1.0)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"k-means++", "random"}), callable, "array-like"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [None, Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
        "compute_labels": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_no_improvement": [None, Interval(Integral, 0, None, closed="left")],
        "init_size": [None, Interval(Integral, 1, None, closed="left")],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "reassignment_ratio": [Interval(Real, 0, None, closed="left")],
        "half_life": [None, Interval(Real, 0, None, closed="neither")],
        "decay_factor": [None, Interval(Real, 0, 1, closed="both")],
        "time_unit": [StrOptions({"batches", "points", "time"})],
        "metric": [StrOptions({"euclidean", "cosine"})],
        "n_threads": [None, Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: str | ArrayLike | Callable[..., ArrayLike] = "k-means++",
        max_iter: int = 100,
        batch_size: int | None = 1024,
        verbose: int = 0,
        compute_labels: bool = True,
        random_state: Any = None,
        tol: float = 0.0,
        max_no_improvement: int | None = 10,
        init_size: int | None = None,
        n_init: str | int = "auto",
        reassignment_ratio: float = 0.01,
        half_life: float | None = None,
        decay_factor: float | None = None,
        time_unit: str = "batches",
        metric: str = "euclidean",
        n_threads: int | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.verbose = verbose
        self.compute_labels = compute_labels
        self.random_state = random_state
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.init_size = init_size
        self.n_init = n_init
        self.reassignment_ratio = reassignment_ratio
        self.half_life = half_life
        self.decay_factor = decay_factor
        self.time_unit = time_unit
        self.metric = metric
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
        weights = _weights(sample_weight, rows)
        if weights is not None and not (weights.min() >= 0 and weights.sum() > 0):
            raise ValueError("sample_weight must not be negative, and not zero everywhere")
        random = check_random_state(self._seed() if self.random_state is None else self.random_state)
        best: tuple[float, Centroids, Solution] | None = None
        for _ in range(1 if self.n_init == "auto" else int(self.n_init)):
            summary, found = self._one_fit(rows, weights, times, random)
            if best is None or found.inertia < best[0]:
                best = found.inertia, summary, found
        assert best is not None
        self._keep(best[1], best[2], rows.dtype)
        return self

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        times: ArrayLike | None = None,
    ) -> Self:
        """Learn one more batch of any size.

        Parameters
        ----------
        X : (n, d). sample_weight : (n,). times : (n,) event times, needed where ``time_unit`` is ``"time"``.
        """
        first = not hasattr(self, "summary_")
        rows = self._validated(X, reset=first)
        if first:
            summary = self._new_summary(rows, self._seed())
        else:
            self._check_unchanged()
            summary = self.summary_
        summary.update(rows, _weights(sample_weight, rows), times=times)
        if first:
            self._begin(summary, rows.dtype)
        for stale in ("labels_", "_solved_for", "n_iter_"):
            self.__dict__.pop(stale, None)  # they were of the rows before
        return self

    def merge(self, other: Self) -> Self:
        """A new estimator that has learned the rows of both.

        Raises
        ------
        ShoalError : widths or settings differ.
        """
        check_is_fitted(self)
        check_is_fitted(other)
        if self._fixed["metric"] != other._fixed["metric"]:
            raise ShoalError(f"metrics differ: {self._fixed['metric']} and {other._fixed['metric']}")
        out = type(self)(**self.get_params())
        out._begin(self.summary_.merge(other.summary_), np.result_type(self._dtype, other._dtype))
        out.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            out.feature_names_in_ = self.feature_names_in_
        return out

    @property
    def cluster_centers_(self) -> NDArray[Any]:  # type: ignore[override]
        """(k, d) centres as they are now."""
        self._solve_if_needed()
        return self._centres

    @property
    def inertia_(self) -> float:
        """Weighted sum of squared distances to the centres."""
        self._solve_if_needed()
        return self._inertia

    @property
    def n_steps_(self) -> int:
        """Whole batches learned."""
        self._need_summary()
        return self.summary_.n_batches

    @property
    def n_samples_seen_(self) -> int:
        """Rows learned."""
        self._need_summary()
        return self.summary_.count

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "summary_")

    def _one_fit(
        self,
        rows: NDArray[Any],
        weights: NDArray[np.float64] | None,
        times: ArrayLike | None,
        random: np.random.RandomState,
    ) -> tuple[Centroids, Solution]:
        """A pass that fills a summary, then passes that polish its centres, unless what is old is to be forgotten."""
        forgets = self.half_life is not None or self.decay_factor is not None
        summary = self._new_summary(rows, int(random.randint(2**31)), random)
        if forgets:
            summary.update(rows, weights, times=times)
        else:
            order = random.permutation(len(rows))
            for start in range(0, len(rows), ROWS_AT_ONCE):
                part = order[start : start + ROWS_AT_ONCE]
                summary.update(rows[part], None if weights is None else weights[part])
        found = lloyd(
            rows,
            _k_of(self._solved(summary)[0], self.n_clusters),
            weights=weights,
            metric=self.metric,  # type: ignore[arg-type]
            max_iter=0 if forgets else self.max_iter - 1,
            tol=self.tol,
            improvement=POLISHED,
            n_threads=self.n_threads,
            watch=_print_pass if self.verbose else None,
        )
        return summary, found

    def _solved(self, summary: Centroids) -> tuple[NDArray[np.float64], float]:
        """Centres of a summary and what the rows cost."""
        found = summary.centres()
        spread = 0.0 if found.scatter is None else float(found.scatter.sum())
        if self.metric == "euclidean" or not len(found.X):
            return np.asarray(found.X, np.float64), spread
        if summary.init is None:
            held = summary.points()
            within = 0.0 if held.scatter is None else float(held.scatter.sum())
            turned = lloyd(
                np.asarray(held.X, np.float64), found.X, weights=held.weights, metric="cosine", n_threads=1
            )
            return turned.centres[np.argsort(-turned.counts, kind="stable")], within + turned.inertia
        centres = np.asarray(found.X, np.float64)
        units = _directions(centres)
        return units, spread + float(found.weights @ ((centres - units) ** 2).sum(axis=1))

    def _solve_if_needed(self) -> None:
        self._need_summary()
        if getattr(self, "_solved_for", None) == self.summary_.count:
            return
        self._check_unchanged()
        if self.summary_.count < self.n_clusters:
            raise ValueError(f"n_samples={self.summary_.count} should be >= n_clusters={self.n_clusters}.")
        centres, self._inertia = self._solved(self.summary_)
        self._centres = _k_of(centres, self.n_clusters).astype(self._dtype)
        self._solved_for = self.summary_.count

    def _keep(self, summary: Centroids, found: Solution, dtype: np.dtype[Any]) -> None:
        self._begin(summary, dtype)
        given = summary.init is not None
        order = np.arange(self.n_clusters) if given else found.largest_first()
        self._centres, self._inertia = found.centres[order].astype(dtype), found.inertia
        self._solved_for = summary.count
        self.n_iter_ = 1 + found.iterations
        labels = np.argsort(order).astype(np.int32)[found.labels]
        self.__dict__.pop("labels_", None)
        if self.compute_labels:
            self.labels_ = labels
        distinct = len(np.unique(labels))
        if distinct < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({distinct}) found smaller than n_clusters ({self.n_clusters}). "
                "Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _begin(self, summary: Centroids, dtype: np.dtype[Any]) -> None:
        self.summary_, self._dtype = summary, dtype
        self._fixed = {name: getattr(self, name) for name in _FIXED}

    def _new_summary(
        self, rows: NDArray[Any], seed: int, random: np.random.RandomState | None = None
    ) -> Centroids:
        first = None
        if not (isinstance(self.init, str) and self.init == "k-means++"):
            first = self._first_centres(
                rows, np.random.RandomState(seed % 2**32) if random is None else random
            )
        return Centroids(
            self.n_clusters,
            batch_size=self.batch_size,
            half_life=self.half_life,
            decay_factor=self.decay_factor,
            time_unit=self.time_unit,  # type: ignore[arg-type]
            init=first,
            seed=seed,
            n_threads=self.n_threads,
        )

    def _first_centres(self, rows: NDArray[Any], random: np.random.RandomState) -> NDArray[np.float64]:
        k = self.n_clusters
        if isinstance(self.init, str):
            if len(rows) < k:
                raise ValueError(f"init='random' draws {k} rows of the first batch, which has {len(rows)}")
            return rows[random.permutation(len(rows))[:k]].astype(np.float64)
        start = self.init(rows, k, random_state=random) if callable(self.init) else self.init
        centres = np.array(start, np.float64)
        if centres.shape != (k, rows.shape[1]):
            raise ValueError(
                f"The shape of the initial centers {centres.shape} does not match the number of clusters {k} "
                f"and features {rows.shape[1]}."
            )
        if not np.isfinite(centres).all():
            raise ValueError("init contains NaN or infinity")
        return unit_rows(centres) if self.metric == "cosine" else centres

    def _need_summary(self) -> None:
        if not hasattr(self, "summary_"):  # so that hasattr(model, "cluster_centers_") is False before fit
            raise AttributeError("nothing was learned yet: call fit or partial_fit first")

    def _check_unchanged(self) -> None:
        for name, before in self._fixed.items():
            now = getattr(self, name)
            if now != before:
                raise ShoalError(f"{name} was {before} while learning and is {now} now: call fit again")

    def _seed(self) -> int:
        if self.random_state is None:
            return 0
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))


def _weights(sample_weight: ArrayLike | None, rows: NDArray[Any]) -> NDArray[np.float64] | None:
    if sample_weight is None:
        return None
    weights: NDArray[np.float64] = _check_sample_weight(sample_weight, rows, dtype=np.float64)
    return weights


def _k_of(centres: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """k centres: where fewer rows differ, the last one stands for those that are missing."""
    if not len(centres):
        raise ValueError("all rows learned so far weigh nothing: there are no centres")
    return centres[np.minimum(np.arange(k), len(centres) - 1)]


def _directions(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres of length 1; where rows cancel out, the first axis is as good as any."""
    lengths = np.linalg.norm(centres, axis=1)
    out: NDArray[np.float64] = centres / np.maximum(lengths, 1e-300)[:, None]
    out[lengths <= 1e-12] = np.eye(1, centres.shape[1])
    return out


def _print_pass(step: Any, _: NDArray[np.float64]) -> None:
    print(f"Pass {step.iteration + 1}, inertia {step.inertia:.6g}, {step.moved} rows moved.")
