"""Requests that are not answered, and how errors look."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shoal.errors import BadInputError
from shoal.serve.answers import to_json
from shoal.serve.limits import TooManyRowsError


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
