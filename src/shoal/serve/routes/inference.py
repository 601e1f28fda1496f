"""The Open Inference Protocol, version 2, as KServe and Triton speak it over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec

import anyio
from fastapi import FastAPI, Request
from starlette.responses import Response

from shoal.errors import BadInputError, ShoalError
from shoal.model.aliases import versions
from shoal.model.release import release
from shoal.serve.access_log import noted_of
from shoal.serve.answers import to_json
from shoal.serve.body import check_encoding, read_body
from shoal.serve.columns import MEND, MEND_ROW, wanted_columns
from shoal.serve.described import BOOLEAN, INTEGER, JSON, RAW, TEXT, Responses, Schema, array, record
from shoal.serve.inference import LENGTH, Asked, answer, as_rows, input_cards, output_cards, read_request
from shoal.serve.models import Served
from shoal.serve.refused import RefusedError, json_response, refusal_of
from shoal.serve.rows import Vectors, read_rows
from shoal.serve.service import Service
from shoal.serve.tracing import span
from shoal.serve.version_cache import VersionCache, folder_of

P = ParamSpec("P")

_TENSOR = record(
    name=TEXT, datatype=TEXT, shape=array(INTEGER), data={"type": "array"}, optional=["data"], more=True
)
_INFER = record(inputs=array(_TENSOR, minItems=1), outputs=array(record(name=TEXT, more=True)), id=TEXT,
                parameters={"type": "object"}, optional=["outputs", "id", "parameters"], more=True)  # fmt: skip
_ANSWER = record(model_name=TEXT, model_version=TEXT, id=TEXT, outputs=array(_TENSOR), optional=["id"])
_CARDS = array(record(name=TEXT, datatype=TEXT, shape=array(INTEGER)))
_MODEL = record(name=TEXT, versions=array(TEXT), platform=TEXT, inputs=_CARDS, outputs=_CARDS)
_SERVER = record(name=TEXT, version=TEXT, extensions=array(TEXT))
_BINARY: Schema = {"type": "string", "format": "binary"}
_BODY = {
    "requestBody": {
        "required": True,
        "description": f"Tensors; binary data may follow the JSON, whose length {LENGTH} then tells.",
        "content": {JSON: {"schema": _INFER}, RAW: {"schema": _BINARY}},
    }
}


def add_inference(app: FastAPI, service: Service) -> None:
    """``/v2`` and what is below it."""
    cache = service.versions

    @app.get("/v2", summary="The server", responses=_responses(_SERVER))
    async def server() -> Response:
        """Name, release and extensions."""
        return json_response({"name": "shoal", "version": release(), "extensions": ["binary_tensor_data"]})

    @app.get("/v2/health/live", summary="Is it live?", responses=_responses(record(live=BOOLEAN)))
    async def live() -> Response:
        """Whether the process answers."""
        return json_response({"live": True})

    @app.get("/v2/health/ready", summary="Is it ready?", responses=_responses(record(ready=BOOLEAN), 400))
    async def ready() -> Response:
        """Whether every model has a version; if not, 400, as the protocol asks for."""
        is_ready = service.models.is_ready
        return json_response({"ready": is_ready}, 200 if is_ready else 400)

    @app.get("/v2/models/{name}", summary="Tensors of a model", responses=_responses(_MODEL, 404, 503))
    @app.get(
        "/v2/models/{name}/versions/{version}",
        summary="Tensors of a version",
        responses=_responses(_MODEL, 404, 503),
    )
    @_as_the_protocol_has_errors
    async def metadata(request: Request, name: str, version: str | None = None) -> Response:
        """What goes in and what comes out."""
        served = await _chosen(cache, request, name, version)
        numbers = await anyio.to_thread.run_sync(_numbers, served)
        return json_response(
            {
                "name": served.name,
                "versions": numbers,
                "platform": "shoal",
                "inputs": input_cards(wanted_columns(served)),
                "outputs": output_cards(served),
            }
        )

    @app.get(
        "/v2/models/{name}/ready",
        summary="Is a model ready?",
        responses=_responses(record(name=TEXT, ready=BOOLEAN), 400, 404),
    )
    @app.get(
        "/v2/models/{name}/versions/{version}/ready",
        summary="Is a version ready?",
        responses=_responses(record(name=TEXT, ready=BOOLEAN), 400, 404),
    )
    @_as_the_protocol_has_errors
    async def model_ready(request: Request, name: str, version: str | None = None) -> Response:
        """Whether it can be asked; if it has no version yet, 400."""
        if name in service.models.names and service.models.get(name) is None:
            return json_response({"name": name, "ready": False}, 400)
        served = await _chosen(cache, request, name, version)
        return json_response({"name": served.name, "ready": True})

    @app.post(
        "/v2/models/{name}/infer",
        summary="Labels by tensors",
        responses=_responses(_ANSWER, 400, 404, 408, 413, 415, 429, 503, is_binary=True),
        openapi_extra=_BODY,
    )
    @app.post(
        "/v2/models/{name}/versions/{version}/infer",
        summary="Labels by tensors, of a version",
        responses=_responses(_ANSWER, 400, 404, 408, 413, 415, 429, 503, is_binary=True),
        openapi_extra=_BODY,
    )
    @_as_the_protocol_has_errors
    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        """Cluster, distances and outlier score of each row."""
        served = await _chosen(cache, request, name, version)
        check_encoding(request)
        noted, header = noted_of(request), request.headers.get(LENGTH)
        noted.model, noted.version = served.name, served.version
        async with service.waiting.place() as place:
            body = await read_body(request, service.settings, place)
            with span("read"):
                asked, rows = await anyio.to_thread.run_sync(
                    _read, served, body, header, service.settings.max_rows
                )
            noted.rows = rows.sent
            with span("assign"):
                found = await service.batcher.assign(served, rows.matrix)
            with span("write"):
                answered, length = await anyio.to_thread.run_sync(answer, served, asked, rows, found)
        service.metrics.labelled(served.name, found.outlier_scores)
        if length is None:
            return Response(answered, media_type=JSON)
        return Response(answered, media_type=RAW, headers={LENGTH: str(length)})


def _read(served: Served, body: bytes, header: str | None, max_rows: int) -> tuple[Asked, Vectors]:
    asked = read_request(body, header, served)
    kind, sent, width = as_rows(asked.inputs, wanted_columns(served))
    return asked, read_rows(served, kind, sent, width=width, max_rows=max_rows)


def _as_the_protocol_has_errors(
    handler: Callable[P, Awaitable[Response]],
) -> Callable[P, Awaitable[Response]]:
    """``{"error"}`` alone, and 400 for what cannot be read."""

    @wraps(handler)
    async def handled(*arguments: P.args, **named: P.kwargs) -> Response:
        try:
            return await handler(*arguments, **named)
        except RefusedError as error:
            return _error(error)
        except (ShoalError, OSError) as error:
            return _error(refusal_of(error))

    return handled


def _error(told: RefusedError) -> Response:
    # the protocol has no way to ask for rows to be skipped
    remedy = MEND_ROW if told.remedy == MEND else told.remedy
    text = str(BadInputError(told.error, place=told.place, remedy=remedy))
    status = 400 if told.status == 422 else told.status
    return Response(to_json({"error": text}), status, media_type=JSON, headers=told.headers)


async def _chosen(cache: VersionCache, request: Request, name: str, version: str | None) -> Served:
    """By the version a path speaks of, which may be the one that is served of a model without numbers."""
    if version is None:
        return cache.of_request(request, name)
    newest = cache.newest(name)
    if version == newest.version:
        return newest
    return await anyio.to_thread.run_sync(cache.resolve, f"{name}@{version}")


def _numbers(served: Served) -> list[str]:
    try:
        return [str(number) for number in versions(folder_of(served))]
    except RefusedError:
        return [served.version]


def _responses(schema: Schema, *statuses: int, is_binary: bool = False) -> Responses:
    error = {JSON: {"schema": record(error=TEXT, more=True)}}
    content: dict[str, Any] = {JSON: {"schema": schema}}
    if is_binary:
        content[RAW] = {"schema": _BINARY}
    told: Responses = {
        status: {"description": "It cannot be answered.", "content": error} for status in (401, 421, 500)
    }
    for status in statuses:
        told[status] = {"description": "It cannot be answered; the error says why.", "content": error}
    if 400 in statuses and not is_binary:
        told[400] = {"description": "It is not ready.", "content": {JSON: {"schema": schema}}}
    return {200: {"description": "As asked.", "content": content}, **told}
