"""Which versions of a model there are."""

from __future__ import annotations

from dataclasses import asdict

import anyio
from fastapi import FastAPI
from starlette.responses import Response

from shoal.model.aliases import aliases
from shoal.serve.described import BOOLEAN, INTEGER, TEXT, answers, array, record
from shoal.serve.refused import json_response
from shoal.serve.service import Service
from shoal.serve.version_cache import VersionCard, folder_of, version_cards

_VERSIONS = record(
    model=TEXT,
    versions=array(
        record(
            number=INTEGER,
            created=TEXT,
            k=INTEGER,
            rows=INTEGER,
            content=TEXT,
            aliases=array(TEXT),
            is_latest=BOOLEAN,
        )
    ),
)


def add_versions(app: FastAPI, service: Service) -> None:
    """``/v1/models/{name}/versions``."""
    cache = service.versions

    @app.get(
        "/v1/models/{name}/versions",
        summary="Versions of a model",
        responses=answers(_VERSIONS, "Newest first.", 404, 503),
    )
    async def list_versions(name: str) -> Response:
        """The numbered versions that are kept, with the aliases that stand for them.

        A model's address is its name, for the newest, or `name@12`, or `name@alias`.
        """
        served = cache.newest(name.partition("@")[0])

        def look() -> tuple[list[VersionCard], dict[str, int]]:
            folder = folder_of(served)
            return version_cards(folder), aliases(folder)

        cards, named = await anyio.to_thread.run_sync(look)
        return json_response(
            {
                "model": served.name,
                "versions": [
                    asdict(card)
                    | {
                        "aliases": [alias for alias, number in named.items() if number == card.number],
                        "is_latest": i == 0,
                    }
                    for i, card in enumerate(cards)
                ],
            }
        )
