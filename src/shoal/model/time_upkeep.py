"""Upkeep of a time store: summaries are merged as they age, and thinned or dropped for want of room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shoal.errors import DamagedFileError
from shoal.model.time_answers import Span, told
from shoal.model.time_catalogue import Catalogue, Segment
from shoal.model.time_files import merge_all, read_summary, resized, write_summary
from shoal.model.time_pyramid import Block, Pyramid
from shoal.summary.coreset import Coreset

FEWEST_ROWS = 500
"""A sample is not cut below this for want of room; rather the oldest bucket is dropped."""
PIECES = 8
"""Pieces a recent bucket may be in before they are merged."""


@dataclass(frozen=True)
class Shelf:
    """Segments with their files: each change is a file written, one transaction, then files deleted."""

    catalogue: Catalogue
    pyramid: Pyramid
    bucket: float
    """Seconds."""
    rows: int
    """Most rows of a sample."""

    def merge(
        self, parts: Sequence[Segment], place: Block, *, rows: int | None = None, how: str | None = None
    ) -> None:
        """One segment in the place of several."""
        if len(parts) == 1:
            with self.catalogue.change():
                self.catalogue.move(parts[0], place)
            return
        rows = rows or self.rows
        whole = merge_all(self.read(s, rows) for s in parts)
        self.replace(parts, self.write(whole, place, settled=True, rows=rows), how)

    def thin(self, old: Segment, rows: int) -> bool:
        """Cut a sample; False if that would save nothing."""
        new = self.write(self.read(old, rows), old.block, settled=True, rows=rows)
        if new.bytes < old.bytes:
            self.replace([old], new, "thinned")
            return True
        self.clean([new])
        return False

    def replace(self, old: Sequence[Segment], new: Segment, how: str | None) -> None:
        """One segment, whose file is written, in the place of others."""
        with self.catalogue.change():
            self.catalogue.insert(new)
            self.catalogue.delete(old, merged=True)
            if how is not None:
                self.catalogue.note(how, new.rows, self.pyramid.span(new.block))
        self.clean(s for s in old if s.file != new.file)

    def drop(self, gone: Sequence[Segment], how: str) -> None:
        """Forget segments, and count them."""
        with self.catalogue.change():
            self.catalogue.delete(gone, merged=False)
            for s in gone:
                self.catalogue.note(how, s.rows, self.pyramid.span(s.block))
        self.clean(gone)

    def write(self, summary: Coreset, block: Block, *, settled: bool, rows: int) -> Segment:
        """Write the file of a segment that is not in the catalogue yet, its sample cut to ``rows``."""
        summary = resized(summary, rows)
        name, size = write_summary(self.catalogue.folder, summary)
        return Segment(block, settled, name, size, summary.count, len(summary.points().X))

    def read(self, segment: Segment, rows: int) -> Coreset:
        """Its summary, with room for so many rows; raises :class:`DamagedFileError`, also if the file is not there."""
        start, end = self.span(segment)
        try:
            return read_summary(self.catalogue.folder, segment.file, rows)
        except FileNotFoundError as error:
            problem = f"{self.catalogue.folder / segment.file} is missing"
            cause: Exception = error
        except DamagedFileError as error:
            problem, cause = str(error), error
        raise DamagedFileError(
            f"{problem}; it holds the {segment.rows:,} rows from {told(start)} to {told(end)}: "
            f"bring it back from a copy, or forget it with shoal window {self.catalogue.folder} --give-up {segment.file}"
        ) from cause

    def clean(self, gone: Iterable[Segment]) -> None:
        """Delete the files of segments the catalogue has forgotten."""
        for segment in gone:
            self.catalogue.delete_file(segment.file)

    def span(self, segment: Segment) -> Span:
        """From when to when, in seconds."""
        first, stop = self.pyramid.span(segment.block)
        return first * self.bucket, stop * self.bucket


def merge_by_age(shelf: Shelf, now: int) -> None:
    """Make the blocks that are due; ``now`` is the bucket ages are measured by.

    Pieces of a recent bucket wait until they are several: most buckets are still filling.
    """
    settled = [s for s in shelf.catalogue.segments() if s.settled]
    due = shelf.pyramid.group([s.block for s in settled], now)
    for place in sorted(due, reverse=True):
        parts = [s for s in settled if s.block in due[place]]
        past = shelf.pyramid.span(place)[1] <= now
        if len(parts) >= (2 if past else PIECES) or parts[0].block != place:
            shelf.merge(parts, place)


def keep_budget(shelf: Shelf, budget: int | None, now: int, last: int) -> None:
    """Merge more of the old, then cut the samples of the oldest, then drop the oldest, but not bucket ``last``."""
    while budget is not None and sum(s.bytes for s in shelf.catalogue.segments()) > budget:
        if not _save_room(shelf, now, last):
            break


def _save_room(shelf: Shelf, now: int, last: int) -> bool:
    """One step towards the budget; False if there is none left."""
    settled = [s for s in shelf.catalogue.segments() if s.settled]
    blocks = [s.block for s in settled]
    crowded = [b for b in sorted(set(blocks)) if blocks.count(b) > 1]
    if crowded:
        shelf.merge([s for s in settled if s.block == crowded[0]], crowded[0])
        return True
    place = shelf.pyramid.next_to_merge(blocks, now)
    if place is not None:
        low, high = shelf.pyramid.span(place)
        spans = [shelf.pyramid.span(s.block) for s in settled]
        inside = [s for s, (a, b) in zip(settled, spans, strict=True) if low <= a and b <= high]
        # no larger than the largest of them: where samples are not full, merging alone would save nothing
        most = min(shelf.rows, max(FEWEST_ROWS, *(s.kept for s in inside)))
        shelf.merge(inside, place, rows=most, how="coarsened")
        return True
    by_age = sorted(settled, key=lambda s: shelf.pyramid.span(s.block))
    for s in by_age:
        if s.kept > FEWEST_ROWS and shelf.thin(s, max(s.kept // 2, FEWEST_ROWS)):
            return True
    oldest = [s for s in by_age if shelf.pyramid.span(s.block)[1] <= last]
    if oldest:
        shelf.drop(oldest[:1], "dropped")
    return bool(oldest)
