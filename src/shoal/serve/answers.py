"""What was found for the rows of a request, as JSON, CSV or an Arrow stream."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from shoal.model.cluster_model import Assignment
from shoal.serve.models import Served
from shoal.serve.rows import ARROW, CSV, JSON, Vectors

_MEDIAN = 10
"""Position of the median among the levels at which distances to a centre are kept."""


def chosen_kind(accept: str) -> str | None:
    """What to answer in, by an Accept header; None if it asks for nothing there is.

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
        if negative < 0 and kind in (JSON, CSV, ARROW):
            return kind
        if negative < 0 and kind in ("", "*/*", "application/*"):
            return JSON
        if negative < 0 and kind == "text/*":
            return CSV
    return None


def answer_table(served: Served, rows: Vectors, found: Assignment) -> pa.Table:
    """A row for every row sent: id, distances and outlier score; null for rows without a vector."""
    missing = np.ones(rows.sent, bool)
    missing[rows.kept] = False

    def spread(values: NDArray[Any]) -> pa.Array:
        full = np.zeros(rows.sent, values.dtype)
        full[rows.kept] = values
        return pa.array(full, mask=missing)

    return pa.table(
        {
            "id": spread(served.shown_ids[found.positions]),
            "distance": spread(found.distances),
            "second_distance": spread(found.second_distances),
            "outlier_score": spread(found.outlier_scores),
        }
    )


def written(table: pa.Table, kind: str, served: Served) -> bytes:
    """The answer's body; JSON has null where there is no second centre."""
    if kind == JSON:
        columns = [[_finite(v) for v in column.to_pylist()] for column in table.columns]
        rows = [dict(zip(table.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]
        return to_json({"model": served.name, "version": served.version, "rows": rows})
    sink = pa.BufferOutputStream()
    if kind == CSV:
        pa_csv.write_csv(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


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
