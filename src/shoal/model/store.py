"""A folder of numbered models: each a directory that appears whole, with a note of where it came from."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.errors import DamagedFileError, NewerFormatError, ShoalError
from shoal.model.aliases import aliases, writers_turn
from shoal.model.cluster_model import ClusterModel
from shoal.model.durable import replace_durably, sync_folder
from shoal.model.events import Event
from shoal.model.persistence import MANIFEST, load_model, load_summary, save_model
from shoal.summary.coreset import Coreset

_NUMBERED = re.compile(r"v(\d{8,})")
_NOTE = "note.json"
_ABANDONED = 3600.0
"""Seconds after which a version that was never finished is swept away."""


@dataclass(frozen=True)
class Stored:
    """One version."""

    number: int
    model: ClusterModel
    summary: Coreset | None
    note: dict[str, Any] = field(default_factory=dict)


class ModelStore:
    """Versions 1, 2, ... of a model on a file system that renames in one step.

    A version is written beside, synced and then renamed, so a reader sees it whole or not at all, and a crash leaves the
    versions before it. Writers take turns for the rename by a lock, which the system opens when its holder dies.

    Parameters
    ----------
    folder : made when the first version is published.
    keep : how many of the newest stay; those with an alias stay beyond that, see :mod:`shoal.model.aliases`.

    >>> from shoal.model.build import build_model
    >>> from shoal.model.cluster_model import Provenance
    >>> from shoal.solve.k_means import k_means
    >>> import numpy as np
    >>> X = np.array([[0.0], [1.0], [8.0], [9.0]])
    >>> model = build_model(X, np.ones(4), k_means(X, 2), provenance=Provenance(rows_seen=4))
    >>> store = ModelStore(Path(tempfile.mkdtemp()) / "store")
    >>> store.publish(model, note={"batch": 7}), store.load().note
    (1, {'batch': 7})
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 10) -> None:
        if keep < 1:
            raise ShoalError(f"keep={keep} must be at least 1")
        self.folder, self.keep = Path(folder), keep

    def numbers(self) -> list[int]:
        """Versions there are, in order."""
        try:
            names = os.listdir(self.folder)  # noqa: PTH208 - called for every batch of a stream
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            raise ShoalError(f"{self.folder} is a file, not a store of models") from error
        return sorted(int(m[1]) for m in map(_NUMBERED.fullmatch, names) if m)

    def latest_number(self) -> int | None:
        """The newest version; None in an empty store."""
        return max(self.numbers(), default=None)

    def publish(
        self,
        model: ClusterModel,
        summary: Coreset | None = None,
        *,
        note: Mapping[str, Any] | None = None,
        after: int | None = None,
    ) -> int:
        """Add a version and answer its number.

        Parameters
        ----------
        note : plain data for JSON, kept with the version.
        after : the version this one was made from, 0 for none: if another was published since, it is an error, so that
            nobody's work is left out. None: whatever number is next.

        Raises
        ------
        FileExistsError : ``after`` is no longer the newest.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=self.folder))
        try:
            save_model(model, temporary, summary=summary)
            replace_durably(temporary / _NOTE, json.dumps(dict(note or {})).encode())
            temporary.chmod(0o755)
            with writers_turn(self.folder):
                number = self._renamed(temporary, after)
                self._tidy()
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return number

    def load(self, number: int | None = None, *, with_summary: bool = True) -> Stored:
        """A version; by default the newest.

        Raises
        ------
        ShoalError : there is none, or none of that number.
        DamagedFileError, NewerFormatError : it cannot be trusted; remove its directory to go back to the one before.
        """
        while True:
            chosen = self.latest_number() if number is None else number
            if chosen is None:
                raise ShoalError(f"{self.folder} holds no model yet")
            folder = self.path(chosen)
            try:
                return self._read(chosen, with_summary=with_summary)
            except (ShoalError, FileNotFoundError) as error:
                if number is None and self.latest_number() != chosen:
                    continue  # it may have been swept away while we looked: there are newer ones
                if isinstance(error, DamagedFileError):
                    raise DamagedFileError(
                        f"{error} (remove {folder} to go back to the version before)"
                    ) from error
                if isinstance(error, NewerFormatError):
                    raise
                raise ShoalError(f"{folder} is no version of a model: {error}") from error

    def note(self, number: int) -> dict[str, Any]:
        """What was kept with a version, without reading its model.

        Raises
        ------
        ShoalError : there is no such version.
        DamagedFileError : its note cannot be read.
        """
        path = self.path(number) / _NOTE
        try:
            note = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise ShoalError(f"{path.parent} is no version of a model: it has no {_NOTE}") from error
        except ValueError as error:
            raise DamagedFileError(f"{path} is not valid JSON: {error}") from error
        if not isinstance(note, dict):
            raise DamagedFileError(f"{path} holds no note")
        return note

    def events(self, since: int = 0) -> list[tuple[int, Event]]:
        """What happened to the clusters, with the version that told it, in order; of the versions that are kept.

        Parameters
        ----------
        since : only of versions after this one.
        """
        told = []
        for number in self.numbers():
            if number > since:
                told += [(number, Event.from_dict(data)) for data in self.note(number).get("events", ())]
        return told

    def _read(self, number: int, *, with_summary: bool) -> Stored:
        folder = self.path(number)
        model = load_model(folder)
        manifest = json.loads((folder / MANIFEST).read_bytes())
        has_summary = with_summary and "summary" in manifest["files"]
        summary = load_summary(folder) if has_summary else None
        return Stored(number, model, summary, self.note(number))

    def _renamed(self, temporary: Path, after: int | None) -> int:
        newest = self.latest_number() or 0
        # that the next number is free says nothing: its version may have come and been swept away
        if after is not None and newest != after:
            raise FileExistsError(f"{self.folder} is at version {newest}, not {after}")
        temporary.rename(self.path(newest + 1))
        sync_folder(self.folder)
        return newest + 1

    def _tidy(self) -> None:
        try:
            named = set(aliases(self.folder).values())
        except DamagedFileError:
            return  # which versions have a name is not known: none must leave
        for number in self.numbers()[: -self.keep]:
            if number in named:
                continue
            # renamed first, so that no reader sees half of it
            leaving = self.folder / f".tmp-{number}-{os.getpid()}"
            self.path(number).rename(leaving)
            shutil.rmtree(leaving, ignore_errors=True)
        for left in self.folder.glob(".tmp-*"):
            try:
                if time.time() - left.stat().st_mtime > _ABANDONED:
                    shutil.rmtree(left, ignore_errors=True)
            except OSError:
                continue

    def path(self, number: int) -> Path:
        """The directory of a version, which is a model as any other."""
        return self.folder / f"v{number:08d}"
