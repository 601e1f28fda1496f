"""Names for versions, such as ``champion``: which there are, and moving them."""

from __future__ import annotations

from typing import Annotated

import anyio
from fastapi import Depends, FastAPI, Path, Request
from starlette.responses import Response

from shoal.errors import BadInputError
from shoal.model.aliases import aliases, drop_alias, set_alias
from shoal.serve.body import content_type, read_body
from shoal.serve.described import INTEGER, TEXT, answers, errors, json_body, record
from shoal.serve.json_body import json_object
from shoal.serve.refused import RefusedError, json_response
from shoal.serve.service import Service
from shoal.serve.tokens import requires_write
from shoal.serve.version_cache import folder_of

_ALL = record(model=TEXT, aliases={"type": "object", "additionalProperties": INTEGER})
_CHOSEN = record(version={"type": "integer", "minimum": 0})
_ONE = record(model=TEXT, alias=TEXT, version=INTEGER)
Alias = Annotated[
    str, Path(pattern="^[a-z][a-z0-9_-]{0,63}$", description="A small letter, then a-z, 0-9, _ and -.")
]


def add_aliases(app: FastAPI, service: Service) -> None:
    """``/v1/models/{name}/aliases`` and those below."""
    cache = service.versions
    may_write = [Depends(requires_write(service))]

    @app.get(
        "/v1/models/{name}/aliases",
        summary="Aliases of a model",
        responses=answers(_ALL, "The version each stands for.", 404, 503),
    )
    async def list_aliases(name: str) -> Response:
        """The aliases of a model; `name@alias` is the address of the version one stands for."""
        served = cache.newest(name)
        held = await anyio.to_thread.run_sync(lambda: aliases(folder_of(served)))
        return json_response({"model": served.name, "aliases": held})

    @app.put(
        "/v1/models/{name}/aliases/{alias}",
        summary="Point an alias at a version",
        dependencies=may_write,
        tags=["write"],
        responses=answers(_ONE, "It stands for that version now.", 403, 404, 408, 413, 415, 422, 503),
        openapi_extra=json_body(_CHOSEN, "The version, by its number."),
    )
    async def put_alias(request: Request, name: str, alias: Alias) -> Response:
        """Make an alias, or move it; the version is kept from now on."""
        served = cache.newest(name)
        folder = await anyio.to_thread.run_sync(folder_of, served)
        content_type(request, ("application/json",))
        number = _version_of(await read_body(request, service.settings, most=4096))
        await anyio.to_thread.run_sync(set_alias, folder, alias, number)
        return json_response({"model": served.name, "alias": alias, "version": number})

    @app.delete(
        "/v1/models/{name}/aliases/{alias}",
        status_code=204,
        summary="Remove an alias",
        dependencies=may_write,
        tags=["write"],
        responses={204: {"description": "It is gone."}, **errors(403, 404, 422, 503)},
    )
    async def delete_alias(name: str, alias: Alias) -> Response:
        """Remove an alias; its version is kept or leaves like any other."""
        served = cache.newest(name)
        if not await anyio.to_thread.run_sync(lambda: drop_alias(folder_of(served), alias)):
            raise RefusedError(404, "there is no such alias", remedy=f"GET /v1/models/{served.name}/aliases")
        return Response(status_code=204)


def _version_of(body: bytes) -> int:
    chosen = json_object(body, remedy='send {"version": 3}')
    number = chosen.get("version") if len(chosen) == 1 else None
    if type(number) is not int or number < 0:
        raise BadInputError("names no version", place="request", remedy='send {"version": 3}')
    return number
