"""The channels of a job: which objects each instance gets, as files in its folders or as bytes through named pipes."""

from __future__ import annotations

import codecs
import errno
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from shoal.errors import ShoalError
from shoal.sagemaker.failure import reason_of
from shoal.sagemaker.job_spec import ChannelSpec
from shoal.sagemaker.remote_files import (
    Reading,
    RemoteObject,
    fetch,
    objects_listed,
    objects_under,
    place_of,
    starts_with,
)
from shoal.sagemaker.tree import CSV, Tree
from shoal.sources.locate import is_hidden

GZIP = b"\x1f\x8b"
LOOK_AGAIN = 0.02
"""Seconds between looks for a reader of a pipe."""


def objects_of(channel: ChannelSpec, endpoint_url: str | None = None) -> list[RemoteObject]:
    """The objects of a channel in order of their names.

    Raises
    ------
    BadInputError : there are none, or the manifest is none.
    """
    place = place_of(channel.uri, endpoint_url)
    if channel.kind == "S3Prefix":
        return objects_under(place)
    return objects_listed(place, lambda prefix: place_of(prefix, endpoint_url))


def dealt(objects: Sequence[RemoteObject], spread: str, rank: int, hosts: int) -> list[RemoteObject]:
    """What one of several instances gets: everything, or every so many-th object in order of name.

    >>> from shoal.sagemaker.remote_files import Place
    >>> found = [RemoteObject(name, Place(None, name, name), 1) for name in "cab"]
    >>> [o.name for o in dealt(found, "ShardedByS3Key", 0, 2)], len(dealt(found, "FullyReplicated", 1, 2))
    (['a', 'c'], 3)
    """
    in_order = sorted(objects, key=lambda o: o.name)
    return in_order[rank::hosts] if spread == "ShardedByS3Key" else in_order


def lay_out(
    channel: ChannelSpec, objects: Sequence[RemoteObject], tree: Tree, going: Callable[[], None]
) -> None:
    """Fill a channel's folder. FastFile links what is on this machine; all else is copied.

    Raises
    ------
    BadInputError : an object cannot be read.
    """
    folder = tree.folder(channel.name)
    folder.mkdir(parents=True, exist_ok=True)
    gzipped = channel.packing == "Gzip"
    names = _unpacked_names(objects) if gzipped else [found.name for found in objects]
    for found, name in zip(objects, names, strict=True):
        target = folder / name
        if channel.mode == "FastFile" and found.place.is_local and not gzipped:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(found.place.path)
            continue
        fetch(found, target, gzipped=gzipped, going=going)


def _unpacked_names(objects: Sequence[RemoteObject]) -> list[str]:
    """Names without ``.gz``, for which a reader would unpack a file once more; each only once."""
    taken = {found.name for found in objects if not found.name.endswith(".gz")}
    names = []
    for found in objects:
        name = plain = found.name.removesuffix(".gz")
        if plain != found.name:
            again = itertools.count(1)
            while name in taken:
                name = f"{plain}.{next(again)}"
            taken.add(name)
        names.append(name)
    return names


@dataclass
class PipeFeeder:
    """Sends a channel through named pipes, one after the other for each read, on a thread until it is closed.

    Parameters
    ----------
    objects : this instance's, in order.
    """

    channel: ChannelSpec
    objects: Sequence[RemoteObject]
    tree: Tree
    problem: str | None = None
    """Why the reader got less than all; a job must not end well then."""
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Make the first pipe, and wait for its reader on a thread."""
        self.tree.data.mkdir(parents=True, exist_ok=True)
        os.mkfifo(self._pipe(0))
        self._thread = threading.Thread(target=self._run, name=f"feed {self.channel.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; its reader must be gone, or have what it wants."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(10)

    def _run(self) -> None:
        epoch = 0
        try:
            while (handle := self._opened(self._pipe(epoch))) is not None:
                os.mkfifo(self._pipe(epoch + 1))
                try:
                    self._send(handle)
                except BrokenPipeError:  # a reader may have had enough
                    pass
                finally:
                    os.close(handle)
                epoch += 1
        except (ShoalError, OSError) as error:
            self.problem = reason_of(error)

    def _pipe(self, epoch: int) -> Path:
        return self.tree.fifo(self.channel.name, epoch)

    def _opened(self, pipe: Path) -> int | None:
        """The pipe, once it has a reader; waiting in the kernel could not be ended."""
        while not self._over.wait(LOOK_AGAIN):
            try:
                handle = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                continue
            os.set_blocking(handle, True)
            return handle
        return None

    def left_out(self) -> list[str]:
        """Names of objects that are markers of other tools: as in a folder, they are no data."""
        return [found.name for found in self.objects if is_hidden(found.name)]

    def _send(self, handle: int) -> None:
        lines = self.channel.content_type.startswith(CSV)
        for found in self.objects:
            if is_hidden(found.name):
                continue
            # text is joined as text: a line end between two members of gzip would damage both
            packed = self.channel.packing == "Gzip" or (lines and starts_with(found, GZIP))
            last, head = b"\n", True
            with closing(Reading(found, gzipped=packed)) as reading:
                while data := reading.read():
                    if lines and head:
                        data = data.removeprefix(codecs.BOM_UTF8)  # inside a stream it would be data
                    _write(handle, data)
                    last, head = data[-1:] or last, False
            if lines and last != b"\n":  # or the last row of this object would run into the next one's first
                _write(handle, b"\n")


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
