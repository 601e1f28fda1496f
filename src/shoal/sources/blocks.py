"""A text stream cut into blocks of whole records, so that each can be parsed (again, if need be) by itself."""

from __future__ import annotations

import re
from collections.abc import Callable

from shoal.sources.streams import DAMAGE

FIRST_BLOCK = 1 << 20
"""Bytes of the first block, from which types are inferred; fixed, so that types never depend on batch size."""

LONGEST_RECORD = 64 << 20
"""A record longer than this is taken for a quote that was never closed."""


class RunawayRecordError(Exception):
    """No record ends within ``LONGEST_RECORD`` bytes."""


class RecordBlocks:
    """Blocks of whole records from ``read``, which returns ``b""`` at the end of the stream.

    Parameters
    ----------
    read : the next bytes of the stream.
    cut : where the last whole record of a block ends (0: nowhere).

    When the stream breaks off, ``damage`` holds the reason after the last block; an unfinished record before
    the break is not returned, since nobody knows what it would have been.

    >>> parts = iter([b"a,1\\nb,", b"2\\nc,3"])
    >>> blocks = RecordBlocks(lambda: next(parts, b""), lines_end)
    >>> blocks.take(1), blocks.take(99), blocks.take(1)
    (b'a,1\\n', b'b,2\\nc,3', b'')
    """

    def __init__(self, read: Callable[[], bytes], cut: Callable[[bytes], int]) -> None:
        self._read = read
        self.cut = cut
        self._pending = b""
        self._ended = False
        self._lone_returns: bool | None = None
        self.damage: BaseException | None = None

    def peek(self, size: int) -> bytes:
        """About ``size`` bytes that :meth:`take` will return; any byte order mark is gone."""
        self._fill(size)
        self._pending = self._pending.removeprefix(b"\xef\xbb\xbf")
        return self._pending

    def take(self, size: int) -> bytes:
        """At least one record and about ``size`` bytes; ``b""`` at the end.

        Raises :class:`RunawayRecordError` if a record does not end.
        """
        want = size
        while True:
            self._fill(want)
            if self._ended:
                block, self._pending = self._pending, b""
                return block[: self.cut(block)] if self.damage is not None else block
            end = self.cut(self._pending)
            if end > 0:
                block, self._pending = self._pending[:end], self._pending[end:]
                return block
            if len(self._pending) > LONGEST_RECORD:
                raise RunawayRecordError
            want = 2 * len(self._pending)

    def _fill(self, size: int) -> None:
        parts, total = [self._pending], len(self._pending)
        while total < size and not self._ended:
            try:
                data = self._read()
            except DAMAGE as error:
                self.damage, data = error, b""
            if self._lone_returns is None and data:
                self._lone_returns = b"\n" not in data and b"\r" in data
            if self._lone_returns:
                data = data.replace(b"\r", b"\n")
            self._ended = not data
            parts.append(data)
            total += len(data)
        self._pending = b"".join(parts)


def lines_end(block: bytes) -> int:
    """Just behind the last newline."""
    return block.rfind(b"\n") + 1


def quoted_records_end(delimiter: str, quote: str) -> Callable[[bytes], int]:
    """A cutter that knows that a newline between quotes ends no record.

    A quote opens only at the start of a field, as in pyarrow's parser, so ``5" pipe`` stays ordinary text.

    >>> cut = quoted_records_end(",", '"')
    >>> cut(b'a,"x\\ny"\\nb,"z\\n'), cut(b'5" pipe\\nb')
    (8, 8)
    """
    d, q = re.escape(delimiter.encode()), re.escape(quote.encode())
    # Possessive loops are safe: what they can match never starts with what follows them.
    field = re.compile(
        b"(?:\\A|(?<=["
        + d
        + b"\n\r]))"
        + q
        + b"[^"
        + q
        + b"]*+(?:"
        + q
        + q
        + b"[^"
        + q
        + b"]*+)*+("
        + q
        + b")?"
    )
    mark = quote.encode()

    def cut(block: bytes) -> int:
        if mark not in block:
            return lines_end(block)
        starts, stops = [], []
        for match in field.finditer(block):
            starts.append(match.start())
            # A quote that ends the block may be the first half of a doubled one.
            stops.append(match.end() if match[1] and match.end() < len(block) else len(block))
        end = len(block)
        while (end := block.rfind(b"\n", 0, end)) >= 0:
            while starts and starts[-1] > end:
                starts.pop()
                stops.pop()
            if not starts or stops[-1] <= end:
                return end + 1
            end = starts[-1]
        return 0

    return cut
