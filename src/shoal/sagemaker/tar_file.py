"""Archives of plain files: written alike for like files, and read without trust in what they say of themselves."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from shoal.errors import DamagedFileError, ShoalError

LARGEST = 8 << 30
"""Bytes that an archive may hold, unpacked."""
_MOST_FILES = 10_000
_SPARE, _EACH = 64 << 10, 4 << 10
"""Bytes, in all and for each file, that are not of its content: tarfile takes long names and attributes into memory."""
_BUFFER = 10_240
_GZIP = b"\x1f\x8b"
_DAMAGE = (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, RecursionError)


def packed(files: Mapping[str, Path], file: BinaryIO) -> None:
    """Write files by their names in the archive as ``tar.gz``, without times and owners: equal files give equal bytes.

    >>> import io, tempfile; path = Path(tempfile.mkdtemp()) / "a"; _ = path.write_bytes(b"x"); out = io.BytesIO()
    >>> packed({"b/a": path}, out); tarfile.open(fileobj=io.BytesIO(out.getvalue())).getnames()
    ['b/a']
    """
    with (
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0, compresslevel=6) as packer,
        tarfile.open(fileobj=packer, mode="w") as archive,
    ):
        for name, path in sorted(files.items()):
            with path.open("rb") as content:
                entry = tarfile.TarInfo(name)
                entry.size = os.fstat(content.fileno()).st_size
                archive.addfile(entry, content)


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, packed by gzip or not, by its first bytes."""
    with path.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    if head.startswith(_GZIP):
        return True
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def unpack(source: Path, folder: Path, matters: Callable[[PurePosixPath], bool]) -> None:
    """Write those files of an archive that matter below a folder.

    Raises
    ------
    DamagedFileError : it is cut short or damaged, reaches outside, or unpacks to too much.
    """
    try:
        with source.open("rb") as raw:
            is_packed = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            counted = _Counted(gzip.GzipFile(fileobj=raw) if is_packed else raw)
            with tarfile.open(fileobj=cast(BinaryIO, counted), mode="r|", bufsize=_BUFFER) as archive:
                _unpack(archive, counted, folder, matters, source)
            while counted.read(_BUFFER):  # the checksum stands at the end
                pass
    except ShoalError:
        raise
    except _DAMAGE as error:
        why = "it nests too deep" if isinstance(error, RecursionError) else " ".join(str(error).split())[:160]
        raise DamagedFileError(f"{source}: cannot be unpacked ({why}); use another copy") from error


class _Counted:
    """Reads on until a limit that is set anew for each file."""

    def __init__(self, file: Any) -> None:
        self._file, self._count, self.limit = file, 0, _SPARE

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self._count += len(data)
        if self._count > self.limit:
            raise tarfile.ReadError("too much of it belongs to no file")
        return data


def _unpack(
    archive: tarfile.TarFile,
    counted: _Counted,
    folder: Path,
    matters: Callable[[PurePosixPath], bool],
    source: Path,
) -> None:
    total = count = 0
    while (entry := archive.next()) is not None:
        name, total, count = PurePosixPath(entry.name), total + entry.size, count + 1
        outside = name.is_absolute() or ".." in name.parts or "\0" in entry.name
        if outside or not (entry.isfile() or entry.isdir()) or entry.issparse() or entry.size < 0:
            raise DamagedFileError(f"{source}: holds {entry.name[:200]!r}, which is unsafe to unpack")
        if total > LARGEST or count > _MOST_FILES:
            raise DamagedFileError(f"{source}: unpacks to too much ({total} bytes, {count} files so far)")
        counted.limit += _EACH + (entry.size if entry.isfile() else 0)
        content = archive.extractfile(entry)
        if content is None or not matters(name):
            continue
        to = folder / name
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("wb") as file:
            shutil.copyfileobj(content, file)
