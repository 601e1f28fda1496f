"""The routes of the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import anyio
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shoal.errors import BadInputError
from shoal.model.release import release
from shoal.serve.answers import answer_table, chosen_kind, cluster_cards, model_card, to_json, written
from shoal.serve.guard import Guard, error_response
from shoal.serve.limits import TooManyRowsError
from shoal.serve.metrics import CONTENT_TYPE_LATEST, Metrics
from shoal.serve.models import Models, Served
from shoal.serve.rows import KINDS, read_rows
from shoal.serve.settings import Settings

_AT_ONCE = 4
"""Requests labelled at a time; the kernel uses all cores for each."""


class RefusedError(Exception):
    """A request that is not answered, and why."""

    def __init__(
        self, status: int, error: str, *, place: str | None = None, remedy: str | None = None
    ) -> None:
        self.status, self.error, self.place, self.remedy = status, error, place, remedy
        super().__init__(error)


def create_app(models: Models, settings: Settings | None = None) -> FastAPI:
    """The service as an ASGI application, for uvicorn or another server.

    Newer versions are looked for while it runs.

    >>> import tempfile
    >>> app = create_app(Models.of_path(tempfile.mkdtemp()))
    >>> "/v1/models/{name}/assign" in app.openapi()["paths"]
    True
    """
    settings = settings or Settings()
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with models.watching(settings.poll_seconds):
            yield

    # the pages FastAPI has for its description load scripts from another host
    app = FastAPI(title="Shoal", version=release(), docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    _add_errors(app)
    _add_reading_routes(app, models, metrics)
    _add_assign(app, models, settings, metrics)
    return app


def _add_reading_routes(app: FastAPI, models: Models, metrics: Metrics) -> None:
    @app.get("/health/live")
    async def live() -> Response:
        """Whether the process answers."""
        return _json({"status": "live"})

    @app.get("/health/ready")
    async def ready() -> Response:
        """Whether there is a model."""
        if not models.is_ready:
            raise RefusedError(503, "there is no model yet", remedy="publish one to the store")
        return _json({"status": "ready"})

    @app.get("/v1/models")
    async def list_models() -> Response:
        """The models there are."""
        held = [served for name in models.names if (served := models.get(name)) is not None]
        return _json({"models": [{"name": s.name, "version": s.version, "k": s.model.k} for s in held]})

    @app.get("/v1/models/{name}")
    async def one_model(name: str) -> Response:
        """What a model is, and where it comes from."""
        return _json(model_card(_served(models, name)))

    @app.get("/v1/models/{name}/clusters")
    async def clusters(name: str) -> Response:
        """The clusters, with centres in the units of the columns."""
        served = _served(models, name)
        cards = await anyio.to_thread.run_sync(cluster_cards, served)
        return _json({"model": served.name, "version": served.version, "clusters": cards})

    @app.get("/metrics")
    async def numbers() -> Response:
        """Counts for Prometheus."""
        return Response(metrics.text(models), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _add_assign(app: FastAPI, models: Models, settings: Settings, metrics: Metrics) -> None:
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    @app.post("/v1/models/{name}/assign")
    async def assign(
        request: Request,
        name: str,
        width: Annotated[int | None, Query(ge=1)] = None,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> Response:
        """Cluster, distances and outlier score of each row of the body."""
        served = _served(models, name)
        kind = _content_type(request)
        wanted = chosen_kind(request.headers.get("accept", ""))
        if wanted is None:
            raise RefusedError(406, "cannot answer in that format", remedy=f"accept {', '.join(KINDS[:3])}")
        body = await _body(request, settings)

        def answer() -> tuple[bytes, int]:
            rows = read_rows(served, kind, body, width=width, max_rows=settings.max_rows, on_error=on_error)
            return written(answer_table(rows, served.model.assign(rows.matrix)), wanted, served), len(
                rows.kept
            )

        answered, labelled = await anyio.to_thread.run_sync(answer, limiter=limiter)
        metrics.labelled(name, labelled)
        headers = {"X-Model-Version": served.version, "Content-Type": wanted}
        return Response(answered, headers=headers)


def _add_errors(app: FastAPI) -> None:
    """Every error in one shape."""

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return error_response(error.status, error.error, place=error.place, remedy=error.remedy)

    @app.exception_handler(BadInputError)
    async def bad_input(_: Request, error: BadInputError) -> Response:
        status = 413 if isinstance(error, TooManyRowsError) else 422
        return error_response(status, error.problem, place=error.place, remedy=error.remedy)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return error_response(error.status_code, str(error.detail), **(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def parameter(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return error_response(422, str(first["msg"]), place=" ".join(str(p) for p in first["loc"]))


def _served(models: Models, name: str) -> Served:
    served = models.get(name)
    if served is not None:
        return served
    if name in models.names:
        raise RefusedError(503, "there is no version of this model yet", remedy="publish one to the store")
    raise RefusedError(404, "there is no model of this name", remedy="GET /v1/models lists them")


def _content_type(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in KINDS:
        raise RefusedError(415, "this content type is not read", remedy=f"send {', '.join(KINDS)}")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "compressed bodies are not read", remedy="send it as it is")
    return kind


async def _body(request: Request, settings: Settings) -> bytes:
    """The body, given up as soon as it is too long or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for part in request.stream():
                if len(body) + len(part) > settings.max_body:
                    raise RefusedError(
                        413,
                        f"the body is longer than {settings.max_body} bytes",
                        place="request",
                        remedy="send several requests",
                    )
                body += part
    except TimeoutError:
        remedy = "send faster, or less at a time"
        raise RefusedError(408, f"the body took over {settings.body_seconds:g} s", remedy=remedy) from None
    return bytes(body)


def _json(data: dict[str, Any]) -> Response:
    return Response(to_json(data), media_type="application/json")
