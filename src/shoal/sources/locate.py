"""From what a person names (paths, globs, directories, URIs, ``-``) to the files to read."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from shoal.errors import BadInputError
from shoal.sources.protocol import EDGE_BYTES, content_key
from shoal.sources.remote import filesystem_of
from shoal.sources.streams import ReplayInput

EXTENSIONS = {
    ".parquet": "parquet", ".pq": "parquet",
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow", ".arrows": "arrow",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".npy": "npy", ".npz": "npz",
    ".pbr": "recordio", ".recordio": "recordio", ".rec": "recordio",
}  # fmt: skip
COMPRESSIONS = {".gz": "gz", ".xz": "xz", ".zst": "zst", ".bz2": "bz2", ".lz4": "lz4"}
_MEMBER = re.compile(r"^(?P<path>.+\.npz)::(?P<member>.+)$", re.IGNORECASE)
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Located:
    """One file to read."""

    origin: str
    """As shown to a person."""
    path: str
    filesystem: Any = None
    """A ``pyarrow.fs.FileSystem``; None for standard input."""
    size: int = 0
    """Bytes as stored; 0 for standard input."""
    member: str | None = None
    """Array inside an ``.npz``."""
    stdin: ReplayInput | None = None

    @property
    def is_local(self) -> bool:
        """Whether the path can be mapped into memory."""
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    @property
    def basename(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name

    def open(self) -> Any:
        """A fresh binary file-like object at position 0; random access unless it is standard input."""
        if self.stdin is not None:
            return self.stdin.open()
        try:
            return self.filesystem.open_input_file(self.path)
        except (OSError, pa.ArrowException) as error:
            raise BadInputError(
                f"cannot be opened ({error})", place=self.origin, remedy="check its rights"
            ) from error

    def head(self) -> bytes:
        """The first 64 KiB of the raw file."""
        if self.stdin is not None:
            return self.stdin.fetch(0, EDGE_BYTES)
        with self.open() as file:
            return bytes(file.read(EDGE_BYTES))

    def key(self, member: str | None = None) -> int:
        """Identity of the content (:func:`shoal.sources.protocol.content_key`).

        An array of an ``.npz`` counts as a file named ``file.npz::array``. Standard input has no size and no
        tail: it counts as a file named ``-`` of size 0 with an empty tail.
        """
        if self.stdin is not None:
            return content_key("-", 0, self.head(), b"")
        with self.open() as file:
            head = bytes(file.read(EDGE_BYTES))
            file.seek(max(0, self.size - EDGE_BYTES))
            tail = bytes(file.read(EDGE_BYTES))
        name = self.basename if member is None else f"{self.basename}::{member}"
        return content_key(name, self.size, head, tail)


def name_format(name: str) -> tuple[str | None, str | None]:
    """Format and compression that a file name announces, whatever its case.

    >>> name_format("20130401.export.CSV.gz"), name_format("part-0.Parquet"), name_format("kddcup.data_10.gz")
    (('csv', 'gz'), ('parquet', None), (None, 'gz'))
    """
    path = PurePosixPath(name.lower())
    compression = COMPRESSIONS.get(path.suffix)
    if compression is not None:
        path = path.with_suffix("")
    return EXTENSIONS.get(path.suffix), compression


def locate(specs: Sequence[str | os.PathLike[str]]) -> list[Located]:
    """The files that ``specs`` name, in the order given and sorted within each glob or directory.

    Raises :class:`BadInputError` for a name that stands for no file.

    >>> locate(["no/such/*.csv"])
    Traceback (most recent call last):
    shoal.errors.BadInputError: no/such/*.csv: no file matches; check the pattern (quote it ...)
    """
    if not specs:
        raise BadInputError("no input named", remedy="name files, globs, directories or URIs")
    found = [item for spec in specs for item in _expand(os.fspath(spec))]
    seen: set[tuple[str, str | None]] = set()
    for item in found:
        if (item.origin, item.member) in seen:
            raise BadInputError("named twice", place=item.origin, remedy="name each file once")
        seen.add((item.origin, item.member))
    return found


def _expand(spec: str) -> list[Located]:
    if spec == "-":
        if sys.stdin is None:
            raise BadInputError(
                "standard input is closed", place="-", remedy="pipe the data in, or name a file"
            )
        return [Located("-", "-", stdin=ReplayInput(sys.stdin.buffer))]
    match = _MEMBER.match(spec)
    if match is not None:
        files = _expand(match["path"])
        return [Located(f.origin, f.path, f.filesystem, f.size, match["member"]) for f in files]
    if "://" in spec:
        filesystem, path, prefix = filesystem_of(spec)
    else:
        filesystem, path, prefix = pafs.LocalFileSystem(), spec, ""
    try:
        return _expand_on(filesystem, path, prefix, spec)
    except (OSError, pa.ArrowException) as error:
        remedy = (
            "check the address, the network and the credentials"
            if prefix
            else "check the path and its rights"
        )
        raise BadInputError(f"cannot be listed ({error})", place=spec, remedy=remedy) from error


def _expand_on(filesystem: Any, path: str, prefix: str, spec: str) -> list[Located]:
    def located(infos: Iterable[Any]) -> list[Located]:
        chosen = sorted((i for i in infos if i.type == pafs.FileType.File), key=lambda i: str(i.path))
        return [Located(prefix + i.path, i.path, filesystem, i.size or 0) for i in chosen]

    info = filesystem.get_file_info(path)
    if info.type == pafs.FileType.File:
        return located([info])
    if info.type == pafs.FileType.Unknown and not prefix:
        # A named pipe, such as a shell makes for <(zcat x.csv.gz): read like standard input.
        return [Located(spec, path, stdin=ReplayInput(Path(path).open("rb")))]
    if info.type == pafs.FileType.Directory:
        files = located(i for i in _walk(filesystem, path) if _readable(i.path, path))
        if not files:
            known = ", ".join(sorted(EXTENSIONS))
            raise BadInputError(
                "the directory holds no file of a known format", place=spec, remedy=f"known: {known}"
            )
        return files
    if _WILD.search(path):
        files = located(_matching(filesystem, path))
        if not files:
            raise BadInputError(
                "no file matches", place=spec, remedy="check the pattern (quote it in a shell)"
            )
        return files
    if prefix and "/" in path:
        # Object stores name things by prefix: s3://bucket/part- stands for part-0, part-1, ...
        files = located(i for i in _walk(filesystem, path.rpartition("/")[0]) if i.path.startswith(path))
        if files:
            return files
    raise BadInputError("no such file", place=spec, remedy="check the spelling and the working directory")


def _matching(filesystem: Any, glob: str) -> list[Any]:
    """What a glob matches; as in a shell, hidden files only where the pattern itself starts with a dot."""
    fixed = re.split(r"[*?\[]", glob, maxsplit=1)[0]
    base = fixed.rpartition("/")[0] or ("/" if glob.startswith("/") else ".")
    pattern, hidden = glob_pattern(glob), PurePosixPath(glob).name.startswith(".")
    found = [i for i in _walk(filesystem, base) if pattern.match(_clean(i.path))]
    return [i for i in found if hidden or not PurePosixPath(i.path).name.startswith(".")]


def _walk(filesystem: Any, base: str) -> list[Any]:
    infos: list[Any] = filesystem.get_file_info(pafs.FileSelector(base, allow_not_found=True, recursive=True))
    return infos


def _clean(path: str) -> str:
    return path.removeprefix("./")


def is_hidden(name: str) -> bool:
    """Whether a file is hidden or a marker of some tool, and no data, from its path in its folder.

    >>> [is_hidden(name) for name in ("a.csv", "_SUCCESS", "_temporary/a.csv", "b/.part")]
    [False, True, True, True]
    """
    return any(part.startswith((".", "_")) for part in name.split("/"))


def _readable(path: str, base: str) -> bool:
    """Whether a file of a directory is data: a known extension, nothing hidden, no marker such as _SUCCESS."""
    inside = PurePosixPath(path).relative_to(base)
    return not is_hidden(inside.as_posix()) and name_format(inside.name)[0] is not None


def glob_pattern(glob: str) -> re.Pattern[str]:
    """A glob as a regular expression over whole paths: ``*`` stays within a folder, ``**`` does not.

    >>> bool(glob_pattern("a/**/*.csv").match("a/b/c/x.csv")), bool(glob_pattern("a/*.csv").match("a/b/x.csv"))
    (True, False)
    """
    out, rest = "", _clean(glob)
    tokens = ((r"\*\*/", "(?:.*/)?"), (r"\*\*", ".*"), (r"\*", "[^/]*"), (r"\?", "[^/]"))
    while rest:
        for token, meaning in tokens:
            match = re.match(token, rest)
            if match:
                out, rest = out + meaning, rest[match.end() :]
                break
        else:
            group = re.match(r"\[(!?)([^\]/]+)\]", rest)
            if group:
                inner = group[2].replace("\\", r"\\").replace("^", r"\^")
                out, rest = f"{out}[{'^' if group[1] else ''}{inner}]", rest[group.end() :]
            else:
                out, rest = out + re.escape(rest[0]), rest[1:]
    return re.compile(out + r"\Z")
