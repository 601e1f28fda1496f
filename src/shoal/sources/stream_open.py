"""From what a person names to the stream it is."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

from shoal.errors import BadInputError
from shoal.sources.locate import locate, name_format
from shoal.sources.options import ReadOptions
from shoal.sources.stream_directory import ReceivedFiles
from shoal.sources.stream_files import FilesStream, NamedFiles
from shoal.sources.stream_follow import FollowedFile
from shoal.sources.stream_growing import GrowingStream
from shoal.sources.stream_protocol import StreamSource
from shoal.sources.stream_redis import RedisStream
from shoal.sources.stream_stdin import Spool

_WILD = frozenset("*?[")


def open_stream(
    source: str, *, follow: bool, options: ReadOptions, state: Path, schema_hint: Any = None
) -> StreamSource:
    """The stream that ``source`` names; nothing is read before its ``start``.

    Parameters
    ----------
    source : a file, glob or URI of files, a directory, ``redis://host:port/db?stream=NAME``, or ``-``.
    follow : wait for more rows, instead of ending with what is there now.
    options : how to read text; bad records are dead letters whatever ``on_error`` says.
    state : directory for what must survive a crash: the copy of standard input, the order of received files, and
        the columns that were learned.
    schema_hint : columns and types, instead of those of the first rows.

    Raises :class:`BadInputError` for a name that stands for nothing, and for what cannot be followed.

    >>> import tempfile
    >>> open_stream("a.csv", follow=True, options=ReadOptions(), state=Path(tempfile.mkdtemp())).name
    'a.csv'
    >>> open_stream("a.parquet", follow=True, options=ReadOptions(), state=Path("."))
    Traceback (most recent call last):
    shoal.errors.BadInputError: a.parquet: parquet files are written once and do not grow; name the directory ...
    """
    if source.startswith(("redis://", "rediss://", "unix://")):
        memo = _memo(state, source.partition("@")[2] or source)
        return RedisStream(source, follow=follow, options=options, hint=schema_hint, memo=memo)
    if source == "-":
        return GrowingStream(Spool(state / "spool"), options, schema_hint, _memo(state, source))
    if "://" not in source and Path(source).is_dir():
        received = ReceivedFiles(source, state, follow=follow, any_name=options.format is not None)
        return FilesStream(source, received, options, schema_hint, strict=False)
    if not follow:
        if "://" not in source and Path(source).exists() and stat.S_ISFIFO(Path(source).stat().st_mode):
            remedy = f"pipe it into standard input: shoal stream - < {source}"
            raise BadInputError("is a pipe, which cannot be read again", place=source, remedy=remedy)
        return FilesStream(source, NamedFiles(locate([source])), options, schema_hint)
    _check_can_grow(source, options)
    followed = FollowedFile(os.path.normpath(source))
    return GrowingStream(followed, options, schema_hint, _memo(state, str(Path(source).resolve())))


def _memo(state: Path, source: str) -> Path:
    name = hashlib.blake2b(source.encode(), digest_size=6).hexdigest()
    return state / f"columns-{name}.json"


def _check_can_grow(source: str, options: ReadOptions) -> None:
    """Raises :class:`BadInputError` for what cannot be followed."""
    if "://" in source or (set(source) & _WILD and not Path(source).exists()):
        raise BadInputError(
            "only one file or a directory on this machine can be followed",
            place=source,
            remedy="leave --follow out to read what is there now",
        )
    kind, compression = name_format(Path(source).name)
    kind = options.format or kind
    if compression is not None or kind not in (None, "csv", "tsv", "jsonl"):
        raise BadInputError(
            f"{compression or kind} files are written once and do not grow",
            place=source,
            remedy="name the directory that receives them, or leave --follow out",
        )
