"""Rows of plain numbers in JSON, read in one sweep.

Most bodies are ``{"rows": [[...], ...]}`` with nothing but numbers. simdjson parses those several times faster than
anything that makes an object of every number, and rounds each as Python does. What is not exactly of that form is
left to the general way, whose errors name the row.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.serve.limits import check_rows


def number_rows(body: bytes, width: int, max_rows: int) -> NDArray[np.float64] | None:
    """(n, width) numbers of a body that is a list of rows of so many numbers; None for any other body.

    Raises
    ------
    TooManyRowsError : more than ``max_rows``.

    >>> number_rows(b'{"rows": [[1, 2.5], [3, 4]]}', 2, 10)
    array([[1. , 2.5],
           [3. , 4. ]])
    >>> number_rows(b'{"rows": [[1, "two"]]}', 2, 10) is None
    True
    """
    parser = _parser()
    if parser is None:
        return None
    try:
        document = parser().parse(body)
        rows = document["rows"]
        count = len(rows)
        # a second key may be "rows" again, of which the last would count
        if len(document) != 1 or not count:
            return None
    except _NOT_SO:
        return None
    check_rows(count, max_rows)
    try:
        # with no more brackets than rows no number hides in a list of its own, which as_buffer would flatten
        if {len(row) for row in rows} != {width} or body.count(b"[") != count + 1:
            return None
        flat = np.frombuffer(rows.as_buffer(of_type="d"), np.float64)
    except _NOT_SO:
        return None
    return flat.reshape(count, width)


_NOT_SO = (ValueError, TypeError, KeyError, AttributeError, RuntimeError)
"""What simdjson raises for what is no JSON, has other types or holds numbers beyond its own."""


@cache
def _parser() -> Any:
    """The parser, if it is installed; without it everything goes the general way."""
    try:
        import simdjson
    except ImportError:
        return None
    return simdjson.Parser
