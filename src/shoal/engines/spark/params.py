"""Params of the estimators and models, as ``pyspark.ml`` has them: names, types, defaults, getters and setters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import (
    HasDistanceMeasure,
    HasFeaturesCol,
    HasMaxIter,
    HasPredictionCol,
    HasSeed,
    HasTol,
    HasWeightCol,
)

from shoal.engines.shares import SummarySettings
from shoal.engines.spark.rows import RowColumns
from shoal.engines.stream.settings import Span
from shoal.errors import BadInputError
from shoal.solve.lloyd import Metric
from shoal.summary.coreset import DEFAULT_BYTES

C = TypeVar("C", bound=type)


def _param(name: str, doc: str, convert: Callable[[Any], Any] | None = None) -> Any:
    return Param(Params._dummy(), name, doc, typeConverter=convert)


def _one_of(name: str, *allowed: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if value not in allowed:
            raise BadInputError(f"{name} is {value!r}", remedy=f"use one of {', '.join(allowed)}")
        return str(value)

    return convert


def _at_least(name: str, least: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        number: int = TypeConverters.toInt(value)
        if number < least:
            raise BadInputError(f"{name} is {number}", remedy=f"give at least {least}")
        return number

    return convert


def _half_life(value: Any) -> float:
    """Seconds, from a number or from ``6h``."""
    seconds = Span.parse(value).seconds if isinstance(value, str) else float(value)
    if seconds is None or not seconds > 0:
        raise BadInputError(f"halfLife is {value!r}", remedy="give seconds, or a time such as '6h'")
    return float(seconds)


def _initial_model(value: Any) -> Any:
    """A path as it is; centres, or the centres of a model, as lists of numbers."""
    if isinstance(value, str):
        return value
    centres = value.clusterCenters() if hasattr(value, "clusterCenters") else value
    found = np.asarray(centres, np.float64)
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise BadInputError(
            f"initialModel has shape {found.shape}", remedy="give a path, a model, or k finite centres (k, d)"
        )
    return found.tolist()


def with_accessors(cls: C) -> C:
    """Give a class ``getX`` and ``setX`` for each of its Params that has none yet, as ``pyspark.ml`` classes have."""
    for name in dir(cls):
        param = getattr(cls, name, None)
        if not isinstance(param, Param):
            continue
        title = name[0].upper() + name[1:]
        if not hasattr(cls, f"get{title}"):
            setattr(cls, f"get{title}", _getter(name, param.doc))
        if f"set{title}" not in vars(cls):
            setattr(cls, f"set{title}", _setter(name, param.doc))
    return cls


def _getter(name: str, doc: str) -> Callable[[Any], Any]:
    def get(self: Any) -> Any:
        return self.getOrDefault(name)

    get.__doc__ = f"Value of ``{name}``: {doc}"
    return get


def _setter(name: str, doc: str) -> Callable[[Any, Any], Any]:
    def put(self: Any, value: Any) -> Any:
        return self._set(**{name: value})

    put.__doc__ = f"Set ``{name}``: {doc}"
    return put


class RowParams(HasFeaturesCol, HasPredictionCol, HasWeightCol):  # type: ignore[misc]
    """Which columns are read and written; of all estimators and models."""

    featuresCols = _param(
        "featuresCols", "several numeric columns instead of featuresCol", TypeConverters.toListString
    )
    distanceCol = _param(
        "distanceCol", "column for the distance to the centre; empty for none", TypeConverters.toString
    )
    outlierCol = _param(
        "outlierCol",
        "column for the outlier score in [0, 1], the share of rows that lie less far out; empty for none",
        TypeConverters.toString,
    )
    idCol = _param(
        "idCol",
        "whole numbers that name rows for ever; a row that is learned twice is then one row of the sample",
        TypeConverters.toString,
    )
    timeCol = _param("timeCol", "event time: timestamp, date or seconds", TypeConverters.toString)
    handleInvalid = _param(
        "handleInvalid",
        "rows with null, NaN or another width: error; skip, which drops and counts them; or keep, which counts them in "
        "fit and labels them null in transform",
        _one_of("handleInvalid", "error", "skip", "keep"),
    )

    def _row_defaults(self) -> None:
        self._setDefault(
            featuresCol="features",
            predictionCol="prediction",
            distanceCol="distance",
            outlierCol="outlier_score",
            handleInvalid="error",
        )

    def _if_set(self, name: str) -> Any:
        return self.getOrDefault(name) if self.hasParam(name) and self.isDefined(name) else None

    @property
    def _metric(self) -> Metric:
        return "cosine" if self._if_set("distanceMeasure") == "cosine" else "euclidean"

    def _columns(self) -> RowColumns:
        """What fit reads."""
        several = self._if_set("featuresCols")
        invalid = self.getOrDefault("handleInvalid")
        return RowColumns(
            features=tuple(several) if several else (self.getOrDefault("featuresCol"),),
            weight=self._if_set("weightCol"),
            time=self._if_set("timeCol"),
            id=self._if_set("idCol"),
            invalid="error" if invalid == "error" else "skip",
            cosine=self._metric == "cosine",
        )


class CentreParams(RowParams, HasSeed, HasDistanceMeasure):  # type: ignore[misc]
    """Of k-means over a Coreset."""

    k = _param("k", "number of clusters", _at_least("k", 1))
    sampleRows = _param("sampleRows", "rows the summary keeps", _at_least("sampleRows", 1))
    maxBytes = _param("maxBytes", "memory budget of a summary, in bytes", _at_least("maxBytes", 1))
    maxClusters = _param(
        "maxClusters", "largest k that will be asked of the summary", _at_least("maxClusters", 1)
    )
    initialModel = _param(
        "initialModel", "where to start: a path of a saved model, a model, or centres (k, d)", _initial_model
    )

    def _centre_defaults(self) -> None:
        self._row_defaults()
        self._setDefault(k=8, seed=0, distanceMeasure="euclidean", maxBytes=DEFAULT_BYTES, maxClusters=64)

    def _settings(self, half_life: float | None = None) -> SummarySettings:
        return SummarySettings(
            k_max=max(self.getOrDefault("maxClusters"), self.getOrDefault("k")),
            rows=self._if_set("sampleRows"),
            max_bytes=self.getOrDefault("maxBytes"),
            seed=self.getOrDefault("seed"),
            half_life=half_life,
        )


class KMeansParams(CentreParams, HasMaxIter, HasTol):  # type: ignore[misc]
    """Of :class:`~shoal.engines.spark.k_means.KMeans`."""

    plan = _param(
        "plan",
        "summary: one pass, solved on the driver; lloyd: exact iterations over all rows",
        _one_of("plan", "summary", "lloyd"),
    )
    refine = _param(
        "refine",
        "plan summary: exact Lloyd iterations over all rows afterwards, one job each, which also make the cost exact",
        _at_least("refine", 0),
    )

    def _k_means_defaults(self) -> None:
        self._centre_defaults()
        self._setDefault(plan="summary", refine=0, maxIter=300, tol=1e-4)


class StreamingParams(CentreParams):
    """Of :class:`~shoal.engines.spark.streaming_k_means.StreamingKMeans`."""

    halfLife = _param(
        "halfLife", "event time after which a row counts half: seconds, or a text such as 6h", _half_life
    )


class BirchParams(RowParams):
    """Of :class:`~shoal.engines.spark.birch.Birch`."""

    k = _param("k", "number of clusters the entries are merged into", _at_least("k", 1))
    threshold = _param(
        "threshold", "largest radius of an entry, where growing starts", TypeConverters.toFloat
    )
    branchingFactor = _param("branchingFactor", "most entries of a node", _at_least("branchingFactor", 2))
    maxLeafEntries = _param(
        "maxLeafEntries", "most entries; beyond it the threshold grows", _at_least("maxLeafEntries", 1)
    )
    halfLife = StreamingParams.halfLife

    def _birch_defaults(self) -> None:
        self._row_defaults()
        self._setDefault(k=8, threshold=0.0, branchingFactor=50, maxLeafEntries=2000)
