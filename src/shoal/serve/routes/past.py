"""Any interval of the past, and what changed between two."""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import FastAPI, Query
from starlette.responses import Response

from shoal.errors import BadInputError
from shoal.serve import past
from shoal.serve.described import COMPARE_RESPONSES, TIME_RESPONSES, WINDOW_RESPONSES
from shoal.serve.refused import json_response
from shoal.serve.scene import Scene
from shoal.serve.service import Service

Start = Annotated[float | None, Query(alias="from", description="Seconds; left out: from the first row.")]
End = Annotated[float | None, Query(alias="to", description="Seconds, not included; left out: to the end.")]
K = Annotated[int | None, Query(ge=1, le=100, description="Default: as many as are served.")]


def add_past(app: FastAPI, service: Service) -> None:
    """``/v1/models/{name}/time``, ``window`` and ``compare``."""

    async def ask(name: str, answer: Any, *more: Any) -> Response:
        def found() -> dict[str, Any]:
            served = service.served(name)
            past.time_folder(served)
            scene: Scene = service.scenes.get(served)
            return dict(answer(scene, *more))

        return json_response(await service.at_leisure(found))

    @app.get("/v1/models/{name}/time", summary="What the past holds", responses=TIME_RESPONSES)
    async def time(name: str) -> Response:
        """What the time buckets hold."""

        def found(scene: Scene) -> dict[str, Any]:
            return past.held(scene.served) | {"dated": service.histories(scene.served)[0]}

        return await ask(name, found)

    @app.get("/v1/models/{name}/window", summary="An interval", responses=WINDOW_RESPONSES)
    async def window(name: str, start: Start = None, end: End = None, k: K = None) -> Response:
        """The clusters of an interval."""
        return await ask(name, past.window, _edges(start, end), k)

    @app.get("/v1/models/{name}/compare", summary="Two intervals", responses=COMPARE_RESPONSES)
    async def compare(
        name: str,
        start: Start = None,
        end: End = None,
        with_from: float | None = None,
        with_to: float | None = None,
        k: K = None,
    ) -> Response:
        """The clusters of an interval beside those of an earlier one, and what happened between."""
        return await ask(name, past.compare, _edges(with_from, with_to), _edges(start, end), k)


def _edges(start: float | None, end: float | None) -> tuple[float | None, float | None]:
    for edge in (start, end):
        if edge is not None and not math.isfinite(edge):
            raise BadInputError(f"a time is {edge}", place="query", remedy="give seconds")
    return start, end
