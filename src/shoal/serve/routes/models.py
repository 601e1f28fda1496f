"""Which models there are, and their clusters."""

from __future__ import annotations

from typing import Any

import anyio
from fastapi import FastAPI, Request
from starlette.responses import Response

from shoal.serve.answers import cluster_cards, model_card
from shoal.serve.columns import wanted_columns
from shoal.serve.described import (
    INTEGER,
    NULLABLE_INTEGER,
    NULLABLE_NUMBER,
    NULLABLE_TEXT,
    TEXT,
    answers,
    array,
    record,
)
from shoal.serve.models import Served
from shoal.serve.refused import json_response
from shoal.serve.service import Service

_LIST = record(models=array(record(name=TEXT, version=NULLABLE_TEXT, k=NULLABLE_INTEGER)))
_CARD = record(
    name=TEXT,
    version=TEXT,
    content=TEXT,
    loaded_at=TEXT,
    k=INTEGER,
    metric=TEXT,
    features=array(TEXT),
    provenance={"type": "object"},
    inputs=array(record(name=TEXT, kind={"enum": ["number", "text", "vector"]}, width=INTEGER)),
    more=True,
)
_CLUSTERS = record(
    model=TEXT,
    version=TEXT,
    clusters=array(
        record(
            id=INTEGER,
            share=NULLABLE_NUMBER,
            weight=NULLABLE_NUMBER,
            radius=NULLABLE_NUMBER,
            centre={"type": "object", "additionalProperties": NULLABLE_NUMBER},
            more=True,
        )
    ),
)


def add_models(app: FastAPI, service: Service) -> None:
    """``/v1/models`` and what is below a name."""

    @app.get("/v1/models", summary="All models", responses=answers(_LIST, "In the order they were named."))
    async def list_models() -> Response:
        """The models there are; without a version yet, it is null."""
        return json_response(
            {"models": [_line(name, service.models.get(name)) for name in service.models.names]}
        )

    @app.get("/v1/models/{name}", summary="One model", responses=answers(_CARD, "What it is.", 404, 503))
    async def one_model(request: Request, name: str) -> Response:
        """What a model is, where it comes from, and what a row for it needs."""
        served = service.served_to(request)
        return json_response(model_card(served) | {"inputs": inputs_of(served)})

    @app.get(
        "/v1/models/{name}/clusters",
        summary="Clusters of a model",
        responses=answers(_CLUSTERS, "With centres in the units of the columns.", 404, 503),
    )
    async def clusters(request: Request, name: str) -> Response:
        """The clusters, with centres in the units of the columns."""
        served = service.served_to(request)
        cards = await anyio.to_thread.run_sync(cluster_cards, served)
        return json_response({"model": served.name, "version": served.version, "clusters": cards})


def inputs_of(served: Served) -> list[dict[str, Any]]:
    """The columns of a row, in the order in which rows of bare values have them."""
    return [{"name": c.name, "kind": c.kind, "width": c.width} for c in wanted_columns(served)]


def _line(name: str, served: Served | None) -> dict[str, Any]:
    if served is None:
        return {"name": name, "version": None, "k": None}
    return {"name": name, "version": served.version, "k": served.model.k}
