"""Every call as a request and the reading of its answer; neither does any I/O."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from shoal.client.labels import Distances, Labels, read_distances, read_labels
from shoal.client.rows import ARROW, JSON, body_of, json_body
from shoal.errors import BadInputError, ShoalError

T = TypeVar("T")
Document = dict[str, Any]
OnError = Literal["raise", "skip"]


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request that may be sent again, and what its answer means."""

    method: str
    path: str
    read: Callable[[bytes, Mapping[str, str]], T]
    """From the body and the headers, whose names are in small letters."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


def models() -> Call[list[Document]]:
    """All models."""
    return Call("GET", "/v1/models", lambda body, _: _listed(body, "models"))


def model(name: str) -> Call[Document]:
    """One model."""
    return Call("GET", _address(name), _document)


def clusters(name: str) -> Call[list[Document]]:
    """The clusters of a model."""
    return Call("GET", _address(name, "clusters"), lambda body, _: _listed(body, "clusters"))


def versions(name: str) -> Call[list[Document]]:
    """The versions of a model."""
    return Call("GET", _address(name, "versions"), lambda body, _: _listed(body, "versions"))


def assign(
    name: str, rows: Any, inputs: Sequence[Mapping[str, Any]], n: int | None, on_error: OnError
) -> Call[Labels]:
    """Labels of rows."""
    body = body_of(rows, inputs)
    return Call(
        "POST",
        _address(name, "assign"),
        read_labels,
        {**body.parameters, "on_error": on_error} | ({} if n is None else {"n": n}),
        {"content-type": body.kind, "accept": ARROW},
        body.content,
    )


def transform(
    name: str, rows: Any, inputs: Sequence[Mapping[str, Any]], on_error: OnError
) -> Call[Distances]:
    """Distances of rows to all clusters."""
    body = body_of(rows, inputs)
    return Call(
        "POST",
        _address(name, "transform"),
        read_distances,
        {**body.parameters, "on_error": on_error},
        {"content-type": body.kind, "accept": ARROW},
        body.content,
    )


def explain(name: str, row: Mapping[str, Any] | str) -> Call[Document]:
    """Why a row is where it is."""
    asked: Document = {"text": row} if isinstance(row, str) else {"row": dict(row)}
    return Call(
        "POST",
        _address(name, "explain"),
        _document,
        headers={"content-type": JSON},
        content=json_body(asked).content,
    )


def events(name: str, filters: Mapping[str, Any], before: int | None) -> Call[Document]:
    """A page of what happened to the clusters."""
    given = {key: value for key, value in filters.items() if value is not None}
    return Call(
        "GET", _address(name, "events"), _document, given | ({} if before is None else {"before": before})
    )


def learn(
    name: str, rows: Any, inputs: Sequence[Mapping[str, Any]], key: str | None, on_error: OnError
) -> Call[Document]:
    """Rows to learn from; the key lets the service know those that are sent again."""
    body = body_of(rows, inputs, raw=False)
    headers = {"content-type": body.kind, "idempotency-key": uuid.uuid4().hex if key is None else key}
    return Call(
        "POST",
        _address(name, "learn"),
        _document,
        {**body.parameters, "on_error": on_error},
        headers,
        body.content,
    )


def rename(name: str, cluster: int, new: str | None) -> Call[Document]:
    """A name for a cluster; None takes it away."""
    return Call(
        "PUT",
        _address(name, "clusters", str(int(cluster)), "name"),
        _document,
        headers={"content-type": JSON},
        content=json_body({"name": new}).content,
    )


def watched(name: str | None) -> Mapping[str, str]:
    """Parameters of the live messages of one model, or of all."""
    return {} if name is None else {"model": name}


def _address(name: str, *below: str) -> str:
    if not name or name in (".", ".."):
        raise BadInputError(f"{name!r} is no name of a model", remedy="client.models() lists them")
    return "/".join(["/v1/models", quote(name, safe="@"), *(quote(part, safe="") for part in below)])


def _document(body: bytes, _: Mapping[str, str]) -> Document:
    try:
        read = json.loads(body)
    except ValueError as error:
        raise ShoalError(f"the answer is no JSON: {error}; is this a service of Shoal's?") from error
    if not isinstance(read, dict):
        raise ShoalError("the answer is no JSON object; is this a service of Shoal's?")
    return read


def _listed(body: bytes, name: str) -> list[Document]:
    found = _document(body, {}).get(name)
    if not isinstance(found, list):
        raise ShoalError(f"the answer has no {name}; is this a service of Shoal's?")
    return found
