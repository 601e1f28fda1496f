"""A table written block by block to Parquet, CSV, JSON lines or Arrow; the file appears when it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from shoal.engines.outputs.json_text import json_lines
from shoal.errors import BadInputError
from shoal.report.writing import whole_file

FORMATS = (".parquet", ".csv.gz", ".csv", ".jsonl", ".arrow")


class Sink(Protocol):
    """What takes tables."""

    def write(self, table: pa.Table) -> None:
        """Append rows."""


def format_of(path: Path) -> str:
    """The ending that says how to write a file.

    >>> format_of(Path("labels.CSV.gz"))
    '.csv.gz'

    Raises
    ------
    BadInputError : it says nothing.
    """
    for ending in FORMATS:
        if path.name.lower().endswith(ending):
            return ending
    raise BadInputError(f"cannot tell the format of {path.name!r}", remedy=f"end it in {', '.join(FORMATS)}")


@contextmanager
def label_file(path: Path, schema: pa.Schema) -> Iterator[Sink]:
    """Open a file for tables of one schema."""
    ending = format_of(path)
    with whole_file(path) as temporary, ExitStack() as stack:
        if ending == ".parquet":
            yield stack.enter_context(pq.ParquetWriter(temporary, schema, compression="zstd"))
        elif ending == ".arrow":
            yield stack.enter_context(pa.ipc.new_file(str(temporary), schema))
        else:
            compression = "gzip" if ending == ".csv.gz" else None
            stream = stack.enter_context(pa.output_stream(str(temporary), compression=compression))
            if ending == ".jsonl":
                yield _Lines(stream)
            else:
                yield stack.enter_context(pa_csv.CSVWriter(stream, schema))


class _Lines:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, table: pa.Table) -> None:
        for lines in json_lines(table):
            self._stream.write(lines)
