"""``StreamingKMeans``: the one pass with forgetting by event time, which goes on with every DataFrame."""

from __future__ import annotations

from typing import Any, Self

from pyspark import keyword_only

from shoal.engines.spark.k_means import CoresetEstimator, CoresetModel
from shoal.engines.spark.params import StreamingParams, with_accessors
from shoal.errors import BadInputError


@with_accessors
class StreamingKMeansModel(CoresetModel, StreamingParams):
    """What :class:`StreamingKMeans` finds; ``update(df)`` goes on."""

    def _defaults(self) -> None:
        self._centre_defaults()


@with_accessors
class StreamingKMeans(CoresetEstimator, StreamingParams):
    """k-means for data that keep coming: one pass over each DataFrame, rows forgotten by their own event time.

    Unlike MLlib's class of that name, forgetting does not depend on how rows were batched, late rows come with their own
    age, models merge, and clusters keep their ids: ``model = model.update(todays_rows)``. For a live stream see
    ``writeStream.format("shoal")`` in docs/spark_streaming.md.

    Examples
    --------
    >>> StreamingKMeans(k=8, timeCol="at", halfLife="6h").fit(monday).update(tuesday)  # doctest: +SKIP
    """

    @keyword_only  # type: ignore[untyped-decorator]
    def __init__(
        self,
        *,
        k: int = 8,
        featuresCol: str = "features",
        featuresCols: list[str] | None = None,
        predictionCol: str = "prediction",
        distanceCol: str = "distance",
        outlierCol: str = "outlier_score",
        weightCol: str | None = None,
        idCol: str | None = None,
        timeCol: str | None = None,
        halfLife: float | str | None = None,
        handleInvalid: str = "error",
        distanceMeasure: str = "euclidean",
        seed: int = 0,
        sampleRows: int | None = None,
        maxBytes: int | None = None,
        maxClusters: int | None = None,
        initialModel: Any = None,
    ) -> None:
        super().__init__()
        self._centre_defaults()
        self._set(**self._input_kwargs)

    @keyword_only  # type: ignore[untyped-decorator]
    def setParams(self, **params: Any) -> Self:
        """Set several Params."""
        return self._set(**params)  # type: ignore[no-any-return]

    def _fit(self, dataset: Any) -> StreamingKMeansModel:
        half_life = self._if_set("halfLife")
        if half_life is not None and self._if_set("timeCol") is None:
            raise BadInputError("halfLife needs event times", remedy="name their column in timeCol")
        made, summary = self._one_pass(dataset, half_life)
        return self._made(StreamingKMeansModel(made.model, summary, made.training))  # type: ignore[no-any-return]
