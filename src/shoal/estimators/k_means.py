"""``KMeans``: exact Lloyd on all rows, a drop-in for scikit-learn's."""

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
from sklearn.utils.validation import _check_sample_weight

from shoal.estimators.base import CentreEstimator
from shoal.kernels import greedy_seeds
from shoal.solve.lloyd import Solution, Step, lloyd


class KMeans(CentreEstimator):
    """k-means on rows in memory: greedy k-means++ starts, Lloyd to convergence on all rows.

    Takes scikit-learn's parameters and answers its attributes; dense input only.

    Parameters
    ----------
    n_clusters : k.
    init : ``"k-means++"``, ``"random"``, a (k, d) array, or a function of ``(X, k, random_state=...)``.
    n_init : starts, the best is kept; ``"auto"`` is 1 for k-means++ and arrays, 10 otherwise.
    max_iter : most Lloyd iterations of one start.
    tol : stop when the squared move of the centres is at most this share of the mean column variance.
    verbose : 1 prints every iteration.
    random_state : int for the same answer every time.
    copy_x, algorithm : accepted for compatibility; X is never changed, and ``"elkan"`` gives what ``"lloyd"`` gives.
    metric : ``"euclidean"``, or ``"cosine"`` for spherical k-means on rows scaled to length 1.
    n_threads : default all processors, or ``OMP_NUM_THREADS``. No effect on the result.

    Attributes
    ----------
    cluster_centers_ : (k, d). labels_ : (n,) int32. inertia_ : float. n_iter_ : int.
    steps_ : list of :class:`shoal.solve.lloyd.Step`, one for each iteration of the best start.

    >>> from shoal import KMeans
    >>> KMeans(2, random_state=0).fit([[0.0], [1.0], [8.0], [9.0]]).cluster_centers_.ravel()
    array([0.5, 8.5])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"k-means++", "random"}), callable, "array-like"],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "copy_x": ["boolean"],
        "algorithm": [StrOptions({"lloyd", "elkan"})],
        "metric": [StrOptions({"euclidean", "cosine"})],
        "n_threads": [None, Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: str | ArrayLike | Callable[..., ArrayLike] = "k-means++",
        n_init: str | int = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: Any = None,
        copy_x: bool = True,
        algorithm: str = "lloyd",
        metric: str = "euclidean",
        n_threads: int | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.metric = metric
        self.n_threads = n_threads

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Find the centres of rows (n, d), each counting ``sample_weight`` times."""
        rows = self._validated(X, reset=True)
        if len(rows) < self.n_clusters:
            raise ValueError(f"n_samples={len(rows)} should be >= n_clusters={self.n_clusters}.")
        weights = (
            None if sample_weight is None else _check_sample_weight(sample_weight, rows, dtype=np.float64)
        )
        if weights is not None and not (weights.min() >= 0 and weights.sum() > 0):
            raise ValueError("sample_weight must not be negative, and not zero everywhere")
        random = check_random_state(self.random_state)
        best: Solution | None = None
        for _ in range(self._starts()):
            found = lloyd(
                rows,
                self._first_centres(rows, weights, random),
                weights=weights,
                metric=self.metric,  # type: ignore[arg-type]
                max_iter=self.max_iter,
                tol=self.tol,
                n_threads=self.n_threads,
                watch=_print_step if self.verbose else None,
            )
            if best is None or found.inertia < best.inertia * (1 - 1e-6):
                best = found
        assert best is not None  # there is at least one start
        self._keep(best, rows.dtype)
        return self

    def _starts(self) -> int:
        if self.n_init != "auto":
            if self._given() and int(self.n_init) > 1:
                text = f"init gives the centres: 1 start instead of n_init={self.n_init}"
                warnings.warn(text, RuntimeWarning, stacklevel=4)
            return 1 if self._given() else int(self.n_init)
        return 10 if callable(self.init) or (isinstance(self.init, str) and self.init == "random") else 1

    def _given(self) -> bool:
        return not isinstance(self.init, str) and not callable(self.init)

    def _first_centres(
        self, X: NDArray[Any], weights: NDArray[np.float64] | None, random: np.random.RandomState
    ) -> NDArray[Any]:
        k = self.n_clusters
        if isinstance(self.init, str):
            rng = np.random.default_rng(random.randint(2**31))
            if self.init == "k-means++":
                chosen, _ = greedy_seeds(X, k, weights=weights, rng=rng, n_threads=self.n_threads)
            else:
                share = None if weights is None else weights / weights.sum()
                enough = share is None or int((share > 0).sum()) >= k
                chosen = rng.choice(len(X), k, replace=not enough, p=share)
            return X[chosen]
        start = self.init(X, k, random_state=random) if callable(self.init) else self.init
        centres = np.array(start, np.float64)
        if centres.shape != (k, X.shape[1]):
            raise ValueError(
                f"The shape of the initial centers {centres.shape} does not match the number of clusters {k} "
                f"and features {X.shape[1]}."
            )
        if not np.isfinite(centres).all():
            raise ValueError("init contains NaN or infinity")
        return centres

    def _keep(self, best: Solution, dtype: np.dtype[Any]) -> None:
        order = np.arange(self.n_clusters) if self._given() else best.largest_first()
        self.cluster_centers_ = best.centres[order].astype(dtype)
        self.labels_ = np.argsort(order).astype(np.int32)[best.labels]
        self.inertia_ = best.inertia
        self.n_iter_ = best.iterations
        self.steps_ = list(best.steps)
        distinct = len(np.unique(self.labels_))
        if distinct < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({distinct}) found smaller than n_clusters ({self.n_clusters}). "
                "Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=3,
            )


def _print_step(step: Step, _: NDArray[np.float64]) -> None:
    print(f"Iteration {step.iteration}, inertia {step.inertia:.6g}, {step.moved} rows moved.")
