"""Rows for a stream to learn."""

from __future__ import annotations

import errno
import re
from typing import Annotated, Literal

import anyio
from fastapi import Depends, FastAPI, Query, Request
from starlette.responses import Response

from shoal.errors import ShoalError
from shoal.serve.body import content_type, read_body
from shoal.serve.described import BODY_ERRORS, BOOLEAN, ERROR, INTEGER, ROWS_BODY, answers, record
from shoal.serve.inbox import MaybeKeptError
from shoal.serve.learn_rows import lines_of
from shoal.serve.learning import Learning
from shoal.serve.refused import RefusedError, json_response, refusal_of
from shoal.serve.rows import KINDS
from shoal.serve.service import Service
from shoal.serve.tokens import requires_write

_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_FULL_DISK = {
    "description": "No space is left; nothing was kept.",
    "content": {"application/json": {"schema": ERROR}},
}
_RESPONSES = answers(
    record(accepted=INTEGER, skipped=INTEGER), "They are on the disk.", 403, 404, *BODY_ERRORS, status=202
)
_RESPONSES |= (
    answers(
        record(accepted=INTEGER, skipped=INTEGER, duplicate=BOOLEAN, optional=("skipped",)),
        "A request of this Idempotency-Key was accepted before.",
    )
    | _RESPONSES
    | {507: _FULL_DISK}
)


def add_learn(app: FastAPI, service: Service) -> None:
    """``/v1/models/{name}/learn``."""
    settings = service.settings
    waiting = service.waiting

    @app.post(
        "/v1/models/{name}/learn",
        status_code=202,
        summary="Learn rows",
        responses=_RESPONSES,
        openapi_extra=ROWS_BODY,
        dependencies=[Depends(requires_write(service))],
    )
    async def learn(
        request: Request,
        name: str,
        on_error: Annotated[Literal["raise", "skip"], Query()] = "raise",
    ) -> Response:
        """Keep rows for the stream to learn; they are on the disk when this is answered."""
        served = service.models.get(name)
        if served is None and name not in service.models.names:
            service.served(name)
        learning = service.learning_of(name)
        if learning is None:
            raise RefusedError(
                403, "this service does not learn", remedy="start it with shoal serve STATE --learn"
            )
        if (trouble := service.learning_trouble) is not None:
            raise RefusedError(
                503,
                f"the stream that learns does not run: {trouble}",
                remedy="mend what it says",
                **{"Retry-After": "10"},
            )
        kind = content_type(request, KINDS)
        key = request.headers.get("idempotency-key")
        if key is not None and not _KEY.fullmatch(key):
            raise RefusedError(
                422,
                "is not 1 to 128 printable ASCII characters without spaces",
                place="Idempotency-Key",
                remedy="send a UUID",
            )

        def work(body: bytes) -> Response:
            time = learning.time
            rows = lines_of(served, kind, body, time=time, max_rows=settings.max_rows, on_error=on_error)
            if not _has_room(learning):
                raise RefusedError(
                    429,
                    "too much waits for the stream",
                    remedy="try again later, or look whether it still runs",
                    **{"Retry-After": "5"},
                )
            if rows.accepted and _kept(learning, rows.text, key) == "duplicate":
                return json_response({"accepted": 0, "duplicate": True})
            return json_response({"accepted": rows.accepted, "skipped": rows.skipped}, 202)

        async with waiting.place() as place:
            body = await read_body(request, settings, place)
            return await anyio.to_thread.run_sync(work, body)


def _has_room(learning: Learning) -> bool:
    try:
        return learning.has_room()
    except (ShoalError, OSError) as error:
        raise RefusedError(
            503, refusal_of(error).error[:300], remedy="look at the inbox", **{"Retry-After": "10"}
        ) from error


def _kept(learning: Learning, lines: bytes, key: str | None) -> str:
    try:
        return learning.inbox.add(lines, key=key)
    except MaybeKeptError as error:
        raise RefusedError(
            503,
            "the disk failed",
            remedy="the request may have been kept; repeat it when the service is back, with the same Idempotency-Key",
            **{"Retry-After": "10"},
        ) from error
    except OSError as error:
        full = error.errno in _FULL
        raise RefusedError(
            507 if full else 503,
            "there is no space left for rows" if full else "the disk refused the rows",
            remedy="nothing of the request was kept; try again later",
            **{"Retry-After": "10"},
        ) from error
    except ShoalError as error:
        raise RefusedError(
            503, refusal_of(error).error, remedy="try again later", **{"Retry-After": "10"}
        ) from error
