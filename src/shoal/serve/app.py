"""The service as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from shoal.model.release import release
from shoal.serve.guard import Guard
from shoal.serve.models import Models
from shoal.serve.refused import add_errors
from shoal.serve.routes.assign import add_assign
from shoal.serve.routes.health import add_health
from shoal.serve.routes.models import add_models
from shoal.serve.service import Service
from shoal.serve.settings import Settings

_ROUTES = (add_health, add_models, add_assign)


def create_app(models: Models, settings: Settings | None = None) -> FastAPI:
    """The service as an ASGI application, for uvicorn or another server.

    Newer versions are looked for while it runs.

    >>> import tempfile
    >>> app = create_app(Models.of_path(tempfile.mkdtemp()))
    >>> "/v1/models/{name}/assign" in app.openapi()["paths"]
    True
    """
    return app_of(Service(models, settings or Settings()))


def app_of(service: Service) -> FastAPI:
    """As :func:`create_app`, for a service that is there already."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with service.models.watching(service.settings.poll_seconds):
            yield
        service.feed.close()

    # the pages FastAPI has for its description load scripts from another host
    app = FastAPI(title="Shoal", version=release(), docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(Guard, settings=service.settings, metrics=service.metrics)
    add_errors(app)
    for add in _ROUTES:
        add(app, service)
    return app
