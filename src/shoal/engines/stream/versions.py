"""Numbered models of a stream: one directory each, the newest so many kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from shoal.errors import DamagedFileError, ShoalError
from shoal.model.aliases import aliases
from shoal.model.cluster_model import ClusterModel
from shoal.model.persistence import load_model, save_model


class Versions:
    """Models by their number.

    Parameters
    ----------
    keep : how many of the newest stay.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, max(keep, 1)

    def write(self, number: int, model: ClusterModel) -> None:
        """Save a model under its number."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save_model(model, self._path(number))

    def read(self, number: int) -> ClusterModel:
        """The model of that number.

        Raises
        ------
        DamagedFileError : it is gone or cannot be read, though the checkpoint speaks of it.
        """
        try:
            return load_model(self._path(number))
        except DamagedFileError:
            raise
        except ShoalError as error:
            raise DamagedFileError(f"the checkpoint speaks of {self._path(number)}: {error}") from error

    def numbers(self) -> list[int]:
        """Numbers there are, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdigit())

    def drop_after(self, number: int) -> None:
        """Remove what a crash left behind the checkpoint; it will be made again."""
        for later in self.numbers():
            if later > number:
                shutil.rmtree(self._path(later))

    def thin(self, newest: int) -> None:
        """Remove the oldest beyond ``keep``, but for those that an alias names; none while aliases cannot be read."""
        try:
            named = set(aliases(self.folder).values())
        except DamagedFileError:
            return
        for old in self.numbers():
            if old <= newest - self.keep and old not in named:
                shutil.rmtree(self._path(old))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}"
