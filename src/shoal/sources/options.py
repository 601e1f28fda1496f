"""How to read files, and what to do with rows that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn

from shoal.errors import BadInputError, Rejects

OnError = Literal["raise", "skip"]
FORMATS = ("parquet", "csv", "tsv", "arrow", "jsonl", "npy", "npz", "recordio")
DAMAGED = "file truncated or damaged"
SKIP_ROW = "mend it, or use --on-error skip to leave such rows out"
SKIP_FILE = "get a whole copy, or use --on-error skip to keep what can be read"


@dataclass(frozen=True)
class ReadOptions:
    """How to read files.

    >>> ReadOptions(delimiter="\\t", text_columns=frozenset({"eventcode"})).batch_rows
    65536
    """

    format: str | None = None
    """One of ``FORMATS``; None: by the file's name, then by its first bytes."""
    names: tuple[str, ...] | None = None
    """Column names of a delimited file that has no header."""
    header: bool | None = None
    """Whether a delimited file starts with column names; None: guessed from its first row."""
    delimiter: str | None = None
    """One character; None: the one among ``, tab ; | space`` that splits the first lines evenly."""
    quote: str | None = '"'
    """Quote character of delimited files; None where quotes are ordinary characters."""
    encoding: str = "utf-8"
    """Of delimited files and JSON lines."""
    text_columns: frozenset[str] = frozenset()
    """Columns that stay text whatever they look like, so that "043" does not become 43."""
    parsed: frozenset[str] | None = None
    """Columns to make numbers of where they look like it; None: all. The others are only carried along: as text in
    delimited files, as typed elsewhere."""
    batch_rows: int = 65_536
    """At most this many rows in a batch."""
    on_error: OnError = "raise"
    """``skip`` counts bad rows and damaged files in ``rejects`` and goes on with the good ones."""
    null_values: tuple[str, ...] | None = None
    """Words that mean "no value" in delimited files; None: empty, NA, N/A, NaN, null and the like for
    numbers, and only the empty string for text (where NA may be Namibia)."""

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise BadInputError(f"unknown format {self.format!r}", remedy=f"use one of {', '.join(FORMATS)}")
        if self.on_error not in ("raise", "skip"):
            raise BadInputError(f"on_error is {self.on_error!r}", remedy="use 'raise' or 'skip'")
        if self.batch_rows < 1:
            raise BadInputError(f"batch_rows is {self.batch_rows}", remedy="use 1 or more")
        for what, value in (("delimiter", self.delimiter), ("quote", self.quote)):
            if value is not None and (len(value) != 1 or not value.isascii() or value in "\r\n"):
                raise BadInputError(
                    f"{what} {value!r} is not one ASCII character", remedy="use for example ','"
                )
        if self.names is not None and len(set(self.names)) != len(self.names):
            raise BadInputError("a name is given twice in names", remedy="make column names unique")


@dataclass
class FileLog:
    """Raises or counts what is wrong with one file, as ``on_error`` says."""

    origin: str
    on_error: OnError
    rejects: Rejects

    def place(self, row: int | None = None, column: str | None = None) -> str:
        """For example ``"a.csv, row 3, column 'x'"``; ``row`` is 0-based and shown 1-based."""
        text = self.origin if row is None else f"{self.origin}, row {row + 1}"
        return text if column is None else f"{text}, column {column!r}"

    def bad_row(
        self, reason: str, row: int, *, column: str | None = None, detail: str = "", rows: int = 1
    ) -> None:
        """Refuse ``rows`` rows, the first of them ``row`` (0-based)."""
        place = self.place(row, column)
        if self.on_error == "raise":
            raise BadInputError(f"{reason}{detail}", place=place, remedy=SKIP_ROW)
        self.rejects.add(reason, rows, place)

    def damaged(self, cause: object, *, after: str = "", rows: int = 1, reason: str = DAMAGED) -> None:
        """Refuse (the rest of) the file; counts as ``rows`` rows, one where their number is unknown."""
        place = f"{self.origin}{', ' + after if after else ''}"
        if self.on_error == "raise":
            raise BadInputError(f"{reason}{_because(cause)}", place=place, remedy=SKIP_FILE)
        self.rejects.add(reason, rows, place)

    def fail(self, problem: str, *, remedy: str) -> NoReturn:
        """Refuse to go on, whatever ``on_error`` says: for mistakes that no skipped row can mend."""
        raise BadInputError(problem, place=self.origin, remedy=remedy)


def shown(value: object, limit: int = 40) -> str:
    """A value as it appears in an error: quoted, short.

    >>> shown("x" * 99)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'"
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= limit else text[:limit] + "...")


def _because(cause: object) -> str:
    text = " ".join(str(cause).split())
    return f" ({text[:160]})" if text else ""
