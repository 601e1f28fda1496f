"""``ShoalModelHandler``: clusters in pipelines that use Beam's ``RunInference``, with models that change while it runs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from shoal.engines.beam.elements import NAMESPACE
from shoal.engines.beam.labels import ClusterLabel, labels_of
from shoal.engines.beam.rows import ElementReader, Fields
from shoal.engines.beam.store import SUFFIX, FileStore, Version, read_bytes, read_version
from shoal.errors import BadInputError, ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.model.persistence import MANIFEST, load_model


class Labelled(NamedTuple):
    """What a model says of a batch."""

    inferences: list[ClusterLabel | None]
    path: str


@dataclass(frozen=True)
class LoadedModel:
    """A model, and the path of the file or directory it came from; a method does all, as it may live in another process."""

    model: ClusterModel
    path: str

    def label(self, batch: Sequence[Any], features: tuple[str, ...]) -> Labelled:
        """One inference for each element; None for those that are no rows."""
        fields = Fields(features, cosine=self.model.metric == "cosine")
        found = ElementReader(fields, self.model.n_features).read(batch)
        inferences: list[ClusterLabel | None] = [None] * len(batch)
        for position, label in zip(found.rows.kept.tolist(), labels_of(self.model, found.rows), strict=True):
            inferences[position] = label
        return Labelled(inferences, self.path)


class ShoalModelHandler(ModelHandler):  # type: ignore[misc]
    """Labels elements with a model: tuples, lists, arrays, dicts, ``beam.Row``, pandas rows.

    Results are ``PredictionResult(example, inference, model_id)``: the inference a
    :class:`~shoal.engines.beam.labels.ClusterLabel`, the ``model_id`` the path of the very file that labelled, as file names are
    never used twice. The inference of an element that is no row is None, and it is counted in the metric ``shoal/refused``:
    ``RunInference`` knows only whole batches that failed, and one bad element should not take a thousand good ones along.

    Parameters
    ----------
    model_path : a file ``.shoal``, the folder of a :class:`~shoal.engines.beam.store.FileStore`, whose newest version is taken
        when the model is loaded, or a directory that :func:`shoal.model.persistence.save_model` wrote.
    fields : where the numbers are in an element; default: the element is the row.
    min_batch_size, max_batch_size, max_batch_duration_secs : of the batches that ``RunInference`` makes.
    options : others of Beam's ``ModelHandler``.

    Raises
    ------
    BadInputError : no path is given.
    ShoalError : when the model is loaded, there is none.

    Examples
    --------
    >>> RunInference(ShoalModelHandler("gs://bucket/houses"))  # doctest: +SKIP
    >>> RunInference(
    ...     ShoalModelHandler("gs://bucket/houses"), watch_model_pattern=FileStore("gs://bucket/houses").pattern
    ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        model_path: str,
        fields: Fields | None = None,
        *,
        min_batch_size: int | None = None,
        max_batch_size: int | None = None,
        max_batch_duration_secs: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            min_batch_size=min_batch_size,
            max_batch_size=max_batch_size,
            max_batch_duration_secs=max_batch_duration_secs,
            **options,
        )
        if not model_path:
            raise BadInputError("there is no model_path", remedy="give a file .shoal or a folder of models")
        self.model_path, self.fields = model_path, fields or Fields()
        self.refused = Metrics.counter(NAMESPACE, "refused")

    def load_model(self) -> LoadedModel:
        """The model, and where it came from.

        Raises
        ------
        ShoalError : there is none, or it cannot be trusted.
        """
        path = self.model_path
        if path.endswith(SUFFIX):
            try:
                return LoadedModel(read_version(Version(0, path)).model, path)
            except FileNotFoundError:
                raise ShoalError(f"{path} is no model; give a file or a folder that exists") from None
        if FileSystems.exists(FileSystems.join(path, MANIFEST)):
            return LoadedModel(_saved_model(path), path)
        stored = FileStore(path).load()
        return LoadedModel(stored.model, stored.path)

    def update_model_path(self, model_path: str | None = None) -> None:
        """Where the next model is, as ``RunInference`` learns it from a side input."""
        if model_path:
            self.model_path = model_path

    def run_inference(
        self, batch: Sequence[Any], model: LoadedModel, inference_args: dict[str, Any] | None = None
    ) -> list[PredictionResult]:
        """One result for each element, in order."""
        if not batch:
            return []
        found = model.label(batch, self.fields.features)
        self.refused.inc(sum(label is None for label in found.inferences))
        return [PredictionResult(e, i, found.path) for e, i in zip(batch, found.inferences, strict=True)]

    def get_num_bytes(self, batch: Sequence[Any]) -> int:
        """Bytes of the numbers of a batch, near enough for a metric."""
        return sum(e.nbytes if isinstance(e, np.ndarray) else 8 * _width(e) for e in batch)

    def get_metrics_namespace(self) -> str:
        """Where ``RunInference`` counts."""
        return "shoal_run_inference"

    def validate_inference_args(self, inference_args: dict[str, Any] | None) -> None:
        """There are none.

        Raises
        ------
        BadInputError : some are given.
        """
        if inference_args:
            raise BadInputError("inference_args have no meaning here", remedy="leave them out")


def _saved_model(path: str) -> ClusterModel:
    """What ``save_model`` wrote, on any of Beam's file systems."""
    if "://" not in path:
        return load_model(Path(path))
    with tempfile.TemporaryDirectory(prefix="shoal-model-") as local:
        for file in FileSystems.match([FileSystems.join(path, "*")])[0].metadata_list:
            (Path(local) / file.path.rsplit("/", 1)[-1]).write_bytes(read_bytes(file.path))
        try:
            return load_model(local)
        except ShoalError as error:
            raise type(error)(str(error).replace(local, path)) from error


def _width(element: Any) -> int:
    return len(element) if hasattr(element, "__len__") else 1
