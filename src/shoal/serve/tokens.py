"""Who may read and who may change what is served."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from enum import IntEnum

from fastapi import FastAPI, Request
from starlette.responses import Response

from shoal.serve.described import SESSION_RESPONSES
from shoal.serve.refused import RefusedError, json_response
from shoal.serve.service import Service
from shoal.serve.settings import Settings

SESSION = "/v1/session"


class Access(IntEnum):
    """What a request may do; each may do what the ones before it may."""

    NONE = 0
    READ = 1
    WRITE = 2


def access(settings: Settings, authorization: str) -> Access:
    """What a request may do, by its Authorization header.

    >>> settings = Settings(read_token="look", write_token="touch")
    >>> [access(settings, f"Bearer {token}").name for token in ("look", "touch", "guess")]
    ['READ', 'WRITE', 'NONE']
    >>> access(Settings(), "").name
    'WRITE'
    """
    if not settings.needs_token:
        return Access.WRITE
    scheme, _, given = authorization.partition(" ")
    told = given.strip().encode("utf-8", "surrogateescape") if scheme.lower() == "bearer" else b""
    may = Access.NONE
    # all of them are compared, always: the time it takes tells nothing
    for token, allows in (
        (settings.read_token, Access.READ),
        (settings.write_token, Access.WRITE),
        (settings.token, Access.WRITE),
    ):
        if token is not None and secrets.compare_digest(told, token.encode()):
            may = max(may, allows)
    return may


def requires_write(service: Service) -> Callable[[Request], Awaitable[None]]:
    """A dependency for routes that change something: ``dependencies=[Depends(requires_write(service))]``."""

    async def check(request: Request) -> None:
        may = access(service.settings, request.headers.get("authorization", ""))
        if may is Access.NONE:
            raise RefusedError(401, "no valid token", remedy="send Authorization: Bearer TOKEN")
        if may is not Access.WRITE:
            raise RefusedError(403, "this token may only read", remedy="send the one that may write")

    return check


def add_session(app: FastAPI, service: Service) -> None:
    """``/v1/session``."""

    @app.get(SESSION, summary="What may I do?", responses=SESSION_RESPONSES)
    async def session(request: Request) -> Response:
        """What the token of a request may do; never refused."""
        may = access(service.settings, request.headers.get("authorization", ""))
        return json_response(
            {
                "read": may >= Access.READ,
                "write": may is Access.WRITE,
                "needs_token": service.settings.needs_token,
            }
        )
