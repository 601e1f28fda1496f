"""``.npy`` (mapped into memory where local) and ``.npz`` (streamed out of the archive)."""

from __future__ import annotations

import io
import lzma
import math
import mmap
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.sources.locate import Located
from shoal.sources.options import FileLog, ReadOptions
from shoal.sources.reader import Piece, rows_that_fit
from shoal.sources.streams import DAMAGE, CountedStream

VECTOR = "vector"
"""The one column of an array file: a FixedSizeList as wide as the array."""

_DAMAGE: tuple[type[BaseException], ...] = (
    *DAMAGE,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    ValueError,
)


class Header:
    """Shape, order and type of an array, from the start of an ``.npy`` stream.

    >>> buffer = io.BytesIO(); np.save(buffer, np.zeros((3, 2, 2), dtype="f4")); _ = buffer.seek(0)
    >>> h = Header(buffer); h.rows, h.width, h.dtype
    (3, 4, dtype('float32'))
    """

    def __init__(self, stream: Any) -> None:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        self.shape, self.fortran, self.dtype = read(stream)

    @property
    def rows(self) -> int:
        """First dimension."""
        return int(self.shape[0]) if self.shape else 0

    @property
    def width(self) -> int:
        """Product of the other dimensions: an image becomes one long row."""
        return math.prod(self.shape[1:])

    def check(self, log: FileLog) -> None:
        """Raises :class:`BadInputError` for arrays that are no table of numbers."""
        if self.dtype.kind not in "fiub":
            what = "holds Python objects" if self.dtype.hasobject else f"holds {self.dtype}"
            log.fail(f"{what}, not numbers", remedy="save it as float32 or float64")
        if len(self.shape) < 2:
            log.fail(
                f"has {len(self.shape)} dimension(s)",
                remedy="save rows by columns, for example X.reshape(-1, 1)",
            )
        if self.width == 0:
            log.fail(f"has no columns (shape {self.shape})", remedy="save rows by columns")
        if self.fortran and len(self.shape) > 2:
            log.fail("has more than two dimensions in Fortran order", remedy="save np.ascontiguousarray(X)")


def as_float(values: NDArray[Any]) -> NDArray[Any]:
    """float32 where that loses nothing, else float64; native byte order."""
    kind = values.dtype.newbyteorder("=")
    small = kind.itemsize <= 2 or kind == np.float32
    return np.ascontiguousarray(values, dtype=np.float32 if small else np.float64)


def vector_batch(values: NDArray[Any]) -> Any:
    """An (n, d) array as a record batch with one FixedSizeList column.

    >>> vector_batch(np.zeros((3, 2), dtype=np.float32)).schema.field("vector").type
    FixedSizeListType(fixed_size_list<item: float>[2])
    """
    flat = pa.array(as_float(values).reshape(-1))
    return pa.record_batch([pa.FixedSizeListArray.from_arrays(flat, values.shape[1])], names=[VECTOR])


class NumpyReader:
    """One array: of an ``.npy`` file, or a member of an ``.npz``."""

    def __init__(self, located: Located, is_archive: bool, options: ReadOptions, log: FileLog) -> None:
        self._located, self._options, self._log = located, options, log
        self._size = located.size
        self._share = 0.0
        self._raw = CountedStream(located.open())
        self._open: list[Any] = [self._raw]
        self.member: str | None = None
        self.header: Header | None = None
        try:
            self._stream: Any = self._open_member() if is_archive else io.BufferedReader(self._raw, 1 << 20)
            self.header = Header(self._stream)
        except BadInputError:
            raise
        except _DAMAGE as error:
            log.damaged(error, after="at its header")
        if self.header is not None:
            self.header.check(log)

    @property
    def schema(self) -> Any:
        """One column, ``vector``."""
        if self.header is None:
            return pa.schema([])
        return vector_batch(np.empty((0, self.header.width), dtype=self.header.dtype)).schema

    @property
    def position(self) -> int:
        """Raw bytes that lie behind the current row, about."""
        return int(self._share * self._size)

    def close(self) -> None:
        """Close the file."""
        for item in reversed(self._open):
            item.close()

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """The array's rows in order."""
        if self.header is None:
            return
        header, done = self.header, 0
        width = rows_that_fit(self._options.batch_rows, 8.0 * header.width)
        try:
            mapped = self._mapped()
        except BadInputError:
            raise
        except _DAMAGE as error:
            self._log.damaged(error, rows=header.rows)
            return
        while done < header.rows:
            count = min(width, header.rows - done)
            try:
                values = mapped[done : done + count] if mapped is not None else self._next_rows(count)
            except _DAMAGE as error:
                self._log.damaged(error, after=f"after row {done}", rows=header.rows - done)
                return
            if len(values):
                yield Piece(vector_batch(values.reshape(len(values), -1)), done, None)
                done += len(values)
            if len(values) < count:
                cause = f"{header.rows} rows are due"
                self._log.damaged(cause, after=f"after row {done}", rows=header.rows - done)
                return
            self._forget(mapped)
            self._share = done / header.rows

    def _open_member(self) -> Any:
        seekable = io.BufferedReader(_Seekable(self._located.open()), 1 << 16)
        archive = zipfile.ZipFile(seekable)
        self._open += [seekable, archive]
        self.member = self._choose(archive)
        return archive.open(self.member + ".npy")

    def _choose(self, archive: zipfile.ZipFile) -> str:
        names = [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
        wanted = self._located.member
        if wanted is not None:
            if wanted not in names:
                raise BadInputError.unknown_column(wanted, names, place=self._log.origin)
            return wanted
        if "X" in names:
            return "X"
        tables = []
        for name in names:
            with archive.open(name + ".npy") as member:
                shape = Header(member).shape
            tables += [name] if len(shape) >= 2 else []
        if len(tables) != 1:
            remedy = f"choose one as file.npz::name among {', '.join(names) or 'none'}"
            self._log.fail(f"holds {len(tables)} arrays of two dimensions, none named X", remedy=remedy)
        return str(tables[0])

    def _mapped(self) -> Any:
        """The array mapped into memory, where the file can be; columns-first arrays always are."""
        header = self.header
        mappable = self._located.is_local and self.member is None
        if header is None or not (mappable or header.fortran):
            return None
        path, start = self._located.path, 0
        if mappable:
            start = self._stream.tell()
        else:
            path = self._spool()
        try:
            order: Any = "F" if header.fortran else "C"
            return np.memmap(
                path, dtype=header.dtype, mode="r", offset=start, shape=header.shape, order=order
            )
        except (ValueError, OSError):
            # Shorter than its header says: read it as far as it goes (whole columns are missing in Fortran order).
            if header.fortran:
                self._log.damaged("shorter than its header says", rows=header.rows)
                header.shape = (0, *header.shape[1:])
            return None

    def _spool(self) -> str:
        """The rest of the stream in a temporary file: rows of a columns-first array cannot be streamed."""
        file = tempfile.NamedTemporaryFile(prefix="shoal-", suffix=".raw")  # noqa: SIM115 - closed by close()
        self._open.append(file)
        while data := self._stream.read(1 << 20):
            file.write(data)
        file.flush()
        return str(file.name)

    def _next_rows(self, count: int) -> NDArray[Any]:
        header = self.header
        if header is None:
            return np.empty((0, 0))
        row_bytes = header.width * header.dtype.itemsize
        parts, total = [], 0
        while total < count * row_bytes:
            try:
                data = self._stream.read(min(1 << 20, count * row_bytes - total))
            except _DAMAGE:
                if total < row_bytes:
                    raise
                break
            if not data:
                break
            parts.append(data)
            total += len(data)
        whole = total // row_bytes
        values = np.frombuffer(b"".join(parts)[: whole * row_bytes], dtype=header.dtype)
        return values.reshape(whole, header.width)

    def _forget(self, mapped: Any) -> None:
        """Let the kernel drop the pages just read, so that resident memory does not grow with the file."""
        pages = getattr(mapped, "_mmap", None)
        if (
            pages is not None
            and hasattr(mmap, "MADV_DONTNEED")
            and self.header is not None
            and not self.header.fortran
        ):
            pages.madvise(mmap.MADV_DONTNEED)


class _Seekable(io.RawIOBase):
    """A pyarrow file as the random-access raw stream that :mod:`zipfile` wants."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._file.seek(offset, whence)
        return int(self._file.tell())

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
