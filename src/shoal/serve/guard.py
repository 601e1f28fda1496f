"""What stands before every route: who may ask, the headers of all answers, the counts, and no traces of errors."""

from __future__ import annotations

import logging
import time
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shoal.serve.access_log import AccessLog, Noted, note, request_id
from shoal.serve.metrics import Metrics
from shoal.serve.refused import error_response
from shoal.serve.settings import Settings
from shoal.serve.tokens import SESSION, Access, access
from shoal.serve.tracing import request_span

_log = logging.getLogger(__name__)

_POLICY = b"content-security-policy"
_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
HEADERS = (
    *_ALWAYS,
    (b"cache-control", b"no-store"),
    (_POLICY, b"default-src 'none'; frame-ancestors 'none'"),
)
PAGE_HEADERS = (
    *_ALWAYS,
    (b"cache-control", b"no-cache"),
    (
        _POLICY,
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
_READING = ("GET", "HEAD", "OPTIONS")
_GONE = 499
"""Counted for clients that left before their body was read."""


class Guard:
    """Middleware around the routes."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._access_log = AccessLog(settings.log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        headers: dict[bytes, bytes] = dict(scope["headers"])
        noted = Noted(request_id(_text(headers, b"x-request-id")))
        note(scope, noted)
        added = [(b"x-request-id", noted.id.encode()), *(PAGE_HEADERS if _is_page(scope) else HEADERS)]

        async def counted() -> Message:
            message = await receive()
            noted.bytes_in += len(message.get("body", b""))
            return message

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
                if span is not None:
                    span.answering(model=noted.model, rows=noted.rows)
            noted.bytes_out += len(message.get("body", b""))
            await send(message)

        with request_span(self._settings.tracing, scope["method"], scope["headers"]) as span:
            try:
                await (self._refusal(scope, headers) or self._app)(scope, counted, guarded)
            except ClientDisconnect:
                status = status or _GONE
            except Exception:
                _log.exception("request %s failed", noted.id)
                if status:
                    raise
                await error_response(500, "the service failed", remedy="look at its log")(
                    scope, receive, guarded
                )
            finally:
                seconds = time.perf_counter() - began
                pattern = getattr(scope.get("route"), "path", None)
                self._metrics.answered(pattern or "unmatched", status or 500, seconds)
                self._access_log.request(
                    noted, scope["method"], pattern or scope["path"], status or 500, seconds
                )
                if span is not None:
                    span.ended(pattern or "unmatched", status or 500)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> Response | None:
        """The answer to those who may not ask; None for those who may."""
        host = _text(headers, b"host")
        if not self._settings.knows_host(host):
            return error_response(421, "this host is not served", remedy="ask for 127.0.0.1 or localhost")
        if not self._settings.needs_token:
            return self._from_elsewhere(scope, host, headers)
        if (
            _is_page(scope)
            or scope["path"] == SESSION
            or scope["path"].startswith(("/health/", "/v2/health/"))
        ):
            return None
        if access(self._settings, _text(headers, b"authorization")) is not Access.NONE:
            return None
        refused = error_response(401, "no valid token", remedy="send Authorization: Bearer TOKEN")
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused

    def _from_elsewhere(self, scope: Scope, host: str, headers: dict[bytes, bytes]) -> Response | None:
        """Refuses what a page of another site has a browser send; with a token there is nothing it could use."""
        if scope["method"] in _READING or b"origin" not in headers:
            return None
        try:
            origin = urlsplit(_text(headers, b"origin")).netloc
        except ValueError:
            origin = ""
        if origin and origin.lower() == host.lower():
            return None
        return error_response(403, "pages of other sites may not send this", remedy="ask without a browser")


def _is_page(scope: Scope) -> bool:
    """Whether the page itself is asked for, which holds no data."""
    path: str = scope["path"]
    return path in ("/", "/favicon.ico") or path.startswith("/web/")


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")
