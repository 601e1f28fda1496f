"""What stands before every route: who may ask, the headers of all answers, the counts, and no traces of errors."""

from __future__ import annotations

import logging
import secrets
import time

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shoal.serve.metrics import Metrics
from shoal.serve.refused import error_response
from shoal.serve.settings import Settings

_log = logging.getLogger(__name__)

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)
_GONE = 499
"""Counted for clients that left before their body was read."""


class Guard:
    """Middleware around the routes."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        try:
            await (self._refusal(scope) or self._app)(scope, receive, guarded)
        except ClientDisconnect:
            status = status or _GONE
        except Exception:
            _log.exception("a request failed")
            if status:
                raise
            await error_response(500, "the service failed", remedy="look at its log")(scope, receive, guarded)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.answered(route, status or 500, time.perf_counter() - began)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to those who may not ask; None for those who may."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if not self._settings.knows_host(headers.get(b"host", b"").decode("latin-1")):
            return error_response(421, "this host is not served", remedy="ask for 127.0.0.1 or localhost")
        token = self._settings.token
        if token is None or scope["path"].startswith("/health/"):
            return None
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and secrets.compare_digest(given.strip(), token.encode()):
            return None
        refused = error_response(401, "no valid token", remedy="send Authorization: Bearer TOKEN")
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused
