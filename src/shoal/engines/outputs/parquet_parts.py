"""Rows as Parquet files in a directory, one more for each sync."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shoal.engines.outputs.columns import check_names
from shoal.engines.outputs.disk import foreign, lock, make_folder, naming_disk_errors
from shoal.engines.outputs.protocol import Position, read_position
from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.model.durable import sync_folder

PART = re.compile(r"part-(\d{6,})\.parquet")
_UNFINISHED = re.compile(r"\.part-\d{6,}\.parquet\.tmp")
ROWS_PER_PART, ROWS_PER_GROUP = 1_000_000, 131_072


class ParquetParts:
    """A directory of ``part-000001.parquet``, ``part-000002.parquet``, ..., exactly once.

    ``sync`` publishes what was written since the last one: parts are written under hidden names, synced and then
    renamed, so that readers of ``folder/*.parquet`` see whole parts only. Going back to a position removes the
    parts behind it. All parts have the columns and types of the first; older parts may be moved away at any time,
    but the newest must stay while the stream goes on.

    Parameters
    ----------
    folder : the directory; made if it is not there.
    rows_per_part : rows after which a part is full and the next begins.
    compression : as Parquet has it.

    >>> import pyarrow as pa, tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> out = ParquetParts(folder); out.start(None); out.write(pa.table({"cluster": [3, 1]}))
    >>> position = out.sync(); out.write(pa.table({"cluster": [8]})); _ = out.sync(); out.close()
    >>> again = ParquetParts(folder); again.start(position); again.close()
    >>> [p.name for p in folder.iterdir()], pq.read_table(folder)["cluster"].to_pylist()
    (['part-000001.parquet'], [3, 1])
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        rows_per_part: int = ROWS_PER_PART,
        compression: str = "zstd",
    ) -> None:
        if rows_per_part < 1:
            raise BadInputError(f"rows_per_part={rows_per_part} must be at least 1")
        self.folder, self.rows_per_part, self.compression = Path(folder), rows_per_part, compression
        self._descriptor: int | None = None
        self._forget()

    def _forget(self) -> None:
        self._parts = 0
        self._schema: pa.Schema | None = None
        self._writer: Any = None
        self._in_part = 0
        self._waiting: list[pa.Table] = []
        self._finished: list[int] = []
        """Parts that are whole but not published."""

    def start(self, position: Position | None) -> None:
        """Remove all parts behind ``position``; None wants an empty directory, or none.

        Raises
        ------
        BadInputError : the directory holds something, or another process writes to it.
        DamagedFileError : the last part before the position is gone or cannot be read.
        """
        self.close()
        known = 0
        if position is not None:
            (known,) = read_position(position, "parquet-parts", "parts", place=str(self.folder))
        with naming_disk_errors(self.folder):
            make_folder(self.folder)
            self._descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            lock(self._descriptor, self.folder)
            with naming_disk_errors(self.folder):
                self._go_to(known, anew=position is None)
        except BaseException:
            self.close()
            raise

    def write(self, table: pa.Table) -> None:
        """Add the rows; they appear with the next ``sync``.

        Raises
        ------
        BadInputError : other columns or types than in the parts before.
        """
        self._opened()
        fitting = self._fitted(table)
        with self._closing_on_error():
            self._take(fitting)

    def sync(self) -> Position:
        """Publish what was written as parts and make them durable; nothing written, no part."""
        self._opened()
        with self._closing_on_error():
            self._finish_part()
            self._publish()
        return {"kind": "parquet-parts", "parts": self._parts}

    def close(self) -> None:
        """Let go of the directory and drop what no ``sync`` has published."""
        if self._descriptor is None:
            return
        writer = self._writer
        self._forget()
        try:
            if writer is not None:
                writer.close()
            self._remove_unfinished()
        except OSError:
            pass  # what is left has a hidden name, and the next start removes it
        finally:
            os.close(self._descriptor)
            self._descriptor = None

    def _go_to(self, known: int, *, anew: bool) -> None:
        self._remove_unfinished()
        found = sorted(self.folder.iterdir())
        if anew and found:
            raise foreign(self.folder, f"is not empty: it holds {found[0].name!r}")
        for path in found:
            match = PART.fullmatch(path.name)
            if match and int(match[1]) > known:
                path.unlink()
        sync_folder(self.folder)
        if known:
            self._schema = _schema_of(self._path(known))
        self._parts = known

    def _remove_unfinished(self) -> None:
        for path in self.folder.iterdir():
            if _UNFINISHED.fullmatch(path.name):
                path.unlink()

    def _fitted(self, table: pa.Table) -> pa.Table:
        check_names(table.column_names)
        if self._schema is None:
            self._schema = table.schema.remove_metadata()
        if table.schema.equals(self._schema):
            return table
        if table.column_names == self._schema.names:
            try:
                return table.cast(self._schema)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                pass
        differing = next(
            (f"{a} here, {b} there" for a, b in zip(table.schema, self._schema) if not a.equals(b)),
            f"{len(table.schema)} columns here, {len(self._schema)} there",
        )
        raise BadInputError(
            f"the rows do not fit the parts before: {differing}",
            place=str(self.folder),
            remedy="choose another output",
        )

    def _take(self, fitting: pa.Table) -> None:
        while fitting.num_rows:
            room = self.rows_per_part - self._in_part
            taken, fitting = fitting.slice(0, room), fitting.slice(room)
            self._waiting.append(taken)
            self._in_part += taken.num_rows
            if sum(t.num_rows for t in self._waiting) >= ROWS_PER_GROUP:
                self._empty_waiting()
            if self._in_part >= self.rows_per_part:
                self._finish_part()

    def _publish(self) -> None:
        with naming_disk_errors(self.folder):
            for number in self._finished:
                self._hidden(number).rename(self._path(number))
            if self._finished:
                sync_folder(self.folder)
        self._parts += len(self._finished)
        self._finished = []

    def _empty_waiting(self) -> None:
        if not self._waiting:
            return
        with naming_disk_errors(self.folder):
            if self._writer is None:
                path = self._hidden(self._parts + len(self._finished) + 1)
                self._writer = pq.ParquetWriter(path, self._schema, compression=self.compression)
            self._writer.write_table(pa.concat_tables(self._waiting).unify_dictionaries())
        self._waiting = []

    def _finish_part(self) -> None:
        self._empty_waiting()
        if self._writer is None:
            return
        number = self._parts + len(self._finished) + 1
        with naming_disk_errors(self.folder):
            self._writer.close()
            sync_folder(self._hidden(number))
        self._writer, self._in_part = None, 0
        self._finished.append(number)

    @contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        """After a failed write nobody knows what is on the disk: only a new start may go on."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.parquet"

    def _hidden(self, number: int) -> Path:
        return self.folder / f".part-{number:06d}.parquet.tmp"

    def _opened(self) -> None:
        if self._descriptor is None:
            raise ShoalError(f"{self.folder}: the output is not open; call start first")


def _schema_of(path: Path) -> pa.Schema:
    remedy = "put it back, or begin anew with another output"
    try:
        return pq.read_schema(path).remove_metadata()
    except FileNotFoundError as error:
        raise DamagedFileError(f"{path}: is gone, but the checkpoint speaks of it; {remedy}") from error
    except pa.ArrowInvalid as error:
        raise DamagedFileError(f"{path}: is not a whole Parquet file; {remedy}") from error
