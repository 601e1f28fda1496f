"""Parquet: row group by row group, with only the columns asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shoal.sources.locate import Located
from shoal.sources.options import FileLog, ReadOptions
from shoal.sources.reader import Piece, rows_that_fit

_READ_BUFFER = 1 << 20
DAMAGE = (pa.ArrowException, OSError, EOFError)


class ParquetReader:
    """One Parquet file. A damaged row group is reported by number; under ``skip`` the others are still read."""

    def __init__(self, located: Located, options: ReadOptions, log: FileLog) -> None:
        self._options, self._log = options, log
        self._size = located.size
        self._share = 0.0
        self._raw = located.open()
        self._file: Any = None
        try:
            # Local files are read page by page through a small buffer; remote ones in few large requests.
            self._file = pq.ParquetFile(self._raw, pre_buffer=not located.is_local, buffer_size=_READ_BUFFER)
            self._schema = self._file.schema_arrow
        except DAMAGE as error:
            self._schema = pa.schema([])
            log.damaged(error, after="at its footer")

    @property
    def schema(self) -> Any:
        """The Arrow schema of the file."""
        return self._schema

    @property
    def position(self) -> int:
        """Raw bytes that lie behind the current row, about."""
        return int(self._share * self._size)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._raw.close()

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """The file's rows in order, with the named columns."""
        if self._file is None:
            return
        metadata = self._file.metadata
        offset = 0
        for group in range(metadata.num_row_groups):
            due = metadata.row_group(group).num_rows
            yield from self._group(group, list(columns), offset, due)
            offset += due
            self._share = offset / max(metadata.num_rows, 1)

    def _group(self, group: int, columns: list[str], offset: int, due: int) -> Iterator[Piece]:
        done, total = 0, max(self._file.metadata.num_rows, 1)
        batch_rows = rows_that_fit(self._options.batch_rows, self._row_bytes(group, columns))
        batches = self._file.iter_batches(batch_rows, row_groups=[group], columns=columns)
        while True:
            try:
                batch = next(batches)
                batch.validate(full=True)
            except StopIteration:
                return
            except DAMAGE as error:
                place = f"row group {group + 1}, after row {offset + done}"
                self._log.damaged(error, after=place, rows=max(due - done, 1))
                return
            if batch.num_rows:
                yield Piece(batch, offset + done, None)
            done += batch.num_rows
            self._share = (offset + done) / total

    def _row_bytes(self, group: int, columns: list[str]) -> float:
        info = self._file.metadata.row_group(group)
        chunks = [info.column(i) for i in range(info.num_columns)]
        size = sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] in columns)
        # Dictionary pages make columns look smaller than they are once read.
        per_row: float = max(float(size) / max(info.num_rows, 1), 8.0 * len(columns))
        return per_row
