"""The service as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from shoal.model.release import release
from shoal.serve.guard import Guard
from shoal.serve.models import Models
from shoal.serve.refused import add_errors
from shoal.serve.routes.aliases import add_aliases
from shoal.serve.routes.assign import add_assign
from shoal.serve.routes.events import add_events
from shoal.serve.routes.health import add_health
from shoal.serve.routes.history import add_history
from shoal.serve.routes.inference import add_inference
from shoal.serve.routes.learn import add_learn
from shoal.serve.routes.models import add_models
from shoal.serve.routes.page import add_page
from shoal.serve.routes.past import add_past
from shoal.serve.routes.scene import add_scene
from shoal.serve.routes.versions import add_versions
from shoal.serve.service import Service
from shoal.serve.settings import Settings
from shoal.serve.tokens import add_session
from shoal.serve.version_cache import LoadsVersions

_ROUTES = (
    add_assign,  # asked for most: found first
    add_health,
    add_session,
    add_models,
    add_versions,
    add_aliases,
    add_learn,
    add_scene,
    add_past,
    add_events,
    add_history,
    add_inference,
    add_page,
)


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
        service.open()
        seconds = service.settings.poll_seconds
        with service.models.watching(seconds), service.happenings.watching(seconds):
            yield
        service.ended()

    # the pages FastAPI has for its description load scripts from another host
    app = FastAPI(title="Shoal", version=release(), docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(LoadsVersions, cache=service.versions)
    app.add_middleware(Guard, settings=service.settings, metrics=service.metrics)
    add_errors(app)
    for add in _ROUTES:
        add(app, service)
    return app
