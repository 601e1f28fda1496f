"""What the fitted models share: centres, labels as columns, exact cost, saving, export."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pyspark.ml import Model
from pyspark.ml.util import MLReadable, MLWritable

from shoal.engines.spark.labelling import with_labels
from shoal.engines.spark.measure import measure
from shoal.engines.spark.persistence import ModelReader, ModelWriter
from shoal.engines.spark.training import TrainingSummary
from shoal.errors import ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.summary.cf_tree import CFTree
from shoal.summary.coreset import Coreset


class CentreModel(Model, MLWritable, MLReadable):  # type: ignore[misc]
    """A model of k centres; subclasses know how it goes on learning."""

    def __init__(
        self,
        model: ClusterModel | None = None,
        state: Coreset | CFTree | None = None,
        training: TrainingSummary | None = None,
    ) -> None:
        super().__init__()
        self._defaults()
        self._model, self._state, self._training = model, state, training

    def _defaults(self) -> None:
        """Defaults of the Params, as those of the estimator."""
        raise NotImplementedError

    @property
    def clusterModel(self) -> ClusterModel:
        """The model as all engines have it."""
        if self._model is None:
            raise ShoalError(f"this {type(self).__name__} is empty: fit an estimator, or load a saved model")
        return self._model

    def clusterCenters(self) -> list[NDArray[np.float64]]:
        """k centres, each (d,). Predictions are positions in this list, until clusters are born or die in an update."""
        return list(self.clusterModel.centres)

    def clusterIds(self) -> list[int]:
        """Stable id of each centre: what predictions are."""
        return [int(i) for i in self.clusterModel.ids]

    @property
    def numFeatures(self) -> int:
        """Numbers in a row."""
        return self.clusterModel.n_features

    @property
    def hasSummary(self) -> bool:
        """Always: the training summary is saved with the model."""
        return self._training is not None

    @property
    def summary(self) -> TrainingSummary:
        """How the model was found."""
        if self._training is None:
            raise ShoalError(f"this {type(self).__name__} has no training summary")
        return self._training

    def predict(self, value: Any) -> int:
        """Id of the cluster of one vector."""
        row = np.asarray(value.toArray() if hasattr(value, "toArray") else value, np.float64)
        return int(self.clusterModel.predict(row[None, :])[0])

    def computeCost(self, df: Any) -> float:
        """Exact weighted sum of squared distances of all rows to these centres, in one job.

        Raises
        ------
        BadInputError : rows that cannot be used.
        """
        return measure(df, self._columns(), self.clusterModel.centres).inertia

    def toMLlib(self, path: str, *, overwrite: bool = False) -> list[int]:
        """Write the centres as MLlib does, so that ``pyspark.ml.clustering.KMeansModel.load`` scores in the JVM.

        Answers the stable id of each of MLlib's predictions: 0, 1, 2, ... until clusters are born or die in an update.
        """
        from shoal.engines.spark.mllib import write_mllib

        ids = write_mllib(
            self._spark(),
            self.clusterModel,
            path,
            features_col=self.getOrDefault("featuresCol"),
            prediction_col=self.getOrDefault("predictionCol"),
            overwrite=overwrite,
        )
        return [int(i) for i in ids]

    def write(self) -> ModelWriter:
        """A writer with ``save(path)`` and ``overwrite()``."""
        return ModelWriter(self)

    @classmethod
    def read(cls) -> ModelReader:
        """A reader with ``load(path)``."""
        return ModelReader(cls)

    def _transform(self, dataset: Any) -> Any:
        columns = self._columns()
        outputs = tuple(self.getOrDefault(n) for n in ("predictionCol", "distanceCol", "outlierCol"))
        keep = self.getOrDefault("handleInvalid") == "keep"
        return with_labels(dataset, self.clusterModel, columns, outputs=outputs, keep_invalid=keep)

    def _next(self, model: ClusterModel, state: Any, training: TrainingSummary) -> Self:
        """A model of the same kind and Params."""
        out: Self = type(self)(model, state, training)
        return self._copyValues(out)  # type: ignore[no-any-return]

    def _spark(self) -> Any:
        from pyspark.sql import SparkSession

        return SparkSession.active()
