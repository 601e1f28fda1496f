"""Files cut into parts for an engine's workers, which open them with Shoal's own readers and summarise them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from shoal.engines.shares import SummarySettings, framed, unframed
from shoal.errors import BadInputError, Rejects, ShoalError
from shoal.features.recipe import Recipe
from shoal.sources.files import FileSource, format_of
from shoal.sources.locate import Located
from shoal.sources.options import FileLog, ReadOptions
from shoal.sources.parquet import DAMAGE, ParquetReader
from shoal.sources.protocol import Batch
from shoal.sources.reader import FileReader, Piece
from shoal.summary.coreset import Coreset

LEAST_BYTES = 1 << 20
"""Less than this is not worth a task of its own."""
_REMEDY = (
    "all workers must see the files under the same path: put them on a shared file system or an object store, "
    "or use --engine local"
)


@dataclass(frozen=True)
class FilePart:
    """A file, or some row groups of a Parquet file. Plain and picklable."""

    origin: str
    """As shown to a person."""
    path: str
    """Absolute, or on ``filesystem``."""
    size: int
    """Bytes of the whole file as stored."""
    nbytes: int
    """About how many of them belong to this part."""
    member: str | None = None
    groups: tuple[int, int] | None = None
    """The first row group of the part and the one after its last; None: the whole file."""
    first_row: int = 0
    """Data row of the file with which the part starts."""
    filesystem: Any = None
    """Of an object store, with what its address said of it (region, endpoint); None: the local one."""

    @classmethod
    def whole(cls, file: Located) -> FilePart:
        """All of a file.

        Raises
        ------
        BadInputError : standard input, which no worker has.
        """
        if file.stdin is not None:
            raise BadInputError(
                "a pipe cannot be read by workers on other machines",
                place=file.origin,
                remedy="save it to a file first, or use --engine local",
            )
        if not file.is_local:
            return cls(file.origin, file.path, file.size, file.size, file.member, filesystem=file.filesystem)
        return cls(file.origin, str(Path(file.path).absolute()), file.size, file.size, file.member)

    def located(self) -> PartFile:
        """The file as this machine sees it.

        Raises
        ------
        BadInputError : it is not here, or another one is.
        """
        filesystem = self.filesystem or pafs.LocalFileSystem()
        try:
            info = filesystem.get_file_info(self.path)
        except (OSError, pa.ArrowException) as error:
            raise BadInputError(
                f"a worker cannot reach the file ({error})", place=self.origin, remedy=_REMEDY
            ) from error
        if info.type != pafs.FileType.File:
            raise BadInputError("a worker does not find the file", place=self.origin, remedy=_REMEDY)
        if info.size is not None and info.size != self.size:
            raise BadInputError(
                f"a worker sees {info.size:,} bytes where there were {self.size:,}",
                place=self.origin,
                remedy="leave the file alone while it is read; " + _REMEDY,
            )
        return PartFile(
            self.origin,
            self.path,
            filesystem,
            self.size,
            self.member,
            groups=self.groups,
            first_row=self.first_row,
        )


@dataclass(frozen=True)
class PartFile(Located):
    """A located file of which some row groups are meant."""

    groups: tuple[int, int] | None = None
    first_row: int = 0


def tasks_of(
    files: Sequence[Located], options: ReadOptions, *, tasks: int, least: int | None = None
) -> list[tuple[FilePart, ...]]:
    """About so many tasks of nearly equal bytes; parts stay in the order of files and rows.

    Parameters
    ----------
    files : as :func:`shoal.sources.locate.locate` finds them.
    tasks : wanted; there may be fewer, as a file other than Parquet is one part.
    least : bytes below which a task is not worth its start; default: 1 MiB.
    """
    least = LEAST_BYTES if least is None else least
    wanted = max(sum(f.size for f in files) / max(tasks, 1), least, 1)
    parts = [part for file in files for part in _parts(file, options, wanted)]
    out: list[tuple[FilePart, ...]] = []
    now: list[FilePart] = []
    held = 0
    for part in parts:
        # A part goes where more of it fits.
        if now and held + part.nbytes / 2 > wanted:
            out.append(tuple(now))
            now, held = [], 0
        now.append(part)
        held += part.nbytes
    return [*out, tuple(now)] if now else out


def _parts(file: Located, options: ReadOptions, wanted: float) -> Iterator[FilePart]:
    whole = FilePart.whole(file)
    if file.size <= wanted or format_of(file, options)[0] != "parquet":
        yield whole
        return
    yield from _row_groups(file, whole, wanted) or [whole]


def _row_groups(file: Located, whole: FilePart, wanted: float) -> list[FilePart]:
    """Runs of row groups; none where the footer is damaged, which the reader will tell."""
    try:
        with file.open() as raw:
            meta = pq.read_metadata(raw)
    except DAMAGE:
        return []
    rows = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    out, start, first_row = [], 0, 0
    per_row = file.size / max(meta.num_rows, 1)
    for end in range(1, len(rows) + 1):
        held = sum(rows[start:end])
        nbytes = int(held * per_row)
        if nbytes >= wanted or end == len(rows):
            out.append(replace(whole, groups=(start, end), first_row=first_row, nbytes=nbytes))
            start, first_row = end, first_row + held
    return out


class PartSource(FileSource):
    """The parts of one task; unlike other sources it may hold no rows.

    Parameters
    ----------
    files : of :meth:`FilePart.located`.
    options : how to read them.
    schema : of the whole source, so that all tasks read the same types.
    """

    def __init__(self, files: Sequence[PartFile], options: ReadOptions, schema: pa.Schema) -> None:
        super().__init__(files, options)
        self._schema = schema

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """One pass over the parts.

        Raises
        ------
        BadInputError : as :meth:`FileSource.batches`, except where there is no row.
        """
        names = self._wanted(columns)
        self._rejects = Rejects()
        for file in self._files:
            reader = self._open(file, self._schema, self._rejects)
            if reader is None:
                continue
            try:
                yield from self._of_file(file, reader, names, columns is None, self._rejects)
            finally:
                reader.close()

    def _open(self, file: Located, expected: Any, rejects: Rejects) -> FileReader | None:
        if isinstance(file, PartFile) and file.groups is not None:
            log = FileLog(file.origin, self._options.on_error, rejects)
            return _SomeRowGroups(file, file.groups, self._options, log)
        return super()._open(file, expected, rejects)


class _SomeRowGroups(ParquetReader):
    """A run of row groups of one file."""

    def __init__(
        self, located: PartFile, groups: tuple[int, int], options: ReadOptions, log: FileLog
    ) -> None:
        super().__init__(located, options, log)
        self._groups, self._first_row = groups, located.first_row

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """The rows of those groups, numbered as in the whole file."""
        if self._file is None:
            return
        offset = self._first_row
        for group in range(*self._groups):
            due = self._file.metadata.row_group(group).num_rows
            yield from self._group(group, list(columns), offset, due)
            offset += due


@dataclass(frozen=True)
class FilesWork:
    """Summarise the files of one task; the partition is the number of the task."""

    tasks: tuple[tuple[FilePart, ...], ...]
    read: ReadOptions
    schema: bytes
    """Arrow schema of the whole source, so that all tasks read the same types."""
    columns: tuple[str, ...]
    recipe: Recipe
    settings: SummarySettings

    def __call__(self, partition: int, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
        """One reply: that of :meth:`summarised`."""
        yield self.summarised(partition)

    def summarised(self, task: int) -> bytes:
        """What the files of one task hold, as :func:`packed`."""
        schema = pa.ipc.read_schema(pa.py_buffer(self.schema))
        source = PartSource([part.located() for part in self.tasks[task]], self.read, schema)
        summary, rejects, rows, filtered = self.settings.new(), Rejects(), 0, 0
        for batch in source.batches(self.columns):
            found = self.recipe.apply(
                batch.table,
                origin=batch.origin,
                rows=batch.row_numbers,
                rejects=rejects,
                on_error=self.read.on_error,
            )
            rows += batch.table.num_rows
            filtered += found.filtered
            summary.update(found.matrix, found.weight, key=batch.key, rows=found.rows)
        return packed(Counted(summary, rows, filtered, source.rejects.merge(rejects)))


class Counted(NamedTuple):
    """A summary, and what did not get into it."""

    summary: Coreset
    rows: int
    """Rows that reached the recipe."""
    filtered: int
    rejects: Rejects


@dataclass(frozen=True)
class JoinCounted:
    """Merge what tasks answered."""

    def __call__(self, replies: Iterable[bytes]) -> bytes:
        """One reply of the same kind."""
        found = joined(replies)
        if found is None:
            raise ShoalError("nothing to merge")
        return packed(found)


def packed(found: Counted) -> bytes:
    """A reply: the counts, and the summary's own bytes."""
    told = {"rows": found.rows, "filtered": found.filtered, "rejects": found.rejects.to_dict()}
    return framed(told, found.summary.to_bytes())


def unpacked(reply: bytes) -> Counted:
    """Inverse of :func:`packed`."""
    told, content = unframed(reply)
    rejects = Rejects.from_dict(told["rejects"])
    return Counted(Coreset.from_bytes(content), told["rows"], told["filtered"], rejects)


def joined(replies: Iterable[bytes]) -> Counted | None:
    """All of them as one; None of none."""
    out: Counted | None = None
    for reply in replies:
        now = unpacked(reply)
        out = now if out is None else Counted(
            out.summary.merge(now.summary),
            out.rows + now.rows,
            out.filtered + now.filtered,
            out.rejects.merge(now.rejects),
        )  # fmt: skip
    return out
