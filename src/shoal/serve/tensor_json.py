"""Long JSON documents of tensors, read without making an object of every number."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

LONG = 16_384
"""Bytes from which on it pays."""
_NOT_SO = (ValueError, TypeError, KeyError, AttributeError, RuntimeError)
"""What simdjson raises for what is no JSON, has other types or holds numbers beyond its own."""


def long_document(body: bytes) -> dict[str, Any] | None:
    """The document with each flat list of FP32 or FP64 data as an array; None where it is to be read the general way.

    >>> long_document(b"{}") is None
    True
    """
    simdjson = _simdjson()
    if len(body) < LONG or simdjson is None:
        return None
    try:
        held = simdjson.Parser().parse(body)
        document = {name: _plain(held[name]) for name in held if name != "inputs"}
        return document | {"inputs": [_entry(entry) for entry in held["inputs"]]}
    except _NOT_SO:
        return None


def _entry(entry: Any) -> dict[str, Any]:
    read = {name: _plain(entry[name]) for name in entry if name != "data"}
    data = entry.get("data")
    if read.get("datatype") in ("FP32", "FP64") and data is not None:
        flat = np.frombuffer(data.as_buffer(of_type="d"), np.float64)
        # as many numbers as the list has members: none hides in a list of its own
        if len(flat) == len(data):
            return read | {"data": flat}
    return read if data is None else read | {"data": _plain(data)}


def _plain(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return value.as_list() if hasattr(value, "as_list") else value


@cache
def _simdjson() -> Any:
    try:
        import simdjson
    except ModuleNotFoundError:
        return None
    return simdjson
