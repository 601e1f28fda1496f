"""Vectors kept on disk between runs, in one SQLite file that several processes may use at once.

A text itself is never stored, only a hash of it beside the vector.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal.errors import DamagedFileError, ShoalError
from shoal.text.embedding import Embedder, checked

FILE = "embeddings.sqlite"
CHUNK = 500
"""Vectors that are looked up, or dropped and stored, together."""
BLOCK = 4096
"""Texts that are computed between two writes: what an interrupted run loses."""
LEAST = 1 << 20
WAIT = 60.0
"""Seconds to wait for another process's write."""
_APPLICATION = 0x53684F61
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS vectors "
    "(id INTEGER PRIMARY KEY, model BLOB NOT NULL, text BLOB NOT NULL, vector BLOB NOT NULL, UNIQUE (model, text))"
)


class CachedEmbedder:
    """An embedder that computes no text twice.

    Vectors are stored as they are, to the bit. The file is readable by its owner only. A folder on a network drive will
    not do: SQLite's write-ahead log needs one machine.

    Parameters
    ----------
    inner : what computes vectors.
    folder : where the file is; made if missing.
    max_bytes : size beyond which the oldest vectors are dropped, at least 1 MiB.

    Raises
    ------
    ShoalError : the folder cannot be written, or the file is damaged or not a cache.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from shoal.text.hashed_terms import HashedTerms
    >>> with TemporaryDirectory() as folder:
    ...     cached = CachedEmbedder(HashedTerms(), folder)
    ...     same = [cached.embed(["my card is lost"]).tobytes() for _ in range(2)]
    >>> same[0] == same[1], cached.hits, cached.misses
    (True, 1, 1)
    """

    def __init__(self, inner: Embedder, folder: str | Path, *, max_bytes: int = 1 << 30) -> None:
        if max_bytes < LEAST:
            raise ShoalError(f"a cache of {max_bytes} bytes is too small; give at least {LEAST}")
        self.inner, self.path, self.max_bytes = inner, Path(folder).expanduser() / FILE, max_bytes
        self.name, self.width, self.fingerprint = inner.name, inner.width, inner.fingerprint
        self.hits = 0
        """Texts whose vector was there."""
        self.misses = 0
        """Texts whose vector was not; equal ones of a call are computed once."""
        self._model = blake2b(f"{self.fingerprint} {self.width}".encode(), digest_size=16).digest()
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")  # what cannot be written is told now, not after the first texts
            file.execute("ROLLBACK")

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (n, width) of length 1.

        Raises
        ------
        BadInputError : one of them is no text, or an empty one.
        DamagedFileError : the file's content is not what was written.
        """
        rows = checked(texts)
        out = np.empty((len(rows), self.width), np.float32)
        keys = [blake2b(text.encode("utf-8"), digest_size=16).digest() for text in rows]
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            out[part] = self._block(rows[part], keys[part])
        return out

    def _block(self, texts: list[str], keys: list[bytes]) -> NDArray[np.float32]:
        wanted = dict(zip(keys, texts))
        with self._open() as file:
            held = self._find(file, list(wanted))
        hits = sum(key in held for key in keys)
        self.hits, self.misses = self.hits + hits, self.misses + len(keys) - hits
        missing = [key for key in wanted if key not in held]
        if missing:
            found = self.inner.embed([wanted[key] for key in missing])
            held.update(zip(missing, found))
            with self._open() as file:
                self._store(file, missing, found)
        return np.stack([held[key] for key in keys])

    def _find(self, file: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, NDArray[np.float32]]:
        out = {}
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            query = (
                f"SELECT text, vector FROM vectors WHERE model = ? AND text IN ({','.join('?' * len(part))})"  # noqa: S608
            )
            for key, packed in file.execute(query, (self._model, *part)):
                out[key] = self._unpacked(key, packed)
        return out

    def _store(self, file: sqlite3.Connection, keys: list[bytes], vectors: NDArray[np.float32]) -> None:
        packed = [(self._model, key, self._packed(key, vector)) for key, vector in zip(keys, vectors)]
        for start in range(0, len(packed), CHUNK):
            file.execute("BEGIN IMMEDIATE")
            self._make_room(file)
            file.executemany(
                "INSERT OR IGNORE INTO vectors (model, text, vector) VALUES (?, ?, ?)",
                packed[start : start + CHUNK],
            )
            file.execute("COMMIT")

    def _make_room(self, file: sqlite3.Connection) -> None:
        """Drop the oldest; the pages they leave are used again, so the file does not grow."""
        pages, free, size = (
            int(file.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        used = (pages - free) * size
        limit = self.max_bytes - min(CHUNK * (4 * self.width + 100), self.max_bytes // 2)
        if used <= limit:
            return
        count = int(file.execute("SELECT count(*) FROM vectors").fetchone()[0])
        # a tenth more than is needed, for not to count the rows at every write
        drop = min(count, int(count * (1 - 0.9 * limit / used)) + 1)
        file.execute("DELETE FROM vectors WHERE id IN (SELECT id FROM vectors ORDER BY id LIMIT ?)", (drop,))

    def _packed(self, key: bytes, vector: NDArray[np.float32]) -> bytes:
        raw = vector.astype("<f4").tobytes()
        return raw + zlib.crc32(raw, zlib.crc32(key)).to_bytes(4, "little")

    def _unpacked(self, key: bytes, packed: object) -> NDArray[np.float32]:
        # SQLite does not notice a changed byte within a value
        if not isinstance(packed, bytes) or len(packed) != 4 * self.width + 4:
            raise self._damaged("a vector has the wrong size")
        raw = packed[:-4]
        if zlib.crc32(raw, zlib.crc32(key)).to_bytes(4, "little") != packed[-4:]:
            raise self._damaged("a vector's checksum is wrong")
        return np.frombuffer(raw, "<f4").astype(np.float32)

    def _damaged(self, problem: object) -> DamagedFileError:
        return DamagedFileError(f"{self.path}: the cache of embeddings is damaged ({problem}); delete it")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection for one use: none is shared with a thread or a forked process."""
        file = None
        try:
            self._make_file()
            file = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
            self._prepare(file)
            yield file
        except OSError as error:
            raise self._unwritable(error) from error
        except sqlite3.OperationalError as error:
            raise self._unwritable(error) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error
        finally:
            if file is not None:
                file.close()

    def _unwritable(self, error: Exception) -> ShoalError:
        return ShoalError(
            f"{self.path}: the cache of embeddings cannot be used ({error}); give a folder that can be written"
        )

    def _make_file(self) -> None:
        if self.path.exists():
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # before SQLite does, which would make it readable by all
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _prepare(self, file: sqlite3.Connection) -> None:
        if _is_ours(file):
            return
        if file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] and not _is_ours(file):
            raise ShoalError(f"{self.path} is no cache of embeddings; give another folder, or delete it")
        for last in (*[False] * 50, True):
            try:  # SQLite does not wait here while another process makes the same file
                file.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                if last:
                    raise
                time.sleep(0.1)
        file.execute("BEGIN IMMEDIATE")
        file.execute(_SCHEMA)
        file.execute(f"PRAGMA application_id = {_APPLICATION}")
        file.execute("COMMIT")


def _is_ours(file: sqlite3.Connection) -> bool:
    return int(file.execute("PRAGMA application_id").fetchone()[0]) == _APPLICATION


def default_cache_folder() -> Path:
    """``$XDG_CACHE_HOME/shoal/embeddings``, or the same in ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # the standard has relative paths ignored
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "shoal" / "embeddings"
