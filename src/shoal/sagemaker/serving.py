"""An artefact behind HTTP as the container of the built-in k-means serves it: ``/ping`` and ``/invocations``.

Beside what the container answers, ``/endpoints/NAME/invocations`` stands in for the runtime API, so that a boto3 client
needs nothing but another ``endpoint_url``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

import anyio
from fastapi import FastAPI, Request
from starlette.responses import Response

from shoal.errors import BadInputError, ShoalError
from shoal.model.release import release
from shoal.sagemaker.answering import Answering
from shoal.sagemaker.requests import JSON, KINDS, Rows
from shoal.sagemaker.responses import checked_answer, chosen_answer
from shoal.sagemaker.tree import CSV
from shoal.serve.access_log import noted_of
from shoal.serve.batcher import Batcher
from shoal.serve.body import Place, Waiting, content_type, read_body
from shoal.serve.guard import Guard
from shoal.serve.metrics import Metrics
from shoal.serve.refused import RefusedError, add_errors, error_response, json_response
from shoal.serve.settings import Settings

PORT = 8080
CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"
_UNLIMITED = 2**31 - 1
_SMALL = 16_384
"""Bytes of a body that are read sooner than another thread would begin with them."""
_LITTLE = 1 << 20
"""Bytes of rows that are unpacked without another thread."""
_TOO_BUSY = 429

T = TypeVar("T")


@dataclass(frozen=True)
class ServingOptions:
    """What the container is told by its environment.

    >>> ServingOptions.of_environment({"SAGEMAKER_BIND_TO_PORT": "8123", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20"})
    ServingOptions(port=8123, accept='application/json', max_payload_mb=20, concurrent=..., strategy='MULTI_RECORD')
    """

    port: int = PORT
    accept: str = JSON
    """The format of answers whose request asks for none."""
    max_payload_mb: int = 6
    """MiB of a body, as many as the runtime API takes; 0: as many as fit."""
    concurrent: int = 1
    """Requests of a batch job at a time."""
    strategy: str = "MULTI_RECORD"

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """By ``SAGEMAKER_BIND_TO_PORT`` (or ``_HTTP_PORT``), ``_DEFAULT_INVOCATIONS_ACCEPT``, ``_MAX_PAYLOAD_IN_MB``, ...

        Raises
        ------
        ShoalError : a value that is no number in range, or no format of answers.
        """
        env = os.environ if environment is None else environment
        port = "SAGEMAKER_BIND_TO_PORT" if env.get("SAGEMAKER_BIND_TO_PORT") else "SAGEMAKER_HTTP_PORT"
        return cls(
            port=_number(env, port, PORT, 65_535),
            accept=checked_answer(env.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or JSON),
            max_payload_mb=_number(env, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 6, 2047),
            concurrent=_number(env, "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", 0, 1000) or os.cpu_count() or 1,
            strategy=env.get("SAGEMAKER_BATCH_STRATEGY") or "MULTI_RECORD",
        )


class _Anyone(Settings):
    """Of a service whose network says who may reach it, and under which names."""

    def knows_host(self, header: str) -> bool:
        return True


def serving_app(
    answering: Answering, options: ServingOptions | None = None, *, open_to_all: bool = False
) -> FastAPI:
    """The container's routes as an ASGI application.

    A body without a content type is read as ``text/csv``.

    Parameters
    ----------
    open_to_all : whether requests may name any host, as in a container that listens at all addresses. Otherwise only
        those to this machine are answered, so that no page of another site reads the answers.
    """
    options = options or ServingOptions.of_environment()
    kind_of_settings = _Anyone if open_to_all else Settings
    settings = kind_of_settings(max_body=options.max_payload_mb * 1024**2 or _UNLIMITED)
    metrics = Metrics()
    waiting, batcher = Waiting(settings, metrics), Batcher()
    app = FastAPI(title="Shoal", version=release(), docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    add_errors(app)

    async def answered(request: Request) -> Response:
        kind, accept = _kind(request), _accept(request, options.accept)
        async with waiting.place() as place:
            body = await read_body(request, settings, place)
            rows = await _read(answering, kind, body, place)
            noted_of(request).rows = len(rows.matrix)
            found = await batcher.assign(answering.served, rows.matrix)
            written = await _done(len(body) <= _SMALL, lambda: answering.written(rows, found, accept))
        return Response(written, headers={"Content-Type": accept})

    @app.exception_handler(BadInputError)
    async def bad_input(_: Request, error: BadInputError) -> Response:
        return _bad_input(error)

    @app.get("/ping")
    async def ping() -> Response:
        """Whether the model can be asked."""
        return Response()

    @app.get("/execution-parameters")
    async def execution_parameters() -> Response:
        """How a batch job may ask."""
        return json_response(
            {
                "MaxConcurrentTransforms": options.concurrent,
                "BatchStrategy": options.strategy,
                "MaxPayloadInMB": options.max_payload_mb,
            }
        )

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        """Cluster and distance of each record."""
        return _echoed(request, await answered(request))

    @app.post("/endpoints/{name}/invocations")
    async def endpoint(request: Request) -> Response:
        """The same as the runtime API answers, errors too; the name may be any."""
        try:
            response = await answered(request)
        except BadInputError as error:
            response = _model_error(_bad_input(error))
        except RefusedError as error:
            if error.status == _TOO_BUSY or error.status >= 500:  # clients try these again
                raise
            response = _model_error(error_response(error.status, error.error, remedy=error.remedy))
        response.headers["x-Amzn-Invoked-Production-Variant"] = "AllTraffic"
        return _echoed(request, response)

    return app


def _kind(request: Request) -> str:
    header = request.headers.get("content-type")
    if header is None:
        return CSV
    content_type(request, KINDS)
    return header


def _accept(request: Request, default: str) -> str:
    kind = chosen_answer(request.headers.get("accept", ""), default)
    if kind is None:
        raise RefusedError(406, "cannot answer in that format", remedy=f"accept {', '.join(KINDS)}")
    return kind


def _bad_input(error: BadInputError) -> Response:
    return error_response(400, error.problem, place=error.place, remedy=error.remedy)


def _model_error(inner: Response) -> Response:
    """An error of the container as the runtime API tells it, but with the reason in the message."""
    told = bytes(inner.body).decode()
    reason = json.loads(told)
    text = ": ".join(filter(None, (reason["place"], reason["error"])))
    text += f"; {reason['remedy']}" if reason["remedy"] else ""
    response = json_response(
        {
            "Message": f"Received client error ({inner.status_code}) from primary: {text}",
            "OriginalMessage": told,
            "OriginalStatusCode": inner.status_code,
        },
        424,
    )
    response.headers["x-amzn-errortype"] = "ModelError"
    return response


def _echoed(request: Request, response: Response) -> Response:
    if (custom := request.headers.get(CUSTOM)) is not None:
        response.headers[CUSTOM] = custom
    return response


class _LargeError(Exception):
    """A short body that stands for many numbers."""


async def _read(answering: Answering, kind: str, body: bytes, place: Place) -> Rows:
    """The rows of a body, which takes room at its place for what it unpacks to."""
    left = False

    def take(size: int) -> None:
        if left:  # nobody waits for the rows any more, and the place is given up
            raise _LargeError
        place.hold(size)

    def here(size: int) -> None:
        if size > _LITTLE:
            raise _LargeError
        take(size)

    try:
        if len(body) <= _SMALL:
            return answering.read(kind, body, here)
    except _LargeError:
        pass
    try:
        # the count of what is held belongs to the event loop
        return await _done(
            False, lambda: answering.read(kind, body, lambda size: anyio.from_thread.run_sync(take, size))
        )
    finally:
        left = True


async def _done(here: bool, work: Callable[[], T]) -> T:
    """The work, on this thread if it is short: others, such as the ping, are to be answered meanwhile."""
    return work() if here else await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


def _number(env: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = env.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and int(text) <= most):
        raise ShoalError(f"{name} is {text!r}; give a number from 0 to {most}")
    return int(text)
