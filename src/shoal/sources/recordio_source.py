"""RecordIO-protobuf files and pipes as rows: one vector column ``values``, and ``label`` where records have one."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.errors import BadInputError, Rejects
from shoal.sources.locate import Located
from shoal.sources.numpy_files import as_float
from shoal.sources.options import DAMAGED, SKIP_FILE, SKIP_ROW, FileLog, ReadOptions
from shoal.sources.reader import Piece, aside, rows_that_fit
from shoal.sources.recordio import (
    WINDOW,
    MappedBytes,
    StreamedBytes,
    Window,
    next_frame,
    read_frame,
)
from shoal.sources.recordio_records import VALUES, WIDEST, Record, Tensor, parse_record
from shoal.sources.recordio_template import Template, template_of
from shoal.sources.streams import CountedStream, ReplayInput, chunk_reader

LABEL = "label"
"""The column of labels. It is no feature: it is read only where it is asked for by name."""
_PARSED = 1024
"""Records parsed one by one before a template is tried again."""


class _Row(NamedTuple):
    at: int
    number: int
    values: NDArray[Any]
    label: NDArray[Any] | None


class RecordIOReader:
    """One file. Runs of dense records of one width are read by template, all others one by one.

    The first good record decides width and types; a record of another width is a bad row.
    """

    def __init__(self, located: Located, compression: str | None, options: ReadOptions, log: FileLog) -> None:
        self._options, self._log = options, log
        self._raw: CountedStream | None = None
        self._data: Window
        if located.is_local and compression is None:
            self._data = MappedBytes(located.path)
        else:
            self._raw = CountedStream(located.open())
            self._data = StreamedBytes(chunk_reader(self._raw, compression, "utf-8"))
        self._at = self._row = 0
        self._template: Template | None = None
        self._schema = pa.schema([])
        first = next(self._rows(log), None)
        if first is not None:  # a pipe cannot go back beyond it
            self._at, self._row = first.at, first.number
            self._learn(first)

    @property
    def schema(self) -> Any:
        """``values``, a FixedSizeList, and ``label`` (a number, or a list of them) set aside."""
        return self._schema

    @property
    def position(self) -> int:
        """Raw bytes read so far, about."""
        return self._at if self._raw is None else self._raw.count

    def close(self) -> None:
        """Close the file."""
        self._data.close()
        if self._raw is not None:
            self._raw.close()

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """The file's rows in order, with the named columns."""
        if not len(self._schema):
            return
        while True:
            piece = self._by_template(columns) or self._by_parsing(columns)
            if piece is None:
                return
            yield piece

    def _by_template(self, columns: Sequence[str]) -> Piece | None:
        """The next rows, as far as they follow the template."""
        template, width = self._template, self._schema.field(VALUES).type.list_size
        if template is None:
            return None
        most = rows_that_fit(self._options.batch_rows, 8.0 * width) * template.stride
        block = self._data.at(self._at, min(WINDOW, most))
        count = template.count(block)
        if not count:
            return None
        values, labels = template.take(block, count)
        first = self._row
        self._at, self._row = self._at + count * template.stride, first + count
        return Piece(self._batch(values, labels, columns), first, None)

    def _by_parsing(self, columns: Sequence[str]) -> Piece | None:
        """The next rows, parsed one by one; the last of them decides which template is tried next."""
        width = self._schema.field(VALUES).type.list_size
        most = min(_PARSED, rows_that_fit(self._options.batch_rows, 8.0 * width))
        rows: list[_Row] = []
        for row in self._rows(self._log):
            rows.append(row)
            if len(rows) >= most:
                break
        if not rows:
            return None
        self._learn_template(rows[-1])
        values = np.stack([row.values for row in rows])
        labels: Any = [row.label for row in rows]
        numbers = np.array([row.number for row in rows], np.int64)
        whole = int(numbers[-1] - numbers[0]) == len(rows) - 1
        return Piece(self._batch(values, labels, columns), rows[0].number, None if whole else numbers)

    def _rows(self, log: FileLog) -> Iterator[_Row]:
        """The good records from here on; the others are refused, and what follows damage is searched for a record."""
        while True:
            at, number = self._at, self._row
            try:
                frame = read_frame(self._data, at)
                record = None if frame is None else parse_record(frame.payload)
            except BadInputError as error:
                self._refuse(log, error, number, at, DAMAGED, SKIP_FILE)
                self._row += 1
                found = next_frame(self._data, at + 4)  # what it says of its length may be wrong
                if found is None:
                    return
                self._at = found
                continue
            if frame is None or record is None:
                self._tell_early_end(log, number, at)
                return
            self._at, self._row = frame.end, number + 1
            try:
                row = self._checked(at, number, record)
            except BadInputError as error:
                self._refuse(log, error, number, at, "bad record", SKIP_ROW)
            else:
                yield row

    def _tell_early_end(self, log: FileLog, number: int, at: int) -> None:
        """A compressed stream may break off just behind a record."""
        if self._data.damage is not None:
            cause, self._data.damage = BadInputError(str(self._data.damage)), None
            self._refuse(log, cause, number, at, DAMAGED, SKIP_FILE)

    def _refuse(
        self, log: FileLog, error: BadInputError, number: int, at: int, reason: str, remedy: str
    ) -> None:
        place = f"{log.origin}, record {number + 1} (byte {at})"
        if log.on_error == "raise":
            raise BadInputError(f"{reason}: {error.problem}", place=place, remedy=remedy) from error
        log.rejects.add(reason if reason == DAMAGED else f"{reason}: {error.problem}", 1, place)

    def _checked(self, at: int, number: int, record: Record) -> _Row:
        """The values and the label of a record; raises :class:`BadInputError` where they do not fit the schema."""
        values = _numbers(record.features.get(VALUES), "features")
        label = _numbers(record.label.get(VALUES), "labels")
        if values is None or not len(values):
            raise BadInputError(f"no numbers named {VALUES!r} among its features")
        due = self._schema.field(VALUES).type.list_size if len(self._schema) else len(values)
        if len(values) != due or due > WIDEST:
            raise BadInputError(f"{len(values)} values where {due} are due" if due <= WIDEST else "too wide")
        if LABEL in self._schema.names and label is not None and len(label) != self._label_width:
            raise BadInputError(f"{len(label)} labels where {self._label_width} are due")
        return _Row(at, number, values, label)

    def _learn(self, first: _Row) -> None:
        """Width and types, from the first good record."""
        listed = pa.list_(pa.from_numpy_dtype(as_float(first.values[:0]).dtype), len(first.values))
        fields = [pa.field(VALUES, listed)]
        if first.label is not None and len(first.label):
            kind = pa.from_numpy_dtype(first.label.dtype.newbyteorder("="))
            kind = kind if len(first.label) == 1 else pa.list_(kind, len(first.label))
            fields.append(aside(pa.field(LABEL, kind)))
        self._schema = pa.schema(fields)
        self._learn_template(first)

    @property
    def _label_width(self) -> int:
        kind = self._schema.field(LABEL).type
        return int(kind.list_size) if pa.types.is_fixed_size_list(kind) else 1

    def _learn_template(self, row: _Row) -> None:
        single = row.label is None or len(row.label) == 1
        label = None if row.label is None else row.label.dtype
        self._template = template_of(len(row.values), row.values.dtype, label) if single else None

    def _batch(self, values: NDArray[Any], labels: Any, columns: Sequence[str]) -> Any:
        arrays = []
        for name in columns:
            kind = self._schema.field(name).type
            if name == VALUES:
                dtype = kind.value_type.to_pandas_dtype()
                flat = pa.array(np.ascontiguousarray(values, dtype).reshape(-1))
                arrays.append(pa.FixedSizeListArray.from_arrays(flat, kind.list_size))
            else:
                arrays.append(_label_column(labels, kind, len(values)))
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([self._schema.field(n) for n in columns]))


def read_stream(file: BinaryIO, *, batch_rows: int = 65_536, name: str = "-") -> Iterator[Any]:
    """Rows of an open file, a pipe or a socket, as record batches with ``values`` and, if records have one, ``label``.

    Raises
    ------
    BadInputError : naming the record and its byte, for what cannot be read.

    >>> from shoal.sources.recordio_template import write_dense
    >>> file = io.BytesIO(); write_dense(file, np.float32([[1, 2], [3, 4]]), np.float32([0, 1])); _ = file.seek(0)
    >>> [batch.to_pylist() for batch in read_stream(file)]
    [[{'values': [1.0, 2.0], 'label': 0.0}, {'values': [3.0, 4.0], 'label': 1.0}]]
    """
    pipe = ReplayInput(file)
    pipe.release()
    log = FileLog(name, "raise", Rejects())
    reader = RecordIOReader(Located(name, name, stdin=pipe), None, ReadOptions(batch_rows=batch_rows), log)
    for piece in reader.pieces(reader.schema.names):
        yield piece.table


def read_rows(data: bytes, *, name: str = "body") -> NDArray[Any]:
    """(n, d) values of all records, float32 or float64; (0, 0) for no bytes at all. Errors as :func:`read_stream`.

    >>> from shoal.sources.recordio_template import write_dense
    >>> file = io.BytesIO(); write_dense(file, np.float64([[1, 2]])); read_rows(file.getvalue())
    array([[1., 2.]])
    """
    parts = [
        batch.column(VALUES).flatten().to_numpy().reshape(batch.num_rows, -1)
        for batch in read_stream(io.BytesIO(data), name=name)
    ]
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)


def _numbers(value: Any, what: str) -> NDArray[Any] | None:
    if value is None:
        return None
    if not isinstance(value, Tensor):
        raise BadInputError(f"its {what} are bytes, not numbers")
    return value.dense()


def _label_column(labels: Any, kind: Any, n: int) -> Any:
    """Labels by template come as one array or none, parsed ones as a list with an array for each row, or None."""
    if labels is None:
        return pa.nulls(n, kind)
    if isinstance(labels, np.ndarray):
        return pa.array(labels).cast(kind, safe=False)
    listed = pa.types.is_fixed_size_list(kind)
    dtype = (kind.value_type if listed else kind).to_pandas_dtype()
    plain = [None if one is None else one.astype(dtype) for one in labels]
    return pa.array(plain if listed else [None if one is None else one[0] for one in plain], kind)
