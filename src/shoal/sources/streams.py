"""Byte streams: counted, decompressed, and standard input that can be looked at before it is read."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import pyarrow as pa

from shoal.errors import BadInputError

CHUNK = 1 << 20
_SMALL = 1 << 15

DAMAGE: tuple[type[BaseException], ...] = (EOFError, OSError, zlib.error, lzma.LZMAError, pa.ArrowException)
"""What a truncated or damaged file raises while it is read."""

_MAGIC = (
    (b"\x1f\x8b", "gz"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
    (b"BZh", "bz2"),
    (b"\x04\x22\x4d\x18", "lz4"),
)


class CountedStream(io.RawIOBase):
    """A file-like object of pyarrow or the standard library, as a raw stream that knows how far it was read."""

    def __init__(self, raw: Any) -> None:
        super().__init__()
        self._raw = raw
        self.count = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.count

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


def sniff_compression(head: bytes) -> str | None:
    """The compression that a file's first bytes announce.

    >>> sniff_compression(gzip.compress(b"a")), sniff_compression(b"a,b")
    ('gz', None)
    """
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


def chunk_reader(raw: CountedStream, compression: str | None, encoding: str) -> Callable[[], bytes]:
    """A function that returns the next decompressed bytes in UTF-8, and ``b""`` at the end.

    It never loses bytes that were decompressed before a damaged place: each call makes one read below.
    """
    buffered = io.BufferedReader(raw, CHUNK)
    read: Callable[[int], bytes]
    if compression in ("zst", "lz4"):
        codec = {"zst": "zstd", "lz4": "lz4"}[compression]
        unpacked = pa.CompressedInputStream(pa.PythonFile(buffered, mode="r"), codec)
        # A read that meets a damaged place loses what it had so far, so reads are small.
        read = lambda size: unpacked.read(min(size, _SMALL))  # noqa: E731
    elif compression is not None:
        openers: dict[str, Callable[..., Any]] = {
            "gz": gzip.GzipFile,
            "bz2": bz2.BZ2File,
            "xz": lzma.LZMAFile,
        }
        read = (
            gzip.GzipFile(fileobj=buffered) if compression == "gz" else openers[compression](buffered)
        ).read1
    else:
        read = buffered.read
    if codecs.lookup(encoding).name in ("utf-8", "ascii"):
        return lambda: read(CHUNK)
    return _transcoded(read, encoding)


def _transcoded(read: Callable[[int], bytes], encoding: str) -> Callable[[], bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    done = False

    def next_bytes() -> bytes:
        nonlocal done
        while not done:
            data = read(CHUNK)
            done = not data
            text = decoder.decode(data, final=done)
            if text:
                return text.encode()
        return b""

    return next_bytes


class ReplayInput:
    """Standard input that may be opened again and again until :meth:`release`, then once more.

    Everything read before ``release`` is kept, so that the schema and a recipe can be learned from the
    start of a pipe which is then read from that same start.

    >>> pipe = ReplayInput(io.BytesIO(b"abcdef"))
    >>> pipe.open().read(3), pipe.open().read(2)
    (b'abc', b'ab')
    >>> pipe.release(); last = pipe.open(); last.read(10) + last.read(10)
    b'abcdef'
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._kept = bytearray()
        self._released = False
        self._spent = False

    def open(self) -> _Replay:
        """A stream from the start of the input."""
        if self._spent:
            raise BadInputError(
                "standard input can be read only once", place="-", remedy="save it to a file first"
            )
        self._spent = self._released
        return _Replay(self)

    def release(self) -> None:
        """Stop keeping: the next stream opened is the last."""
        self._released = True

    def fetch(self, at: int, size: int) -> bytes:
        """``size`` bytes (fewer at the end) from position ``at``."""
        while len(self._kept) < at + size:
            data = self._raw.read(min(CHUNK, at + size - len(self._kept)))
            if not data:
                break
            self._kept += data
        return bytes(self._kept[at : at + size])

    def onwards(self, at: int, size: int) -> tuple[bytes, bool]:
        """As :meth:`fetch`, but once released: what lies behind what is kept is read and not kept."""
        if not self._released or at < len(self._kept):
            return self.fetch(at, min(size, len(self._kept) - at) if self._released else size), False
        self._kept.clear()
        return self._raw.read(size), True


class _Replay:
    def __init__(self, source: ReplayInput) -> None:
        self._source = source
        self._at = 0
        self._direct = False

    def read(self, size: int) -> bytes:
        if self._direct:
            return self._source._raw.read(size)
        data, self._direct = self._source.onwards(self._at, size)
        self._at += len(data)
        return data

    def close(self) -> None:
        pass
