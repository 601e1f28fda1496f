"""The live page: a fixed list of files, read when the service starts."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from fastapi import FastAPI, Request
from starlette.responses import Response

from shoal.serve.refused import RefusedError
from shoal.serve.service import Service

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def web_files() -> dict[str, bytes]:
    """The files of the page by name.

    >>> "index.html" in web_files()
    True
    """
    return {
        file.name: file.read_bytes()
        for file in files("shoal.serve").joinpath("web").iterdir()
        if file.name.rpartition(".")[2] in _TYPES
    }


def add_page(app: FastAPI, service: Service) -> None:
    """``/`` and ``/web/{name}``; the path asked for is looked up in a list and never opened."""
    held = {name: (data, _tag(data)) for name, data in web_files().items()}

    def answer(request: Request, name: str) -> Response:
        if name not in held:
            raise RefusedError(404, "the page has no file of this name", remedy="open / in a browser")
        data, tag = held[name]
        headers = {"ETag": tag, "Content-Type": _TYPES[name.rpartition(".")[2]]}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers)

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return answer(request, "index.html")

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon(request: Request) -> Response:
        return answer(request, "icon.svg")

    @app.get("/web/{name}", include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        return answer(request, name)


def _tag(data: bytes) -> str:
    return f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
