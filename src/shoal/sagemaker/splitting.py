"""A file cut into the bodies of requests: whole, by lines, or by RecordIO records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from shoal.errors import BadInputError
from shoal.sources.recordio import StreamedBytes, read_frame

Split = Literal["None", "Line", "RecordIO"]
_RUN = 256
"""Records looked at together: enough to be fast, few enough to be cheap where lengths differ."""
_PART = 5
"""Bits below those by which a frame says that it is a part of a record."""
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
        place = f"record {number + 1} (byte {at})"
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
        count = 1 if single else _alike(data, at, length, (most - size) // length)
        frames.append(bytes(data.at(at, count * length)))
        at, size, number = at + count * length, size + count * length, number + count


def _alike(data: StreamedBytes, at: int, length: int, most: int) -> int:
    """How many records from here on have the same head, and so the same length; most files have only such."""
    block = data.at(at, min(most, _RUN) * length)
    heads = np.frombuffer(block, np.uint8, len(block) // length * length).reshape(-1, length)[:, :8]
    if heads[0, 7] >> _PART:  # a part of a record: its head does not tell where the record ends
        return 1
    same = (heads == heads[0]).all(axis=1)
    return len(same) if same.all() else int(same.argmin())
