"""Bodies of requests: their kind, and no more of them than is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import Request

from shoal.serve.refused import RefusedError
from shoal.serve.settings import Settings


def content_type(request: Request, kinds: Sequence[str]) -> str:
    """The content type, which must be one of ``kinds``.

    Raises
    ------
    RefusedError : 415.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in kinds:
        raise RefusedError(415, "this content type is not read", remedy=f"send {', '.join(kinds)}")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "compressed bodies are not read", remedy="send it as it is")
    return kind


async def read_body(request: Request, settings: Settings) -> bytes:
    """The body, given up as soon as it is too long or too slow.

    Raises
    ------
    RefusedError : 413, 408.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for part in request.stream():
                if len(body) + len(part) > settings.max_body:
                    raise RefusedError(
                        413,
                        f"the body is longer than {settings.max_body} bytes",
                        place="request",
                        remedy="send several requests",
                    )
                body += part
    except TimeoutError:
        remedy = "send faster, or less at a time"
        raise RefusedError(408, f"the body took over {settings.body_seconds:g} s", remedy=remedy) from None
    return bytes(body)
