"""A file cut into the bodies of requests: whole, by lines, or by RecordIO records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from shoal.errors import BadInputError
from shoal.sources.recordio import StreamedBytes, read_frame

Split = Literal["None", "Line", "RecordIO"]
_REMEDY = "give a larger --max-payload-mb"


def payloads(read: Callable[[], bytes], split: Split, most: int, *, single: bool = False) -> Iterator[bytes]:
    """The bodies of a file, in order; without blank lines, and none of an empty file.

    Parameters
    ----------
    read : the next bytes of the file, ``b""`` at its end.
    most : bytes of a body.
    single : one record in each, not as many as fit.

    Raises
    ------
    BadInputError : a record, or the file that is not split, is longer than ``most``, or a RecordIO record is damaged.

    >>> list(payloads(iter([b"1,2\\n3,", b"4\\n5,6", b""]).__next__, "Line", 8))
    [b'1,2\\n3,4\\n', b'5,6']
    """
    if split == "None":
        return _whole(read, most)
    if split == "RecordIO":
        return _by_frames(read, most, single)
    blocks = _by_lines(read, most)
    if single:
        return (line for block in blocks for line in block.split(b"\n") if line.strip())
    return (block for block in blocks if block.strip())


def _whole(read: Callable[[], bytes], most: int) -> Iterator[bytes]:
    parts, size = [], 0
    while part := read():
        parts.append(part)
        size += len(part)
        if size > most:
            raise BadInputError(
                f"is longer than {most} bytes", remedy=f"split it, with --split-type Line, or {_REMEDY}"
            )
    if size:
        yield b"".join(parts)


def _by_lines(read: Callable[[], bytes], most: int) -> Iterator[bytes]:
    """Blocks of whole lines, each as long as fits."""
    kept = b""
    while part := read():
        kept += part
        while len(kept) > most:
            end = kept.rfind(b"\n", 0, most) + 1
            if not end:
                raise BadInputError(f"has a line longer than {most} bytes", remedy=_REMEDY)
            yield kept[:end]
            kept = kept[end:]
    if kept:
        yield kept


def _by_frames(read: Callable[[], bytes], most: int, single: bool) -> Iterator[bytes]:
    data = StreamedBytes(read)
    frames: list[bytes] = []
    at = size = number = 0
    while True:
        number += 1
        place = f"record {number} (byte {at})"
        try:
            frame = read_frame(data, at)
        except BadInputError as error:
            raise BadInputError(f"{place} {error.problem}", remedy="get a whole copy") from None
        length = 0 if frame is None else frame.end - at
        if length > most:
            raise BadInputError(f"{place} is longer than {most} bytes", remedy=_REMEDY)
        if frames and (frame is None or single or size + length > most):
            yield b"".join(frames)
            frames, size = [], 0
        if frame is None:
            if data.damage is not None:
                raise BadInputError(f"breaks off ({data.damage})", remedy="get a whole copy")
            return
        frames.append(bytes(data.at(at, length)))
        at, size = frame.end, size + length
