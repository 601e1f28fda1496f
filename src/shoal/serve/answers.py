"""What was found for the rows of a request, and what models and clusters are, as bodies of answers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.model.cluster_model import Assignment
from shoal.serve.distances import nearest_clusters
from shoal.serve.json_answers import json_rows
from shoal.serve.models import Served
from shoal.serve.rows import CSV, JSON, KINDS, RAW, Vectors

NEAREST = ("nearest", "nearest_distances")

_MEDIAN = 10
"""Position of the median among the levels at which distances to a centre are kept."""


def chosen_kind(accept: str, kinds: tuple[str, ...] = KINDS) -> str | None:
    """Which of some formats to answer in, by an Accept header; None if it asks for nothing there is.

    >>> chosen_kind(""), chosen_kind("text/csv;q=0.5, */*;q=0.1"), chosen_kind("text/html")
    ('application/json', 'text/csv', None)
    """
    asked = []
    for position, part in enumerate(accept.split(",")):
        kind, *parameters = (p.strip().lower() for p in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            asked.append((-float(quality), position, kind))
        except ValueError:
            continue
    for negative, _, kind in sorted(asked):
        if negative < 0 and kind in kinds:
            return kind
        if negative < 0 and kind in ("", "*/*", "application/*"):
            return JSON
        if negative < 0 and kind == "text/*":
            return CSV
    return None


def answer_table(
    served: Served,
    rows: Vectors,
    found: Assignment,
    *,
    n: int | None = None,
    columns: tuple[str, ...] | None = None,
) -> pa.Table:
    """A row for every row sent; null for rows without a vector.

    Parameters
    ----------
    n : adds the ids of so many nearest clusters, and the distances to them.
    columns : of the answer, in this order; None: all.

    Raises
    ------
    BadInputError : there is no such column.
    """
    missing = np.ones(rows.sent, bool)
    missing[rows.kept] = False
    ids = served.shown_ids[found.positions]

    def spread(values: NDArray[Any]) -> pa.Array:
        if len(values) == rows.sent:
            return _array(values, None)
        full = np.zeros((rows.sent, *values.shape[1:]), values.dtype)
        full[rows.kept] = values
        return _array(full, missing)

    make: dict[str, Callable[[], pa.Array]] = {"id": lambda: spread(ids)}
    if served.topics is not None:
        make["name"] = lambda: _names(served, spread(ids))
    make["distance"] = lambda: spread(found.distances)
    make["second_distance"] = lambda: spread(found.second_distances)
    make["outlier_score"] = lambda: spread(found.outlier_scores)
    if n is not None:
        near, far = nearest_clusters(served, rows.matrix, found, n)
        make |= {NEAREST[0]: lambda: spread(near), NEAREST[1]: lambda: spread(far)}
    for name in columns or ():
        if name not in make:
            raise BadInputError.unknown_column(name, list(make), place="request, ?columns=")
    return pa.table({name: make[name]() for name in columns or make})


def distance_table(rows: Vectors, ids: NDArray[np.int64], distances: NDArray[np.float64]) -> pa.Table:
    """A column for every cluster, named by its id, with the distances of all rows sent to it."""
    full = np.zeros((rows.sent, len(ids)))
    full[rows.kept] = distances
    missing = np.ones(rows.sent, bool)
    missing[rows.kept] = False
    return pa.table({str(i): pa.array(full[:, c], mask=missing) for c, i in enumerate(ids.tolist())})


def written(table: pa.Table, kind: str, served: Served) -> bytes:
    """The answer's body; JSON has null where there is no second centre, bare ids have -1 for rows without one."""
    if kind == JSON:
        head = to_json({"model": served.name, "version": served.version})
        return head[:-1] + b',"rows":[' + json_rows(table) + b"]}"
    if kind == RAW:
        ids: NDArray[np.int64] = table["id"].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
        return ids.astype("<i8").tobytes()
    sink = pa.BufferOutputStream()
    if kind == CSV:
        pa_csv.write_csv(_flat(table), sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def _array(values: NDArray[Any], missing: NDArray[np.bool_] | None) -> pa.Array:
    """One column; of a matrix, one of lists."""
    if values.ndim == 1:
        return pa.array(values, mask=missing)
    ends = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    mask = None if missing is None else pa.array(missing)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values.reshape(-1)), mask=mask)


def _names(served: Served, ids: pa.Array) -> pa.Array:
    """The name of each row's topic; null where it has none."""
    topics = () if served.topics is None else served.topics.topics
    names = {topic.id: topic.name for topic in topics}
    return pa.array([names.get(i) for i in ids.to_pylist()], pa.string())


def _flat(table: pa.Table) -> pa.Table:
    """Lists as columns of their own, which is all CSV has: id_1, distance_1, id_2, and so on."""
    lists = {"id": NEAREST[0], "distance": NEAREST[1]}
    held = {short: name for short, name in lists.items() if name in table.column_names}
    if not held:
        return table
    flat = {name: table[name] for name in table.column_names if name not in NEAREST}
    widths = [len(v) for name in held.values() for v in table[name].to_pylist() if v is not None]
    for i in range(max(widths, default=0)):
        for short, name in held.items():
            values = [None if v is None else v[i] for v in table[name].to_pylist()]
            flat[f"{short}_{i + 1}"] = pa.array(values, table.schema.field(name).type.value_type)
    return pa.table(flat)


def to_json(data: Any) -> bytes:
    """Plain data as ASCII JSON, whatever names it holds."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).encode()


def model_card(served: Served) -> dict[str, Any]:
    """What a model is and where it comes from."""
    model = served.model
    was = model.provenance
    return {
        "name": served.name,
        "version": served.version,
        "content": model.version,
        "loaded_at": served.loaded_at,
        "k": model.k,
        "metric": model.metric,
        "features": list(model.feature_names),
        "provenance": {
            "rows_seen": was.rows_seen,
            "rows_filtered": was.rows_filtered,
            "rejected": was.rejects.to_dict(),
            "seed": was.seed,
            "sources": list(was.sources),
            "release": was.library_version,
            "created": was.created,
            "seconds": _finite(was.seconds),
        },
    }


def cluster_cards(served: Served) -> list[dict[str, Any]]:
    """The clusters, with centres in the units of the columns; the radius is the median distance."""
    model = served.model
    centres = model.centres if served.recipe is None else served.recipe.to_original(model.centres)
    total = float(model.weights.sum()) or 1.0
    return [
        {
            "id": int(model.ids[c]),
            "share": _finite(float(model.weights[c]) / total),
            "weight": _finite(float(model.weights[c])),
            "radius": _finite(float(model.radii[c][_MEDIAN])),
            "centre": {n: _finite(float(v)) for n, v in zip(model.feature_names, centres[c], strict=True)},
        }
        for c in range(model.k)
    ]


def _finite(value: Any) -> Any:
    """None for what JSON has no number for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
