"""Numbers for Prometheus; never labelled by anything a client can make up, nor by cluster."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from shoal.serve.models import Models

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The counts of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "shoal_requests", "Requests answered.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "shoal_request_seconds",
            "Time from a request's head to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rows = Counter("shoal_rows_labelled", "Rows labelled.", ["model"], registry=self._registry)
        self._version = Gauge(
            "shoal_model_version_info", "Version being served.", ["model", "version"], registry=self._registry
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request; ``route`` is a route's pattern, not the path asked for."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def labelled(self, model: str, rows: int) -> None:
        """Count rows."""
        self._rows.labels(model).inc(rows)

    def text(self, models: Models) -> bytes:
        """All of them, in Prometheus' text format."""
        self._version.clear()
        for name in models.names:
            if (served := models.get(name)) is not None:
                self._version.labels(name, served.version).set(1)
        return generate_latest(self._registry)
