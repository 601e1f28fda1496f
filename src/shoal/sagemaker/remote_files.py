"""The objects that a job reads and writes: those under a prefix of S3, those a manifest lists, or files of this machine."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from shoal.errors import BadInputError, DamagedFileError
from shoal.sagemaker.json_text import parsed_json
from shoal.sources.remote import filesystem_of

CHUNK = 1 << 20
LARGEST_MANIFEST = 64 << 20
"""Bytes; a list of a million names has about as many."""


@dataclass(frozen=True)
class Place:
    """Somewhere on S3 or on this machine."""

    filesystem: Any
    path: str
    shown: str
    """As people write it."""

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def beside(self, path: str) -> Place:
        """Another path of the same file system."""
        return Place(self.filesystem, path, path if self.is_local else f"s3://{path}")

    def below(self, *parts: str) -> Place:
        """A path below this one."""
        return self.beside("/".join([self.path.rstrip("/"), *parts]))


@dataclass(frozen=True)
class RemoteObject:
    """One object of a channel."""

    name: str
    """Where it lies in the channel's folder, with forward slashes."""
    place: Place
    size: int


def place_of(uri: str, endpoint_url: str | None = None) -> Place:
    """Where a URI leads.

    Parameters
    ----------
    uri : ``s3://bucket/key``, where the key is taken as it is written; ``file:///path``; or a path.
    endpoint_url : of an S3 server other than the one the environment names.

    Raises
    ------
    BadInputError : another scheme, or no bucket.

    >>> place_of("file:///data/a%20b").path
    '/data/a b'
    """
    scheme, mark, rest = uri.partition("://")
    if not mark:
        path = str(Path(uri).absolute())
        return Place(pafs.LocalFileSystem(), path + "/" * uri.endswith("/"), uri)
    if scheme == "file":
        return Place(pafs.LocalFileSystem(), unquote(rest), uri)
    bucket = rest.partition("/")[0]
    if scheme != "s3" or not bucket:
        raise BadInputError(
            "is neither s3://bucket/key nor a path", place=uri, remedy="write one of them, or file:///path"
        )
    filesystem, _, _ = filesystem_of(f"s3://{bucket}{_endpoint_query(endpoint_url)}")
    return Place(filesystem, rest, uri)


def _endpoint_query(endpoint_url: str | None) -> str:
    if endpoint_url is None:
        return ""
    parts = urlsplit(endpoint_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise BadInputError("is no URL", place=endpoint_url, remedy="write http://host:port")
    return f"?endpoint_override={quote(parts.netloc)}&scheme={parts.scheme}"


def objects_under(place: Place, *, missing_ok: bool = False) -> list[RemoteObject]:
    """Objects whose keys begin with a prefix, in order of their names; on this machine a file, or those of a folder.

    A prefix is text and no folder: ``s3://b/train`` is also the beginning of ``s3://b/train2/x``.

    Raises
    ------
    BadInputError : there is none, unless ``missing_ok``, or the place cannot be listed.
    """
    try:
        found = _local(place) if place.is_local else _with_prefix(place)
    except (OSError, pa.ArrowException) as error:
        raise BadInputError(f"cannot be listed ({error})", place=place.shown) from error
    if not found and not missing_ok:
        raise BadInputError("there is nothing", place=place.shown, remedy="check the address")
    return sorted(found, key=lambda o: o.name)


def _local(place: Place) -> list[RemoteObject]:
    root = Path(place.path)
    if root.is_file():
        return [RemoteObject(root.name, place, root.stat().st_size)]
    files = [p for p in root.rglob("*") if p.is_file()]
    return [
        RemoteObject(p.relative_to(root).as_posix(), place.beside(str(p)), p.stat().st_size) for p in files
    ]


def _with_prefix(place: Place) -> list[RemoteObject]:
    bucket, _, prefix = place.path.partition("/")
    folder = f"{bucket}/{prefix.rpartition('/')[0]}".rstrip("/")
    found = []
    for info in place.filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True)):
        is_folder = info.type == pafs.FileType.Directory
        if not (info.path + "/" * is_folder).startswith(place.path):
            continue
        if is_folder:
            found += place.filesystem.get_file_info(pafs.FileSelector(info.path, recursive=True))
        else:
            found.append(info)
    files = [info for info in found if info.type == pafs.FileType.File]
    inside = place.path.rstrip("/") + "/"
    # what is cut off is the prefix where it is a folder, else what comes before its last name
    cut = len(inside if all(f.path.startswith(inside) for f in files) else folder + "/")
    return [RemoteObject(_safe(f.path[cut:], place), place.beside(f.path), f.size) for f in files]


def objects_listed(manifest: Place, place_at: Callable[[str], Place] = place_of) -> list[RemoteObject]:
    """Objects that a manifest lists: ``[{"prefix": "s3://bucket/folder/"}, "name", ...]``, in order of their names.

    Parameters
    ----------
    place_at : finds the place of the prefix.

    Raises
    ------
    BadInputError : it is not one, or names what is not there.
    """
    entries = _entries(manifest)
    prefix = place_at(entries[0]["prefix"])
    if prefix.is_local and not manifest.is_local:  # what comes from elsewhere opens no files of this machine
        raise BadInputError(f"names {prefix.shown}, which is not on S3", place=manifest.shown)
    objects = []
    for name in dict.fromkeys(entries[1:]):
        place = prefix.beside(prefix.path + name)
        info = _info(place)
        if info.type != pafs.FileType.File:
            raise BadInputError(f"names {place.shown}, which is not there", place=manifest.shown)
        objects.append(RemoteObject(_safe(name, manifest), place, info.size))
    return sorted(objects, key=lambda o: o.name)


def _entries(manifest: Place) -> list[Any]:
    remedy = 'write [{"prefix": "s3://bucket/folder/"}, "name", ...]'
    info = _info(manifest)
    if info.type != pafs.FileType.File or info.size > LARGEST_MANIFEST:
        what = "is not there" if info.type != pafs.FileType.File else f"has {info.size} bytes"
        raise BadInputError(f"the manifest {what}", place=manifest.shown, remedy=remedy)
    try:
        with manifest.filesystem.open_input_stream(manifest.path, compression=None) as stream:
            entries = parsed_json(stream.read())
    except (ValueError, OSError) as error:
        raise BadInputError(f"is no manifest ({error})", place=manifest.shown, remedy=remedy) from error
    first = entries[0] if isinstance(entries, list) and entries else None
    names = entries[1:] if first else []
    if (
        not isinstance(first, dict)
        or not isinstance(first.get("prefix"), str)
        or not names
        or not all(isinstance(name, str) and name for name in names)
    ):
        raise BadInputError("is no manifest", place=manifest.shown, remedy=remedy)
    return cast(list[Any], entries)


def _info(place: Place) -> Any:
    try:
        return place.filesystem.get_file_info(place.path)
    except (OSError, pa.ArrowException) as error:
        raise BadInputError(f"cannot be reached ({error})", place=place.shown) from error


def _safe(name: str, place: Place) -> str:
    """The name, unless a file of that name would lie outside its folder."""
    plain = name.lstrip("/")
    if not plain or ".." in PurePosixPath(plain).parts or "\0" in plain:
        raise BadInputError(f"{name!r} is no name of a file", place=place.shown)
    return plain


class Reading:
    """The bytes of an object in order, unpacked if they are to be.

    Parameters
    ----------
    gzipped : whether it is gzip, as ``CompressionType`` says.
    going : asked before every read; raises to give up.
    """

    def __init__(
        self, found: RemoteObject, *, gzipped: bool = False, going: Callable[[], None] | None = None
    ) -> None:
        self._place, self._going = found.place, going or (lambda: None)
        try:
            self._raw = self._place.filesystem.open_input_stream(self._place.path, compression=None)
        except (OSError, pa.ArrowException) as error:
            raise BadInputError(f"cannot be read ({error})", place=self._place.shown) from error
        self._stream = gzip.GzipFile(fileobj=cast(BinaryIO, self._raw)) if gzipped else self._raw

    def read(self, size: int = CHUNK) -> bytes:
        """The next bytes; none at the end.

        Raises
        ------
        BadInputError : the connection is gone.
        DamagedFileError : it is no gzip, or a damaged one.
        """
        self._going()
        try:
            return bytes(self._stream.read(size))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DamagedFileError(f"{self._place.shown}: cannot be unpacked ({error})") from error
        except (OSError, pa.ArrowException) as error:
            raise BadInputError(f"cannot be read ({error})", place=self._place.shown) from error

    def close(self) -> None:
        """End the reading."""
        self._raw.close()


def starts_with(found: RemoteObject, head: bytes) -> bool:
    """Whether these are the first bytes of an object; raises as :class:`Reading`."""
    with closing(Reading(found)) as reading:
        return reading.read(len(head)) == head


def fetch(
    found: RemoteObject, target: Path, *, gzipped: bool = False, going: Callable[[], None] | None = None
) -> None:
    """Copy an object to a file; raises as :class:`Reading`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with closing(Reading(found, gzipped=gzipped, going=going)) as reading, target.open("wb") as file:
        while data := reading.read():
            file.write(data)


def check_writable(target: Place) -> None:
    """Make the folder of a target, and see that files may be made in it; of S3 only its bucket is looked for.

    Raises
    ------
    BadInputError : nothing can be written there.
    """
    remedy = "name another place for the output"
    if not target.is_local:
        try:
            found = target.filesystem.get_file_info(target.path.partition("/")[0])
        except (OSError, pa.ArrowException):  # who may write need not be allowed to look
            return
        if found.type == pafs.FileType.NotFound:
            raise BadInputError("there is no such bucket", place=target.shown, remedy=remedy)
        return
    try:
        Path(target.path).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.path):
            pass
    except OSError as error:
        raise BadInputError(
            f"cannot be written ({error.strerror})", place=target.shown, remedy=remedy
        ) from error


def send(source: Path, target: Place) -> None:
    """Copy a file of this machine to a place, which holds the old content or the new, whole.

    Raises
    ------
    BadInputError : it cannot be written there.
    """
    try:
        if target.is_local:
            where = Path(target.path)
            where.parent.mkdir(parents=True, exist_ok=True)
            part = where.with_name(f".part-{where.name}")
            shutil.copyfile(source, part)
            part.replace(where)
            return
        with (
            source.open("rb") as file,
            target.filesystem.open_output_stream(target.path, compression=None) as out,
        ):
            shutil.copyfileobj(file, out, CHUNK)
    except (OSError, pa.ArrowException) as error:
        raise BadInputError(f"cannot be written ({error})", place=target.shown) from error
