"""What the description of the service says of bodies, answers and errors, as plain JSON Schema.

The handlers read bodies as they come and write answers themselves, so the framework cannot find this out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Schema = dict[str, Any]
Responses = dict[int | str, dict[str, Any]]

JSON, CSV, ARROW, RAW = (
    "application/json",
    "text/csv",
    "application/vnd.apache.arrow.stream",
    "application/octet-stream",
)
TEXT: Schema = {"type": "string"}
NULLABLE_TEXT: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "number"}
NULLABLE_NUMBER: Schema = {"type": ["number", "null"]}
INTEGER: Schema = {"type": "integer"}
NULLABLE_INTEGER: Schema = {"type": ["integer", "null"]}
BOOLEAN: Schema = {"type": "boolean"}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
NULLABLE_SHARE: Schema = {"type": ["number", "null"], "minimum": 0, "maximum": 1}

_MEANS = {
    400: "The request makes no sense.",
    401: "The token is missing or wrong.",
    403: "The token may not do this, or it is switched off.",
    404: "There is no such thing; the error names what there is.",
    406: "The answer cannot be had in that format.",
    408: "The body took too long.",
    413: "The body is too long or has too many rows.",
    415: "The content type is not read.",
    421: "This host is not served.",
    422: "The rows or parameters cannot be used; the error says where and what to do.",
    429: "Too much is waiting; ask again after Retry-After seconds.",
    500: "The service failed; its log says why.",
    503: "There is no version of the model yet, or the service is ending.",
}
BODY_ERRORS = (406, 408, 413, 415, 422, 429, 503)
"""What a request with rows may be refused for."""


def array(items: Schema, **limits: int) -> Schema:
    """A list of such items.

    >>> array({"type": "integer"}, maxItems=3)
    {'type': 'array', 'items': {'type': 'integer'}, 'maxItems': 3}
    """
    return {"type": "array", "items": items, **limits}


def record(*, optional: Sequence[str] = (), more: bool = False, **fields: Schema) -> Schema:
    """An object with these fields, all of them needed but the ``optional`` ones; others only if ``more`` may come."""
    return {
        "type": "object",
        "properties": fields,
        "required": [name for name in fields if name not in optional],
        "additionalProperties": more,
    }


ERROR = record(error=TEXT, place=NULLABLE_TEXT, remedy=NULLABLE_TEXT)
"""Every error of the service."""


def errors(*statuses: int) -> Responses:
    """The errors of a route, with those that any route may answer with.

    >>> sorted(errors(404))
    [401, 404, 421, 500]
    """
    content = {JSON: {"schema": ERROR}}
    return {s: {"description": _MEANS[s], "content": content} for s in sorted({401, 421, 500, *statuses})}


def answers(
    schema: Schema,
    text: str,
    *statuses: int,
    status: int = 200,
    kinds: Sequence[str] = (),
    headers: Sequence[str] = (),
) -> Responses:
    """The ``responses=`` of a route: JSON of a schema or, asked for by Accept, other ``kinds``, and its errors."""
    content: dict[str, Any] = {JSON: {"schema": schema}}
    content |= {kind: {"schema": {"type": "string"}} for kind in kinds}
    good: dict[str, Any] = {"description": text, "content": content}
    if headers:
        good["headers"] = {name: {"schema": TEXT} for name in headers}
    return {status: good, **errors(*statuses)}


def json_body(schema: Schema, text: str) -> dict[str, Any]:
    """The ``openapi_extra=`` of a route that reads a JSON document."""
    return {"requestBody": {"required": True, "description": text, "content": {JSON: {"schema": schema}}}}


_VALUE: Schema = {"type": ["string", "number", "boolean", "null", "array"]}
ROWS = record(
    rows={
        "type": "array",
        "minItems": 1,
        "items": {
            "oneOf": [
                {"type": "object", "additionalProperties": _VALUE, "title": "by column"},
                {"type": "array", "items": _VALUE, "title": "in the order of the columns"},
                {"type": "string", "title": "a text"},
            ]
        },
    },
    more=True,
)
"""Rows as JSON."""

ROWS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Rows in the columns the model was fitted on, or texts for topics.",
        "content": {
            JSON: {"schema": ROWS},
            CSV: {"schema": {"type": "string"}},
            ARROW: {"schema": {"type": "string", "format": "binary"}},
            RAW: {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "float32, little-endian, row by row; ?width= says how many make a row",
                }
            },
        },
    }
}
"""``openapi_extra=`` of the routes that take rows."""

ASSIGN_ANSWER = record(
    model=TEXT,
    version=TEXT,
    rows=array(
        record(
            id=NULLABLE_INTEGER,
            distance=NULLABLE_NUMBER,
            second_distance=NULLABLE_NUMBER,
            outlier_score=NULLABLE_SHARE,
            name=NULLABLE_TEXT,
            nearest={"type": ["array", "null"], "items": INTEGER},
            nearest_distances={"type": ["array", "null"], "items": NUMBER},
            optional=(
                "id",
                "distance",
                "second_distance",
                "outlier_score",
                "name",
                "nearest",
                "nearest_distances",
            ),
        )
    ),
    more=True,
)
"""Labels of rows; ``columns=`` may leave some out."""

ASSIGN_RESPONSES = answers(
    ASSIGN_ANSWER,
    "Cluster, distances and outlier score of each row.",
    403,
    404,
    *BODY_ERRORS,
    kinds=(CSV, ARROW, RAW),
    headers=("X-Model-Version",),
)
"""``responses=`` of assign."""

TRANSFORM_RESPONSES = answers(
    record(ids=array(INTEGER), rows=array({"type": ["array", "null"], "items": NULLABLE_NUMBER}), more=True),
    "Distance of each row to every cluster.",
    403,
    404,
    *BODY_ERRORS,
    kinds=(CSV, ARROW),
    headers=("X-Model-Version",),
)
"""``responses=`` of transform."""

HEALTH_RESPONSES: Responses = answers(record(status=TEXT), "It does.", 503)
"""``responses=`` of /health/live and /health/ready."""

METRICS_RESPONSES: Responses = {
    200: {
        "description": "Counts in Prometheus' text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    },
    **errors(),
}
"""``responses=`` of /metrics."""

_CARD = record(
    id=INTEGER, label=TEXT, colour=TEXT, share=NULLABLE_NUMBER, at=array(NULLABLE_NUMBER), more=True
)
_SEEN = (404, 422, 429, 503)

SCENE_RESPONSES = answers(
    record(
        model=TEXT,
        version=TEXT,
        k=INTEGER,
        clusters=array(_CARD),
        points=array(array(NULLABLE_NUMBER)),
        more=True,
    ),
    "Clusters, their places, and a sample of rows.",
    *_SEEN,
)
CHOICE_RESPONSES = answers(
    record(
        ks=array(INTEGER), suggested=NULLABLE_INTEGER, curves=array(record(key=TEXT, more=True)), more=True
    ),
    "The criteria for every k.",
    *_SEEN,
)
SOLVE_RESPONSES = answers(
    record(k=INTEGER, clusters=array(_CARD), points=array(INTEGER), more=True),
    "The clusters for this k.",
    *_SEEN,
)
EXPLAIN_RESPONSES = answers(
    record(cluster=INTEGER, label=TEXT, nearest=array(record(id=INTEGER, more=True)), text=TEXT, more=True),
    "Where the row falls, and why.",
    *BODY_ERRORS,
    404,
)
EXPLAIN_BODY = json_body(
    {
        "type": "object",
        "properties": {"row": {"type": ["object", "array"]}, "text": TEXT},
        "minProperties": 1,
    },
    "One row of the model's columns, or one text.",
)
NAME_RESPONSES = answers(
    record(id=INTEGER, name=NULLABLE_TEXT), "The name as it is kept.", 401, 403, 404, 408, 413, 415, 422, 503
)
NAME_BODY = json_body(
    record(name={"type": ["string", "null"], "minLength": 1, "maxLength": 200}),
    "The name; null takes it away.",
)
WINDOW_RESPONSES = answers(
    record(k=INTEGER, rows=INTEGER, clusters=array(_CARD), more=True), "The clusters of the interval.", *_SEEN
)
COMPARE_RESPONSES = answers(
    record(before=record(more=True), after=record(more=True), events=array(record(kind=TEXT, more=True))),
    "Both intervals, and what happened between.",
    *_SEEN,
)
TIME_RESPONSES = answers(
    record(start=NULLABLE_NUMBER, end=NULLABLE_NUMBER, bucket=NUMBER, more=True), "What is held.", *_SEEN
)
SESSION_RESPONSES = answers(
    record(read=BOOLEAN, write=BOOLEAN, needs_token=BOOLEAN), "What the token may do."
)
