"""Clusters as a table that people read: ids, names, sizes, and the centres in the units of the data."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.features.recipe import Recipe
from shoal.model.centres_only import model_of_centres
from shoal.model.cluster_model import QUANTILES, ClusterModel
from shoal.model.durable import replace_durably
from shoal.model.names import checked_name
from shoal.solve.lloyd import Metric

OURS = ("cluster", "name", "share", "rows", "radius_50", "radius_95")
"""Columns before the centres. A feature of such a name gets ``_in`` appended, as in files of labels."""
FILE = "clusters.csv"


class CentresTable(NamedTuple):
    """What a table of centres says."""

    model: ClusterModel
    """Without a recipe; its feature names are the columns."""
    names: dict[int, str]
    """By cluster id."""


def write_centres(
    model: ClusterModel, path: str | os.PathLike[str], *, names: Mapping[int, str] | None = None
) -> Path:
    """Write a row for each cluster, in the order of the model; answers the file.

    The centres are in the units of the data and exact: read again they are the same numbers. The radii, within which half
    and 95 % of the cluster's rows lie, are in the space of the recipe (scaled), as are all distances.

    Parameters
    ----------
    path : file ``*.csv``, or a folder, which is made if it is not there, for ``clusters.csv``.
    names : by cluster id.
    """
    target = Path(path)
    if target.suffix.lower() != ".csv":
        target.mkdir(parents=True, exist_ok=True)
        target /= FILE
    centres = model.centres
    if model.recipe is not None:
        centres = Recipe.from_dict(dict(model.recipe)).to_original(centres)
    half, most = (int(np.searchsorted(QUANTILES, level - 1e-9)) for level in (0.5, 0.95))
    total = float(model.weights.sum())
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*OURS, *(f"{name}_in" if name in OURS else name for name in model.feature_names)])
    for c, centre in enumerate(centres.tolist()):
        cluster, weight = int(model.ids[c]), float(model.weights[c])
        named = (names or {}).get(cluster, "")
        size = int(weight) if weight.is_integer() else weight
        radii = [f"{radius:.6g}" for radius in model.radii[c][[half, most]]]
        writer.writerow([cluster, named, f"{weight / total:.6g}", size, *radii, *centre])
    replace_durably(target, out.getvalue().encode())
    return target


def read_centres(
    path: str | os.PathLike[str], *, columns: Sequence[str] = (), metric: Metric = "euclidean"
) -> CentresTable:
    """Read a table of centres: one of :func:`write_centres`, or any with a row for each centre and a header.

    A table without a column ``cluster`` holds nothing but centres. In one that has it, ``name`` and ``rows`` are taken if
    they are there, and the other columns that :func:`write_centres` puts before the centres are passed over.

    Parameters
    ----------
    columns : those of the centres; default: all, but for the above.

    Raises
    ------
    BadInputError : it is no such table, with the line and column.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "c.csv"; _ = file.write_text("a,b\\n0,1\\n8,9\\n")
    >>> read_centres(file).model.feature_names, read_centres(file, columns=["b"]).model.centres.ravel().tolist()
    (('a', 'b'), [1.0, 9.0])
    """
    place = os.fspath(path)
    header, lines = _table(Path(path), place)
    is_ours = "cluster" in header and "cluster" not in columns
    wanted = list(columns) or [name for name in header if not (is_ours and name in OURS)]
    for name in wanted:
        if name not in header:
            raise BadInputError.unknown_column(name, header, place=place)
    if not wanted:
        raise BadInputError(
            "has no columns of centres",
            place=place,
            remedy="add a column for each feature, or name --columns",
        )
    at = {name: header.index(name) for name in header}
    centres = np.array([[_number(row[at[n]], place, line, n) for n in wanted] for line, row in lines])
    ids = _ids(lines, at["cluster"], place) if is_ours else None
    sizes = _sizes(lines, at["rows"], place) if is_ours and "rows" in at and "rows" not in wanted else None
    model = model_of_centres(centres, place=place, ids=ids, sizes=sizes, metric=metric)
    features = [n.removesuffix("_in") if is_ours and n.removesuffix("_in") in OURS else n for n in wanted]
    called: dict[int, str] = {}
    if is_ours and "name" in at and "name" not in wanted:
        for cluster, (line, row) in zip(model.ids.tolist(), lines, strict=True):
            if row[at["name"]].strip():
                called[cluster] = checked_name(row[at["name"]], f"{place}, line {line}")
    return CentresTable(model.replace(feature_names=tuple(features)), called)


def _table(path: Path, place: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the rows with the numbers of their lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BadInputError("is not there", place=place, remedy="check the path") from error
    except UnicodeDecodeError as error:
        raise BadInputError("is not UTF-8", place=place, remedy="save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise BadInputError(f"is no CSV ({error})", place=f"{place}, line {reader.line_num}") from error
    if len(rows) < 2:
        raise BadInputError(
            "holds no centres", place=place, remedy="write a header, and a row for each centre"
        )
    header = [name.strip() for name in rows[0][1]]
    if len(set(header)) < len(header) or "" in header:
        twice = next(name for name in header if header.count(name) > 1 or not name)
        problem = f"two columns are named {twice!r}" if twice else "a column has no name"
        raise BadInputError(problem, place=f"{place}, line 1", remedy="name each column once")
    if all(_is_number(name) for name in header):
        raise BadInputError(
            "its first line is numbers, not names", place=place, remedy="put a header above the centres"
        )
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise BadInputError(
                f"has {len(row)} cells where {len(header)} are due", place=f"{place}, line {line}"
            )
    return header, rows[1:]


def _number(text: str, place: str, line: int, column: str) -> float:
    if not _is_number(text) or not math.isfinite(float(text)):
        raise BadInputError(
            f"{text!r} is not a number",
            place=f"{place}, line {line}, column {column!r}",
            remedy="mend it, or name the columns of the centres with --columns",
        )
    return float(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _ids(lines: list[tuple[int, list[str]]], at: int, place: str) -> NDArray[np.int64]:
    for line, row in lines:
        if not row[at].strip().isdecimal() or int(row[at]) >= 2**62:
            raise BadInputError(
                f"{row[at]!r} is no id of a cluster",
                place=f"{place}, line {line}, column 'cluster'",
                remedy="number the clusters 0, 1, 2, ...",
            )
    return np.array([int(row[at]) for _, row in lines], np.int64)


def _sizes(lines: list[tuple[int, list[str]]], at: int, place: str) -> list[float] | None:
    """Rows of the clusters, if any are given."""
    if not any(row[at].strip() for _, row in lines):
        return None
    return [_number(row[at], place, line, "rows") for line, row in lines]
