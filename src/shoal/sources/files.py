"""Files of any known format as one source."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from shoal.errors import BadInputError, Rejects
from shoal.sources.arrow_ipc import ArrowReader
from shoal.sources.delimited import DelimitedReader
from shoal.sources.jsonlines import JsonLinesReader
from shoal.sources.locate import Located, locate, name_format
from shoal.sources.numpy_files import NumpyReader
from shoal.sources.options import FileLog, ReadOptions
from shoal.sources.parquet import ParquetReader
from shoal.sources.protocol import PEEK_ROWS, Batch
from shoal.sources.reader import FileReader, Piece, aside, offered, sliced
from shoal.sources.recordio import MAGIC as RECORDIO
from shoal.sources.recordio_source import RecordIOReader
from shoal.sources.streams import DAMAGE, CountedStream, chunk_reader, sniff_compression

_MAGIC = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "npz"),
    (RECORDIO, "recordio"),
)
_STREAMED = ("csv", "tsv", "jsonl", "arrow", "recordio")


def open_files(specs: Sequence[str | os.PathLike[str]], *, options: ReadOptions | None = None) -> FileSource:
    """The files that paths, globs, directories, URIs and ``-`` name, as one source.

    Parameters
    ----------
    specs : local paths, globs (``**`` too), directories, ``s3://`` and other URIs, ``file.npz::array``, ``-``.
    options : how to read them.

    Raises :class:`BadInputError` for a name that stands for no file; what is wrong inside files is raised
    while they are read.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp()); _ = (folder / "a.csv").write_text("x,y\\n1,2\\n3,4\\n")
    >>> [batch.table.num_rows for batch in open_files([folder]).batches(["y"])]
    [2]
    """
    return FileSource(
        locate([specs] if isinstance(specs, (str, os.PathLike)) else specs), options or ReadOptions()
    )


class FileSource:
    """Files read one after the other; see :class:`shoal.sources.protocol.Source`."""

    def __init__(self, files: Sequence[Located], options: ReadOptions) -> None:
        self._files = list(files)
        self._options = options
        self._schema: Any = None
        self._rejects = Rejects()
        self._bytes_done = 0
        self._reader: FileReader | None = None

    @property
    def names(self) -> list[str]:
        """The files, as shown to a person."""
        return [file.origin for file in self._files]

    @property
    def total_bytes(self) -> int | None:
        """Bytes of all files as stored; None with standard input."""
        return None if any(f.stdin is not None for f in self._files) else sum(f.size for f in self._files)

    @property
    def bytes_read(self) -> int:
        """Bytes of finished files and of the current one so far."""
        return self._bytes_done + (self._reader.position if self._reader is not None else 0)

    @property
    def rejects(self) -> Rejects:
        """What was refused in the current pass."""
        return self._rejects

    def schema(self) -> Any:
        """Columns and types of the first file that has any; raises :class:`BadInputError` if none has.

        Without those set aside (:func:`shoal.sources.reader.aside`), which can be asked for all the same.
        """
        return offered(self._all_columns())

    def _all_columns(self) -> Any:
        if self._schema is None:
            for file in self._files:
                reader = self._open(file, None, Rejects())
                if reader is not None:
                    schema = reader.schema
                    reader.close()
                    if len(schema):
                        self._schema = _as_text(schema, self._options.text_columns)
                        return self._schema
            raise BadInputError(
                "no file has any columns", place=_listed(self.names), remedy="name files with data"
            )
        return self._schema

    def peek(self, rows: int = PEEK_ROWS, columns: Sequence[str] | None = None) -> Any:
        """The first ``rows`` good rows as a table with ``columns``, whatever ``batch_rows`` is.

        Counts no rejects and consumes nothing, standard input included.
        """
        names = self._wanted(columns)
        taken, left = [], rows
        for batch in self._pass(names, columns is None, Rejects(), counted=False):
            taken.append(batch.table.slice(0, left))
            left -= taken[-1].num_rows
            if left <= 0:
                break
        return pa.Table.from_batches(taken, schema=pa.schema([self._all_columns().field(n) for n in names]))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """One pass over all rows of all files.

        Raises :class:`BadInputError` naming file, row and column for what cannot be read (unless ``on_error``
        is ``skip``), for a column that a file lacks, and if there is no row at all.
        """
        names = self._wanted(columns)
        for file in self._files:
            if file.stdin is not None:
                file.stdin.release()
        self._rejects, self._bytes_done = Rejects(), 0
        return self._pass(names, columns is None, self._rejects, counted=True)

    def _wanted(self, columns: Sequence[str] | None) -> list[str]:
        available = list(self._all_columns().names)
        for name in columns or ():
            if name not in available:
                raise BadInputError.unknown_column(name, available, place=self._files[0].origin)
        return list(self.schema().names) if columns is None else list(dict.fromkeys(columns))

    def _pass(self, names: list[str], exact: bool, rejects: Rejects, *, counted: bool) -> Iterator[Batch]:
        rows = 0
        for file in self._files:
            reader = self._open(file, self._all_columns(), rejects)
            if reader is None:
                continue
            self._reader = reader if counted else self._reader
            try:
                for batch in self._of_file(file, reader, names, exact, rejects):
                    rows += batch.table.num_rows
                    yield batch
            finally:
                if counted:
                    self._reader = None
                    self._bytes_done += file.size or reader.position
                reader.close()
        if rows == 0:
            refused = f" ({rejects.total} refused)" if rejects.total else ""
            raise BadInputError(
                f"no data rows{refused}", place=_listed(self.names), remedy="name files with data"
            )

    def _of_file(
        self, file: Located, reader: FileReader, names: list[str], exact: bool, rejects: Rejects
    ) -> Iterator[Batch]:
        found = list(reader.schema.names)
        if not found:
            return
        missing = next((n for n in names if n not in found), None)
        if missing is not None:
            raise BadInputError.unknown_column(missing, found, place=file.origin)
        more = offered(reader.schema).names if exact else ()
        if (extra := next((n for n in more if n not in names), None)) is not None:
            remedy = "name the columns you want, or read files of one kind"
            raise BadInputError(
                f"column {extra!r} is not in {self._files[0].origin}", place=file.origin, remedy=remedy
            )
        target = pa.schema([self._all_columns().field(n) for n in names])
        key = file.key(reader.member if isinstance(reader, NumpyReader) else None)
        for piece in reader.pieces(names):
            for part in sliced(piece, self._options.batch_rows):
                yield Batch(_conform(part, target, file.origin), file.origin, key, part.offset, part.rows)

    def _open(self, file: Located, expected: Any, rejects: Rejects) -> FileReader | None:
        options = self._options
        log = FileLog(file.origin, options.on_error, rejects)
        if file.stdin is None and file.size == 0:
            log.damaged("", reason="file is empty")
            return None
        kind, compression = format_of(file, options)
        if file.stdin is not None and kind not in _STREAMED:
            log.fail(f"{kind} cannot be read from a pipe", remedy="save it to a file first")
        if compression is not None and kind not in _STREAMED:
            log.fail(f"{kind} inside {compression} cannot be read", remedy="decompress it first")
        if kind in ("csv", "tsv"):
            return DelimitedReader(file, compression, options, expected, log)
        if kind == "jsonl":
            return JsonLinesReader(file, compression, options, expected, log)
        if kind == "arrow":
            return ArrowReader(file, compression, options, log)
        if kind == "recordio":
            return RecordIOReader(file, compression, options, log)
        if kind == "parquet":
            return ParquetReader(file, options, log)
        return NumpyReader(file, kind == "npz", options, log)


def format_of(file: Located, options: ReadOptions) -> tuple[str, str | None]:
    """Format and compression: as forced, by name, or by the first bytes."""
    kind, compression = (None, None) if file.stdin is not None else name_format(file.basename)
    kind = options.format or kind
    if kind not in ("parquet", "npy", "npz"):
        head = file.head()
        # The bytes are right where a name is wrong: downloads are often decompressed on the way.
        compression = sniff_compression(head)
        if kind is None:
            kind = _sniff_format(_decompressed(head, compression))
    return kind, compression


def _sniff_format(head: bytes) -> str:
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    return "jsonl" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[{")) else "csv"


def _decompressed(head: bytes, compression: str | None) -> bytes:
    if compression is None:
        return head
    try:
        return chunk_reader(CountedStream(io.BytesIO(head)), compression, "utf-8")()
    except DAMAGE:
        return b""


def _as_text(schema: Any, text_columns: frozenset[str]) -> Any:
    kept = set(offered(schema).names)
    fields = [pa.field(f.name, pa.string() if f.name in text_columns else f.type) for f in schema]
    return pa.schema([f if f.name in kept else aside(f) for f in fields])


def _conform(piece: Piece, target: Any, origin: str) -> Any:
    """The piece with the columns and types of the first file."""
    arrays = []
    for field in target:
        column = piece.table.column(field.name)
        if column.type != field.type:
            try:
                column = column.cast(field.type)
            except pa.ArrowException as error:
                place = f"{origin}, from row {piece.offset + 1}, column {field.name!r}"
                problem = f"is {column.type} where the first file has {field.type}"
                raise BadInputError(
                    problem, place=place, remedy="read files of one kind, or name it as text"
                ) from error
        arrays.append(column)
    return pa.RecordBatch.from_arrays(arrays, schema=target)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
