"""The client for programs with ``async``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from shoal.client import calls
from shoal.client.calls import Call, Document, OnError
from shoal.client.labels import Distances, Labels
from shoal.client.live import Message, MessageReader
from shoal.client.refusals import NoAnswerError, Tries
from shoal.client.rows import needs_inputs
from shoal.client.transport import ADDRESS, QUIET, arguments_of, may_pass, options_of

T = TypeVar("T")


class AsyncClient:
    """Asks a service, as :class:`shoal.client.Client` does, with the same calls.

    >>> async def labels():
    ...     async with AsyncClient(token="s3cret") as client:
    ...         return await client.assign("houses", [{"price": 210_000, "rooms": 3}])
    """

    def __init__(
        self, address: str = ADDRESS, token: str | None = None, timeout: float = 30.0, retries: int = 3
    ) -> None:
        options = options_of(address, token, timeout)
        import httpx

        self._address, self._retries, self._timeout = address, retries, timeout
        self._http = httpx.AsyncClient(**options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def models(self) -> list[Document]:
        """The models there are: name, version, k."""
        return await self._ask(calls.models())

    async def model(self, name: str) -> Document:
        """What a model is, where it comes from, and what a row for it needs.

        Parameters
        ----------
        name : here as in every call a model's name, or ``name@alias``, or ``name@12`` for a version of it.
        """
        return await self._ask(calls.model(name))

    async def clusters(self, name: str) -> list[Document]:
        """The clusters, with centres in the units of the columns."""
        return await self._ask(calls.clusters(name))

    async def versions(self, name: str) -> list[Document]:
        """The numbered versions of a model, newest first."""
        return await self._ask(calls.versions(name))

    async def assign(self, name: str, rows: Any, n: int | None = None, on_error: OnError = "raise") -> Labels:
        """Labels of rows.

        Parameters
        ----------
        rows : (n, d) array (float32 goes as plain bytes), table of pandas, Polars or Arrow, list of dicts, lists or
            texts.
        n : so many nearest clusters as well.
        on_error : ``skip`` leaves out bad rows, whose id is then -1.
        """
        return await self._ask(calls.assign(name, rows, await self._inputs(name, rows), n, on_error))

    async def transform(self, name: str, rows: Any, on_error: OnError = "raise") -> Distances:
        """Distances of rows to all clusters."""
        return await self._ask(calls.transform(name, rows, await self._inputs(name, rows), on_error))

    async def explain(self, name: str, row: Mapping[str, Any] | str) -> Document:
        """Why a row, or a text, is in its cluster."""
        return await self._ask(calls.explain(name, row))

    async def events(
        self,
        name: str,
        *,
        kind: str | None = None,
        cluster: int | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
    ) -> AsyncIterator[list[Document]]:
        """Pages of what happened to the clusters, newest first."""
        filters = {"kind": kind, "cluster": cluster, "since": since, "until": until, "limit": limit}
        page = await self._ask(calls.events(name, filters, None))
        while True:
            if page["events"]:
                yield page["events"]
            if page.get("next") is None:
                return
            page = await self._ask(calls.events(name, filters, page["next"]))

    async def watch(self, name: str | None = None, since: int | None = None) -> AsyncIterator[Message]:
        """Live messages of one model, or of all, without end; goes on where it was after a break.

        Parameters
        ----------
        since : number of the last message seen; None: from now on.
        """
        import httpx

        reader, tries, was_open = MessageReader(since), Tries(self._retries), False
        limits = httpx.Timeout(self._timeout, read=QUIET)
        while True:
            reader.start()
            pause: float | None = None
            try:
                async with self._http.stream(
                    "GET",
                    "/v1/events",
                    params=dict(calls.watched(name)),
                    headers=reader.headers(),
                    timeout=limits,
                ) as answer:
                    if answer.is_success:
                        was_open = True
                        async for part in answer.aiter_bytes():
                            for message in reader.feed(part):
                                yield message
                    elif not (was_open and answer.is_server_error):
                        pause = tries.after_refusal(answer.status_code, answer.headers, await answer.aread())
            except httpx.TransportError as error:
                if not was_open:
                    pause = tries.after_silence(error, self._address)
            await asyncio.sleep(reader.pause if pause is None else pause)

    async def learn(
        self, name: str, rows: Any, on_error: OnError = "raise", *, key: str | None = None
    ) -> Document:
        """Give a stream rows to learn from, once; the answer says how many it took.

        Parameters
        ----------
        key : the same for rows that may have been given already, in another run of the program; by default each call's
            own.
        """
        inputs = await self._inputs(name, rows, raw=False)
        return await self._ask(calls.learn(name, rows, inputs, key, on_error))

    async def rename(self, name: str, id: int, new: str | None) -> Document:
        """Give a cluster a name, or with None take it away."""
        return await self._ask(calls.rename(name, id, new))

    async def _inputs(self, name: str, rows: Any, *, raw: bool = True) -> list[Document]:
        return list((await self.model(name))["inputs"]) if needs_inputs(rows, raw=raw) else []

    async def _ask(self, call: Call[T]) -> T:
        import httpx

        tries = Tries(self._retries)
        while True:
            try:
                answer = await self._http.request(**arguments_of(call))
            except httpx.TransportError as error:
                if not may_pass(error):
                    raise NoAnswerError(f"{self._address} does not answer: {error!r}") from error
                await asyncio.sleep(tries.after_silence(error, self._address))
                continue
            if answer.is_success:
                return call.read(answer.content, answer.headers)
            await asyncio.sleep(tries.after_refusal(answer.status_code, answer.headers, answer.content))
