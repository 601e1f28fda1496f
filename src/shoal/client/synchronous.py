"""The client for programs without ``async``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
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


class Client:
    """Asks a service.

    A request that is turned away for a while, or gets no answer, is sent again; none does anything twice.

    Parameters
    ----------
    address : of the service.
    token : if it asks for one.
    timeout : seconds for each part of a request: to connect, to send, to wait for the next bytes.
    retries : tries after the first.

    Raises
    ------
    ShoalError : httpx is not there. Every call raises :class:`RequestError` if the service refuses, and
        :class:`NoAnswerError` if it does not answer.

    >>> with Client(token="s3cret") as client:  # doctest: +SKIP
    ...     client.assign("houses", [{"price": 210_000, "rooms": 3}]).ids
    array([2])
    """

    def __init__(
        self, address: str = ADDRESS, token: str | None = None, timeout: float = 30.0, retries: int = 3
    ) -> None:
        options = options_of(address, token, timeout)
        import httpx

        self._address, self._retries, self._timeout = address, retries, timeout
        self._http = httpx.Client(**options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def models(self) -> list[Document]:
        """The models there are: name, version, k."""
        return self._ask(calls.models())

    def model(self, name: str) -> Document:
        """What a model is, where it comes from, and what a row for it needs.

        Parameters
        ----------
        name : here as in every call a model's name, or ``name@alias``, or ``name@12`` for a version of it.
        """
        return self._ask(calls.model(name))

    def clusters(self, name: str) -> list[Document]:
        """The clusters, with centres in the units of the columns."""
        return self._ask(calls.clusters(name))

    def versions(self, name: str) -> list[Document]:
        """The numbered versions of a model, newest first."""
        return self._ask(calls.versions(name))

    def assign(self, name: str, rows: Any, n: int | None = None, on_error: OnError = "raise") -> Labels:
        """Labels of rows.

        Parameters
        ----------
        rows : (n, d) array (float32 goes as plain bytes), table of pandas, Polars or Arrow, list of dicts, lists or
            texts.
        n : so many nearest clusters as well.
        on_error : ``skip`` leaves out bad rows, whose id is then -1.
        """
        return self._ask(calls.assign(name, rows, self._inputs(name, rows), n, on_error))

    def transform(self, name: str, rows: Any, on_error: OnError = "raise") -> Distances:
        """Distances of rows to all clusters."""
        return self._ask(calls.transform(name, rows, self._inputs(name, rows), on_error))

    def explain(self, name: str, row: Mapping[str, Any] | str) -> Document:
        """Why a row, or a text, is in its cluster."""
        return self._ask(calls.explain(name, row))

    def events(
        self,
        name: str,
        *,
        kind: str | None = None,
        cluster: int | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
    ) -> Iterator[list[Document]]:
        """Pages of what happened to the clusters, newest first."""
        filters = {"kind": kind, "cluster": cluster, "since": since, "until": until, "limit": limit}
        page = self._ask(calls.events(name, filters, None))
        while True:
            if page["events"]:
                yield page["events"]
            if page.get("next") is None:
                return
            page = self._ask(calls.events(name, filters, page["next"]))

    def watch(self, name: str | None = None, since: int | None = None) -> Iterator[Message]:
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
                with self._http.stream(
                    "GET",
                    "/v1/events",
                    params=dict(calls.watched(name)),
                    headers=reader.headers(),
                    timeout=limits,
                ) as answer:
                    if answer.is_success:
                        was_open = True
                        for part in answer.iter_bytes():
                            yield from reader.feed(part)
                    elif not (was_open and answer.is_server_error):
                        pause = tries.after_refusal(answer.status_code, answer.headers, answer.read())
            except httpx.TransportError as error:
                if not was_open:
                    pause = tries.after_silence(error, self._address)
            time.sleep(reader.pause if pause is None else pause)

    def learn(self, name: str, rows: Any, on_error: OnError = "raise", *, key: str | None = None) -> Document:
        """Give a stream rows to learn from, once; the answer says how many it took.

        Parameters
        ----------
        key : the same for rows that may have been given already, in another run of the program; by default each call's
            own.
        """
        inputs = self._inputs(name, rows, raw=False)
        return self._ask(calls.learn(name, rows, inputs, key, on_error))

    def rename(self, name: str, id: int, new: str | None) -> Document:
        """Give a cluster a name, or with None take it away."""
        return self._ask(calls.rename(name, id, new))

    def _inputs(self, name: str, rows: Any, *, raw: bool = True) -> list[Document]:
        return list(self.model(name)["inputs"]) if needs_inputs(rows, raw=raw) else []

    def _ask(self, call: Call[T]) -> T:
        import httpx

        tries = Tries(self._retries)
        while True:
            try:
                answer = self._http.request(**arguments_of(call))
            except httpx.TransportError as error:
                if not may_pass(error):
                    raise NoAnswerError(f"{self._address} does not answer: {error!r}") from error
                time.sleep(tries.after_silence(error, self._address))
                continue
            if answer.is_success:
                return call.read(answer.content, answer.headers)
            time.sleep(tries.after_refusal(answer.status_code, answer.headers, answer.content))
