"""What ``OnlineClustering`` learns: states that take rows, merge with one another, and become models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from shoal.engines.beam.coders import Learned
from shoal.engines.beam.solving import FEATURES, SOURCE, Solving
from shoal.engines.shares import RowBatch, SummarySettings, fill
from shoal.engines.stream.settings import STREAM_ROWS
from shoal.engines.vectors import recipe_of
from shoal.errors import BadInputError
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.model.identity import follow
from shoal.model.release import release
from shoal.solve.birch import join_entries
from shoal.summary.cf_tree import DEFAULT_ENTRIES, CFTree
from shoal.summary.coreset import DEFAULT_BYTES, Coreset

S = TypeVar("S")
_SEEDS = ("seed", "random_state")


class ClusteringAlgorithm(ABC, Generic[S]):
    """An algorithm for :class:`~shoal.engines.beam.online_clustering.OnlineClustering`, with a state of type ``S``.

    States are made on many workers and merged in any order, so ``merge`` should not care about order, and what a state holds
    should stay small. ``learn`` and ``merge`` may change the first state they are given.

    Parameters
    ----------
    n_clusters : number of clusters.
    checkpoints_path : the folder of the models; see :class:`~shoal.engines.beam.store.FileStore`.
    cluster_args : settings of the algorithm.

    Raises
    ------
    BadInputError : settings that make no sense.

    Examples
    --------
    One cluster, in the middle of all rows; the state is their number and their sum:

    >>> from shoal.model.cluster_model import QUANTILES
    >>> class Middle(ClusteringAlgorithm[np.ndarray]):
    ...     def new(self):
    ...         return np.zeros(1)
    ...
    ...     def learn(self, state, X):
    ...         return self.merge(state, np.append(len(X), X.sum(axis=0)))
    ...
    ...     def merge(self, a, b):
    ...         return a + b if len(a) == len(b) else max(a, b, key=len)
    ...
    ...     def solve(self, state, before):
    ...         n, radii = state[:1], np.zeros((1, len(QUANTILES)))
    ...         seen = Provenance(rows_seen=int(n[0]))
    ...         return ClusterModel((state[1:] / n)[None], n, scatter=0 * n, radii=radii, provenance=seen)
    ...
    ...     def to_bytes(self, state):
    ...         return state.tobytes()
    ...
    ...     def from_bytes(self, data):
    ...         return np.frombuffer(data)
    >>> middle = Middle(1, "/models/middle", {})
    >>> parts = [middle.learn(middle.new(), np.array(X)) for X in ([[0.0, 0.0], [2.0, 0.0]], [[4.0, 3.0]])]
    >>> middle.solve(middle.merge(*parts), None).centres
    array([[2., 1.]])
    """

    without_effect: ClassVar[tuple[str, ...]] = ()
    """Settings of the scikit-learn class of this name that mean nothing here, and are accepted."""

    def __init__(self, n_clusters: int, checkpoints_path: str, cluster_args: dict[str, Any]) -> None:
        if not isinstance(n_clusters, int) or n_clusters < 1:
            raise BadInputError(f"n_clusters is {n_clusters!r}", remedy="give a number of at least 1")
        self.n_clusters, self.checkpoints_path = n_clusters, checkpoints_path
        self.cluster_args = dict(cluster_args)

    @property
    def timed(self) -> bool:
        """Whether rows need event times, those that Beam gives them."""
        return False

    @abstractmethod
    def new(self) -> S:
        """A state of no rows."""

    @abstractmethod
    def learn(self, state: S, X: NDArray[Any]) -> S:
        """Take in rows (n, d) float32 or float64, finite; all of a state have one width."""

    def learn_rows(self, state: S, rows: RowBatch) -> S:
        """As :meth:`learn`, for algorithms that ask for event times."""
        return self.learn(state, rows.X)

    @abstractmethod
    def merge(self, a: S, b: S) -> S:
        """The state of the rows of both; either may have none."""

    @abstractmethod
    def solve(self, state: S, before: ClusterModel | None) -> ClusterModel:
        """The model of a state that has rows.

        Parameters
        ----------
        before : the model published before, whose ids may live on; None for the first.
        """

    @abstractmethod
    def to_bytes(self, state: S) -> bytes:
        """Everything needed to go on."""

    @abstractmethod
    def from_bytes(self, data: bytes) -> S:
        """Inverse of :meth:`to_bytes`."""

    def summary(self, state: S) -> Coreset | None:
        """The state, if it is a summary that every part of Shoal can go on from; it is then stored as such."""
        return None

    def _settings(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """What is set, else its default.

        Raises
        ------
        BadInputError : there is a setting of another name.
        """
        known = [*defaults, "random_state"] if "seed" in defaults else [*defaults]
        for name in self.cluster_args:
            if name not in known and name not in self.without_effect:
                there = f"there are {', '.join(known)}"
                ignored = ", ".join(self.without_effect)
                raise BadInputError(
                    f"no setting named {name!r}",
                    place=f"cluster_args of {type(self).__name__}",
                    remedy=there + (f"; accepted without effect: {ignored}" if ignored else ""),
                )
        return {name: self.cluster_args.get(name, value) for name, value in defaults.items()}


class OnlineKMeans(ClusteringAlgorithm[Coreset]):
    """k-means of all rows ever learned, in the place of Beam's ``OnlineKMeans``.

    Rows go into a small weighted sample that merges, so it needs no first guess, workers learn side by side, and the order of
    rows leaves no trace. Clusters keep their ids from model to model.

    Settings in ``cluster_args``: ``seed`` (or ``random_state``), ``rows`` the sample keeps (default 20,000), ``max_bytes`` of
    memory, ``half_life`` in seconds of event time. Other settings of ``MiniBatchKMeans`` are accepted without effect, as there
    is nothing they could steer.

    >>> k_means = OnlineKMeans(2, "/models/houses", {"random_state": 7, "n_init": 3})
    >>> state = k_means.learn(k_means.new(), np.array([[0.0], [1.0], [9.0]]))
    >>> k_means.solve(state, None).centres.ravel()
    array([0.5, 9. ])
    """

    without_effect = (
        "init",
        "n_init",
        "max_iter",
        "batch_size",
        "verbose",
        "compute_labels",
        "tol",
        "max_no_improvement",
        "init_size",
        "reassignment_ratio",
    )

    def __init__(self, n_clusters: int, checkpoints_path: str, cluster_args: dict[str, Any]) -> None:
        super().__init__(n_clusters, checkpoints_path, cluster_args)
        found = self._settings(
            {"seed": None, "rows": STREAM_ROWS, "max_bytes": DEFAULT_BYTES, "half_life": None}
        )
        found["seed"] = _seed(self.cluster_args)
        self.settings = SummarySettings(k_max=n_clusters, **found)
        self.settings.new()  # wrong settings are an error now, not in a worker

    @property
    def timed(self) -> bool:
        """With a half-life."""
        return self.settings.half_life is not None

    def new(self) -> Coreset:
        """An empty sample."""
        return self.settings.new()

    def learn(self, state: Coreset, X: NDArray[Any]) -> Coreset:
        """Rows (n, d)."""
        return state.update(X)

    def learn_rows(self, state: Coreset, rows: RowBatch) -> Coreset:
        """Rows with their event times."""
        fill(state, rows)
        return state

    def merge(self, a: Coreset, b: Coreset) -> Coreset:
        """See :meth:`shoal.summary.coreset.Coreset.merge`."""
        return a.merge(b)

    def solve(self, state: Coreset, before: ClusterModel | None) -> ClusterModel:
        """k-means of the sample; fewer clusters where fewer rows differ."""
        return Solving(self.n_clusters).next(Learned(state), before, None).model

    def to_bytes(self, state: Coreset) -> bytes:
        """The sample's own bytes."""
        return state.to_bytes()

    def from_bytes(self, data: bytes) -> Coreset:
        """Inverse of :meth:`to_bytes`; kernels in workers have one thread."""
        state = Coreset.from_bytes(data)
        state.n_threads = 1
        return state

    def summary(self, state: Coreset) -> Coreset:
        """Itself."""
        return state


class OnlineBirch(ClusteringAlgorithm[CFTree]):
    """BIRCH of all rows ever learned: trees of clustering features, merged; their entries joined into clusters by Ward.

    The tree depends on the order of rows; counts, means and scatter do not.

    Settings in ``cluster_args``: ``threshold`` (0), ``branching_factor`` (50), ``max_leaf_entries`` (2,000), ``half_life`` in
    seconds of event time.

    >>> birch = OnlineBirch(2, "/models/houses", {"threshold": 0.5})
    >>> state = birch.learn(birch.new(), np.array([[0.0], [1.0], [9.0]]))
    >>> birch.solve(state, None).centres.ravel()
    array([0.5, 9. ])
    """

    without_effect = ("compute_labels", "copy")

    def __init__(self, n_clusters: int, checkpoints_path: str, cluster_args: dict[str, Any]) -> None:
        super().__init__(n_clusters, checkpoints_path, cluster_args)
        self.settings = self._settings(
            {
                "threshold": 0.0,
                "branching_factor": 50,
                "max_leaf_entries": DEFAULT_ENTRIES,
                "half_life": None,
            }
        )
        self.new()  # wrong settings are an error now, not in a worker

    @property
    def timed(self) -> bool:
        """With a half-life."""
        return self.settings["half_life"] is not None

    def new(self) -> CFTree:
        """An empty tree."""
        return CFTree(**self.settings)

    def learn(self, state: CFTree, X: NDArray[Any]) -> CFTree:
        """Rows (n, d)."""
        return state.update(X)

    def learn_rows(self, state: CFTree, rows: RowBatch) -> CFTree:
        """Rows with their event times."""
        return state.update(rows.X, rows.weights, times=rows.times)

    def merge(self, a: CFTree, b: CFTree) -> CFTree:
        """See :meth:`shoal.summary.cf_tree.CFTree.merge`."""
        return a.merge(b)

    def solve(self, state: CFTree, before: ClusterModel | None) -> ClusterModel:
        """The entries joined; fewer clusters where there are fewer entries."""
        points = state.points()
        found = join_entries(state, min(self.n_clusters, int((points.weights > 0).sum())))
        recipe = recipe_of((FEATURES,), int(state.n_features or 0))
        model = build_model(
            found.points.X,
            found.points.weights,
            found.solution,
            provenance=Provenance(
                rows_seen=state.count,
                sources=(SOURCE,),
                library_version=release(),
                created=datetime.now(UTC).isoformat(timespec="seconds"),
            ),
            feature_names=recipe.feature_names,
            recipe=recipe.to_dict(),
            parent=None if before is None else before.version or None,
            spread=found.spread,
        )
        now = float(state.count) if state.newest is None else state.newest
        return follow(before, model, found.points, time=now).model

    def to_bytes(self, state: CFTree) -> bytes:
        """The tree's own bytes."""
        return state.to_bytes()

    def from_bytes(self, data: bytes) -> CFTree:
        """Inverse of :meth:`to_bytes`."""
        return CFTree.from_bytes(data)


def _seed(args: Mapping[str, Any]) -> int:
    given = [args[name] for name in _SEEDS if args.get(name) is not None]
    for seed in given:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise BadInputError(f"the seed is {seed!r}", remedy="give a whole number, not negative")
    return int(given[0]) if given else 0
