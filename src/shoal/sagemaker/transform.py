"""Batch transform: files of records in, files of answers out, each as long as memory need not be."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pyarrow as pa
import pyarrow.fs as pafs

from shoal.engines.reading import Progress
from shoal.errors import BadInputError, ShoalError
from shoal.sagemaker.answering import Answering
from shoal.sagemaker.joining import Joining
from shoal.sagemaker.requests import JSON, JSON_LINES, KINDS, PLACE
from shoal.sagemaker.responses import checked_answer
from shoal.sagemaker.splitting import Split, payloads
from shoal.sagemaker.tree import CSV, RECORDIO, content_type
from shoal.sources.locate import Located, is_hidden, locate, name_format
from shoal.sources.remote import filesystem_of
from shoal.sources.streams import DAMAGE, CountedStream, chunk_reader

SUFFIX = ".out"
_RECORD = re.compile(r"record (\d+)")


@dataclass(frozen=True)
class TransformSettings:
    """How files become requests and answers become files, by the names that batch transform jobs have for it.

    Raises
    ------
    ShoalError : formats and splits that do not go together, or are not known.

    >>> TransformSettings(split="Line", accept="application/jsonlines").assembled_by_line
    True
    >>> TransformSettings(split="TFRecord")
    Traceback (most recent call last):
    shoal.errors.ShoalError: files are not split by 'TFRecord'; use None, Line or RecordIO
    """

    content_type: str = CSV
    """Of the requests, perhaps with parameters."""
    accept: str = JSON
    """Of the answers."""
    split: Split = "None"
    assemble: Literal["None", "Line"] | None = None
    """What stands behind each answer; None: a line's end if files are split by lines and answers are text."""
    strategy: Literal["MultiRecord", "SingleRecord"] = "MultiRecord"
    """As many records in a request as fit, or one."""
    max_payload_mb: int = 6
    """MiB of a request."""
    input_filter: str = "$"
    output_filter: str = "$"
    join_source: Literal["None", "Input"] = "None"

    def __post_init__(self) -> None:
        for value, allowed, what in (
            (self.split, ("None", "Line", "RecordIO"), "files are not split by"),
            (self.assemble or "None", ("None", "Line"), "answers are not assembled with"),
            (self.strategy, ("MultiRecord", "SingleRecord"), "the strategy is not"),
            (self.join_source, ("None", "Input"), "answers are not joined to"),
            (self.kind, KINDS, "requests are not sent as"),
        ):
            if value not in allowed:
                raise ShoalError(f"{what} {value!r}; use {', '.join(allowed[:-1])} or {allowed[-1]}")
        checked_answer(self.accept)
        if self.max_payload_mb < 1:
            raise ShoalError(f"max_payload_mb={self.max_payload_mb} must be at least 1")
        if self.split != "None" and (self.split == "RecordIO") != (self.kind == RECORDIO):
            raise ShoalError(f"{self.kind} is not split by {self.split}; RecordIO is, and by nothing else")
        if self.split == "Line" and self.kind == JSON and self.strategy == "MultiRecord":
            raise ShoalError(f"lines together are no {JSON}; send {JSON_LINES}, or each as a SingleRecord")
        _ = self.joining

    @property
    def kind(self) -> str:
        """The content type without its parameters."""
        return content_type(self.content_type, "content type")[0]

    @cached_property
    def joining(self) -> Joining:
        """Filters and join."""
        return Joining(
            self.kind,
            checked_answer(self.accept),
            input_filter=self.input_filter,
            output_filter=self.output_filter,
            join=self.join_source == "Input",
        )

    @property
    def assembled_by_line(self) -> bool:
        """Whether a line's end stands behind each answer."""
        if self.assemble is not None:
            return self.assemble == "Line"
        return self.split == "Line" and checked_answer(self.accept) != RECORDIO


@dataclass(frozen=True)
class Transformed:
    """What was done."""

    files: int
    rows: int
    seconds: float


def transform(
    answering: Answering,
    source: str,
    target: str,
    settings: TransformSettings | None = None,
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> Transformed:
    """Answer files: ``a/b.csv`` below ``source`` becomes ``a/b.csv.out`` below ``target``, whole or not at all.

    Parameters
    ----------
    source : a file, folder, glob or URI such as ``s3://bucket/prefix``. Of a folder all files are read but those whose names
        begin with a dot or an underscore; those that are compressed (``.gz`` and the like) are unpacked.
    target : a folder or URI. Answers that are there already are replaced; where they lie among the files, they are not
        read as such.

    Raises
    ------
    BadInputError : naming file, record and remedy; answers of the files before it stay.
    """
    settings = settings or TransformSettings()
    filesystem, folder = _target(target)
    files, began = _without_answers(_inputs(source), filesystem, folder), time.perf_counter()
    total, before, rows = sum(file.size for file, _ in files), 0, 0
    for file, name in files:
        with _written(filesystem, f"{folder}/{name}{SUFFIX}") as write, file.open() as opened:
            raw = CountedStream(opened)
            for count, answer in _answers(answering, file, raw, settings):
                write(answer)
                rows += count
                if on_progress is not None:
                    on_progress(Progress(rows, before + raw.count, total, time.perf_counter() - began))
        before += file.size
    return Transformed(len(files), rows, time.perf_counter() - began)


def _answers(
    answering: Answering, file: Located, raw: CountedStream, settings: TransformSettings
) -> Iterator[tuple[int, bytes]]:
    """Number of rows and the answer of each request of a file."""
    read = chunk_reader(raw, name_format(file.path)[1], "utf-8")
    joining, accept, done = settings.joining, checked_answer(settings.accept), 0
    single, most = settings.strategy == "SingleRecord", settings.max_payload_mb * 1024**2
    try:
        for payload in payloads(read, settings.split, most, single=single):
            records, body = joining.sent(payload) if joining.is_needed else ([], payload)
            rows = answering.read(settings.content_type, body)
            answer = answering.written(rows, answering.served.model.assign(rows.matrix), accept)
            if joining.is_needed:
                answer = joining.answered(records, answer)
            if settings.assembled_by_line:
                answer = answer.removesuffix(b"\n") + b"\n"
            yield len(rows.matrix), answer
            done += len(rows.matrix)
    except BadInputError as error:
        raise BadInputError(
            error.problem, place=_place(file, error.place, done), remedy=error.remedy
        ) from error

    except DAMAGE as error:
        raise BadInputError(
            f"breaks off ({' '.join(str(error).split())[:160]})", place=file.origin, remedy="get a whole copy"
        ) from error


def _place(file: Located, place: str | None, done: int) -> str:
    """A place within a request as one within its file."""
    if place is None or not place.startswith(PLACE):
        return file.origin
    return file.origin + _RECORD.sub(lambda m: f"record {int(m[1]) + done}", place[len(PLACE) :])


def _inputs(source: str) -> list[tuple[Located, str]]:
    """The files to read, and what each is called below the target."""
    if source == "-":
        raise ShoalError("standard input has no name that answers could have; name a file")
    filesystem, path, prefix = _filesystem(source)
    if filesystem.get_file_info(path).type == pafs.FileType.Directory:
        found = filesystem.get_file_info(pafs.FileSelector(path, recursive=True))
        named = [
            (i, str(PurePosixPath(i.path).relative_to(path))) for i in found if i.type == pafs.FileType.File
        ]
        files = [
            (Located(prefix + i.path, i.path, filesystem, i.size or 0), name)
            for i, name in sorted(named, key=lambda pair: pair[1])
            if not is_hidden(name)
        ]
        if not files:
            raise BadInputError("holds no files", place=source, remedy="name a folder with files of records")
        return files
    files = [(file, file.basename) for file in locate([source])]
    names = [name for _, name in files]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInputError(f"names two files {twice}", place=source, remedy="name their folder instead")
    return files


def _without_answers(
    files: list[tuple[Located, str]], filesystem: Any, folder: str
) -> list[tuple[Located, str]]:
    """The files but for those that an earlier transform of them wrote."""
    if not filesystem.equals(files[0][0].filesystem):
        return files
    answers = {_absolute(filesystem, f"{folder}/{name}{SUFFIX}") for _, name in files}
    return [(file, name) for file, name in files if _absolute(filesystem, file.path) not in answers]


def _absolute(filesystem: Any, path: str) -> str:
    return os.path.realpath(path) if isinstance(filesystem, pafs.LocalFileSystem) else path


def _filesystem(spec: str) -> tuple[Any, str, str]:
    return filesystem_of(spec) if "://" in spec else (pafs.LocalFileSystem(), spec.rstrip("/") or "/", "")


def _target(target: str) -> tuple[Any, str]:
    filesystem, folder, _ = _filesystem(target)
    if filesystem.get_file_info(folder).type == pafs.FileType.File:
        raise BadInputError("is a file", place=target, remedy="name a folder for the answers")
    return filesystem, folder


@contextmanager
def _written(filesystem: Any, path: str) -> Iterator[Callable[[bytes], object]]:
    """Writes a file that is there once the block ends well; until then one that was there before stays."""
    local = isinstance(filesystem, pafs.LocalFileSystem)
    folder = PurePosixPath(path).parent if local else None
    try:
        if local:
            filesystem.create_dir(str(folder), recursive=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".tmp-")
        held = Path(name)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file.write
                if not local:
                    file.seek(0)
                    with filesystem.open_output_stream(path) as out:
                        shutil.copyfileobj(file, out)
            if local:
                held.chmod(0o644)
                held.replace(path)
        finally:
            held.unlink(missing_ok=True)
    except (OSError, pa.ArrowException) as error:
        raise BadInputError(f"cannot be written ({error})", place=path, remedy="check its rights") from error
