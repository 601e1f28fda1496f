"""How protobuf lays out fields and numbers, as far as records of numbers need it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError

VARINT, FIXED64, SPAN, _GROUP, _END, FIXED32 = range(6)
"""Wire types."""
_FEW = 12
"""Bytes up to which a loop is quicker than arrays."""
_TOO_LONG = "has a number longer than 64 bits"


def fields(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Number, wire type and bytes of every field; of a varint its own bytes. Groups are skipped."""
    at, end, depth = 0, len(data), 0
    while at < end:
        tag, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == SPAN:
            size, at = (data[at], at + 1) if at < end and data[at] < 0x80 else _varint(data, at)
        elif kind == VARINT:
            size = _varint(data, at)[1] - at
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        elif kind in (_GROUP, _END):
            size, depth = 0, depth + (1 if kind == _GROUP else -1)
        else:
            raise BadInputError(f"has a field of unknown wire type {kind}")
        if size > end - at or number == 0 or depth < 0:
            raise BadInputError("is no protobuf message of this schema, or was damaged")
        if not depth and kind != _END:
            yield number, kind, data[at : at + size]
        at += size
    if depth:
        raise BadInputError("ends within a group")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for i, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    raise BadInputError("ends within a number" if len(data) - at < 10 else _TOO_LONG)


def decode_varints(raw: bytes | memoryview) -> NDArray[np.uint64]:
    """(m,) numbers of a packed field.

    Raises
    ------
    BadInputError : the last one is cut short, or one is longer than 64 bits.

    >>> decode_varints(bytes([1, 0x96, 1])).tolist()
    [1, 150]
    """
    if len(raw) < _FEW:
        return np.array(list(_few(memoryview(raw))), np.uint64)
    octets = np.frombuffer(raw, np.uint8)
    ends = np.flatnonzero(octets < 0x80)
    if len(ends) == len(octets):
        return octets.astype(np.uint64)
    if not len(ends) or ends[-1] != len(octets) - 1:
        raise BadInputError("ends within a number")
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    lengths = ends - starts
    longest = int(lengths.max())
    if longest > 9:
        raise BadInputError(_TOO_LONG)
    digits = (octets & 0x7F).astype(np.uint64)
    out: NDArray[np.uint64] = digits[starts]
    for place in range(1, longest + 1):
        longer = np.flatnonzero(lengths >= place)
        out[longer] |= digits[starts[longer] + place] << np.uint64(7 * place)
    return out


def _few(raw: memoryview) -> Iterator[int]:
    at = 0
    while at < len(raw):
        number, at = _varint(raw, at)
        yield number & (2**64 - 1)


def encode_varints(numbers: NDArray[Any]) -> bytes:
    """A packed field of whole numbers; negative ones take ten bytes, as in protobuf.

    >>> encode_varints(np.array([1, 150])).hex(), len(encode_varints(np.int32([-1])))
    ('019601', 10)
    """
    rest = (
        numbers.astype(np.int64).view(np.uint64) if numbers.dtype.kind == "i" else numbers.astype(np.uint64)
    )
    if not len(rest) or int(rest.max()) < 0x80:
        return rest.astype(np.uint8).tobytes()
    digits = rest[:, None] >> (7 * np.arange(10, dtype=np.uint64))
    used = digits > 0
    used[:, 0] = True
    last = np.concatenate([~used[:, 1:], np.ones((len(rest), 1), np.bool_)], axis=1)
    octets = (digits & np.uint64(0x7F)).astype(np.uint8) | np.where(last, 0, 0x80).astype(np.uint8)
    return octets[used].tobytes()


def span_of(number: int, body: bytes) -> bytes:
    """A field of bytes, with its number and length.

    >>> span_of(1, b"ab").hex()
    '0a026162'
    """
    size, head = len(body), bytearray([number << 3 | SPAN])
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + body
