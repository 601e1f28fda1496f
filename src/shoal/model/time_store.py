"""A store of summaries by time: what did the clusters look like last Tuesday between two and four?

A stream leaves one small summary per time bucket. Because summaries merge, any interval is answered by merging the
buckets in it; with age, buckets are merged into coarser ones (:mod:`shoal.model.time_pyramid`), and what a disk budget
makes the store give up is counted.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.model.time_answers import GivenUp, Holdings, Level, Window, told
from shoal.model.time_catalogue import Catalogue, Segment
from shoal.model.time_files import merge_all, resized
from shoal.model.time_pyramid import Block, Pyramid
from shoal.model.time_upkeep import Shelf, keep_budget, merge_by_age
from shoal.solve.lloyd import Metric
from shoal.summary.coreset import DEFAULT_ROWS, Coreset

DEFAULT_BUCKET = 3600.0
BUCKET_ROWS = 10_000


class TimeStore:
    """Summaries by time bucket, in a directory.

    Parameters
    ----------
    path : the directory; made if it is not there.
    bucket : seconds per bucket, set once; default that of the store, 3600 for a new one.
    rows : rows a bucket's sample keeps; a summary that comes with more is cut to it.
    disk_budget : bytes the summary files may take after each :meth:`settle`; None: no limit.
    pyramid : how resolution falls with age; its factor is set once.
    read_only : only look, while another process may write.

    One process writes at a time, any number look. A store is used by one thread at a time; open another to look.

    Raises
    ------
    ShoalError : something else is there, another process writes, or ``bucket`` or the factor differ from the store's.
    DamagedFileError, NewerFormatError : it cannot be read, or a newer release wrote it.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with TimeStore(folder, bucket=60.0) as store:
    ...     for minute in range(5):
    ...         _ = store.add(60.0 * minute, Coreset().update([[float(minute)]] * 10), piece="first run")
    ...     found = store.window(60.0, 170.0)
    >>> found.summary.count, found.start, found.end, found.widened
    (20, 60.0, 180.0, True)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        bucket: float | None = None,
        rows: int = BUCKET_ROWS,
        disk_budget: int | None = None,
        pyramid: Pyramid | None = None,
        read_only: bool = False,
    ) -> None:
        if bucket is not None and not (math.isfinite(bucket) and bucket > 0):
            raise ShoalError(f"bucket={bucket} must be a positive number of seconds")
        if rows < 1 or (disk_budget is not None and disk_budget < 1):
            raise ShoalError(f"rows={rows} and disk_budget={disk_budget} must be at least 1")
        self.path, self.rows, self.pyramid = Path(path), rows, pyramid or Pyramid()
        bucket = None if bucket is None else float(bucket)
        new = {"bucket": bucket or DEFAULT_BUCKET, "factor": self.pyramid.factor}
        self._catalogue = Catalogue(self.path, writing=not read_only, new=new)
        try:
            self._check_same("bucket", bucket)
            self._check_same("factor", None if pyramid is None else pyramid.factor)
            self.bucket: float = self._catalogue.get("bucket")
            self.pyramid = replace(self.pyramid, factor=self._catalogue.get("factor"))
            self._shelf = Shelf(self._catalogue, self.pyramid, self.bucket, rows)
            if not read_only:
                with self._catalogue.change():
                    self._catalogue.put("disk_budget", disk_budget)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the files; a second time does nothing."""
        self._catalogue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def recipe(self) -> dict[str, Any] | None:
        """How the rows became vectors, if that was said."""
        found: dict[str, Any] | None = self._catalogue.get("recipe")
        return found

    @property
    def metric(self) -> Metric:
        """Metric of the rows."""
        return self._catalogue.get("metric") or "euclidean"

    def set_recipe(self, recipe: Mapping[str, Any] | None, metric: Metric = "euclidean") -> None:
        """Say once how rows become vectors (``Recipe.to_dict()``) and which metric is theirs.

        Raises
        ------
        ShoalError : the store holds summaries of rows of another recipe or metric.
        """
        wanted = json.loads(json.dumps({"recipe": recipe, "metric": metric}))
        held = {name: self._catalogue.get(name) for name in wanted}
        if held == wanted:
            return
        if held["metric"] is not None and not self._catalogue.is_empty:
            raise ShoalError(
                f"{self.path} holds rows of another recipe or metric, which cannot be compared; "
                "start a new store, or go on with the recipe of this one"
            )
        with self._catalogue.change():
            for name, value in wanted.items():
                self._catalogue.put(name, value)

    def add(self, time: float, summary: Coreset, *, piece: str) -> bool:
        """Put in a summary of rows of the bucket that ``time`` lies in, under a name of its own; durable on return.

        A bucket may come in any number of pieces, late ones too. A piece that is there already is replaced, so that a
        writer that crashed and plays back does not count rows twice; one that was settled and merged with others stays
        as it is, and the answer is False. An empty summary takes the piece away.

        Raises
        ------
        ShoalError : width, seed or half-life differ from those of the summaries held.
        """
        bucket = self.bucket_of(time)
        known, own = self._catalogue.piece(bucket, piece)
        if known and own is None:
            return False
        old = [s for s in self._catalogue.segments() if s.id == own] if own is not None else []
        if summary.is_empty:
            with self._catalogue.change():
                self._catalogue.delete(old, merged=False)
            self._shelf.clean(old)
            return True
        alike = self._check_alike(summary)
        segment = self._shelf.write(summary, Block(0, bucket), settled=False, rows=self.rows)
        with self._catalogue.change():
            self._catalogue.put("alike", alike)
            self._catalogue.delete(old, merged=False)
            self._catalogue.name_piece(bucket, piece, self._catalogue.insert(segment))
        self._shelf.clean(old)
        return True

    def remove_pieces(self, which: str | Callable[[str], bool]) -> int:
        """Take away pieces whose name begins with ``which``, or for which it answers True; how many there were.

        A writer that goes on from a checkpoint takes away what it had added since.

        Raises
        ------
        ShoalError : one of them was settled and merged with others; nothing was taken away.
        """
        matches = which if callable(which) else (lambda name: name.startswith(which))
        found = [p for p in self._catalogue.pieces() if matches(p[1])]
        for bucket, name, own in found:
            if own is None:
                raise ShoalError(
                    f"{self.path}: the piece {name!r} of {told(bucket * self.bucket)} was settled and merged with others; "
                    "go on from a later checkpoint, or start a new store"
                )
        ids = {own for _, _, own in found}
        gone = [s for s in self._catalogue.segments() if s.id in ids]
        with self._catalogue.change():
            self._catalogue.delete(gone, merged=False)
        self._shelf.clean(gone)
        return len(gone)

    def settle(self, *, now: float | None = None) -> None:
        """What was added so far stays, and may be merged: call it when the writer's own checkpoint is durable.

        Then buckets are merged by their age, and the disk budget is kept: first by merging more of the old ones, then
        by cutting the samples of the oldest, then by dropping the oldest; :meth:`describe` counts what was given up.
        The newest bucket, and pieces added later, are never dropped.

        Parameters
        ----------
        now : time that ages are measured by; default the newest bucket. Give the watermark where a row from the far
            future must not make all others old.
        """
        with self._catalogue.change():
            self._catalogue.settle()
        segments = self._catalogue.segments()
        if not segments:
            return
        last = max(self.pyramid.span(s.block)[1] - 1 for s in segments)
        age_zero = last if now is None else self.bucket_of(now)
        merge_by_age(self._shelf, age_zero)
        keep_budget(self._shelf, self._catalogue.get("disk_budget"), age_zero, last)

    def window(
        self, start: float | None = None, end: float | None = None, *, rows: int | None = None
    ) -> Window:
        """Merge all buckets that have a part in [start, end); without an edge, from the first or to the last.

        Parameters
        ----------
        rows : rows the sample of the answer may keep; default 50,000.

        Raises
        ------
        BadInputError : no rows in the interval, or it ends before it starts.
        DamagedFileError : a summary file is missing or damaged.
        """
        for edge in (start, end):
            if edge is not None and not math.isfinite(edge):
                raise BadInputError(f"the edge of a window is {edge}", remedy="leave it out for no edge")
        if start is not None and end is not None and end <= start:
            raise BadInputError(
                f"the window from {told(start)} to {told(end)} is empty", remedy="exchange its edges"
            )
        last: tuple[str, ...] = ()
        while True:
            chosen = [s for s in self._catalogue.segments() if self._overlaps(s, start, end)]
            if not chosen:
                raise BadInputError(f"{self.path} holds no rows of that time", remedy=self._what_is_held())
            try:
                size = max(DEFAULT_ROWS, self.rows) if rows is None else rows
                summary = merge_all(self._shelf.read(s, size) for s in chosen)
            except DamagedFileError:
                names = tuple(s.file for s in chosen)
                if names == last:
                    raise
                last = names  # another process may have merged them meanwhile: look again
                continue
            if summary.rows != size:
                summary = resized(summary, size)
            return self._answer(summary, chosen, start, end)

    def give_up(self, file: str) -> None:
        """Forget a summary file that is damaged or missing; what it held is counted as lost.

        Raises
        ------
        ShoalError : the store knows no such file.
        """
        gone = [s for s in self._catalogue.segments() if s.file == Path(file).name]
        if not gone:
            raise ShoalError(f"{self.path} knows no file {Path(file).name}")
        self._shelf.drop(gone, "damaged")

    def describe(self) -> Holdings:
        """What is held, from when, how finely, in how many bytes, and what was given up."""
        segments, b = self._catalogue.segments(), self.bucket
        levels = []
        for level in sorted({s.block.level for s in segments}):
            mine = [s for s in segments if s.block.level == level]
            spans = [self._shelf.span(s) for s in mine]
            levels.append(
                Level(
                    resolution=b * self.pyramid.factor**level,
                    start=min(s for s, _ in spans),
                    end=max(e for _, e in spans),
                    buckets=len(set(spans)),
                    files=len(mine),
                    **_sums(mine),
                )
            )
        notes = self._catalogue.given_up().items()
        return Holdings(
            bucket=b,
            levels=tuple(levels),
            given_up=tuple(GivenUp(how, n[0], n[1], n[2] * b, n[3] * b) for how, n in notes),
            start=min((x.start for x in levels), default=None),
            end=max((x.end for x in levels), default=None),
            disk_budget=self._catalogue.get("disk_budget"),
            metric=self._catalogue.get("metric"),
            **_sums(segments),
        )

    def bucket_of(self, time: float) -> int:
        """Number of the bucket a time lies in; bucket n is [n * bucket, (n + 1) * bucket).

        Raises
        ------
        BadInputError : not finite, or so far from 0 that buckets could not be told apart.
        """
        if not (math.isfinite(time) and abs(time / self.bucket) < 2**52):
            raise BadInputError(f"the time {time} has no bucket of {self.bucket:g} seconds")
        n = math.floor(time / self.bucket)
        while n * self.bucket > time:  # the division was rounded
            n -= 1
        while (n + 1) * self.bucket <= time:
            n += 1
        return n

    def _overlaps(self, segment: Segment, start: float | None, end: float | None) -> bool:
        low, high = self._shelf.span(segment)
        return (start is None or high > start) and (end is None or low < end)

    def _answer(
        self, summary: Coreset, chosen: Sequence[Segment], start: float | None, end: float | None
    ) -> Window:
        spans = sorted({self._shelf.span(s) for s in chosen})
        low, high = min(s for s, _ in spans), max(e for _, e in spans)
        asked = (low if start is None else start, high if end is None else end)
        lost = [n for how, n in self._catalogue.given_up().items() if how in ("dropped", "damaged")]
        gaps = any(
            first * self.bucket < asked[1] and stop * self.bucket > asked[0] for _, _, first, stop in lost
        )
        return Window(summary, min(low, asked[0]), max(high, asked[1]), asked, tuple(spans), gaps)

    def _what_is_held(self) -> str:
        held = self.describe()
        if held.start is None or held.end is None:
            return "it is still empty"
        return f"it holds {told(held.start)} to {told(held.end)}"

    def _check_alike(self, summary: Coreset) -> list[Any]:
        alike: list[Any] = [summary.n_features, summary.seed, summary.half_life]
        held = self._catalogue.get("alike")
        if held is not None and held != alike and not self._catalogue.is_empty:
            names = ("columns", "seed", "half-life")
            pairs = zip(names, alike, held, strict=True)
            what = ", ".join(f"{name} {new} (held: {old})" for name, new, old in pairs if new != old)
            raise ShoalError(f"{self.path}: the summary does not merge with those held: {what}")
        return alike

    def _check_same(self, name: str, given: float | None) -> None:
        """A setting that cannot change once the store is there."""
        held = self._catalogue.get(name)
        if given is not None and held != given:
            raise ShoalError(f"{self.path} was made with {name}={held:g}, which cannot become {given:g}")


def _sums(segments: Iterable[Segment]) -> dict[str, int]:
    mine = list(segments)
    return {name: sum(getattr(s, name) for s in mine) for name in ("rows", "kept", "bytes")}
