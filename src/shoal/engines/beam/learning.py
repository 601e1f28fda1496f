"""How rows of any :class:`~shoal.engines.beam.algorithms.ClusteringAlgorithm` become one state: a ``CombineFn`` and what it carries."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam import coders

from shoal.engines.beam.algorithms import ClusteringAlgorithm
from shoal.engines.beam.elements import Batch
from shoal.engines.shares import RowBatch, framed, unframed
from shoal.errors import Rejects

Marked = tuple[int, Batch]


@dataclass
class Accumulated:
    """What some batches amount to.

    Its ``mark`` is the exclusive or of the batches' own, so it is the same in whatever order they came: a bundle that is done
    again is known by it, while equal rows of another hour have another.
    """

    algorithm: ClusteringAlgorithm[Any]
    rows: int = 0
    width: int | None = None
    mark: int = 0
    state: Any = None
    """None of no rows."""
    rejects: Rejects = field(default_factory=Rejects)

    def learn(self, rows: RowBatch, rejects: Rejects, mark: int) -> None:
        """Take in one batch."""
        self.rejects, self.mark = self.rejects.merge(rejects), self.mark ^ mark
        n, width = len(rows.X), rows.X.shape[1]
        if not n:
            return
        if self.width in (None, width):
            state = self.algorithm.new() if self.state is None else self.state
            self.state, self.rows, self.width = self.algorithm.learn_rows(state, rows), self.rows + n, width
            return
        other = Accumulated(self.algorithm)
        other.learn(rows, Rejects(), 0)
        self.add(other)

    def add(self, other: Accumulated) -> None:
        """Take in another; where rows differ in width the larger part stays, and those of the other count as refused."""
        self.rejects, self.mark = self.rejects.merge(other.rejects), self.mark ^ other.mark
        if other.state is None:
            return
        if self.state is None:
            self.state, self.rows, self.width = other.state, other.rows, other.width
        elif self.width == other.width:
            self.state = self.algorithm.merge(self.state, other.state)
            self.rows += other.rows
        else:
            stays = (self.rows, -(self.width or 0)) >= (other.rows, -(other.width or 0))
            lost, width = (other, self.width) if stays else (self, other.width)
            reason, rows = f"the row has {lost.width} numbers, not {width}", lost.rows
            if not stays:
                self.state, self.rows, self.width = other.state, other.rows, other.width
            self.rejects.add(reason, rows, "a bundle of its own")

    def to_bytes(self) -> bytes:
        """The state's own bytes behind a frame."""
        told = {
            "rows": self.rows,
            "width": self.width,
            "mark": f"{self.mark:016x}",
            "rejects": self.rejects.to_dict(),
        }
        return framed(told, b"" if self.state is None else self.algorithm.to_bytes(self.state))

    @classmethod
    def from_bytes(cls, algorithm: ClusteringAlgorithm[Any], data: bytes) -> Accumulated:
        """Inverse of :meth:`to_bytes`."""
        told, content = unframed(data)
        state = algorithm.from_bytes(content) if told["width"] is not None else None
        rejects = Rejects.from_dict(told["rejects"])
        return cls(algorithm, told["rows"], told["width"], int(told["mark"], 16), state, rejects)


class AccumulatedCoder(coders.Coder):  # type: ignore[misc]
    """:class:`Accumulated` as bytes."""

    def __init__(self, algorithm: ClusteringAlgorithm[Any]) -> None:
        self.algorithm = algorithm

    def encode(self, value: Accumulated) -> bytes:
        """See :meth:`Accumulated.to_bytes`."""
        return value.to_bytes()

    def decode(self, encoded: bytes) -> Accumulated:
        """Inverse of :meth:`encode`."""
        return Accumulated.from_bytes(self.algorithm, encoded)

    def is_deterministic(self) -> bool:
        """Nobody groups by it."""
        return False


class MarkFn(beam.DoFn):  # type: ignore[misc]
    """Gives every batch a mark. It stands before the first grouping: what comes behind that may be done again."""

    def process(self, element: tuple[Any, Batch]) -> Iterator[Marked]:
        """The key is None for all."""
        yield secrets.randbits(64), element[1]


class LearnFn(beam.CombineFn):  # type: ignore[misc]
    """Marked batches to the bytes of an :class:`Accumulated`."""

    def __init__(self, algorithm: ClusteringAlgorithm[Any]) -> None:
        self.algorithm = algorithm

    def create_accumulator(self) -> Accumulated:
        """Of no rows."""
        return Accumulated(self.algorithm)

    def add_input(self, accumulator: Accumulated, element: Marked) -> Accumulated:
        """One batch more."""
        mark, batch = element
        accumulator.learn(batch.rows, batch.rejects, mark)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Accumulated]) -> Accumulated:
        """One of all."""
        out = self.create_accumulator()
        for accumulator in accumulators:
            out.add(accumulator)
        return out

    def extract_output(self, accumulator: Accumulated) -> bytes:
        """What the next step reads."""
        return accumulator.to_bytes()

    def get_accumulator_coder(self) -> AccumulatedCoder:
        """Their own bytes."""
        return AccumulatedCoder(self.algorithm)
