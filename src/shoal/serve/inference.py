"""Tensors of the Open Inference Protocol, version 2, as rows for a model, and labels as tensors.

The protocol is that of KServe and Triton, with its extension for binary data: tensors may follow the JSON of a request or
an answer as plain bytes, and a header says how long the JSON is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.errors import BadInputError
from shoal.model.cluster_model import Assignment
from shoal.serve.answers import to_json
from shoal.serve.columns import Wanted, bare_width, batch_of
from shoal.serve.json_body import json_object
from shoal.serve.models import Served
from shoal.serve.rows import ARROW, RAW, Vectors
from shoal.serve.tensor_json import long_document
from shoal.serve.tensors import KINDS, PLACE, Tensor, parameters_of, place_of, read_tensor

LENGTH = "Inference-Header-Content-Length"
"""Header with the bytes of the JSON, where binary data follows it."""
WHOLE = "input"
"""Name of the tensor that holds whole rows."""
_OUTPUTS = {"cluster": "INT64", "distance": "FP64", "second_distance": "FP64", "outlier_score": "FP64"}


@dataclass(frozen=True, eq=False)
class Asked:
    """A request."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, bool]
    """Those asked for, in order, and whether as binary data."""
    number: str | None
    """The client's name for the request."""


def input_cards(columns: Sequence[Wanted]) -> list[dict[str, Any]]:
    """The inputs of a model: whole rows where all are numbers, else a tensor for each column.

    >>> input_cards([Wanted("price", "number"), Wanted("rooms", "number")])
    [{'name': 'input', 'datatype': 'FP64', 'shape': [-1, 2]}]
    >>> [card["datatype"] for card in input_cards([Wanted("price", "number"), Wanted("kind", "text")])]
    ['FP64', 'BYTES']
    """
    if _takes_whole_rows(columns):
        datatype = "FP32" if columns[0].kind == "vector" else "FP64"
        return [{"name": WHOLE, "datatype": datatype, "shape": [-1, bare_width(columns)]}]
    return [
        {
            "name": WHOLE if len(columns) == 1 else column.name,
            "datatype": {"text": "BYTES", "vector": "FP32", "number": "FP64"}[column.kind],
            "shape": [-1, column.width] if column.kind == "vector" else [-1],
        }
        for column in columns
    ]


def output_cards(served: Served) -> list[dict[str, Any]]:
    """The outputs of a model; one of a single cluster has no second distance."""
    return [{"name": n, "datatype": _OUTPUTS[n], "shape": [-1]} for n in _names(served)]


def read_request(body: bytes, header: str | None, served: Served) -> Asked:
    """Read a request.

    Parameters
    ----------
    header : of :data:`LENGTH`, where the request has it.

    Raises
    ------
    BadInputError : with the tensor and the remedy.
    """
    document, rest = _split(body, header)
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise BadInputError("has no list of inputs", place=PLACE, remedy='send {"inputs": [...]}')
    tensors: dict[str, Tensor] = {}
    for entry in inputs:
        tensor, rest = read_tensor(entry, rest)
        if tensor.name in tensors:
            raise BadInputError("is there twice", place=place_of(tensor.name))
        tensors[tensor.name] = tensor
    if len(rest):
        raise BadInputError(f"has {len(rest)} bytes that belong to no input", place=PLACE)
    number = document.get("id")
    return Asked(tensors, _outputs(document, served), number if isinstance(number, str) else None)


def as_rows(inputs: Mapping[str, Tensor], columns: Sequence[Wanted]) -> tuple[str, bytes, int | None]:
    """The rows as a body that assign takes: its kind, itself, and the width where it needs one.

    Raises
    ------
    BadInputError : inputs that are not those of the model, or of another shape.
    """
    whole = inputs.get(WHOLE) if len(inputs) == 1 else None
    if whole is not None and not any(column.name == WHOLE for column in columns):
        if _takes_whole_rows(columns):
            return _whole(whole, columns)
        if len(columns) == 1:
            inputs = {columns[0].name: whole}
    known = {column.name for column in columns}
    for name in inputs:
        if name not in known:
            allowed = [card["name"] for card in input_cards(columns)]
            raise BadInputError("the model has no such input", place=place_of(name), remedy=_give(allowed))
    for column in columns:
        if column.name not in inputs:
            raise BadInputError("is missing", place=place_of(column.name), remedy=_give(sorted(known)))
    lengths = {inputs[c.name].shape[:1] for c in columns}
    if len(lengths) > 1:
        raise BadInputError("the inputs differ in their number of rows", place=PLACE)
    arrays = [_column(inputs[c.name], c) for c in columns]
    return ARROW, _stream(pa.RecordBatch.from_arrays(arrays, names=[c.name for c in columns])), None


def answer(served: Served, asked: Asked, rows: Vectors, found: Assignment) -> tuple[bytes, int | None]:
    """The answer's body and, where binary data follows it, the length of its JSON.

    Rows that the model filters out have cluster -1; their distances are null, or NaN in binary data.
    """
    values = {
        "cluster": served.shown_ids[found.positions],
        "distance": found.distances,
        "second_distance": found.second_distances,
        "outlier_score": found.outlier_scores,
    }
    outputs, tail = [], bytearray()
    for name, is_binary in asked.outputs.items():
        full = np.full(rows.sent, -1 if name == "cluster" else np.nan, KINDS[_OUTPUTS[name]])
        full[rows.kept] = values[name]
        card: dict[str, Any] = {"name": name, "datatype": _OUTPUTS[name], "shape": [rows.sent]}
        if is_binary:
            card["parameters"] = {"binary_data_size": full.nbytes}
            tail += full.tobytes()
        else:
            card["data"] = [v if math.isfinite(v) else None for v in full.tolist()]
        outputs.append(card)
    told: dict[str, Any] = {"model_name": served.name, "model_version": served.version, "outputs": outputs}
    if asked.number is not None:
        told["id"] = asked.number
    head = to_json(told)
    return head + tail, len(head) if any(asked.outputs.values()) else None


def _split(body: bytes, header: str | None) -> tuple[dict[str, Any], memoryview]:
    length = len(body)
    if header is not None:
        length = int(header) if header.isascii() and header.isdigit() and len(header) < 16 else -1
        if not 0 < length <= len(body):
            raise BadInputError(
                f"{LENGTH} is no length of the JSON in this body", place=PLACE, remedy="count its bytes"
            )
    head = body[:length]
    document = long_document(head)
    if document is None:
        document = json_object(head, remedy='send {"inputs": [...]}')
    return document, memoryview(body)[length:]


def _outputs(document: dict[str, Any], served: Served) -> dict[str, bool]:
    binary = parameters_of(document).get("binary_data_output") is True
    names, asked = _names(served), document.get("outputs")
    if asked is None or asked == []:
        return dict.fromkeys(names, binary)
    if not isinstance(asked, list):
        raise BadInputError("outputs is no list", place=PLACE)
    chosen = {}
    for entry in asked:
        name = entry.get("name") if isinstance(entry, dict) else None
        if name not in names:
            raise BadInputError(
                f"the model has no output {ascii(name)[:40]}",
                place=PLACE,
                remedy=f"ask for {', '.join(names)}",
            )
        chosen[name] = parameters_of(entry).get("binary_data", binary) is True
    return chosen


def _names(served: Served) -> list[str]:
    return [name for name in _OUTPUTS if name != "second_distance" or served.model.k > 1]


def _takes_whole_rows(columns: Sequence[Wanted]) -> bool:
    numbers = all(column.kind == "number" for column in columns)
    return numbers or (len(columns) == 1 and columns[0].kind == "vector")


def _whole(tensor: Tensor, columns: Sequence[Wanted]) -> tuple[str, bytes, int | None]:
    width, values = bare_width(columns), tensor.values
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.shape[1] != width:
        raise BadInputError(
            f"has shape {list(tensor.shape)}", place=place_of(WHOLE), remedy=f"send [n, {width}] numbers"
        )
    if values.dtype == np.dtype("<f4"):
        return RAW, values.tobytes(), width
    return ARROW, _stream(batch_of(columns, values.astype(np.float64, copy=False))), None


def _column(tensor: Tensor, column: Wanted) -> Any:
    values, place = tensor.values, place_of(tensor.name)
    if not isinstance(values, np.ndarray):
        if column.kind != "text":
            raise BadInputError("is texts", place=place, remedy=f"send a {column.kind}")
        try:
            return pa.array(values, pa.string())
        except (UnicodeEncodeError, pa.ArrowException) as error:
            raise BadInputError("is not Unicode", place=place) from error
    if column.kind == "vector":
        if values.ndim != 2 or values.shape[1] != column.width:
            raise BadInputError(
                f"has shape {list(values.shape)}", place=place, remedy=f"send [n, {column.width}] numbers"
            )
        flat = pa.array(
            np.ascontiguousarray(values, np.float32 if values.itemsize == 4 else np.float64).ravel()
        )
        return pa.FixedSizeListArray.from_arrays(flat, column.width)
    if values.ndim > 2 or (values.ndim == 2 and values.shape[1] != 1):
        raise BadInputError(
            f"has shape {list(values.shape)}", place=place, remedy="send one value a row: [n]"
        )
    return pa.array(values.reshape(-1))


def _stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def _give(names: Sequence[str]) -> str:
    return f"give {', '.join(names[:20])}"
