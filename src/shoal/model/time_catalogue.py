"""The catalogue of a time store: which summary file holds which stretch of time, in SQLite.

A change is one transaction, made durable before it is answered: after a crash the store is as it was before the
change or as it is after it. Files are written before the transaction that names them and deleted after the one that
forgets them, so that what a crash leaves behind is at worst a file that nothing names.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from shoal.errors import DamagedFileError, NewerFormatError, ShoalError
from shoal.model.time_files import OURS
from shoal.model.time_pyramid import Block

FORMAT = 1
CATALOGUE = "catalogue.sqlite"
LOCK = "lock"
REMEMBERED = 10_000
"""Names of merged pieces that are kept, so that a replay of one is not counted again."""
_APPLICATION = 0x53484F41  # "SHOA"
_WAIT = 10.0  # seconds, for another process's transaction
_TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE segments (
        id INTEGER PRIMARY KEY, level INTEGER NOT NULL, number INTEGER NOT NULL, settled INTEGER NOT NULL,
        file TEXT NOT NULL, bytes INTEGER NOT NULL, rows INTEGER NOT NULL, kept INTEGER NOT NULL)""",
    """CREATE TABLE pieces (
        id INTEGER PRIMARY KEY, bucket INTEGER NOT NULL, piece TEXT NOT NULL,
        segment INTEGER, UNIQUE (bucket, piece))""",  # segment: of the piece alone; null once merged with others
    "CREATE INDEX piece_of_segment ON pieces (segment)",
    """CREATE TABLE given_up (
        how TEXT PRIMARY KEY, times INTEGER NOT NULL, rows INTEGER NOT NULL,
        first INTEGER NOT NULL, stop INTEGER NOT NULL)""",
)


@dataclass(frozen=True)
class Segment:
    """A summary file and what it holds."""

    block: Block
    settled: bool
    """Whether it may be merged with others."""
    file: str
    bytes: int
    rows: int
    """Rows seen."""
    kept: int
    """Rows of its sample."""
    id: int = -1


class Catalogue:
    """Segments, pieces and settings of the store in ``folder``.

    Parameters
    ----------
    writing : create what is missing, keep other writers out, and delete files that nothing names; else only look.
    new : settings of a catalogue that has to be created.

    Raises
    ------
    ShoalError : the folder is not a store, or another process writes to it.
    DamagedFileError, NewerFormatError : the catalogue cannot be read, or a newer release wrote it.
    """

    def __init__(self, folder: Path, *, writing: bool, new: Mapping[str, Any]) -> None:
        self.folder, self.path, self._lock = folder, folder / CATALOGUE, None
        self._check_folder(writing)
        if writing:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
        try:
            self._db = _connect(self.path, writing=writing)
            try:
                self._check_format(new if writing else None)
                if writing:
                    self._sweep()
            except BaseException:
                self._db.close()
                raise
        except BaseException:
            self._unlock()
            raise

    def close(self) -> None:
        """Let go of the files; a second time does nothing."""
        self._db.close()
        self._unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def change(self) -> Iterator[None]:
        """All changes inside happen, or none."""
        if self._lock is None:
            raise ShoalError(f"{self.folder} was opened to look only; open it without read_only to change it")
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def get(self, name: str) -> Any:
        """A setting, or None."""
        row = self._run("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, name: str, value: Any) -> None:
        """Keep a setting."""
        text = json.dumps(value, sort_keys=True)
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, text))

    def segments(self) -> list[Segment]:
        """All of them, as of one moment, by time."""
        rows = self._run("SELECT level, number, settled, file, bytes, rows, kept, id FROM segments")
        found = [Segment(Block(r[0], r[1]), bool(r[2]), *r[3:]) for r in rows]
        return sorted(found, key=lambda s: (s.block, s.id))

    @property
    def is_empty(self) -> bool:
        """Whether no summary is held."""
        return self._run("SELECT 1 FROM segments LIMIT 1").fetchone() is None

    def insert(self, segment: Segment) -> int:
        """A new segment; answers its id."""
        s = segment
        values = (*s.block, s.settled, s.file, s.bytes, s.rows, s.kept)
        columns = "level, number, settled, file, bytes, rows, kept"
        done = self._run(f"INSERT INTO segments ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608
        assert done.lastrowid is not None
        return done.lastrowid

    def move(self, segment: Segment, block: Block) -> None:
        """Let a segment stand for a coarser block."""
        self._run("UPDATE segments SET level = ?, number = ? WHERE id = ?", (*block, segment.id))

    def delete(self, segments: Iterable[Segment], *, merged: bool) -> None:
        """Forget segments; the pieces in them are remembered as merged with others, or not at all."""
        for s in segments:
            self._run("DELETE FROM segments WHERE id = ?", (s.id,))
            if merged:
                self._run("UPDATE pieces SET segment = NULL WHERE segment = ?", (s.id,))
            else:
                self._run("DELETE FROM pieces WHERE segment = ?", (s.id,))

    def settle(self) -> None:
        """Let all segments be merged from now on, and forget the oldest names of merged pieces."""
        self._run("UPDATE segments SET settled = 1 WHERE settled = 0")
        self._run(
            "DELETE FROM pieces WHERE segment IS NULL AND id <= (SELECT max(id) FROM pieces) - ?",
            (REMEMBERED,),
        )

    def piece(self, bucket: int, piece: str) -> tuple[bool, int | None]:
        """Whether a piece is there, and the id of its segment while it has one of its own."""
        query = "SELECT segment FROM pieces WHERE bucket = ? AND piece = ?"
        row = self._run(query, (bucket, piece)).fetchone()
        return row is not None, None if row is None else row[0]

    def pieces(self) -> list[tuple[int, str, int | None]]:
        """Bucket, name and own segment of every piece remembered."""
        return self._run("SELECT bucket, piece, segment FROM pieces ORDER BY id").fetchall()

    def name_piece(self, bucket: int, piece: str, segment: int) -> None:
        """Remember that a segment is this piece."""
        self._run(
            "INSERT OR REPLACE INTO pieces (bucket, piece, segment) VALUES (?, ?, ?)",
            (bucket, piece, segment),
        )

    def note(self, how: str, rows: int, span: tuple[int, int], times: int = 1) -> None:
        """Count what was given up for room."""
        self._run(
            """INSERT INTO given_up VALUES (?, ?, ?, ?, ?) ON CONFLICT (how) DO UPDATE SET
            times = times + excluded.times, rows = rows + excluded.rows,
            first = min(first, excluded.first), stop = max(stop, excluded.stop)""",
            (how, times, rows, *span),
        )

    def given_up(self) -> dict[str, tuple[int, int, int, int]]:
        """By how: times, rows, first bucket and the one behind the last."""
        return {row[0]: row[1:] for row in self._run("SELECT * FROM given_up ORDER BY how")}

    def delete_file(self, name: str) -> None:
        """Delete a summary file, if no segment is left that names it."""
        if self._run("SELECT 1 FROM segments WHERE file = ? LIMIT 1", (name,)).fetchone() is None:
            (self.folder / name).unlink(missing_ok=True)

    def _check_folder(self, writing: bool) -> None:
        if self.path.is_file():
            return
        if not writing:
            raise ShoalError(f"{self.folder} is not a store of time buckets: it has no {CATALOGUE}")
        ours = self.folder.is_dir() and all(
            p.name == LOCK or p.name.startswith(CATALOGUE) or OURS.fullmatch(p.name)
            for p in self.folder.iterdir()
        )
        if self.folder.exists() and not ours:
            raise ShoalError(f"{self.folder} exists and is not a store of time buckets; choose another place")

    def _check_format(self, new: Mapping[str, Any] | None) -> None:
        application = self._run("PRAGMA application_id").fetchone()[0]
        version = self._run("PRAGMA user_version").fetchone()[0]
        tables = self._run("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if new is not None and not tables and application == 0:
            self._create(new)
            return
        if not tables and application == 0:
            raise ShoalError(f"{self.folder} is not a store of time buckets yet: nothing was written to it")
        if application != _APPLICATION or not tables:
            raise DamagedFileError(f"{self.path} is not the catalogue of a store of time buckets")
        if version > FORMAT:
            raise NewerFormatError(
                f"{self.path} has format {version}, this release reads up to {FORMAT}; upgrade shoal to read it"
            )

    def _create(self, settings: Mapping[str, Any]) -> None:
        with self.change():
            for table in _TABLES:
                self._run(table)
            for name, value in settings.items():
                self.put(name, value)
            self._run(f"PRAGMA application_id = {_APPLICATION}")
            self._run(f"PRAGMA user_version = {FORMAT}")

    def _run(self, query: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._db.execute(query, values)
        except sqlite3.OperationalError as error:  # locked, disk full
            raise ShoalError(f"{self.path}: {error}; nothing was changed, try again") from error
        except sqlite3.DatabaseError as error:
            raise DamagedFileError(
                f"{self.path} cannot be read: {error}; use another copy of the store"
            ) from error

    def _sweep(self) -> None:
        """Delete what a crash left: files that no segment names."""
        named = {s.file for s in self.segments()}
        for path in self.folder.iterdir():
            if OURS.fullmatch(path.name) and path.name not in named:
                path.unlink(missing_ok=True)

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    """Plain journal and full syncs: changes are few, and a copy of the folder is a copy of the store."""
    mode = (
        "rwc" if writing else "rw"
    )  # who looks may have to undo the transaction of a writer that was killed
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        db = sqlite3.connect(uri, uri=True, timeout=_WAIT, isolation_level=None, check_same_thread=False)
        if writing:
            db.execute("PRAGMA synchronous = EXTRA")
    except sqlite3.DatabaseError as error:
        raise DamagedFileError(f"{path} cannot be opened: {error}; use another copy of the store") from error
    return db


def _locked(folder: Path) -> Any:
    handle = (folder / LOCK).open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise ShoalError(
            f"another process writes to {folder}; one can write at a time, any number can read"
        ) from error
    return handle
