"""Bodies of requests as JSON documents."""

from __future__ import annotations

import json
from typing import Any

from shoal.errors import BadInputError

_PLACE = "request"


def json_document(body: bytes) -> Any:
    """The document a body holds.

    Raises
    ------
    BadInputError : it is no JSON, or nested too deeply.

    >>> json_document(b"[1")
    Traceback (most recent call last):
    shoal.errors.BadInputError: request: is no JSON: Expecting ',' delimiter: line 1 column 3 (char 2); mend it
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"is no JSON: {str(error)[:100]}", place=_PLACE, remedy="mend it") from error


def json_object(body: bytes, *, remedy: str = "send {...}") -> dict[str, Any]:
    """The object a body holds; errors as in :func:`json_document`, or with ``remedy`` for other documents."""
    document = json_document(body)
    if not isinstance(document, dict):
        raise BadInputError("is no JSON object", place=_PLACE, remedy=remedy)
    return document
