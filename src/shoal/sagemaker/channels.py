"""Channels of a training job as batches of vectors: files of a folder, or named pipes, each row with an identity.

Files are cut into shares of at most 262,144 rows, which are the same however many hosts there are. Where every host gets
all objects (``FullyReplicated``), a row must not be counted by each of them. Then, if there are at least as many files as
hosts, host i of h takes the files i, i + h, i + 2h, ... in order of name; else, and in Pipe mode, of the shares of all
files those whose number plus the file's is i, i + h, ... With ``ShardedByS3Key`` a host takes all that it has got.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.sagemaker.named_pipe import NamedPipe
from shoal.sagemaker.tree import FORMATS, ChannelSettings, Hosts, Tree
from shoal.sources.coerce import coerce_text
from shoal.sources.files import FileSource
from shoal.sources.locate import Located, is_hidden
from shoal.sources.options import ReadOptions
from shoal.sources.streams import ReplayInput

FINISHED = -1
WIDEST = 50_000
"""Numbers in a row: 5000 of them take 1 GiB, and a few bytes may stand for a sparse row of any width."""
SHARE_ROWS = 1 << 18
"""Rows of a file that are summarised by themselves; never depends on hosts, so that neither does the model."""
LABELS = "features are numbers; text/csv;label_size=1 leaves out the first column, label_size=0 none"


class Rows(NamedTuple):
    """Some rows of one share of a file."""

    X: NDArray[np.float32]
    """(n, d)."""
    key: int
    """Identity of the file's content, the same on every host."""
    numbers: NDArray[np.int64]
    """(n,) 0-based numbers of the rows in their file."""
    file: str
    """Name and identity of the file."""
    share: int
    """Number of the share in the file."""
    upto: int
    """Rows of the file that are dealt with after this batch; -1: all."""

    @property
    def name(self) -> str:
        """Of the file, as people write it."""
        return self.file.rpartition("#")[0]


@dataclass(frozen=True)
class Channel:
    """What one host reads of a channel.

    Parameters
    ----------
    tree : where the data lie.
    settings : content type, mode and how objects are spread over hosts.
    hosts : of the job.
    batch_rows : rows read at a time.
    stop : set when the job is to end; a wait for a named pipe ends then too.
    """

    tree: Tree
    settings: ChannelSettings
    hosts: Hosts = field(default_factory=Hosts)
    batch_rows: int = 5000
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        if self.settings.content_type not in FORMATS:
            raise BadInputError(
                f"content type {self.settings.content_type!r} cannot be read",
                place=f"channel {self.settings.name}",
                remedy=f"use one of {', '.join(FORMATS)}",
            )

    @property
    def is_pipe(self) -> bool:
        """Whether the data come through named pipes, which cannot be read again from the middle."""
        return self.settings.mode == "Pipe"

    def files(self) -> list[Located]:
        """The files of the folder in order of name, nested ones too; none that is hidden, a marker or empty."""
        local, found = pafs.LocalFileSystem(), []
        for name, path in self._objects():
            if not is_hidden(name) and (size := path.stat().st_size):
                found.append(Located(f"{self.settings.name}/{name}", str(path.absolute()), local, size))
        return found

    def left_out(self) -> list[str]:
        """Names of files that are taken for markers of other tools, and not read."""
        return [name for name, _ in self._objects() if is_hidden(name)]

    def head(self) -> tuple[int, str] | None:
        """Features in a row of the first file, and its name; None in Pipe mode, or where there is no file.

        Raises
        ------
        BadInputError : it cannot be read.
        """
        files = [] if self.is_pipe else self.files()
        if not files:
            return None
        return width_of(*self._opened(files[0])), files[0].origin

    def _objects(self) -> list[tuple[str, Path]]:
        folder = self.tree.folder(self.settings.name)
        found = ((p.relative_to(folder).as_posix(), p) for p in folder.rglob("*"))
        return sorted((name, path) for name, path in found if path.is_file())

    def rows(self, epoch: int = 0, done: Mapping[str, int] | None = None) -> Iterator[Rows]:
        """One read of this host's share; after the last rows of a file an empty batch says so.

        Parameters
        ----------
        epoch : number of the read; in Pipe mode that of the named pipe.
        done : rows already taken of each file, as ``upto`` of its batches told; only in File mode.

        Raises
        ------
        BadInputError : with file and row, what is not a number, or damaged.
        """
        h, rank = len(self.hosts.names), self.hosts.rank
        if self.settings.spread == "ShardedByS3Key":
            h, rank = 1, 0
        if self.is_pipe:
            yield from self._file(self._fifo(epoch), {}, h, rank)
            return
        files = self.files()
        by_file = len(files) >= h
        for i, file in enumerate(files):
            if self.stop.is_set():
                return
            if not by_file or i % h == rank:
                yield from self._file(file, done or {}, *((1, 0) if by_file else (h, (rank - i) % h)))

    def _file(self, located: Located, done: Mapping[str, int], h: int, rank: int) -> Iterator[Rows]:
        """The rows of the shares rank, rank + h, ... of a file, as far as they are not yet done."""
        key = located.key()
        file = f"{located.origin}#{key:016x}"
        after = done.get(file, 0)
        if after == FINISHED or self._is_over(located):
            return
        source, names = self._opened(located)
        share = 0
        for batch in source.batches(names):
            numbers, X = batch.row_numbers, vectors(batch.table, located.origin, batch.row_numbers)
            for share in range(int(numbers[0]) // SHARE_ROWS, int(numbers[-1]) // SHARE_ROWS + 1):
                start, end = np.searchsorted(
                    numbers, [max(share * SHARE_ROWS, after), (share + 1) * SHARE_ROWS]
                )
                if share % h == rank and start < end:
                    part = slice(start, end)
                    yield Rows(X[part], key, numbers[part], file, share, int(numbers[end - 1]) + 1)
        if not self.stop.is_set():
            yield Rows(X[:0], key, numbers[:0], file, share, FINISHED)

    def _opened(self, located: Located) -> tuple[FileSource, list[str]]:
        """A source, and its columns that are features."""
        source, names = self._source(located)
        if (width := width_of(source, names)) > WIDEST:
            text = f"a row has {width:,} features, more than {WIDEST:,}"
            raise BadInputError(text, place=located.origin, remedy="choose or hash features")
        return source, names

    def _source(self, located: Located) -> tuple[FileSource, list[str]]:
        kind = FORMATS[self.settings.content_type]
        given = self.settings.parameters or {}
        options = ReadOptions(format=kind, batch_rows=self.batch_rows)
        if kind == "csv":
            labels = int(given.get("label_size", "1"))
            encoding = given.get("charset", "utf-8")
            words = frozenset(f"c{i}" for i in range(labels))
            options = ReadOptions(
                format=kind, header=False, delimiter=",", encoding=encoding, batch_rows=self.batch_rows,
                text_columns=words,
            )  # fmt: skip
            source = FileSource([located], options)
            names = source.schema().names[labels:]
            if not names:
                raise BadInputError("no column but the label", place=located.origin, remedy=LABELS)
            return source, names
        if _is_text(located.head()):
            raise BadInputError(
                "is text, not RecordIO", place=located.origin,
                remedy=f"give channel {self.settings.name} the ContentType text/csv;label_size=0",
            )  # fmt: skip
        source = FileSource([located], options)
        names = [name for name in source.schema().names if name != "label"]
        return source, names

    def _fifo(self, epoch: int) -> Located:
        path = self.tree.fifo(self.settings.name, epoch)
        pipe = cast(BinaryIO, io.BufferedReader(NamedPipe(path, self.stop), 1 << 20))
        return Located(path.name, str(path), stdin=ReplayInput(pipe))

    def _is_over(self, located: Located) -> bool:
        """Whether a pipe has ended before it began, as it does on a host without a share."""
        return located.stdin is not None and not located.head()


def width_of(source: FileSource, names: list[str]) -> int:
    """Numbers in a row of these columns, of which some are vectors."""
    types = [source.schema().field(name).type for name in names]
    return sum(t.list_size if pa.types.is_fixed_size_list(t) else 1 for t in types)


def vectors(table: pa.RecordBatch, origin: str, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, d) numbers of the columns of a batch.

    Raises
    ------
    BadInputError : with the row, text or an empty cell.

    >>> vectors(pa.record_batch({"a": [1.0, 2.0], "b": [3.0, 4.0]}), "x.csv", np.arange(2)).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    parts = []
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if pa.types.is_fixed_size_list(column.type):
            wide = column.flatten().to_numpy(zero_copy_only=False)
            parts.append(wide.reshape(len(column), -1))
        elif pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            parts.append(column.to_numpy(zero_copy_only=False)[:, None])
        else:
            raise _not_a_number(column, name, origin, numbers)
    X = np.empty((table.num_rows, sum(p.shape[1] for p in parts)), np.float32)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is named below
        np.concatenate(parts, axis=1, out=X, casting="unsafe")
    if not np.isfinite(X).all():
        i, j = (int(v[0]) for v in np.nonzero(~np.isfinite(X)))
        problem = "no number" if np.isnan(X[i, j]) else "infinite, or beyond float32"
        place = f"{origin}, row {int(numbers[i]) + 1}, feature {j + 1}"
        raise BadInputError(
            f"value is {problem}", place=place, remedy="fill in the value, or leave the row out"
        )
    return X


def _not_a_number(column: pa.Array, name: str, origin: str, numbers: NDArray[np.int64]) -> BadInputError:
    bad = coerce_text(column.cast(pa.string()).cast(pa.binary()), pa.float64(), None)[1]
    i = int(np.argmax(bad))
    place, remedy = f"{origin}, row {int(numbers[i]) + 1}, column {name!r}", LABELS
    if not numbers[i]:
        remedy += "; a header is none of the rows, leave it out"
    return BadInputError(f"not a number: {column[i].as_py()!r}", place=place, remedy=remedy)


def _is_text(head: bytes) -> bool:
    """Whether a file begins like a table that people can read."""
    return bool(head) and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head[:16])
