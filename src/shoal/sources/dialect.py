"""What a delimited file's first lines say: delimiter, header, column names."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from shoal.errors import BadInputError
from shoal.sources.coerce import NUMBER
from shoal.sources.options import ReadOptions

CANDIDATES = ",\t;|"
_SNIFF_LINES = 50


@dataclass(frozen=True)
class Dialect:
    """How one delimited file starts.

    >>> d = read_dialect(b"a;b\\n1;2\\n", ";", ReadOptions(), "x.csv")
    >>> d.names, d.skip
    (('a', 'b'), 4)
    """

    names: tuple[str, ...]
    skip: int
    """Bytes of the first block before the first data row."""


def read_dialect(block: bytes, delimiter: str, options: ReadOptions, origin: str) -> Dialect:
    """The dialect of a file that starts with ``block`` (whole records).

    Raises :class:`BadInputError` for twice the same name, and for names that do not fit the columns.
    """
    counted = _CountedLines(block)
    reader = csv.reader(counted, delimiter=delimiter, quotechar=options.quote, quoting=_quoting(options))
    first = next((row for row in reader if row), [])
    first = [cell.strip() for cell in first if cell or delimiter != " "]
    header = options.header
    if header is None and options.names is not None:
        header = tuple(first) == options.names
    elif header is None:
        # Names are words; a row with a number in it is data. Empty cells say nothing.
        header = any(first) and not any(_is_number(cell) for cell in first)
    names = options.names or (
        tuple(c or f"c{i}" for i, c in enumerate(first))
        if header
        else tuple(f"c{i}" for i in range(len(first)))
    )
    if len(names) != len(first):
        remedy = "give as many names as columns, or another delimiter"
        raise BadInputError(
            f"{len(first)} columns in the first row but {len(names)} names", place=origin, remedy=remedy
        )
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise BadInputError(
            f"two columns are named {twice[0]!r}", place=origin, remedy="give names of your own"
        )
    return Dialect(names, counted.bytes_read if header else 0)


def sniff_delimiter(block: bytes, options: ReadOptions) -> str:
    """The candidate that splits most lines into the same number of columns, more than one; else a comma.

    >>> sniff_delimiter(b"a b\\tc\\n1,5\\t2\\n", ReadOptions()), sniff_delimiter(b"1 2\\n3 4\\n", ReadOptions())
    ('\\t', ' ')
    """
    lines = block[:65_536].decode("utf-8", "replace").splitlines(keepends=True)[: _SNIFF_LINES + 1]
    # The last line may be cut; without it there is still one where there were two.
    lines = lines[:-1] if len(lines) > _SNIFF_LINES else lines
    best, score = ",", (0.0, 0)
    for candidate in CANDIDATES + " ":
        rows = list(
            csv.reader(lines, delimiter=candidate, quotechar=options.quote, quoting=_quoting(options))
        )
        cells = [[c for c in row if c] if candidate == " " else row for row in rows if row]
        width, count = Counter(map(len, cells)).most_common(1)[0] if cells else (1, 0)
        if width < 2 or (candidate == " " and not all(_is_number(c) for row in cells for c in row)):
            continue
        if (count / len(cells), width) > score:
            best, score = candidate, (count / len(cells), width)
    return best


def _quoting(options: ReadOptions) -> Literal[0, 3]:
    return csv.QUOTE_NONE if options.quote is None else csv.QUOTE_MINIMAL


def _is_number(cell: str) -> bool:
    return re.match(NUMBER, cell.strip()) is not None


class _CountedLines:
    """The lines of a block, and how many bytes those taken so far had."""

    def __init__(self, block: bytes) -> None:
        self._lines = io.BytesIO(block)
        self.bytes_read = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._lines.readline()
        if not line:
            raise StopIteration
        self.bytes_read += len(line)
        return line.decode("utf-8", "replace")
