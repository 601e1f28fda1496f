"""Rows as comma-separated lines, appended to one file."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pa_csv

from shoal.engines.outputs.appended_file import AppendedFile
from shoal.engines.outputs.columns import check_names, flat, one_array, slices
from shoal.engines.outputs.protocol import Position
from shoal.errors import BadInputError


class CsvOutput:
    """One CSV file with a header, exactly once: a position is a number of bytes, and what is behind it is cut off.

    Strings are quoted, empty ones are ``""``; nothing at all stands for missing values, NaN and infinity. Numbers
    have the fewest digits that read back as the same value, times are ISO 8601, lists and structs are JSON.

    >>> import pyarrow as pa, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels.csv"
    >>> out = CsvOutput(path); out.start(None)
    >>> out.write(pa.table({"cluster": [3, None], "version": ["a", "b"]})); position = out.sync(); out.close()
    >>> path.read_text().splitlines()
    ['"cluster","version"', '3,"a"', ',"b"']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = AppendedFile(path, "csv")
        self._columns: list[str] | None = None

    def start(self, position: Position | None) -> None:
        """Cut the file back to ``position``; errors as :class:`AppendedFile` has them."""
        self._file.start(position)
        self._columns = (position or {}).get("columns") if self._file.size else None

    def write(self, table: pa.Table) -> None:
        """Append a line for each row, and the header before the first.

        Raises
        ------
        BadInputError : other columns than in the header.
        """
        names = table.column_names
        check_names(names)
        if self._columns is not None and names != self._columns:
            raise BadInputError(
                f"the rows have the columns {', '.join(names)}, the file has {', '.join(self._columns)}",
                place=str(self._file.path),
                remedy="choose another output",
            )
        self._file.append(_blocks(table, header=self._columns is None))
        self._columns = names

    def sync(self) -> Position:
        """Make the lines durable."""
        return self._file.sync() | {"columns": self._columns}

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _blocks(table: pa.Table, *, header: bool) -> Iterator[memoryview]:
    if header:
        yield _lines(table.slice(0, 0), header=True)
    for part in slices(table):
        yield _lines(part, header=False)


def _lines(table: pa.Table, *, header: bool) -> memoryview:
    names = table.column_names
    plain = [flat(one_array(column), name) for name, column in zip(names, table.columns, strict=True)]
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(
        pa.table(plain, names), sink, pa_csv.WriteOptions(include_header=header, batch_size=4096)
    )
    return memoryview(sink.getvalue())
