"""Bodies of requests as rows of numbers, in the four formats that clients of the built-in k-means send."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.sagemaker.json_text import parsed_json
from shoal.sagemaker.tree import CSV, RECORDIO, content_type
from shoal.sources.recordio import StreamedBytes, read_frame
from shoal.sources.recordio_records import VALUES, Record, Tensor, parse_record
from shoal.sources.recordio_template import template_of

JSON, JSON_LINES = "application/json", "application/jsonlines"
KINDS = (CSV, JSON, JSON_LINES, RECORDIO)
PLACE = "request"
SPARSE_NUMBERS = 1 << 25
"""Numbers that sparse records of one request may unpack to: a few bytes can stand for a long row."""
_FORM = 'send {"features": [...]} or {"data": {"features": {"values": [...]}}} for each record'
_KEY_LIMIT = 1 << 63

Mark = tuple[str | None, str | None]
Hold = Callable[[int], None]
"""Told of so many bytes before they are taken; raises where there is no room for them."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one request."""

    matrix: NDArray[Any]
    """(n, d) finite, float32 or float64."""
    marks: tuple[Mark, ...] | None = None
    """(n,) uid and metadata, where RecordIO records have any: their answers bear them too."""


def read_request(kind: str, body: bytes, width: int, hold: Hold | None = None) -> Rows:
    """The rows of a body.

    Parameters
    ----------
    kind : content type, perhaps with parameters: one of :data:`KINDS`. Rows of ``text/csv`` have no header and no label.
    width : numbers a row must have.
    hold : told of the bytes of the rows before they are made, unless they are about as many as those of the body.

    Raises
    ------
    BadInputError : naming the record: another width, what is no finite number, a broken format, or no records at all.

    >>> read_request("text/csv;label_size=0", b"1,2\\n3,4.5", 2).matrix.tolist()
    [[1.0, 2.0], [3.0, 4.5]]
    >>> read_request(JSON, b'{"instances": [{"features": [1, 2]}]}', 2).matrix.tolist()
    [[1.0, 2.0]]
    >>> read_request(JSON_LINES, b'{"data": {"features": {"keys": [1], "shape": [2], "values": [7]}}}', 2).matrix.tolist()
    [[0.0, 7.0]]
    """
    plain, parameters = content_type(kind, PLACE)
    if plain not in KINDS:
        raise BadInputError(f"{plain!r} is not read", place=PLACE, remedy=f"send {', '.join(KINDS)}")
    if int(parameters.get("label_size", 0)):
        raise BadInputError("rows to be labelled hold no label", place=PLACE, remedy="send label_size=0")
    if plain == RECORDIO:
        rows = _from_recordio(body, width, hold)
    elif plain == CSV:
        rows = Rows(_from_csv(body, width))
    elif plain == JSON:
        rows = Rows(_from_instances(body, _instances(body), width, hold))
    else:
        lines = [line for line in body.split(b"\n") if line.strip()]
        found = [_loads(line, _place(i)) for i, line in enumerate(lines)]
        rows = Rows(_from_instances(body, found, width, hold))
    if not len(rows.matrix):
        raise BadInputError("holds no records", place=PLACE, remedy="send at least one")
    if not np.isfinite(rows.matrix).all():
        i, j = np.argwhere(~np.isfinite(rows.matrix))[0]
        raise BadInputError(
            f"value is {rows.matrix[i, j]}", place=f"{_place(i)}, value {j + 1}", remedy="send finite numbers"
        )
    return rows


def _from_csv(body: bytes, width: int) -> NDArray[np.float64]:
    # where this fails, reading slowly finds out which record it is
    try:
        block = min(len(body) + 1, 2**31 - 1)
        kinds = {f"f{j}": pa.float64() for j in range(width)}
        table = pa_csv.read_csv(
            io.BytesIO(body),
            pa_csv.ReadOptions(autogenerate_column_names=True, use_threads=False, block_size=block),
            convert_options=pa_csv.ConvertOptions(column_types=kinds, null_values=[]),
        )
    except pa.ArrowException:
        return _from_lines(body, width)
    if table.num_columns != width:
        return _from_lines(body, width)
    out = np.empty((table.num_rows, width))
    for j, column in enumerate(table.columns):
        out[:, j] = column.to_numpy()
    return out


def _from_lines(body: bytes, width: int) -> NDArray[np.float64]:
    try:
        found = [row for row in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"is no CSV ({error})", place=PLACE, remedy="send UTF-8 with commas") from None
    out = np.empty((len(found), width))
    for i, row in enumerate(found):
        _check_width(len(row), width, _place(i))
        for j, text in enumerate(row):
            try:
                # Python would read 1_0 as 10, and the digits of every script
                out[i, j] = float(text.replace("_", "?") if text.isascii() else "?")
            except ValueError:
                raise BadInputError(
                    f"not a number: {ascii(text)[:40]}",
                    place=f"{_place(i)}, value {j + 1}",
                    remedy="send numbers only, without header or label",
                ) from None
    return out


def _instances(body: bytes) -> list[Any]:
    document = _loads(body, PLACE)
    found = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise BadInputError(
            "has no list of instances", place=PLACE, remedy='send {"instances": [{"features": [...]}]}'
        )
    return found


def _from_instances(body: bytes, instances: Sequence[Any], width: int, hold: Hold | None) -> NDArray[Any]:
    found = [_features(one, i) for i, one in enumerate(instances)]
    # NumPy takes a truth value for a number where it stands among numbers
    plain = b"true" not in body and b"false" not in body
    if plain and all(type(one) is list and len(one) == width for one in found) and found:
        try:
            table = np.array(found)
        except ValueError:  # lists within lists
            table = np.empty(0, object)
        if table.ndim == 2 and table.dtype.kind in "iuf":
            return table.astype(np.float64)
    out = _room_for(len(found), width, np.float64, hold)
    for i, one in enumerate(found):
        out[i] = _row(one, width, _place(i))
    return out


def _room_for(n: int, width: int, dtype: Any, hold: Hold | None) -> NDArray[Any]:
    """(n, width) numbers to be filled, once it is sure that there may be so many."""
    _check_count(n, width)
    if hold is not None:
        hold(n * width * np.dtype(dtype).itemsize)
    return np.empty((n, width), dtype)


def _features(instance: Any, i: int) -> Any:
    """What an instance has under one of the two spellings."""
    if isinstance(instance, dict):
        data = instance.get("data")
        holder = data if "features" not in instance and isinstance(data, dict) else instance
        if "features" in holder:
            return holder["features"]
    raise BadInputError("has no features", place=_place(i), remedy=_FORM)


def _row(features: Any, width: int, place: str) -> NDArray[np.float64]:
    if isinstance(features, dict):
        values = _numbers(features.get("values"), place)
        keys = features.get("keys")
        if keys is None:
            _check_width(len(values), width, place)
            return values
        shape = features.get("shape", [width])
        if not _are_indices(keys) or not _are_indices(shape):
            raise BadInputError("keys and shape are no lists of positions", place=place, remedy=_FORM)
        tensor = Tensor(values, np.array(keys, np.uint64), tuple(shape))
        _check_size(tensor, width, place)
        return _dense(tensor, place)
    values = _numbers(features, place)
    _check_width(len(values), width, place)
    return values


def _numbers(values: Any, place: str) -> NDArray[np.float64]:
    if not isinstance(values, list):
        raise BadInputError("its features are no list of numbers", place=place, remedy=_FORM)
    for j, value in enumerate(values):
        if type(value) not in (int, float):
            raise BadInputError(
                f"not a number: {ascii(value)[:40]}",
                place=f"{place}, value {j + 1}",
                remedy="send numbers only",
            )
    try:
        return np.array([float(v) for v in values])
    except OverflowError:
        raise BadInputError("a value is beyond float64", place=place, remedy="send finite numbers") from None


def _are_indices(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < _KEY_LIMIT for v in values)


def _from_recordio(body: bytes, width: int, hold: Hold | None) -> Rows:
    data = StreamedBytes(iter((body, b"")).__next__)
    rows: list[tuple[Tensor, str]] = []
    marks: list[Mark] = []
    at = 0
    while True:
        place = f"{_place(len(rows))} (byte {at})"
        try:
            frame = read_frame(data, at)
            record = None if frame is None else parse_record(frame.payload)
        except BadInputError as error:
            raise BadInputError(error.problem, place=place, remedy="send whole RecordIO records") from None
        if frame is None or record is None:
            break
        if not rows and (table := _by_template(body, record, width)) is not None:
            return Rows(table)
        values = record.features.get(VALUES)
        if not isinstance(values, Tensor):
            raise BadInputError(
                f"has no numbers named {VALUES!r}", place=place, remedy="write them as the SDK does"
            )
        _check_size(values, width, place)
        rows.append((values, place))
        _check_count(len(rows), width)
        marks.append((record.uid, record.metadata))
        at = frame.end
    single = all(tensor.values.dtype == np.float32 for tensor, _ in rows)
    matrix = _room_for(len(rows), width, np.float32 if single else np.float64, hold)
    for i, (tensor, place) in enumerate(rows):
        matrix[i] = _dense(tensor, place)
    told = any(uid is not None or metadata is not None for uid, metadata in marks)
    return Rows(matrix, tuple(marks) if told else None)


def _by_template(body: bytes, first: Record, width: int) -> NDArray[Any] | None:
    """All rows at once, if every record is like the first but for its numbers; so none has a uid."""
    values, label = first.features.get(VALUES), first.label.get(VALUES)
    if not isinstance(values, Tensor) or len(values.keys) or len(values.values) != width:
        return None
    if label is not None and not (isinstance(label, Tensor) and len(label.values) == 1):
        return None
    template = template_of(width, values.values.dtype, None if label is None else label.values.dtype)
    if template is None or template.count(body) * template.stride != len(body):
        return None
    return template.take(body, len(body) // template.stride)[0]


def _check_size(tensor: Tensor, width: int, place: str) -> None:
    try:
        size = tensor.size if tensor.is_sparse else len(tensor.values)
    except BadInputError as error:
        raise BadInputError(error.problem, place=place, remedy="send the shape of the row") from None
    _check_width(size, width, place)


def _dense(tensor: Tensor, place: str) -> NDArray[Any]:
    try:
        return tensor.dense()
    except BadInputError as error:
        remedy = "give a key for each value, and the shape"
        raise BadInputError(error.problem, place=place, remedy=remedy) from None


def _loads(text: bytes, place: str) -> Any:
    try:
        return parsed_json(text)
    except ValueError as error:
        raise BadInputError(f"is no JSON: {str(error)[:100]}", place=place, remedy="mend it") from None


def _check_width(found: int, width: int, place: str) -> None:
    if found != width:
        raise BadInputError(
            f"has {found} values, the model takes {width}", place=place, remedy="send all features in order"
        )


def _check_count(n: int, width: int) -> None:
    if n * width > SPARSE_NUMBERS:
        problem = f"unpacks to more than {SPARSE_NUMBERS} numbers"
        raise BadInputError(problem, place=PLACE, remedy="send fewer records at a time")


def _place(i: int) -> str:
    return f"{PLACE}, record {i + 1}"
