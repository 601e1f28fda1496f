"""The names of ``apache_beam.examples.online_clustering``: pipelines written for it change the import, and nothing else.

>>> from shoal.engines.beam.online_clustering import OnlineClustering, OnlineKMeans
"""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference
from apache_beam.transforms import trigger
from apache_beam.transforms.window import FixedWindows, GlobalWindows, Sessions, WindowFn
from numpy.typing import NDArray

from shoal.engines.beam.algorithms import ClusteringAlgorithm, OnlineBirch, OnlineKMeans
from shoal.engines.beam.assign import AssignClusters
from shoal.engines.beam.elements import DEAD, ROWS, Batch, batches_of
from shoal.engines.beam.learning import LearnFn, MarkFn
from shoal.engines.beam.model_handler import ShoalModelHandler
from shoal.engines.beam.publishing import PublishFn
from shoal.engines.beam.rows import Fields
from shoal.engines.beam.store import FileStore
from shoal.errors import BadInputError
from shoal.model.cluster_model import ClusterModel

__all__ = [
    "AssignClusterLabelsInMemoryModel",
    "AssignClusterLabelsRunInference",
    "ClusteringAlgorithm",
    "ClusteringPreprocessing",
    "OnlineBirch",
    "OnlineClustering",
    "OnlineKMeans",
]

EVERY = 30.0
"""Seconds between models of a stream without windows."""


class OnlineClustering(beam.PTransform):  # type: ignore[misc]
    """Learns the rows of a pipeline on top of all that was learned under ``checkpoints_path`` before; gives the models.

    Each window, or each firing of its trigger, adds its rows to the newest checkpoint and publishes the next version, so
    windows may overlap in arrival, pipelines may end and begin, and no row is left out. A row counts once however often its
    bundle is done again, and however often its window fires: panes that accumulate are taken apart. (With sliding windows a
    row is in several, and counts in each.) Rows that Beam drops because they are late are not learned; give the windows an
    ``allowed_lateness`` to have them.

    A stream in the global window without a trigger has a model every ``every`` seconds while there are new rows.

    Parameters
    ----------
    clustering_algorithm : a class, :class:`~shoal.engines.beam.algorithms.OnlineKMeans`, ``OnlineBirch`` or your own
        :class:`~shoal.engines.beam.algorithms.ClusteringAlgorithm`.
    n_clusters : number of clusters; fewer, where fewer rows differ.
    cluster_args : settings of the algorithm.
    checkpoints_path : a folder on any file system of Beam, see :class:`~shoal.engines.beam.store.FileStore`.
    batch_size : rows that are learned at once; no effect on the result of ``OnlineKMeans``.
    is_batched : elements are batches already: arrays (n, d), data frames, lists of rows.
    keep : versions that stay.

    Raises
    ------
    BadInputError : settings that make no sense; while it runs, checkpoints of another algorithm, seed or width. In a stream
        rows of another width are counted in the metric ``shoal/refused`` instead, as is every element that cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> rows = [(0.0, 1.0), (0.0, 2.0), (9.0, 9.0)]
    >>> with beam.Pipeline() as pipeline:
    ...     train = OnlineClustering(OnlineKMeans, n_clusters=2, cluster_args={}, checkpoints_path=tempfile.mkdtemp())
    ...     _ = pipeline | beam.Create(rows) | train | beam.Map(lambda model: print(model.weights.tolist()))
    [2.0, 1.0]
    """

    def __init__(
        self,
        clustering_algorithm: type[ClusteringAlgorithm[Any]],
        n_clusters: int,
        cluster_args: dict[str, Any],
        checkpoints_path: str,
        batch_size: int = 1024,
        is_batched: bool = False,
        *,
        every: float = EVERY,
        keep: int = 10,
    ) -> None:
        super().__init__()
        kind = clustering_algorithm
        if not (isinstance(kind, type) and issubclass(kind, ClusteringAlgorithm)):
            raise BadInputError(
                f"{kind} is no ClusteringAlgorithm of shoal",
                remedy="import OnlineKMeans from shoal.engines.beam.online_clustering",
            )
        if not every > 0:
            raise BadInputError(f"every={every}", remedy="give seconds, more than 0")
        self.algorithm = clustering_algorithm(
            n_clusters=n_clusters, cluster_args=cluster_args, checkpoints_path=checkpoints_path
        )
        self.store = FileStore(checkpoints_path, keep)
        self.every, self.with_dead = every, False
        self._reading: dict[str, Any] = {
            "timed": self.algorithm.timed,
            "batch_rows": _batch_rows(batch_size),
            "is_batched": is_batched,
        }

    def with_dead_letters(self) -> OnlineClustering:
        """Answer a pair: the models, and a PCollection of :class:`~shoal.engines.beam.elements.DeadLetter`."""
        self.with_dead = True
        return self

    def expand(self, pcoll: Any) -> Any:
        """One :class:`~shoal.model.cluster_model.ClusterModel` for each window and firing that has rows."""
        read = batches_of(pcoll, Fields(), **self._reading)
        panes = read[ROWS] | "Panes" >> beam.WindowInto(**self._panes(pcoll))
        learn = beam.CombineGlobally(LearnFn(self.algorithm)).without_defaults()
        learned = panes | "Mark" >> beam.ParDo(MarkFn()) | "Learn" >> learn
        publish = PublishFn(self.algorithm, self.store, lenient=not pcoll.is_bounded)
        models = learned | "Publish" >> beam.ParDo(publish).with_output_types(ClusterModel)
        return (models, read[DEAD]) if self.with_dead else models

    def _panes(self, pcoll: Any) -> dict[str, Any]:
        """The input's own windows and trigger; every pane with its new rows only."""
        given = pcoll.windowing
        fires = given.triggerfn
        endless = not pcoll.is_bounded and isinstance(given.windowfn, GlobalWindows)
        if endless and isinstance(fires, trigger.DefaultTrigger):
            fires = trigger.Repeatedly(trigger.AfterProcessingTime(self.every))
        windows = given.windowfn
        if type(windows) not in (GlobalWindows, FixedWindows, Sessions):
            windows = SameWindows(windows)
        return {
            "windowfn": windows,
            "trigger": fires,
            "accumulation_mode": trigger.AccumulationMode.DISCARDING,
            "timestamp_combiner": given.timestamp_combiner,
            "allowed_lateness": given.allowed_lateness,
        }


class SameWindows(WindowFn):  # type: ignore[misc]
    """Leaves elements in the windows they are in, where only the trigger is to change.

    To assign them again would be wrong: a batch of a sliding window would go into all the windows that overlap with it, and a
    function of somebody's own would be given a batch where it knows elements.

    Parameters
    ----------
    windows : the function that assigned them; it still says how windows merge, and which one a side input is looked up in.
    """

    def __init__(self, windows: WindowFn) -> None:
        self.windows = windows

    def assign(self, assign_context: Any) -> Any:
        """The window it is in."""
        if assign_context.element is None:  # a side input is looked up for another window
            return self.windows.assign(assign_context)
        return [assign_context.window]

    def merge(self, merge_context: Any) -> None:
        """As ever."""
        self.windows.merge(merge_context)

    def is_merging(self) -> bool:
        """As ever."""
        return bool(self.windows.is_merging())

    def get_window_coder(self) -> Any:
        """That of the windows."""
        return self.windows.get_window_coder()

    def get_transformed_output_time(self, window: Any, input_timestamp: Any) -> Any:
        """As ever."""
        return self.windows.get_transformed_output_time(window, input_timestamp)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameWindows) and bool(self.windows == other.windows)

    def __hash__(self) -> int:
        return hash((SameWindows, self.windows))


class ClusteringPreprocessing(beam.PTransform):  # type: ignore[misc]
    """Rows to arrays (n, d) of at most ``batch_size`` rows; elements that cannot be used are counted in ``shoal/refused``.

    Parameters
    ----------
    n_clusters : no effect; batches may be smaller.
    """

    def __init__(self, n_clusters: int, batch_size: int, is_batched: bool = False) -> None:
        super().__init__()
        self._reading: dict[str, Any] = {"batch_rows": _batch_rows(batch_size), "is_batched": is_batched}

    def expand(self, pcoll: Any) -> Any:
        """Arrays."""
        read = batches_of(pcoll, Fields(), **self._reading)
        return read[ROWS] | "Arrays" >> beam.FlatMap(_array_of)


class AssignClusterLabelsInMemoryModel(beam.PTransform):  # type: ignore[misc]
    """Rows to ``PredictionResult(example, inference, model_id)`` by a model of the same pipeline.

    Parameters
    ----------
    model : ``AsSingleton(models)`` of :class:`OnlineClustering`, or a model.
    n_clusters : no effect, the model knows.
    batch_size : rows that are labelled at once.
    is_batched : elements are batches of rows already.
    model_id : what to write into results; default the model's version.

    Examples
    --------
    >>> labelled = rows | AssignClusterLabelsInMemoryModel(
    ...     model=beam.pvalue.AsSingleton(model), n_clusters=6, batch_size=512
    ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Any,
        n_clusters: int,
        batch_size: int,
        is_batched: bool = False,
        model_id: str | None = None,
    ) -> None:
        super().__init__()
        self._assign = AssignClusters(
            model, model_id=model_id, batch_rows=_batch_rows(batch_size), is_batched=is_batched
        )

    def with_dead_letters(self) -> AssignClusterLabelsInMemoryModel:
        """Answer a pair: the labels, and a PCollection of :class:`~shoal.engines.beam.elements.DeadLetter`."""
        self._assign.with_dead_letters()
        return self

    def expand(self, pcoll: Any) -> Any:
        """Inferences are :class:`~shoal.engines.beam.labels.ClusterLabel`, which are whole numbers."""
        return pcoll | "Assign" >> self._assign


class AssignClusterLabelsRunInference(beam.PTransform):  # type: ignore[misc]
    """Rows to ``PredictionResult``, by ``RunInference`` and the newest model under ``checkpoints_path`` when workers start.

    The model is read when the pipeline runs, so it must have been published by then, by a pipeline of its own. For models that
    change meanwhile use ``RunInference(ShoalModelHandler(path), watch_model_pattern=FileStore(path).pattern)``.
    """

    def __init__(self, checkpoints_path: str) -> None:
        super().__init__()
        self.clustering_model = ShoalModelHandler(checkpoints_path)

    def expand(self, pcoll: Any) -> Any:
        """The inference of an element that is no row is None."""
        return pcoll | "RunInference" >> RunInference(self.clustering_model)


def _batch_rows(batch_size: int) -> int:
    if batch_size < 1:
        raise BadInputError(f"batch_size={batch_size}", remedy="give at least 1")
    return batch_size


def _array_of(element: tuple[Any, Batch]) -> list[NDArray[Any]]:
    rows = element[1].rows.X
    return [rows] if len(rows) else []
