"""RecordIO frames: records behind a magic number and a length, as MXNet and the SageMaker Python SDK write them.

A frame is ``u32 magic | u32 word | payload | zeros up to a multiple of 4``, little-endian. The upper 3 bits of the word
say whether the frame is a whole record (0) or its first, middle or last part (1, 2, 3), the lower 29 its length. A writer
that splits does so where the payload holds the magic number, and leaves it out: the reader puts it back.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from shoal.errors import BadInputError
from shoal.sources.streams import DAMAGE

MAGIC = struct.pack("<I", 0xCED7230A)
LONGEST = (1 << 29) - 1
"""Bytes that fit into one frame."""
WINDOW = 8 << 20
"""Bytes looked at in one go."""
_BEHIND = 32 << 20
"""Bytes after which pages that were read are given back."""
_HEADER = struct.Struct("<II")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


class Window(Protocol):
    """Bytes by their offset, read more or less forwards."""

    damage: BaseException | None
    """Why they broke off before their end."""

    def at(self, offset: int, size: int) -> memoryview:
        """``size`` bytes from an offset, fewer only at the end; none from before the last such offset."""

    def close(self) -> None:
        """Give the bytes back."""


class MappedBytes:
    """A local file mapped into memory."""

    damage: BaseException | None = None

    def __init__(self, path: str | Path) -> None:
        try:
            with Path(path).open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # a ValueError where there is nothing to map
            raise BadInputError(f"cannot be opened ({error})", place=str(path)) from error
        self._view = memoryview(self._map)
        self._dropped = 0

    def at(self, offset: int, size: int) -> memoryview:
        """``size`` bytes from an offset, without a copy."""
        behind = offset - offset % mmap.PAGESIZE
        if behind - self._dropped >= _BEHIND and hasattr(mmap, "MADV_DONTNEED"):
            # so that resident memory does not grow with the file; a page asked for again is read again
            self._map.madvise(mmap.MADV_DONTNEED, self._dropped, behind - self._dropped)
            self._dropped = behind
        return self._view[offset : offset + size]

    def close(self) -> None:
        """Forget the file; it stays mapped for as long as some array looks at it."""
        self._view = memoryview(b"")


class StreamedBytes:
    """Bytes that a function hands out chunk by chunk: a pipe, a compressed file, an object store.

    >>> chunks = iter([b"abc", b"def", b""])
    >>> data = StreamedBytes(lambda: next(chunks)); bytes(data.at(1, 4)), bytes(data.at(4, 9))
    (b'bcde', b'ef')
    """

    def __init__(self, chunk: Callable[[], bytes]) -> None:
        self._chunk = chunk
        self._kept: Any = b""
        self._start = 0
        self._ended = False
        self.damage: BaseException | None = None

    def at(self, offset: int, size: int) -> memoryview:
        """``size`` bytes from an offset; what lies before it is dropped once more has to be read."""
        skip = offset - self._start
        if len(self._kept) - skip < size and not self._ended:
            beyond = max(0, skip - len(self._kept))
            text = b"".join([self._kept[skip:], *self._more(size - (len(self._kept) - skip))])
            self._kept, self._start, skip = text[beyond:], offset, 0
        return memoryview(self._kept)[skip : skip + size]

    def _more(self, wanted: int) -> Iterator[bytes]:
        while wanted > 0 and not self._ended:
            try:
                data = self._chunk()
            except DAMAGE as error:
                self.damage, data = error, b""
            self._ended = not data
            wanted -= len(data)
            yield data

    def close(self) -> None:
        """Drop what is kept."""
        self._kept, self._ended = b"", True


class BrokenFrameError(BadInputError):
    """A frame that cannot be read."""


class Frame(NamedTuple):
    """One record, its parts joined."""

    offset: int
    """Of its first byte."""
    end: int
    """Behind its padding."""
    payload: bytes | memoryview


def frame(payload: bytes) -> bytes:
    """A payload as one frame.

    Raises
    ------
    BadInputError : 512 MiB or more, which the format cannot hold.

    >>> frame(b"abcde").hex()
    '0a23d7ce050000006162636465000000'
    """
    if len(payload) > LONGEST:
        raise BadInputError(
            f"a record of {len(payload)} bytes", remedy="RecordIO holds less than 512 MiB each"
        )
    return MAGIC + struct.pack("<I", len(payload)) + payload + bytes(-len(payload) % 4)


def read_frame(data: Window, offset: int) -> Frame | None:
    """The record at an offset; None at the end.

    Raises
    ------
    BrokenFrameError : it is cut short, or is no frame.

    >>> bytes(read_frame(StreamedBytes(iter([frame(b"abc"), b""]).__next__), 0).payload)
    b'abc'
    """
    parts: list[memoryview] = []
    at = 0
    while True:
        head = data.at(offset, at + 8)[at:]
        if not len(head) and not parts:
            return None
        if len(head) < 8:
            raise BrokenFrameError(_cut(data))
        _, word = _HEADER.unpack(head)
        if head[:4] != MAGIC:
            raise BrokenFrameError(f"starts with 0x{head[:4].hex()}, not with RecordIO's magic number")
        kind, length = word >> 29, word & LONGEST
        if kind > _LAST or (kind in (_WHOLE, _FIRST)) == bool(parts):
            raise BrokenFrameError(f"is part {kind} of a record, out of order")
        stop = at + 8 + length + -length % 4
        seen = data.at(offset, stop)
        if len(seen) < stop:
            raise BrokenFrameError(f"should be {length} bytes long: {_cut(data)}")
        parts.append(seen[at + 8 : at + 8 + length])
        at = stop
        if kind in (_WHOLE, _LAST):
            return Frame(offset, offset + at, parts[0] if len(parts) == 1 else MAGIC.join(parts))


def next_frame(data: Window, offset: int) -> int | None:
    """Offset of the first likely frame from ``offset`` on, on the grid of 4 bytes that all frames lie on."""
    at, size = offset + -offset % 4, 1 << 12  # mostly it is near
    while len(seen := data.at(at, size)) >= 8:
        text = bytes(seen)
        found = text.find(MAGIC)
        while found >= 0:
            if found % 4 == 0 and _may_start(text[found + 4 : found + 8]):
                return at + found
            found = text.find(MAGIC, found + 1)
        at += len(text) - len(text) % 4 - 4
        size = min(2 * size, WINDOW)
    return None


def _may_start(word: bytes) -> bool:
    return len(word) == 4 and struct.unpack("<I", word)[0] >> 29 in (_WHOLE, _FIRST)


def _cut(data: Window) -> str:
    because = "" if data.damage is None else f" ({' '.join(str(data.damage).split())[:160]})"
    return f"the data ends within it{because}"
