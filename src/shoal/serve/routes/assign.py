"""Labels for rows, and their distances to the clusters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from shoal.serve.access_log import noted_of
from shoal.serve.answers import answer_table, chosen_kind, distance_table, written
from shoal.serve.assign_options import ASSIGN_PARAMETERS, TRANSFORM_PARAMETERS, Options
from shoal.serve.body import content_type, read_body
from shoal.serve.described import ASSIGN_RESPONSES, ROWS_BODY, TRANSFORM_RESPONSES
from shoal.serve.distances import check_size, shown_distances
from shoal.serve.json_answers import json_lists
from shoal.serve.models import Served
from shoal.serve.refused import RefusedError
from shoal.serve.rows import JSON, KINDS, RAW, Vectors, read_rows
from shoal.serve.service import Service
from shoal.serve.tracing import span

SMALL_BODY = 16_384
"""Bytes that are read sooner (within half a millisecond) than another thread would begin with them."""
SMALL_ANSWER = 256
"""Rows of which the same is true."""

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]


def add_assign(app: FastAPI, service: Service) -> None:
    """``/v1/models/{name}/assign`` and ``/v1/models/{name}/transform``."""
    settings = service.settings
    waiting = service.waiting

    async def rows_of(request: Request, served: Served, kind: str, body: bytes, options: Options) -> Vectors:
        noted = noted_of(request)
        noted.model, noted.version = served.name, served.version
        # texts go through a language model, and that takes its time
        here = len(body) <= SMALL_BODY and served.topics is None
        with span("read"):
            rows = await _done(
                here,
                lambda: read_rows(
                    served,
                    kind,
                    body,
                    width=options.width,
                    max_rows=settings.max_rows,
                    on_error=options.on_error,
                ),
            )
        noted.rows = rows.sent
        return rows

    @described_route(
        app,
        "/v1/models/{name}/assign",
        summary="Label rows",
        responses=ASSIGN_RESPONSES,
        openapi_extra=ROWS_BODY | {"parameters": ASSIGN_PARAMETERS},
    )
    async def assign(request: Request) -> Response:
        """Cluster, distances and outlier score of each row of the body; with ``n`` so many nearest clusters too."""
        served = service.served_to(request)
        kind, wanted = content_type(request, KINDS), _wanted(request, KINDS)
        options = Options.of_query(request.query_params)
        n, columns = (None, ("id",)) if wanted == RAW else (options.n, options.columns)
        async with waiting.place() as place:
            body = await read_body(request, settings, place)
            rows = await rows_of(request, served, kind, body, options)
            with span("assign"):
                found = await service.batcher.assign(served, rows.matrix)
            with span("write"):
                answered = await _done(
                    rows.sent <= SMALL_ANSWER and n is None,
                    lambda: written(answer_table(served, rows, found, n=n, columns=columns), wanted, served),
                )
        service.metrics.labelled(served.name, found.outlier_scores)
        service.recent.labelled(served, rows.matrix, found, rows.texts)
        return _response(served, answered, wanted)

    @described_route(
        app,
        "/v1/models/{name}/transform",
        summary="Distances to every cluster",
        responses=TRANSFORM_RESPONSES,
        openapi_extra=ROWS_BODY | {"parameters": TRANSFORM_PARAMETERS},
    )
    async def transform(request: Request) -> Response:
        """Distance of each row of the body to every cluster."""
        served = service.served_to(request)
        kind, wanted = content_type(request, KINDS), _wanted(request, KINDS[:3])
        options = Options.of_query(request.query_params)
        async with waiting.place() as place:
            body = await read_body(request, settings, place)
            rows = await rows_of(request, served, kind, body, options)
            check_size(rows.sent, served.model.k)
            with span("transform"):
                answered = await _done(False, lambda: _distances(served, rows, wanted))
        return _response(served, answered, wanted)


def described_route(app: FastAPI, path: str, **described: Any) -> Callable[[Endpoint], Endpoint]:
    """A POST route that gets the request as it is, without the framework's parameters, which take as long as the labels
    of a row do; the framework describes it all the same."""

    def add(endpoint: Endpoint) -> Endpoint:
        app.router.routes.append(_Quick(path, endpoint, methods=["POST"]))
        return app.post(path, **described)(endpoint)

    return add


class _Quick(Route):
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return match, {**found, "route": self}


def _distances(served: Served, rows: Vectors, wanted: str) -> bytes:
    ids, distances = shown_distances(served, rows.matrix)
    table = distance_table(rows, ids, distances)
    if wanted != JSON:
        return written(table, wanted, served)
    head = written(table.slice(0, 0), JSON, served).removesuffix(b',"rows":[]}')
    listed = ",".join(map(str, ids.tolist())).encode()
    return head + b',"ids":[' + listed + b'],"rows":[' + json_lists(table) + b"]}"


def _wanted(request: Request, kinds: tuple[str, ...]) -> str:
    wanted = chosen_kind(request.headers.get("accept", ""), kinds)
    if wanted is None:
        raise RefusedError(406, "cannot answer in that format", remedy=f"accept {', '.join(kinds)}")
    return wanted


async def _done(here: bool, work: Callable[[], T]) -> T:
    """The work, done on this thread or on another, which is left to itself if its client gives up."""
    return work() if here else await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


def _response(served: Served, body: bytes, kind: str) -> Response:
    return Response(body, headers={"X-Model-Version": served.version, "Content-Type": kind})
