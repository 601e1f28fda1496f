"""Labels for rows."""

from __future__ import annotations

from typing import Annotated, Literal

import anyio
from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from shoal.serve.answers import answer_table, chosen_kind, written
from shoal.serve.body import content_type, read_body
from shoal.serve.refused import RefusedError
from shoal.serve.rows import KINDS, read_rows
from shoal.serve.service import Service


def add_assign(app: FastAPI, service: Service) -> None:
    """``/v1/models/{name}/assign``."""
    settings = service.settings

    @app.post("/v1/models/{name}/assign")
    async def assign(
        request: Request,
        name: str,
        width: Annotated[int | None, Query(ge=1)] = None,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> Response:
        """Cluster, distances and outlier score of each row of the body."""
        served = service.served(name)
        kind = content_type(request, KINDS)
        wanted = chosen_kind(request.headers.get("accept", ""))
        if wanted is None:
            raise RefusedError(406, "cannot answer in that format", remedy=f"accept {', '.join(KINDS[:3])}")
        body = await read_body(request, settings)
        rows = await anyio.to_thread.run_sync(
            lambda: read_rows(served, kind, body, width=width, max_rows=settings.max_rows, on_error=on_error)
        )
        found = await service.batcher.assign(served, rows.matrix)
        answered = await anyio.to_thread.run_sync(
            lambda: written(answer_table(served, rows, found), wanted, served)
        )
        service.metrics.labelled(name, len(rows.kept))
        return Response(answered, headers={"X-Model-Version": served.version, "Content-Type": wanted})
