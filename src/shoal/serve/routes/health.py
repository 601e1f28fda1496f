"""Whether the service lives and is ready, and its counts."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response

from shoal.serve.described import HEALTH_RESPONSES, METRICS_RESPONSES
from shoal.serve.metrics import CONTENT_TYPE_LATEST
from shoal.serve.refused import RefusedError, json_response
from shoal.serve.service import Service


def add_health(app: FastAPI, service: Service) -> None:
    """``/health/live``, ``/health/ready``, ``/metrics``."""

    @app.get("/health/live", summary="Is it live?", responses=HEALTH_RESPONSES)
    async def live() -> Response:
        """Whether the process answers."""
        return json_response({"status": "live"})

    @app.get("/health/ready", summary="Is it ready?", responses=HEALTH_RESPONSES)
    async def ready() -> Response:
        """Whether there is a model, and the stream runs that learns."""
        if (trouble := service.learning_trouble) is not None:
            raise RefusedError(
                503, f"the stream that learns does not run: {trouble}", remedy="mend what it says"
            )
        if not service.models.is_ready:
            raise RefusedError(503, "there is no model yet", remedy="publish one to the store")
        return json_response({"status": "ready"})

    @app.get("/metrics", summary="Counts for Prometheus", responses=METRICS_RESPONSES)
    async def numbers() -> Response:
        """Counts for Prometheus."""
        if service.child is not None:
            service.metrics.learning(is_up=service.learning_trouble is None)
        return Response(service.metrics.text(service.models), headers={"Content-Type": CONTENT_TYPE_LATEST})
