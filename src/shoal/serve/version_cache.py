"""Versions of a model other than the newest, asked for as ``name@alias`` or ``name@12``; the latest few stay loaded."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from shoal.errors import BadInputError, ShoalError
from shoal.features.recipe import Recipe
from shoal.model.aliases import aliases, folder_of_versions, versions
from shoal.model.persistence import MANIFEST, load_model, load_summary
from shoal.serve.models import Models, Served
from shoal.serve.refused import RefusedError
from shoal.summary.coreset import Coreset

_RESOLVED = "shoal.resolved"
"""Key of a request's scope under which the version its path speaks of is kept, by address."""
_SHOWN = 20
"""Names an error lists."""


@dataclass(frozen=True)
class VersionCard:
    """A version as it is listed, without its arrays."""

    number: int
    created: str
    k: int
    rows: int
    content: str
    """Hash of what it holds."""


class VersionCache:
    """Opens versions by address.

    Parameters
    ----------
    most : versions that stay loaded; beyond, the one asked for the longest ago leaves.

    >>> import tempfile
    >>> cache = VersionCache(Models({"houses": Path(tempfile.mkdtemp())}))
    >>> cache.resolve("houses@champion")
    Traceback (most recent call last):
    shoal.serve.refused.RefusedError: there is no version of this model yet
    """

    def __init__(self, models: Models, most: int = 4) -> None:
        self._models, self._most = models, most
        self._held: OrderedDict[tuple[object, ...], Served] = OrderedDict()
        self._turn = threading.Lock()

    def resolve(self, address: str) -> Served:
        """The version of ``name``, ``name@alias`` or ``name@12``; may read it from disk.

        Raises
        ------
        RefusedError : 404 for an unknown name, alias or version, telling those there are; 503 while there is none.
        """
        name, at, wanted = address.partition("@")
        newest = self.newest(name)
        if not at:
            return newest
        folder = folder_of(newest)
        there = versions(folder)
        number = _number(folder, wanted, there)
        if newest.kind == "store" and newest.version == str(number):
            return newest
        try:
            stamp = (there[number] / MANIFEST).stat()
            # one that was removed and published anew is another, whatever its number
            key = (folder, number, stamp.st_ino, stamp.st_mtime_ns, stamp.st_size)
            return self._held_or_read(key, newest, there[number], number)
        except (ShoalError, OSError) as error:
            raise RefusedError(404, f"version {number} cannot be read", remedy=_listed(there)) from error

    def of_request(self, request: Request, address: str) -> Served:
        """As :meth:`resolve`, of an address in the path of a request, without a look at the disk.

        :class:`LoadsVersions` has read it on a thread, and what a request began with it keeps: another one may
        have pushed the version out meanwhile.
        """
        if "@" not in address:
            return self.newest(address)
        found: Served | Exception | None = request.scope.get(_RESOLVED, {}).get(address)
        if isinstance(found, Exception):
            raise found
        return self.resolve(address) if found is None else found

    def newest(self, name: str) -> Served:
        """The version of a model that is served without an address; errors as in :meth:`resolve`."""
        if (served := self._models.get(name)) is not None:
            return served
        if name in self._models.names:
            raise RefusedError(
                503, "there is no version of this model yet", remedy="publish one to the store"
            )
        raise RefusedError(404, "there is no model of this name", remedy="GET /v1/models lists them")

    def _held_or_read(self, key: tuple[object, ...], newest: Served, folder: Path, number: int) -> Served:
        with self._turn:
            if key not in self._held:
                self._held[key] = _read(newest, folder, number)
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
            return self._held[key]


class LoadsVersions:
    """Middleware that reads the version a path speaks of, on a thread, before the route asks for it."""

    def __init__(self, app: ASGIApp, cache: VersionCache) -> None:
        self._app, self._cache = app, cache

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "@" in scope["path"]:
            parts = scope["path"].split("/")
            if len(parts) > 3 and parts[2] == "models" and "@" in parts[3]:
                found = await anyio.to_thread.run_sync(self._read, parts[3])
                scope[_RESOLVED] = {parts[3]: found}
        await self._app(scope, receive, send)

    def _read(self, address: str) -> Served | Exception:
        try:
            return self._cache.resolve(address)
        except (RefusedError, ShoalError, OSError) as error:
            return error  # the route raises it, where errors become answers


def folder_of(served: Served) -> Path:
    """Where the numbered versions of a model lie.

    Raises
    ------
    RefusedError : 404; it has none.
    """
    remedy = f"ask for {served.name} alone, or serve a store of models or a stream's state"
    try:
        if served.kind in ("store", "stream"):
            return folder_of_versions(served.home)
    except BadInputError:
        pass
    raise RefusedError(404, "this model has no numbered versions", remedy=remedy)


def version_cards(folder: Path) -> list[VersionCard]:
    """The versions in a folder, newest first; those that leave meanwhile, or cannot be read, are left out."""
    cards = []
    for number, path in reversed(versions(folder).items()):
        try:
            held: dict[str, Any] = json.loads((path / MANIFEST).read_bytes())
            was = held["provenance"]
            cards.append(
                VersionCard(
                    number, str(was["created"]), int(held["k"]), int(was["rows_seen"]), str(held["version"])
                )
            )
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return cards


def _number(folder: Path, wanted: str, there: dict[int, Path]) -> int:
    """The version an alias or a number stands for."""
    if wanted.isascii() and wanted.isdigit():
        number = int(wanted) if len(wanted) < 19 else -1
        if number not in there:
            raise RefusedError(404, f"there is no version {wanted[:20]}", remedy=_listed(there))
        return number
    named = aliases(folder)
    if wanted not in named:
        held = ", ".join(list(named)[:_SHOWN])
        raise RefusedError(
            404, "there is no such alias", remedy=f"there are {held}" if held else "this model has none yet"
        )
    if named[wanted] not in there:
        raise RefusedError(
            404, f"{wanted} stands for version {named[wanted]}, which is gone", remedy=_listed(there)
        )
    return named[wanted]


def _listed(there: dict[int, Path]) -> str:
    return f"there are {', '.join(str(n) for n in list(there)[-_SHOWN:])}"


def _read(newest: Served, folder: Path, number: int) -> Served:
    model = load_model(folder)

    def summary() -> Coreset | None:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        return load_summary(folder) if "summary" in manifest["files"] else None

    return replace(
        newest,
        model=model,
        recipe=None if model.recipe is None else Recipe.from_dict(dict(model.recipe)),
        version=str(number),
        loaded_at=datetime.now(UTC).isoformat(timespec="seconds"),
        topics=None,
        read_summary=summary,
    )
