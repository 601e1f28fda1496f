"""What the live page shows: the clusters on their map, other numbers of clusters, one row, and names."""

from __future__ import annotations

import json
from typing import Annotated, Any

import anyio
from fastapi import Depends, FastAPI, Query, Request
from starlette.responses import Response

from shoal.errors import BadInputError
from shoal.serve.body import content_type, read_body
from shoal.serve.described import (
    CHOICE_RESPONSES,
    EXPLAIN_BODY,
    EXPLAIN_RESPONSES,
    NAME_BODY,
    NAME_RESPONSES,
    SCENE_RESPONSES,
    SOLVE_RESPONSES,
)
from shoal.serve.explain import explain
from shoal.serve.json_body import json_object
from shoal.serve.naming import rename
from shoal.serve.past import has_buckets
from shoal.serve.refused import RefusedError, json_response
from shoal.serve.rows import JSON, read_rows
from shoal.serve.scene import Scene, brief, points_of
from shoal.serve.scene_answers import SceneAnswers
from shoal.serve.service import Service
from shoal.serve.tokens import requires_write

SHORT_BODY, LONG_ROW = 4096, 4 * 1024**2
"""Bytes of a name, and of a row to be explained."""


def add_scene(app: FastAPI, service: Service) -> None:
    """``/v1/models/{name}/scene``, ``choice``, ``solve``, ``explain`` and names of clusters."""

    answers_of = SceneAnswers(lambda served: _scene_as_data(service, service.scenes.get(served)))

    async def scene_for(request: Request) -> Scene:
        served = service.served_to(request)
        held = service.scenes.held(served)
        if held is None:
            held = await service.at_leisure(lambda: service.scenes.get(served))
        return held

    @app.get("/v1/models/{name}/scene", summary="What the live page shows", responses=SCENE_RESPONSES)
    async def scene(request: Request, name: str) -> Response:
        """Everything the live page shows of the newest version."""
        served = service.served_to(request)
        body = answers_of.fresh(served) or await service.at_leisure(lambda: answers_of.get(served))
        return Response(body, media_type=JSON)

    @app.get("/v1/models/{name}/choice", summary="Which k?", responses=CHOICE_RESPONSES)
    async def choice(request: Request, name: str) -> Response:
        """The criteria for the number of clusters."""
        held = await scene_for(request)
        return json_response(await service.at_leisure(lambda: service.which_k.choice(held)))

    @app.get("/v1/models/{name}/solve", summary="Another k", responses=SOLVE_RESPONSES)
    async def solve(request: Request, name: str, k: Annotated[int, Query(ge=1, le=100)]) -> Response:
        """The clusters for another k, solved from the summary."""
        held = await scene_for(request)
        return json_response(await service.at_leisure(lambda: service.which_k.solve(held, k)))

    @app.post(
        "/v1/models/{name}/explain",
        summary="One row, explained",
        responses=EXPLAIN_RESPONSES,
        openapi_extra=EXPLAIN_BODY,
    )
    async def explain_row(request: Request, name: str) -> Response:
        """Where one row or text falls, and why."""
        held = await scene_for(request)
        content_type(request, (JSON,))

        def answer(given: bytes) -> dict[str, Any]:
            row, text = _row_of(held, given)
            body = json.dumps({"rows": [row]}).encode()
            vectors = read_rows(held.served, JSON, body).matrix
            if not len(vectors):
                raise BadInputError("the model leaves this row out", remedy="give one that passes its filter")
            return explain(held, vectors[0], text)

        async with service.waiting.place() as place:
            given = await read_body(request, service.settings, place, most=LONG_ROW)
            return json_response(await anyio.to_thread.run_sync(answer, given))

    @app.put(
        "/v1/models/{name}/clusters/{cluster}/name",
        summary="Name a cluster",
        responses=NAME_RESPONSES,
        openapi_extra=NAME_BODY,
        dependencies=[Depends(requires_write(service))],
    )
    async def name_cluster(request: Request, name: str, cluster: int) -> Response:
        """Name a cluster; null takes the name away."""
        served = service.served_to(request)
        content_type(request, (JSON,))
        wanted = _name_of(await read_body(request, service.settings, most=SHORT_BODY))
        if cluster not in served.shown_ids.tolist():
            raise RefusedError(404, f"there is no cluster {cluster}", remedy="GET clusters lists them")
        given = await anyio.to_thread.run_sync(rename, served, cluster, wanted)
        await anyio.to_thread.run_sync(service.models.refresh)
        service.feed.tell("name", served.name, {"cluster": cluster, "name": given})
        return json_response({"id": cluster, "name": given})


def _scene_as_data(service: Service, scene: Scene) -> dict[str, Any]:
    served, chart, model = scene.served, scene.chart, scene.served.model
    dated, now, histories = service.histories(served)
    return {
        "model": served.name,
        "version": served.version,
        "k": len(scene.groups),
        "metric": model.metric,
        "kind": served.kind,
        "texts": served.topics is not None,
        "dated": dated,
        "now": now,
        "rows_seen": model.provenance.rows_seen,
        "loaded_at": served.loaded_at,
        "can": {
            "rename": True,
            "learn": service.can_learn(served.name),
            "solve": len(points_of(served).X) > 0,
            "windows": has_buckets(served),
            "write": True,
        },
        "columns": scene.columns(),
        "inputs": scene.inputs(),
        "chart": {
            "id": chart.number,
            "kind": chart.kind,
            "x": chart.labels[0],
            "y": chart.labels[1],
            "low": [brief(v) for v in chart.low.tolist()],
            "high": [brief(v) for v in chart.high.tolist()],
            "aspect": chart.aspect,
        },
        "clusters": scene.clusters(histories),
        "points": scene.points(),
        "outliers": service.outliers(served),
    }


def _row_of(scene: Scene, body: bytes) -> tuple[Any, str | None]:
    document = json_object(body)
    if "text" in document and scene.served.topics is not None:
        return {"text": document["text"]}, str(document["text"])
    row = document.get("row")
    if not isinstance(row, (dict, list)):
        wanted = '{"text": "..."}' if scene.served.topics is not None else '{"row": {"column": value}}'
        raise BadInputError("has no row", place="request", remedy=f"send {wanted}")
    text = row.get("text") if isinstance(row, dict) and scene.served.topics is not None else None
    return row, None if text is None else str(text)


def _name_of(body: bytes) -> str | None:
    name = json_object(body).get("name", ...)
    if name is not None and not isinstance(name, str):
        raise BadInputError("has no name", place="request", remedy='send {"name": "..."} or {"name": null}')
    return name
