"""Tensors of the Open Inference Protocol: JSON that is flat or nested, and binary data."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal.errors import BadInputError

PLACE = "request"
KINDS = {
    "BOOL": "?",
    **{f"{u}INT{8 * n}": f"<{u.lower() or 'i'}{n}" for u in ("", "U") for n in (1, 2, 4, 8)},
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""Types of numbers, as NumPy has them."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """One input."""

    name: str
    values: Any
    """An array of its shape, or a list of texts."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""
        return np.shape(self.values) if isinstance(self.values, np.ndarray) else (len(self.values),)


def read_tensor(entry: Any, rest: memoryview) -> tuple[Tensor, memoryview]:
    """One input of a request, and what is left of its binary data.

    Raises
    ------
    BadInputError : with the name of the input.

    >>> entry = {"name": "x", "datatype": "INT32", "shape": [1, 2], "data": [3, 4]}
    >>> read_tensor(entry, memoryview(b""))[0].values.tolist()
    [[3, 4]]
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise BadInputError("has an input without a name", place=PLACE)
    name, shape, datatype = entry["name"], entry.get("shape"), entry.get("datatype")
    place = place_of(name)
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 2**40 for n in shape) or not shape:
        raise BadInputError("the shape is no list of whole numbers", place=place)
    if not isinstance(datatype, str) or datatype not in {*KINDS, "BYTES"}:
        known = ", ".join([*KINDS, "BYTES"])
        raise BadInputError(
            f"the datatype {ascii(datatype)[:30]} is not taken", place=place, remedy=f"take {known}"
        )
    count, size = math.prod(shape), parameters_of(entry).get("binary_data_size")
    if size is None:
        if "data" not in entry:
            raise BadInputError("has no data", place=place)
        values = _from_json(entry["data"], datatype, count, place)
    else:
        if type(size) is not int or not 0 <= size <= len(rest) or "data" in entry:
            raise BadInputError("binary_data_size does not fit what was sent", place=place)
        values, rest = _from_bytes(rest[:size], datatype, count, place), rest[size:]
    if isinstance(values, np.ndarray):
        try:
            values = values.reshape(shape)
        except (
            ValueError,
            OverflowError,
        ) as error:  # too many dimensions, or beyond any memory but for a zero
            raise BadInputError("has a shape that no array has", place=place) from error
        if values.dtype.itemsize == 2 and values.dtype.kind == "f":
            values = values.astype("<f4")  # which holds it as it is, and is read everywhere
    elif len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
        raise BadInputError(f"has shape {shape}", place=place, remedy="send one text for each row: [n]")
    return Tensor(name, values), rest


def _from_json(data: Any, datatype: str, count: int, place: str) -> Any:
    """``data`` may be flat or nested, as the protocol has it."""
    if isinstance(data, np.ndarray):  # numbers that were read in one sweep
        held: Any = data
    else:
        try:
            held = np.asarray(data, object).reshape(-1).tolist()
        except (ValueError, TypeError, RecursionError) as error:
            raise BadInputError(f"the data is no {datatype}: {str(error)[:80]}", place=place) from error
        _check_kinds(held, datatype, place)
    if len(held) != count:
        raise BadInputError(f"has {len(held)} values, its shape {count}", place=place)
    if datatype == "BYTES":
        return held
    kind = np.dtype(KINDS[datatype])
    if kind.kind in "iu":  # 3.0 is 3, and what is out of range then is an error
        held = [int(value) for value in held]
    try:
        with np.errstate(over="ignore"):  # infinity is refused with the row
            return np.asarray(held, kind)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInputError(f"the data is no {datatype}: {str(error)[:80]}", place=place) from error


def _check_kinds(values: list[Any], datatype: str, place: str) -> None:
    """Refuse what NumPy would turn into another value: 20.9 as a whole number, a text as a number, "false" as true."""
    for i, value in enumerate(values):
        if not _fits(value, datatype):
            what = "text" if datatype == "BYTES" else datatype
            raise BadInputError(
                f"is no {what}: {ascii(value)[:40]}", place=f"{place}, value {i + 1}", remedy="mend it"
            )


def _fits(value: Any, datatype: str) -> bool:
    kind = type(value)
    if datatype == "BYTES":
        return value is None or kind is str
    if datatype == "BOOL":
        return kind is bool
    if "INT" in datatype:
        return kind is int or (kind is float and value.is_integer())
    return value is None or kind is float or kind is int


def _from_bytes(data: memoryview, datatype: str, count: int, place: str) -> Any:
    kind = KINDS.get(datatype)
    if kind is not None:
        if len(data) != count * np.dtype(kind).itemsize:
            raise BadInputError(f"{len(data)} bytes are not {count} values of {datatype}", place=place)
        return np.frombuffer(data, kind)
    texts: list[str] = []
    at = 0
    try:
        while at < len(data) and len(texts) <= count:
            size = struct.unpack_from("<I", data, at)[0]
            text = data[at + 4 : at + 4 + size]
            if len(text) != size:
                raise BadInputError("a text is longer than the data", place=place)
            texts.append(str(text, "utf-8"))
            at += 4 + size
    except (struct.error, UnicodeDecodeError) as error:
        raise BadInputError(
            "the data is no texts", place=place, remedy="send for each its length as uint32, then UTF-8"
        ) from error
    if len(texts) != count:
        raise BadInputError(f"the data is not {count} texts", place=place)
    return texts


def parameters_of(entry: dict[str, Any]) -> dict[str, Any]:
    """The ``parameters`` of a request or a tensor."""
    held = entry.get("parameters")
    return held if isinstance(held, dict) else {}


def place_of(name: str) -> str:
    """An input, as errors call it."""
    return f"{PLACE}, input {name[:80]!r}"
