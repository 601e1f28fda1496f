"""Which output a name means."""

from __future__ import annotations

import os
from pathlib import Path

from shoal.engines.outputs.csv_lines import CsvOutput
from shoal.engines.outputs.json_lines import JsonLinesOutput, StandardOutput
from shoal.engines.outputs.parquet_parts import ROWS_PER_PART, ParquetParts
from shoal.engines.outputs.protocol import Output
from shoal.engines.outputs.redis_stream import RedisStreamOutput
from shoal.errors import BadInputError

KINDS = "name.jsonl, name.csv, a directory (name/ or name.parquet), redis://host:port/db?stream=NAME, or -"


def open_output(
    target: str | os.PathLike[str], *, rows_per_part: int = ROWS_PER_PART, maxlen: int | None = None
) -> Output:
    """The output that ``target`` names; nothing is touched before its ``start``.

    ============================  ================================================================
    ``x.jsonl``, ``x.ndjson``     one file of JSON lines, exactly once
    ``x.csv``                     one CSV file, exactly once
    ``x/``, ``x.parquet``         a directory of Parquet parts, exactly once; so is any directory
    ``redis://h/0?stream=NAME``   entries of a Redis stream, exactly once; also ``rediss://``
    ``-``                         JSON lines on standard output, at least once
    ============================  ================================================================

    Parameters
    ----------
    rows_per_part : rows of a Parquet part at most.
    maxlen : entries a Redis stream keeps at least; default all.

    Raises
    ------
    BadInputError : a name that means none of these.

    >>> type(open_output("labels.jsonl")).__name__, type(open_output("labels/")).__name__
    ('JsonLinesOutput', 'ParquetParts')
    >>> open_output("labels.txt")
    Traceback (most recent call last):
    shoal.errors.BadInputError: labels.txt: cannot tell what kind of output this is; write name.jsonl, ...
    """
    name = os.fspath(target)
    if name == "-":
        return StandardOutput()
    if name.startswith(("redis://", "rediss://")):
        return RedisStreamOutput(name, maxlen=maxlen)
    lower = name.lower()
    if name and "://" not in name:
        if lower.endswith("/") or lower.endswith(".parquet") or Path(name).is_dir():
            return ParquetParts(name, rows_per_part=rows_per_part)
        if lower.endswith((".jsonl", ".ndjson")):
            return JsonLinesOutput(name)
        if lower.endswith(".csv"):
            return CsvOutput(name)
    raise BadInputError("cannot tell what kind of output this is", place=name, remedy=f"write {KINDS}")
