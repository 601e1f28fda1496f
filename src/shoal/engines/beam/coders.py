"""How summaries and models travel between workers and rest in state: their own checksummed bytes, never pickled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from apache_beam import coders

from shoal.engines.shares import RowBatch, Summarised, SummarySettings, fill, packed, part_of, unpacked
from shoal.errors import BadInputError, Rejects
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import pack_model, unpack_model
from shoal.summary.coreset import Coreset


@dataclass
class Learned:
    """What some rows amount to: a summary that merges, and a count of the rows that were refused."""

    summary: Coreset
    rejects: Rejects = field(default_factory=Rejects)

    @classmethod
    def nothing(cls, settings: SummarySettings) -> Learned:
        """Of no rows."""
        return cls(settings.new())

    def take(self, batch: RowBatch, settings: SummarySettings) -> None:
        """Take in rows; those that do not fit what is there are counted as refused, not an error that comes again for ever."""
        if not len(batch.X):
            return
        width = self.summary.n_features
        if width is not None and batch.X.shape[1] != width:
            other = Learned.nothing(settings)
            other.take(batch, settings)
            self.add(other)
            return
        try:
            fill(self.summary, batch)
        except BadInputError as error:
            if len(batch.X) == 1:
                self.rejects.add(error.problem, 1, "an element")
                return
            for i in range(len(batch.X)):
                self.take(part_of(batch, np.array([i])), settings)

    def add(self, other: Learned) -> None:
        """Take in another; of two whose rows differ in width the larger stays, and the rows of the other are counted as refused."""
        self.rejects = self.rejects.merge(other.rejects)
        mine, theirs = self.summary, other.summary
        widths = mine.n_features, theirs.n_features
        if None in widths or widths[0] == widths[1]:
            self.summary = mine.merge(theirs)
            return
        order = (mine.count, -(widths[0] or 0)), (theirs.count, -(widths[1] or 0))
        self.summary, lost = (mine, theirs) if order[0] >= order[1] else (theirs, mine)
        reason = f"the row has {lost.n_features} numbers, not {self.summary.n_features}"
        self.rejects.add(reason, lost.count, "a bundle of its own")


class LearnedCoder(coders.Coder):  # type: ignore[misc]
    """:class:`Learned` as bytes."""

    def encode(self, value: Learned) -> bytes:
        """The summary's bytes behind a frame."""
        return packed(value.summary, value.rejects)

    def decode(self, encoded: bytes) -> Learned:
        """Inverse of :meth:`encode`; kernels in workers have one thread."""
        found: Summarised = unpacked(encoded)
        found.summary.n_threads = 1
        return Learned(*found)

    def is_deterministic(self) -> bool:
        """Equal summaries are equal bytes."""
        return True

    def to_type_hint(self) -> Any:
        """What it codes."""
        return Learned


class ModelCoder(coders.Coder):  # type: ignore[misc]
    """:class:`~shoal.model.cluster_model.ClusterModel` as bytes."""

    def encode(self, value: ClusterModel) -> bytes:
        """See :func:`shoal.model.packed.pack_model`."""
        return pack_model(value)

    def decode(self, encoded: bytes) -> ClusterModel:
        """Inverse of :meth:`encode`."""
        return unpack_model(encoded)[0]

    def is_deterministic(self) -> bool:
        """Equal models are equal bytes."""
        return True

    def to_type_hint(self) -> Any:
        """What it codes."""
        return ClusterModel


coders.registry.register_coder(Learned, LearnedCoder)
coders.registry.register_coder(ClusterModel, ModelCoder)
