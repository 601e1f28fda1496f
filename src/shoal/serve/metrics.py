"""Numbers for Prometheus; never labelled by anything a client can make up, nor by cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from shoal.serve.models import Models

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_EVENTS = ("born", "died", "split", "merged", "grew", "shrank", "moved")
Reason = Literal["requests", "bytes", "closing", "time"]


class Metrics:
    """The counts of one service."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "shoal_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "shoal_request_seconds",
            "Time from a request's head to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._refused = Counter(
            "shoal_requests_refused", "Requests sent away under load.", ["reason"], registry=registry
        )
        self._routes: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._points = Counter("shoal_points", "Rows labelled.", ["model"], registry=registry)
        self._scores = _Scores()
        registry.register(self._scores)
        self._clusters = Gauge("shoal_clusters", "Clusters being served.", ["model"], registry=registry)
        self._version = Gauge(
            "shoal_model_version_info", "Version being served.", ["model", "version"], registry=registry
        )
        self._events = Counter(
            "shoal_cluster_events", "Changes of clusters.", ["model", "kind"], registry=registry
        )

        self._learns: Gauge | None = None

    def learning(self, *, is_up: bool) -> None:
        """Say whether the process that learns runs; a service without one has no such number."""
        if self._learns is None:
            self._learns = Gauge(
                "shoal_learning_up", "Whether the stream that learns runs.", registry=self._registry
            )
        self._learns.set(is_up)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request; ``route`` is a route's pattern, not the path asked for."""
        known = self._routes.get((route, status))
        if known is None:  # finding the children of a metric takes longer than counting
            known = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._routes[route, status] = known
        known[0].inc()
        known[1].observe(seconds)

    def refused(self, reason: Reason) -> None:
        """Count a request sent away under load."""
        self._refused.labels(reason).inc()

    def labelled(self, model: str, scores: NDArray[np.float64]) -> None:
        """Count rows, by their (n,) outlier scores."""
        self._points.labels(model).inc(len(scores))
        self._scores.add(model, scores)

    def changed(self, model: str, kind: str) -> None:
        """Count a change of a cluster, such as ``born``."""
        self._events.labels(model, kind if kind in _EVENTS else "other").inc()

    def text(self, models: Models) -> bytes:
        """All of them, in Prometheus' text format."""
        self._version.clear()
        for name in models.names:
            if (served := models.get(name)) is not None:
                self._version.labels(name, served.version).set(1)
                self._clusters.labels(name).set(served.model.k)
        return generate_latest(self._registry)


class _Scores(Collector):
    """Outlier scores: distances of any unit on one scale. Whole arrays are counted, where a Histogram takes one."""

    _LEVELS = np.array([0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0])

    def __init__(self) -> None:
        self._counts: dict[str, NDArray[np.int64]] = {}
        self._sums: dict[str, float] = {}

    def add(self, model: str, scores: NDArray[np.float64]) -> None:
        found = np.bincount(self._LEVELS.searchsorted(scores), minlength=len(self._LEVELS) + 1)
        self._counts[model] = self._counts.get(model, 0) + found
        self._sums[model] = self._sums.get(model, 0.0) + float(scores.sum())

    def collect(self) -> Iterator[Any]:
        family = HistogramMetricFamily(
            "shoal_assign_outlier_score", "Outlier scores of rows labelled.", labels=["model"]
        )
        for model, counts in list(self._counts.items()):
            levels = [*(f"{level:g}" for level in self._LEVELS), "+Inf"]
            buckets = list(zip(levels, counts.cumsum().tolist(), strict=True))
            family.add_metric([model], buckets, self._sums[model])
        yield family
