"""One pass over a source: batches read ahead on a thread, a recipe learned from the first block, rows as vectors."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa

from shoal.errors import BadInputError, Rejects
from shoal.features.columns import is_number, is_text, is_vector
from shoal.features.recipe import Features, Recipe
from shoal.features.spec import RecipeSpec
from shoal.features.where import Where
from shoal.sources.protocol import PEEK_ROWS, Batch, Source

OnError = Literal["raise", "skip"]
AHEAD = 2
"""Batches read ahead of the one being worked on."""


@dataclass(frozen=True)
class Progress:
    """How far a pass is."""

    rows: int
    bytes_read: int
    total_bytes: int | None
    seconds: float


@dataclass
class Pass:
    """One read of a source as vectors; the counts are final once :meth:`features` is exhausted."""

    source: Source
    spec: RecipeSpec
    recipe: Recipe | None = None
    """Given: apply it as it is. None: learned from the first block."""
    on_error: OnError = "raise"
    watch: Callable[[Progress], None] | None = None
    rows: int = 0
    """Rows that reached the recipe."""
    kept: int = 0
    filtered: int = 0
    rejects: Rejects = field(default_factory=Rejects)
    left_out: tuple[str, ...] = ()
    """Columns that are neither numbers nor vectors, where none were named."""

    def features(self) -> Iterator[tuple[Batch, Features]]:
        """Every batch with its vectors.

        Raises
        ------
        BadInputError : as the source and the recipe do; or no row was left.
        """
        began = time.monotonic()
        recipe_rejects = Rejects()
        batches = read_ahead(self.source.batches(self._columns()))
        for batch in self._learned(batches):
            assert self.recipe is not None  # _learned has seen to it
            found = self.recipe.apply(
                batch.table,
                origin=batch.origin,
                rows=batch.row_numbers,
                rejects=recipe_rejects,
                on_error=self.on_error,
            )
            self.rows += batch.table.num_rows
            self.kept += len(found.rows)
            self.filtered += found.filtered
            self.rejects = self.source.rejects.merge(recipe_rejects)
            yield batch, found
            if self.watch is not None:
                seconds = time.monotonic() - began
                self.watch(Progress(self.rows, self.source.bytes_read, self.source.total_bytes, seconds))
        self.rejects = self.source.rejects.merge(recipe_rejects)
        if self.kept == 0:
            raise BadInputError(
                f"no row is left: {self.rows} read, {self.filtered} filtered, {self.rejects.total} rejected",
                place=", ".join(self.source.names[:3]),
                remedy="check the files, --where and --nulls",
            )

    def _columns(self) -> list[str]:
        """Columns to read: those the recipe needs, or all that could become features."""
        if self.recipe is not None:
            return list(self.recipe.columns_needed)
        schema = self.source.schema()
        extra = list(Where(self.spec.where).columns) if self.spec.where is not None else []
        extra += [self.spec.weight] if self.spec.weight else []
        wanted = self.spec.columns
        if wanted is None:
            wanted = tuple(f.name for f in schema if is_number(f.type) or is_vector(f.type))
            self._note_left_out(schema, [*wanted, *extra])
        return list(dict.fromkeys((*wanted, *self.spec.one_hot, *extra))) or list(schema.names)

    def _learned(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, once the recipe has been learned from the first of them."""
        if self.recipe is None:
            first: list[Batch] = []
            for batch in batches:
                first.append(self._meant(batch))
                if sum(b.table.num_rows for b in first) >= PEEK_ROWS:
                    break
            place = first[0].origin if first else ", ".join(self.source.names[:1])
            if not first:
                raise BadInputError("there are no rows", place=place, remedy="check the file")
            block = pa.Table.from_batches([b.table for b in first]).slice(0, PEEK_ROWS)
            if self.rows and not block.num_rows:
                raise BadInputError(
                    f"no row of {self.rows} meets the condition {self.spec.where!r}",
                    place=place,
                    remedy="check the values and their types; text stands in quotes, numbers do not",
                )
            self.recipe = self.spec.learn(block, place=place, on_error=self.on_error)
            yield from first
        yield from batches

    def _meant(self, batch: Batch) -> Batch:
        """The rows of a batch that the condition takes; the others are counted and need not be kept in memory."""
        if self.spec.where is None:
            return batch
        mask = Where(self.spec.where).mask(batch.table)
        dropped = int((~mask).sum())
        self.rows += dropped
        self.filtered += dropped
        rows = batch.row_numbers[mask]
        return replace(batch, table=batch.table.filter(pa.array(mask)), rows=rows)

    def _note_left_out(self, schema: Any, wanted: Sequence[str]) -> None:
        """Columns that could not become features, where the choice was ours."""
        named = {*wanted, *self.spec.one_hot}
        self.left_out = tuple(f"{f.name} ({_kind(f.type)})" for f in schema if f.name not in named)


def _kind(kind: Any) -> str:
    return "text" if is_text(kind) else str(kind)


def read_ahead(batches: Iterable[Batch], depth: int = AHEAD) -> Iterator[Batch]:
    """The same batches, read on a thread while the caller works on the last one."""
    waiting: queue.Queue[Any] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    done = object()

    def put(item: Any) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
            put(done)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=read, name="shoal-reader", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not done:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join(timeout=1.0)  # a daemon: one that waits for a pipe is left to wait
