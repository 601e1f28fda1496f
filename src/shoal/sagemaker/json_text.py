"""JSON documents of a job: whatever is wrong with one is a ValueError, however deep it is nested."""

from __future__ import annotations

import json
from typing import Any


def parsed_json(text: str | bytes) -> Any:
    """What a JSON text says.

    Raises
    ------
    ValueError : it is no JSON, or nested too deeply.

    >>> parsed_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: nested too deeply
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
