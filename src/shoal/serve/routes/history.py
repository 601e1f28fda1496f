"""The shares of all clusters over time."""

from __future__ import annotations

import anyio
from fastapi import FastAPI
from starlette.responses import Response

from shoal.serve.described import BOOLEAN, INTEGER, NUMBER, SHARE, answers, array, record
from shoal.serve.refused import json_response
from shoal.serve.service import Service

_HISTORY = record(dated=BOOLEAN, times=array(NUMBER), ids=array(INTEGER), shares=array(array(SHARE)))


def add_history(app: FastAPI, service: Service) -> None:
    """``/v1/models/{name}/history``."""
    happenings = service.happenings

    @app.get(
        "/v1/models/{name}/history",
        summary="Shares of the clusters over time",
        responses=answers(_HISTORY, "For each time a share for each id.", 404, 503),
    )
    async def history(name: str) -> Response:
        """How large each cluster was at each time."""
        served = service.served(name)
        return json_response(await anyio.to_thread.run_sync(happenings.history, served.name))
