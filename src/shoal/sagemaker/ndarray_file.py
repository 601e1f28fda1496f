"""Lists of arrays as MXNet's ``nd.save`` writes them: the file ``model_algo-1`` holds the centres in this form.

Little-endian. ``u64 0x112 | u64 0 | u64 count``, the arrays, ``u64 names``, and for each name ``u64 length | bytes``.
An array of version 2 is ``u32 magic | i32 storage | i32 ndim | i64 dims | i32 device type | i32 device | i32 type`` and
its numbers. Version 1 has no storage field; before it there was no magic, ndim stood in its place, and dims were u32.
Version 3 is version 2 where an array may have no dimensions at all.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError, DamagedFileError

LIST_MAGIC = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_TYPES = tuple(np.dtype(name) for name in ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "bool"))
"""By their number in the file."""
_DENSE = 0
_CPU = 1
_MOST_DIMS = 32
_MOST_NUMBERS = 1 << 40


def ndarray_bytes(arrays: Sequence[ArrayLike] | Mapping[str, ArrayLike]) -> bytes:
    """Arrays, or named arrays, as a file of version 2, byte for byte as MXNet writes it.

    Raises
    ------
    BadInputError : an array of a type the format lacks, or without dimensions.

    >>> read_ndarrays(ndarray_bytes([np.float32([[1, 2]])]))[0]
    array([[1., 2.]], dtype=float32)
    """
    named = list(arrays.items()) if isinstance(arrays, Mapping) else [("", array) for array in arrays]
    names = [name.encode() for name, _ in named] if isinstance(arrays, Mapping) else []
    parts = [struct.pack("<QQQ", LIST_MAGIC, 0, len(named))]
    for _, array in named:
        parts += _array_bytes(np.asarray(array))
    parts.append(struct.pack("<Q", len(names)))
    for name in names:
        parts += [struct.pack("<Q", len(name)), name]
    return b"".join(parts)


def _array_bytes(array: NDArray[Any]) -> list[bytes]:
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _TYPES:
        raise BadInputError(f"an array of {array.dtype}", remedy=f"use {', '.join(t.name for t in _TYPES)}")
    if not array.ndim:
        raise BadInputError("an array without dimensions", remedy="give it one, with shape (1,)")
    head = struct.pack(f"<Iii{array.ndim}q", _V2, _DENSE, array.ndim, *array.shape)
    numbers = np.ascontiguousarray(array, dtype)
    return [head, struct.pack("<iii", _CPU, 0, _TYPES.index(dtype)), numbers.tobytes()]


def read_ndarrays(data: bytes, *, place: str = "NDArray file") -> list[NDArray[Any]]:
    """The arrays of a file, in order; each a view of ``data``.

    Raises
    ------
    DamagedFileError : no such file, one that is cut short, or one with sizes that it cannot hold.
    BadInputError : arrays in sparse storage.
    """
    return [array for _, array in read_named_ndarrays(data, place=place)]


def read_named_ndarrays(data: bytes, *, place: str = "NDArray file") -> list[tuple[str, NDArray[Any]]]:
    """The arrays with their names, which are empty in a list; errors as :func:`read_ndarrays`.

    >>> read_named_ndarrays(ndarray_bytes({"bias": np.int8([3])}))
    [('bias', array([3], dtype=int8))]
    """
    cursor = _Cursor(data, place)
    magic, _, count = cursor.take("<QQQ")
    if magic != LIST_MAGIC:
        raise DamagedFileError(f"{place}: does not start as a list of MXNet arrays does")
    if count > cursor.left // 4:
        raise DamagedFileError(f"{place}: {count} arrays are due in {cursor.left} bytes")
    arrays = [_read_array(cursor) for _ in range(count)]
    (named,) = cursor.take("<Q")
    if named not in (0, count):
        raise DamagedFileError(f"{place}: has {named} names for {count} arrays")
    names = [str(cursor.span(cursor.take("<Q")[0]), "utf-8", "replace") for _ in range(named)]
    if cursor.left:
        raise DamagedFileError(f"{place}: {cursor.left} bytes too many at the end")
    return list(zip(names or [""] * count, arrays, strict=True))


def _read_array(cursor: _Cursor) -> NDArray[Any]:
    (magic,) = cursor.take("<I")
    if magic in (_V2, _V3):
        (storage,) = cursor.take("<i")
        if storage != _DENSE:
            raise BadInputError(
                f"an array in sparse storage (type {storage})",
                place=cursor.place,
                remedy="save it dense, with tostype('default')",
            )
    dims = _dims(cursor, magic)
    if dims is None:
        return np.empty(0, np.float32)
    _, _, kind = cursor.take("<iii")
    if not 0 <= kind < len(_TYPES):
        raise DamagedFileError(f"{cursor.place}: an array of unknown type {kind}")
    # what the file cannot hold is refused before anything is made of it
    raw = cursor.span(math.prod(dims) * _TYPES[kind].itemsize)
    return np.frombuffer(raw, _TYPES[kind]).reshape(dims)


def _dims(cursor: _Cursor, magic: int) -> tuple[int, ...] | None:
    """The shape; None for an array that was never given one, of which nothing else is stored."""
    legacy = magic not in (_V1, _V2, _V3)
    count = magic if legacy else cursor.take("<i")[0]
    if count == -1 or (count == 0 and magic != _V3):
        return None
    if not 0 <= count <= _MOST_DIMS:
        raise DamagedFileError(f"{cursor.place}: an array of {count} dimensions")
    dims = tuple(int(v) for v in cursor.take(f"<{count}{'I' if legacy else 'q'}"))
    if magic == _V3 and any(dim == -1 for dim in dims):
        return None
    if any(dim < 0 for dim in dims) or math.prod(max(dim, 1) for dim in dims) > _MOST_NUMBERS:
        raise DamagedFileError(f"{cursor.place}: an array of shape {dims}")
    return dims


class _Cursor:
    """Reads forwards, and never beyond the end."""

    def __init__(self, data: bytes, place: str) -> None:
        self._data, self._at, self.place = memoryview(data), 0, place

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.span(struct.calcsize(layout)))

    def span(self, size: int) -> memoryview:
        if size > self.left:
            raise DamagedFileError(
                f"{self.place}: {size} bytes are due at byte {self._at}, {self.left} are left"
            )
        self._at += size
        return self._data[self._at - size : self._at]
