"""Requests that are not answered, and how errors look."""

from __future__ import annotations

import logging
import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shoal.errors import BadInputError, ShoalError
from shoal.serve.answers import to_json
from shoal.serve.limits import TooManyRowsError

_log = logging.getLogger(__name__)


class RefusedError(Exception):
    """A request that is not answered, and why."""

    def __init__(
        self, status: int, error: str, *, place: str | None = None, remedy: str | None = None, **headers: str
    ) -> None:
        self.status, self.error, self.place, self.remedy, self.headers = (
            status,
            error,
            place,
            remedy,
            headers,
        )
        super().__init__(error)


_FOLDERS = re.compile(r"(?<![\w/:.])/(?!v[12]/)(?:[^/\n'\",;:]*[^/\s'\",;:]/)*(?=[^\s/])")
"""Folders of a path of this machine; what we call an address begins with /v1/ or /v2/."""


def refusal_of(error: ShoalError | OSError) -> RefusedError:
    """An error of the layers below as clients see it, which are not told where anything lies on this machine.

    Bad data is a client's to mend; what cannot be read or written is for whoever runs the service.

    >>> refusal_of(ShoalError("/srv/my models/s/aliases.json holds no aliases")).error
    'aliases.json holds no aliases'
    """
    if isinstance(error, BadInputError):
        status = 413 if isinstance(error, TooManyRowsError) else 422
        if error.place is not None and error.place.startswith("request"):  # it speaks of what the client sent
            return RefusedError(status, error.problem, place=error.place, remedy=error.remedy)
        place, remedy = (None if text is None else _unplaced(text) for text in (error.place, error.remedy))
        return RefusedError(status, _unplaced(error.problem), place=place, remedy=remedy)
    remedy = "see that the service can read and write its files, then ask again"
    if isinstance(error, OSError):
        reason = error.strerror or "the file cannot be used"
        name = "" if error.filename is None else f"{_unplaced(str(error.filename))}: "
        return RefusedError(503, f"{name}{reason}", remedy=remedy)
    return RefusedError(503, _unplaced(str(error)), remedy=remedy)


def _unplaced(text: str) -> str:
    return _FOLDERS.sub("", text)


def error_response(
    status: int, error: str, *, place: str | None = None, remedy: str | None = None, **headers: Any
) -> Response:
    """An error as all of them look: ``{"error", "place", "remedy"}``."""
    body = to_json({"error": error, "place": place, "remedy": remedy})
    return Response(body, status, headers=dict(headers), media_type="application/json")


def json_response(data: dict[str, Any], status: int = 200) -> Response:
    """Plain data as an answer."""
    return Response(to_json(data), status, media_type="application/json")


def add_errors(app: FastAPI) -> None:
    """Every error in one shape."""

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return error_response(
            error.status, error.error, place=error.place, remedy=error.remedy, **error.headers
        )

    @app.exception_handler(ShoalError)
    @app.exception_handler(OSError)
    async def from_below(_: Request, error: ShoalError | OSError) -> Response:
        told = refusal_of(error)
        if told.status == 503:
            _log.warning("a request could not be answered: %s", error)
        return error_response(told.status, told.error, place=told.place, remedy=told.remedy)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        allowed = (error.headers or {}).get("Allow")
        remedy = f"use {allowed}" if allowed else None
        if error.status_code == 404:
            remedy = "see the list of routes in the documentation"
        return error_response(error.status_code, str(error.detail), remedy=remedy, **(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def parameter(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return error_response(422, str(first["msg"]), place=" ".join(str(p) for p in first["loc"]))
