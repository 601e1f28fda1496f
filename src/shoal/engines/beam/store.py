"""A folder of numbered models on any of Beam's file systems: each version one file that appears whole and keeps its name."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from shoal.errors import BadInputError, DamagedFileError, NewerFormatError, ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import pack_model, unpack_model, unpack_note
from shoal.summary.coreset import Coreset

SUFFIX = ".shoal"
_NAME = re.compile(r"v(\d{8,})-[0-9a-f]{8}\.shoal")
_TEMPORARY = "unfinished-"
_LOCK = ".lock"
_ABANDONED = 3600.0
"""Seconds after which a file that was never finished is swept away."""
_LOOKS = 4


class Version(NamedTuple):
    """Where a version is."""

    number: int
    path: str


@dataclass(frozen=True)
class Stored:
    """One version, read."""

    number: int
    path: str
    model: ClusterModel
    summary: Coreset | None
    note: dict[str, Any] = field(default_factory=dict)


class FileStore:
    """Versions 1, 2, ... of a model, as files ``PATH/v00000012-1f2e3d4c.shoal``.

    A version is written beside and renamed, so a reader sees it whole or not at all, and a crash leaves the versions before
    it. No name is ever used twice, which Beam's ``WatchFilePattern`` asks for.

    Local writers take turns by a lock, so none leaves out another's work. Object stores have no locks: a writer looks once
    more after it wrote, and takes its version back if another of the same number has come. That is best effort, not a
    promise. Where a crash leaves two of one number, the one that came first counts.

    Parameters
    ----------
    path : a folder, such as ``/models/houses`` or ``gs://bucket/houses``; made when the first version is published.
    keep : how many of the newest versions stay.

    Raises
    ------
    BadInputError : the path is empty, or has one of ``* ? [``, which Beam takes for patterns.

    >>> import tempfile, numpy as np
    >>> from shoal.model.build import build_model
    >>> from shoal.model.cluster_model import Provenance
    >>> from shoal.solve.k_means import k_means
    >>> X = np.array([[0.0], [1.0], [8.0], [9.0]])
    >>> model = build_model(X, np.ones(4), k_means(X, 2), provenance=Provenance(rows_seen=4))
    >>> store = FileStore(tempfile.mkdtemp() + "/houses")
    >>> store.publish(model, note={"day": 7}).number, store.load().note
    (1, {'day': 7})
    """

    def __init__(self, path: str, keep: int = 10) -> None:
        self.path, self.keep = os.fspath(path).rstrip("/") or "/", keep
        if not path or set(self.path) & set("*?["):
            raise BadInputError(f"{path!r} is no folder for models", remedy="choose one without * ? and [")
        if keep < 1:
            raise BadInputError(f"keep={keep}", remedy="keep at least 1 version")

    def __repr__(self) -> str:
        return f"FileStore({self.path!r}, keep={self.keep})"

    @property
    def pattern(self) -> str:
        """Of the files of all versions, for ``WatchFilePattern``."""
        return self._file(f"v*{SUFFIX}")

    def numbers(self) -> list[int]:
        """Versions there are, in order."""
        return sorted({version.number for version in self.versions()})

    def versions(self) -> list[Version]:
        """All files, the newest last; of two of one number, the one that came first is the newer."""
        found = []
        for file in self._match(f"v*{SUFFIX}"):
            name = _NAME.fullmatch(file.path.rsplit("/", 1)[-1])
            if name:
                found.append(((int(name[1]), -file.last_updated_in_seconds, file.path), file.path))
        return [Version(order[0], path) for order, path in sorted(found)]

    def newest(self) -> Version | None:
        """None in an empty store."""
        return next(reversed(self.versions()), None)

    def publish(
        self,
        model: ClusterModel,
        summary: Coreset | None = None,
        *,
        note: Mapping[str, Any] | None = None,
        after: int | None = None,
    ) -> Version:
        """Add a version.

        Parameters
        ----------
        note : plain data for JSON, kept with the version.
        after : the number of the version this one was made from, 0 for none: if another was published since, it is an
            error, so that nobody's work is left out. None: whatever number is next.

        Raises
        ------
        FileExistsError : ``after`` is no longer the newest.
        BadInputError : the folder cannot be written.
        """
        temporary = self._unfinished(pack_model(model, summary, note=note))
        try:
            with self._turn():
                version = self._renamed(temporary, after)
                self._tidy()
        except BaseException:
            _delete([temporary])
            raise
        return version

    def check(self) -> None:
        """Make sure, before hours of work, that versions can be written here.

        Raises
        ------
        BadInputError : they cannot.
        """
        _delete([self._unfinished(b"shoal")])  # object stores may refuse to write nothing

    def load(self, version: int | Version | None = None) -> Stored:
        """A version; by default the newest.

        Raises
        ------
        ShoalError : there is none, or none of that number.
        DamagedFileError, NewerFormatError : it cannot be trusted; the error names the file.
        """
        while True:
            chosen = self._chosen(version)
            try:
                return read_version(chosen)
            except FileNotFoundError:
                if version is None and self.newest() != chosen:
                    continue  # swept away while we looked: there are newer ones
                raise ShoalError(f"{chosen.path} is gone; load a version that is kept") from None

    def _chosen(self, version: int | Version | None) -> Version:
        if isinstance(version, Version):
            return version
        for _ in range(_LOOKS):  # the old one may go, and the new one come, in the middle of a look
            there = [v for v in self.versions() if version is None or v.number == version]
            if there:
                break
        else:
            what = "no model yet" if version is None else f"no version {version}"
            raise ShoalError(f"{self.path} holds {what}; is it the checkpoints_path of a run that ended?")
        return there[-1]

    def _renamed(self, temporary: str, after: int | None) -> Version:
        newest = self.newest()
        number = 0 if newest is None else newest.number
        if after is not None and number != after:
            raise FileExistsError(f"{self.path} is at version {number}, not {after}")
        version = Version(number + 1, self._file(f"v{number + 1:08d}-{secrets.token_hex(4)}{SUFFIX}"))
        FileSystems.rename([temporary], [version.path])
        if after is not None and not self._is_local:
            rivals = {v.path for v in self.versions() if v.number >= version.number} - {version.path}
            if rivals:
                _delete([version.path])
                raise FileExistsError(f"{self.path} got another version {version.number} at the same moment")
        return version

    def _unfinished(self, content: bytes) -> str:
        """The path of a file that is still to be given its name."""
        path = self._file(f"{_TEMPORARY}{secrets.token_hex(8)}.tmp")
        try:
            _write(path, content, local=self._is_local)
        except (OSError, BeamIOError, ValueError) as error:  # ValueError: no such file system
            _delete([path])
            said = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise BadInputError(
                f"models cannot be written here ({said})",
                place=self.path,
                remedy="choose a folder that can be made and written, with space on its disk",
            ) from error
        return path

    def _tidy(self) -> None:
        versions = self.versions()
        kept = set(sorted({v.number for v in versions})[-self.keep :])
        old = [v.path for v in versions if v.number not in kept]
        limit = time.time() - _ABANDONED
        left = self._match(f"{_TEMPORARY}*.tmp")
        _delete(old + [f.path for f in left if 0 < f.last_updated_in_seconds < limit])

    def _match(self, pattern: str) -> list[Any]:
        return list(FileSystems.match([self._file(pattern)])[0].metadata_list)

    def _file(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    @property
    def _is_local(self) -> bool:
        return "://" not in self.path

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One local writer at a time; the system opens the lock when its holder dies."""
        if not self._is_local:
            yield
            return
        with (Path(self.path) / _LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def store_of_key(path: str, key: Any) -> FileStore:
    """The store of one of many keys: a folder in ``path``, with a name that is safe and, as far as possible, readable.

    >>> store_of_key("/models", "Köln/Süd").path
    '/models/K_ln_S_d-07c3d796b9'
    """
    text = key if isinstance(key, str) else repr(key)
    readable = re.sub(r"[^A-Za-z0-9-]+", "_", text)[:40]
    kind = "" if isinstance(key, str) else type(key).__name__  # 7 and "7" are two keys
    digest = hashlib.blake2b(f"{kind}\0{text}".encode(), digest_size=5).hexdigest()
    return FileStore(f"{os.fspath(path).rstrip('/')}/{readable}-{digest}")


def read_version(version: Version) -> Stored:
    """What is in a file of a store.

    Raises
    ------
    FileNotFoundError : it is gone.
    DamagedFileError, NewerFormatError : it cannot be trusted; the error names the file.
    """
    number, path = version
    content = read_bytes(path)
    try:
        model, summary = unpack_model(content)
        return Stored(number, path, model, summary, unpack_note(content))
    except DamagedFileError as error:
        raise DamagedFileError(f"{path}: {error} (delete it to go back to the version before)") from error
    except NewerFormatError as error:
        raise NewerFormatError(f"{path}: {error}") from error


def read_bytes(path: str) -> bytes:
    """All of a file; raises FileNotFoundError where it is gone, however its file system says so."""
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            return bytes(file.read())
    except OSError as error:  # object stores tell it in many ways
        if isinstance(error, FileNotFoundError) or not FileSystems.exists(path):
            raise FileNotFoundError(path) from error
        raise


def _write(path: str, content: bytes, *, local: bool) -> None:
    """Written, closed, and on a local disk synced, as a renamed file should never be half a file."""
    file = FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)
    try:
        file.write(content)
        if local:
            file.flush()
            os.fsync(file.fileno())
    finally:
        file.close()


def _delete(paths: list[str]) -> None:
    """Those that are still there; another writer may have been faster."""
    for path in paths:
        try:
            FileSystems.delete([path])
        except (BeamIOError, OSError, ValueError):
            continue
