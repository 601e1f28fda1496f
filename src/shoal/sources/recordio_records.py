"""Records of the built-in algorithms of Amazon SageMaker: protobuf messages with named tensors, read and written.

The schema (proto2, package ``aialgs.data``) is small enough to be read by hand, and so needs no protobuf library::

    Record { map<string, Value> features = 1; map<string, Value> label = 2; string uid = 3; string metadata = 4; }
    Value { oneof { Float32Tensor = 2; Float64Tensor = 3; Int32Tensor = 7; Bytes = 9; } }
    Tensor { repeated values = 1; repeated uint64 keys = 2; repeated uint64 shape = 3; }  // all packed
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError
from shoal.sources.recordio import frame
from shoal.sources.recordio_wire import (
    FIXED32,
    FIXED64,
    SPAN,
    VARINT,
    decode_varints,
    encode_varints,
    fields,
    span_of,
)

VALUES = "values"
"""Under this name the SDK writes features, and labels."""
WIDEST = 1 << 24
"""Numbers a row may have: a sparse record of a few bytes can claim any shape."""
_MOST_DIMS = 32
_DTYPES: dict[int, np.dtype[Any]] = {2: np.dtype("<f4"), 3: np.dtype("<f8"), 7: np.dtype("<i4")}
_NUMBERS = {kind: number for number, kind in _DTYPES.items()}
_SCALAR = {2: FIXED32, 3: FIXED64, 7: VARINT}
_BYTES = 9
_EMPTY = np.empty(0, np.uint64)


@dataclass(frozen=True, eq=False)
class Tensor:
    """Numbers of one record: all of them, or those that are not zero with their places.

    >>> Tensor(np.float32([5, 7]), np.uint64([0, 2]), (4,)).dense()
    array([5., 0., 7., 0.], dtype=float32)
    """

    values: NDArray[Any]
    """(m,) float32, float64 or int32."""
    keys: NDArray[np.uint64] = field(default_factory=lambda: _EMPTY)
    """(m,) places of the values if the tensor is sparse; else empty."""
    shape: tuple[int, ...] = ()
    """Needed if it is sparse."""

    @property
    def is_sparse(self) -> bool:
        """Whether numbers are left out."""
        return bool(len(self.keys)) or (not len(self.values) and bool(self.shape))

    @property
    def size(self) -> int:
        """How many numbers there are, by the shape if there is one.

        Raises
        ------
        BadInputError : the shape is too long or too large. Nobody multiplies or prints what it claims: a number of a million
            digits takes minutes.
        """
        if len(self.shape) > _MOST_DIMS:
            raise BadInputError(
                f"has a shape of {len(self.shape)} dimensions, where {_MOST_DIMS} are the most"
            )
        size = 1 if self.shape else len(self.values)
        for dim in sorted(self.shape):  # a zero comes first
            size *= dim
            if size > WIDEST:
                raise BadInputError(f"claims more than {WIDEST} columns")
        return size

    def dense(self) -> NDArray[Any]:
        """(d,) all numbers, flat; values at an equal place are added up.

        Raises
        ------
        BadInputError : keys and values do not pair, a key is beyond the shape, or the shape is missing or too large.
        """
        size = self.size
        if not self.is_sparse:
            if size != len(self.values):
                raise BadInputError(f"has {len(self.values)} values where its shape {self.shape} is due")
            return self.values
        if len(self.keys) != len(self.values):
            raise BadInputError(f"has {len(self.keys)} keys for {len(self.values)} values")
        if not self.shape:
            raise BadInputError("is sparse and has no shape")
        if len(self.keys) and int(self.keys.max()) >= size:
            raise BadInputError(f"has the key {int(self.keys.max())} where columns end at {size - 1}")
        out, places = np.zeros(size, self.values.dtype), self.keys.view(np.int64)
        if (places[1:] > places[:-1]).all():
            out[places] = self.values
        else:
            np.add.at(out, places, self.values)
        return out


Value = Tensor | tuple[bytes, ...]
"""Numbers, or what the schema calls Bytes, such as images."""


@dataclass(frozen=True, eq=False)
class Record:
    """One record."""

    features: Mapping[str, Value] = field(default_factory=dict)
    label: Mapping[str, Value] = field(default_factory=dict)
    uid: str | None = None
    metadata: str | None = None
    configuration: str | None = None


def parse_record(payload: bytes | memoryview) -> Record:
    """A record from its bytes. Unknown fields are skipped, repeated numbers may be packed or not.

    Raises
    ------
    BadInputError : the bytes are no such message.

    >>> parse_record(encode_record(Record({"values": Tensor(np.float32([1, 2]))}))).features["values"].values
    array([1., 2.], dtype=float32)
    """
    maps: tuple[dict[str, Value], dict[str, Value]] = ({}, {})
    texts: dict[int, str] = {}
    for number, kind, span in fields(memoryview(payload)):
        if kind != SPAN:
            continue
        if number in (1, 2):
            name, value = _entry(span)
            maps[number - 1][name] = value
        elif number in (3, 4, 5):
            texts[number] = str(span, "utf-8", "replace")
    return Record(*maps, texts.get(3), texts.get(4), texts.get(5))


def encode_record(record: Record) -> bytes:
    """A record as the SDK would write it, byte for byte.

    >>> encode_record(Record(label={"values": Tensor(np.float32([1]))})).hex()
    '12120a0676616c756573120812060a040000803f'
    """
    out = b""
    for number, values in ((1, record.features), (2, record.label)):
        for name, value in values.items():
            out += span_of(number, span_of(1, name.encode()) + span_of(2, _encoded(value)))
    for number, text in ((3, record.uid), (4, record.metadata), (5, record.configuration)):
        out += b"" if text is None else span_of(number, text.encode())
    return out


def write_sparse(file: BinaryIO, X: Any, labels: ArrayLike | None = None) -> None:
    """Write a SciPy sparse matrix (n, d), with (n,) labels if there are any, as the SDK does, byte for byte.

    The like of the SDK's ``write_spmatrix_to_sparse_tensor``, for more dtypes: see :func:`as_tensor_values`.

    Raises
    ------
    BadInputError : labels that do not fit, or values that no tensor holds.

    >>> import io, scipy.sparse; file = io.BytesIO()
    >>> write_sparse(file, scipy.sparse.csr_matrix(np.float32([[0, 3]]))); len(file.getvalue())
    36
    """
    rows = X.tocsr()
    values, marks = as_tensor_values(rows.data), checked_labels(labels, rows.shape[0])
    shape = (int(rows.shape[1]),)
    for i, (start, stop) in enumerate(zip(rows.indptr[:-1], rows.indptr[1:], strict=True)):
        tensor = Tensor(values[start:stop], rows.indices[start:stop].astype(np.uint64), shape)
        label = {} if marks is None else {VALUES: Tensor(marks[i : i + 1])}
        file.write(frame(encode_record(Record({VALUES: tensor}, label))))


def as_tensor_values(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers in a type that tensors have: float32 and float64 as they are, whole numbers as int32.

    Raises
    ------
    BadInputError : whole numbers beyond int32, or no numbers at all.

    >>> as_tensor_values(np.array([1, 2])).dtype, as_tensor_values(np.float16([1])).dtype
    (dtype('int32'), dtype('float32'))
    """
    if values.dtype.kind == "f" and values.dtype.itemsize <= 8:
        return values.astype("<f8" if values.dtype.itemsize == 8 else "<f4", copy=False)
    if values.dtype.kind not in "iub":
        raise BadInputError(f"values of type {values.dtype}", remedy="use float32, float64 or whole numbers")
    whole = values.astype("<i4")
    if not np.array_equal(whole, values):
        raise BadInputError("whole numbers beyond 32 bits", remedy="use float64")
    return whole


def checked_labels(labels: ArrayLike | None, n: int) -> NDArray[Any] | None:
    """(n,) labels in a type that tensors have; raises :class:`BadInputError` for another shape."""
    if labels is None:
        return None
    marks = as_tensor_values(np.asarray(labels))
    if marks.shape != (n,):
        raise BadInputError(f"labels have shape {marks.shape}, not ({n},)", remedy="give one per row")
    return marks


def _entry(span: memoryview) -> tuple[str, Value]:
    name, parts = "", list[memoryview]()
    for number, kind, part in fields(span):
        if kind == SPAN and number == 1:
            name = str(part, "utf-8", "replace")
        elif kind == SPAN and number == 2:
            parts.append(part)
    return name, _value(_joined(parts))


def _value(span: memoryview) -> Value:
    """The last kind of value there is; of that kind, messages that follow each other are one, as protobuf has it."""
    chosen, parts = 0, list[memoryview]()
    for number, kind, part in fields(span):
        if kind == SPAN and (number in _DTYPES or number == _BYTES):
            if number != chosen:
                chosen, parts = number, []
            parts.append(part)
    body = _joined(parts)
    if chosen == _BYTES:
        return tuple(bytes(part) for number, kind, part in fields(body) if kind == SPAN and number == 1)
    return _tensor(body, chosen or 2)


def _tensor(span: memoryview, message: int) -> Tensor:
    found: dict[int, list[memoryview]] = {1: [], 2: [], 3: []}
    for number, kind, part in fields(span):
        scalar = _SCALAR[message] if number == 1 else VARINT
        if number in found and kind in (SPAN, scalar):
            found[number].append(part)
    raw, keys, shape = map(_joined, found.values())
    dtype = _DTYPES[message]
    if message == 7:
        values = decode_varints(raw).astype(np.uint32).view(np.int32)
    elif len(raw) % dtype.itemsize:
        raise BadInputError(f"has {len(raw)} bytes of {dtype.name} values")
    else:
        values = np.frombuffer(raw, dtype)
    dims = tuple(int(v) for v in decode_varints(shape)) if len(shape) else ()
    return Tensor(values, decode_varints(keys) if len(keys) else _EMPTY, dims)


def _joined(parts: list[memoryview]) -> memoryview:
    return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))


def _encoded(value: Value) -> bytes:
    if isinstance(value, tuple):
        return span_of(_BYTES, b"".join(span_of(1, one) for one in value))
    whole = value.values.dtype.kind == "i"
    raw = encode_varints(value.values) if whole else value.values.tobytes()
    shape = encode_varints(np.array(value.shape, np.uint64))
    parts = ((1, raw), (2, encode_varints(value.keys)), (3, shape))
    body = b"".join(span_of(number, part) for number, part in parts if part)
    return span_of(_NUMBERS[value.values.dtype.newbyteorder("<")], body)
