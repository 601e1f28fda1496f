"""Which models there are, and their clusters."""

from __future__ import annotations

import anyio
from fastapi import FastAPI
from starlette.responses import Response

from shoal.serve.answers import cluster_cards, model_card
from shoal.serve.refused import json_response
from shoal.serve.service import Service


def add_models(app: FastAPI, service: Service) -> None:
    """``/v1/models`` and what is below a name."""

    @app.get("/v1/models")
    async def list_models() -> Response:
        """The models there are."""
        models = service.models
        held = [served for name in models.names if (served := models.get(name)) is not None]
        return json_response(
            {"models": [{"name": s.name, "version": s.version, "k": s.model.k} for s in held]}
        )

    @app.get("/v1/models/{name}")
    async def one_model(name: str) -> Response:
        """What a model is, and where it comes from."""
        return json_response(model_card(service.served(name)))

    @app.get("/v1/models/{name}/clusters")
    async def clusters(name: str) -> Response:
        """The clusters, with centres in the units of the columns."""
        served = service.served(name)
        cards = await anyio.to_thread.run_sync(cluster_cards, served)
        return json_response({"model": served.name, "version": served.version, "clusters": cards})
