"""Which time buckets are merged, and when: fine ones for what is new, ever coarser ones for what is old.

The pyramidal time frame of CluStream (Aggarwal, Han, Wang and Yu 2003), with buckets in the place of snapshots. A
block of level l is ``factor ** l`` buckets wide and starts at a multiple of its width, so that coarse blocks nest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from shoal.errors import ShoalError


class Block(NamedTuple):
    """The ``number``-th stretch of time of a level; level 0 are the buckets themselves."""

    level: int
    number: int


@dataclass(frozen=True)
class Pyramid:
    """How resolution falls with age.

    With hourly buckets and the defaults: two days by the hour, two more days by two hours, four by four hours, and so
    on; a year takes about 230 summaries.

    >>> Pyramid(newest=4, then=2).target(Block(0, 0), now=20), Pyramid().target(Block(0, 0), now=20)
    (Block(level=2, number=0), Block(level=0, number=0))
    """

    newest: int = 48
    """Newest buckets that keep their full resolution."""
    then: int = 24
    """Blocks of each coarser level before the next one begins."""
    factor: int = 2
    """How much wider each level is than the one before."""

    def __post_init__(self) -> None:
        if self.newest < 1 or self.then < 1 or self.factor < 2:
            raise ShoalError(
                f"a pyramid needs newest and then of at least 1 and a factor of at least 2, not {self}"
            )

    def span(self, block: Block) -> tuple[int, int]:
        """First bucket of a block, and the one behind its last."""
        width = self.factor**block.level
        return block.number * width, (block.number + 1) * width

    def parent(self, block: Block) -> Block:
        """The block of the next level around it."""
        return Block(block.level + 1, block.number // self.factor)

    def target(self, block: Block, now: int) -> Block:
        """The coarsest block that the age of all its buckets allows; ``now`` is the newest bucket."""
        finer = self.newest
        while True:
            parent = self.parent(block)
            # ages needed for the parent's level: all that finer levels are to hold
            finer = self.newest + self.then * sum(self.factor**i for i in range(1, parent.level))
            if self._age(parent, now) < finer:
                return block
            block = parent

    def group(self, blocks: Iterable[Block], now: int) -> dict[Block, list[Block]]:
        """For each block that is due: those of the given ones (each once) that it is made of.

        What lies inside a block that is coarser already, as late rows do, goes into that one.
        """
        due: dict[Block, list[Block]] = {}
        wanted = sorted(((self.target(b, now), b) for b in set(blocks)), reverse=True)
        coarsest = max((t.level for t, _ in wanted), default=0)
        for target, block in wanted:
            place = around = target
            while around.level < coarsest:
                around = self.parent(around)
                place = around if around in due else place
            due.setdefault(place, []).append(block)
        return due

    def next_to_merge(self, blocks: Collection[Block], now: int) -> Block | None:
        """The block whose making costs the least resolution for its age, to save room; of equals the oldest.

        None when every further one would be wider than it is old.
        """
        inside: dict[Block, int] = {}
        for block in set(blocks):
            around = self.parent(block)
            while self._width(around) <= self._age(around, now):
                inside[around] = inside.get(around, 0) + 1
                around = self.parent(around)
        best: tuple[float, int] | None = None
        chosen = None
        for place, members in inside.items():
            cost = (self._width(place) / self._age(place, now), self.span(place)[0])
            if members > 1 and (best is None or cost < best):
                best, chosen = cost, place
        return chosen

    def _width(self, block: Block) -> int:
        return int(self.factor**block.level)

    def _age(self, block: Block, now: int) -> int:
        """Of the youngest of its buckets."""
        return now - (self.span(block)[1] - 1)
