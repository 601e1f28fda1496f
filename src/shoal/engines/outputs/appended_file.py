"""A file that grows at its end and can be cut back to where it was at a checkpoint."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path

from shoal.engines.outputs.disk import foreign, lock, make_folder, naming_disk_errors
from shoal.engines.outputs.protocol import Position, read_position
from shoal.errors import DamagedFileError, ShoalError
from shoal.model.durable import sync_folder

TAIL = 4096
"""Bytes before a position whose checksum it carries, so that another file under the same name is noticed."""


class AppendedFile:
    """Bytes at the end of a file, durable up to the last position.

    Parameters
    ----------
    path : the file; directories above it are made.
    kind : name of the format, kept in positions.
    """

    def __init__(self, path: str | os.PathLike[str], kind: str) -> None:
        self.path, self.kind = Path(path), kind
        self._descriptor: int | None = None
        self._size = 0
        self._tail = b""
        self._new_name = False

    @property
    def size(self) -> int:
        """Bytes written, durable or not."""
        return self._size

    def start(self, position: Position | None) -> None:
        """Open and cut off everything behind ``position``; None wants no file, or an empty one.

        Raises
        ------
        BadInputError : the file holds something, or another process writes to it.
        DamagedFileError : the file is gone, or not the one the position was taken of.
        """
        self.close()
        size, checksum = 0, 0
        if position is not None:
            size, checksum = read_position(position, self.kind, "bytes", "tail", place=str(self.path))
        with naming_disk_errors(self.path):
            gone = size > 0 and not self.path.exists()
        if gone:
            raise DamagedFileError(f"{self.path}: is gone; put it back, or begin anew with another output")
        with naming_disk_errors(self.path):
            self._descriptor = self._open()
        try:
            with naming_disk_errors(self.path):
                self._go_to(size, checksum, anew=position is None)
        except BaseException:
            self.close()
            raise

    def append(self, blocks: Iterable[bytes | memoryview]) -> None:
        """Write blocks at the end, all of them or, if one cannot be made or the disk refuses, none.

        After an error of the disk the file is closed: go on with ``start`` from the last position.
        """
        descriptor = self._opened()
        size, tail = self._size, self._tail
        try:
            for block in blocks:
                left = memoryview(block)
                self._size += len(left)
                self._tail = (self._tail + bytes(left[-TAIL:]))[-TAIL:]
                with naming_disk_errors(self.path):
                    while left:
                        left = left[os.write(descriptor, left) :]
        except BaseException as error:
            self._size, self._tail = size, tail
            try:
                os.ftruncate(descriptor, size)
                os.lseek(descriptor, size, os.SEEK_SET)
            except OSError:
                self.close()
            if isinstance(error.__cause__, OSError):
                self.close()
            raise

    def sync(self) -> Position:
        """Wait until all of it is on the disk."""
        descriptor = self._opened()
        try:
            with naming_disk_errors(self.path):
                os.fsync(descriptor)
                if self._new_name:
                    sync_folder(self.path.parent)
        except BaseException:
            self.close()  # after a failed fsync nobody knows what reached the disk: a second one must not succeed
            raise
        self._new_name = False
        return {"kind": self.kind, "bytes": self._size, "tail": zlib.crc32(self._tail)}

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        make_folder(self.path.parent)
        self._new_name = True  # it may be left from a run that crashed before it synced the directory
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _go_to(self, size: int, checksum: int, *, anew: bool) -> None:
        descriptor = self._opened()
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise foreign(self.path, "is not an ordinary file")
        lock(descriptor, self.path)
        found = os.fstat(descriptor).st_size
        if anew and found:
            raise foreign(self.path, f"already holds {found:,} bytes")
        if found < size:
            raise DamagedFileError(
                f"{self.path}: holds {found:,} bytes, the checkpoint knows of {size:,}; "
                "put the file back, or begin anew with another output"
            )
        tail = os.pread(descriptor, min(size, TAIL), max(size - TAIL, 0))
        if zlib.crc32(tail) != checksum and not anew:
            raise DamagedFileError(
                f"{self.path}: is not the file the checkpoint speaks of, or was changed; "
                "put the file back, or begin anew with another output"
            )
        os.ftruncate(descriptor, size)
        os.lseek(descriptor, size, os.SEEK_SET)
        self._size, self._tail = size, tail

    def _opened(self) -> int:
        if self._descriptor is None:
            raise ShoalError(f"{self.path}: the output is not open; call start first")
        return self._descriptor
