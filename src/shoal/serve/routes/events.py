"""What happened to the clusters, and what happens now."""

from __future__ import annotations

from typing import Annotated

import anyio
from fastapi import FastAPI, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shoal.model.events import KINDS, Kind
from shoal.serve.described import (
    INTEGER,
    NULLABLE_INTEGER,
    NUMBER,
    SHARE,
    TEXT,
    answers,
    array,
    errors,
    record,
)
from shoal.serve.feed import LISTENERS, Feed, server_sent
from shoal.serve.refused import RefusedError, json_response
from shoal.serve.service import Service

_EVENT = record(
    seq=INTEGER,
    kind={"type": "string", "enum": list(KINDS)},
    time=NUMBER,
    cluster=INTEGER,
    share=SHARE,
    parents=array(INTEGER),
    children=array(INTEGER),
    text=TEXT,
    detail={"type": "object"},
)
_PAGE = record(events=array(_EVENT), next=NULLABLE_INTEGER)
_STREAM = {
    "description": "Messages without end: version, change, points, alarm, name.",
    "content": {"text/event-stream": {"schema": TEXT}},
}

BEAT = 15.0
"""Seconds between two signs of life."""
_GRACE = 1.0
"""Seconds in which a client that is let go may take what waits for it."""


def add_events(app: FastAPI, service: Service) -> None:
    """``/v1/models/{name}/events`` and ``/v1/events``."""
    happenings = service.happenings
    feed = service.feed

    @app.get(
        "/v1/models/{name}/events",
        summary="What happened to the clusters",
        responses=answers(_PAGE, "The newest first; next is given as before for older ones.", 404, 422, 503),
    )
    async def events(
        name: str,
        kind: Kind | None = None,
        cluster: int | None = None,
        since: float | None = None,
        until: float | None = None,
        before: Annotated[int | None, Query(ge=1, lt=1 << 62)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Births, deaths, splits and merges, the newest first."""
        served = service.served(name)
        found = await anyio.to_thread.run_sync(
            lambda: happenings.page(
                served.name, kind=kind, cluster=cluster, since=since, until=until, before=before, limit=limit
            )
        )
        return json_response(found)

    @app.get("/v1/events", summary="What happens now", responses={200: _STREAM, **errors(404, 422, 503)})
    async def stream(request: Request, model: str | None = None) -> Response:
        """What happens from now on, as server-sent events."""
        if model is not None and model not in service.models.names:
            raise RefusedError(404, "there is no model of this name", remedy="GET /v1/models lists them")
        if feed.listeners >= LISTENERS:
            raise RefusedError(
                503, "too many are listening", remedy="try again later", **{"Retry-After": "10"}
            )
        last = request.headers.get("last-event-id", "")
        since = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else None
        return EventStream(feed, model, since)


class EventStream(Response):
    """A response that goes on until either side has enough."""

    def __init__(self, feed: Feed, model: str | None, since: int | None) -> None:
        super().__init__(media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._feed, self._model, self._since = feed, model, since

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send messages as they come, until there are no more or the client leaves."""
        with self._feed.listening(self._since) as listener:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with anyio.create_task_group() as group:

                async def leave() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        continue
                    group.cancel_scope.cancel()

                async def give_up() -> None:
                    await listener.ended.wait()
                    await anyio.sleep(_GRACE)  # a client that reads gets the rest
                    group.cancel_scope.cancel()

                group.start_soon(leave)
                group.start_soon(give_up)
                async for part in server_sent(listener, self._model, BEAT):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                group.cancel_scope.cancel()
