"""The last step of ``OnlineClustering``: what a window learned goes on top of the newest checkpoint, and becomes the next."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from shoal.engines.beam.algorithms import ClusteringAlgorithm
from shoal.engines.beam.elements import NAMESPACE
from shoal.engines.beam.learning import Accumulated
from shoal.engines.beam.store import FileStore, Stored
from shoal.errors import BadInputError, DamagedFileError, Rejects, ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import pack_model, unpack_model

REMEMBERED = 500
"""Marks of what was merged that a checkpoint keeps; bundles are done again soon or never."""
TRIES = 50
_STATE = "state"
_REMEDY = "go on with the algorithm and the settings it was made with, or choose another checkpoints_path"


@dataclass(frozen=True)
class Checkpoint:
    """What a pipeline goes on from."""

    learned: Accumulated
    model: ClusterModel | None = None
    merged: tuple[str, ...] = ()
    """Marks of what it holds."""
    number: int = 0

    @classmethod
    def read(cls, algorithm: ClusteringAlgorithm[Any], stored: Stored | None) -> Checkpoint:
        """That of a version, or of none.

        Raises
        ------
        BadInputError : another algorithm made it.
        """
        if stored is None:
            return cls(Accumulated(algorithm))
        note, model = stored.note, stored.model
        if note.get("algorithm") != type(algorithm).__name__:
            made = note.get("algorithm") or "something else than OnlineClustering"
            raise BadInputError(f"it was made by {made}", place=stored.path, remedy=_REMEDY)
        held = note.get(_STATE)
        if held is None:
            content = b"" if stored.summary is None else stored.summary.to_bytes()
        else:
            content = base64.b85decode(held)
        rejects = model.provenance.rejects
        learned = Accumulated(
            algorithm, note["rows"], note["width"], 0, algorithm.from_bytes(content), rejects
        )
        return cls(learned, model, tuple(note["merged"]), stored.number)

    def publish(self, store: FileStore) -> None:
        """Make it the next version.

        Raises
        ------
        FileExistsError : another writer was faster.
        """
        algorithm, state = self.learned.algorithm, self.learned.state
        note: dict[str, Any] = {
            "algorithm": type(algorithm).__name__,
            "rows": self.learned.rows,
            "width": self.learned.width,
            "merged": list(self.merged),
        }
        summary = algorithm.summary(state)
        if summary is None:
            note[_STATE] = base64.b85encode(algorithm.to_bytes(state)).decode()
        assert self.model is not None
        store.publish(self.model, summary, note=note, after=self.number - 1)


class PublishFn(beam.DoFn):  # type: ignore[misc]
    """Bytes of :class:`~shoal.engines.beam.learning.Accumulated` to models, each a version of a store.

    Parameters
    ----------
    lenient : rows of another width than the checkpoint's are refused, as a stream should go on; else they are an error.
    """

    def __init__(self, algorithm: ClusteringAlgorithm[Any], store: FileStore, *, lenient: bool) -> None:
        self.algorithm, self.store, self.lenient = algorithm, store, lenient
        self.refused = Metrics.counter(NAMESPACE, "refused")

    def process(self, element: bytes) -> Iterator[ClusterModel]:
        """The new model; the newest there is, where there is nothing new to learn."""
        for attempt in range(TRIES):
            stored = None if self.store.newest() is None else self.store.load()
            before = Checkpoint.read(self.algorithm, stored)
            after = self._next(before, Accumulated.from_bytes(self.algorithm, element), stored)
            try:
                if after is not before:
                    after.publish(self.store)
            except FileExistsError:  # go on from what the other one published
                time.sleep(random.uniform(0, 0.02 * (attempt + 1)))  # noqa: S311 - no secret
                continue
            if after.model is not None:
                yield after.model
            return
        raise ShoalError(
            f"{self.store.path}: another writer was faster {TRIES} times; give each pipeline a path of its own"
        )

    def _next(self, before: Checkpoint, found: Accumulated, stored: Stored | None) -> Checkpoint:
        mark = f"{found.mark:016x}"
        if not found.rows or mark in before.merged or self._misfit(before.learned, found):
            return before
        learned = before.learned
        try:
            learned.add(found)
        except ShoalError as error:
            place = self.store.path if stored is None else stored.path
            raise BadInputError(str(error), place=place, remedy=_REMEDY) from error
        solved = self.algorithm.solve(learned.state, before.model)
        model = _named(self.algorithm, solved, learned.rejects)
        return Checkpoint(learned, model, (*before.merged, mark)[-REMEMBERED:], before.number + 1)

    def _misfit(self, old: Accumulated, found: Accumulated) -> bool:
        if old.width in (None, found.width):
            return False
        if self.lenient:
            self.refused.inc(found.rows)
            return True
        raise BadInputError(
            f"rows have {found.width} numbers, those learned before had {old.width}",
            place=self.store.path,
            remedy="give rows of that width, or choose another checkpoints_path",
        )


def _named(algorithm: ClusteringAlgorithm[Any], model: ClusterModel, rejects: Rejects) -> ClusterModel:
    """With what was refused so far, named by its content, and sure to be readable."""
    provenance = replace(model.provenance, rejects=rejects)
    try:
        return unpack_model(pack_model(model.replace(provenance=provenance, version="")))[0]
    except DamagedFileError as error:
        name = type(algorithm).__name__
        raise BadInputError(f"{name}.solve made a model that cannot be stored: {error}") from error
