"""A stream of texts with their vectors: what is no text leaves as a dead letter, before a language model sees it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.errors import BadInputError
from shoal.sources.stream_protocol import Chunk, DeadLetter, StreamSource
from shoal.text.embedding import Embedder, clean

VECTOR = "embedding"
"""Name of the column of vectors."""


class EmbeddedSource:
    """The chunks of another source, with a column of unit vectors of a column of texts.

    Parameters
    ----------
    column : of the texts; must not be numbers.

    Everything else is that of the source, so that a run goes on after a crash as it would without this.
    """

    def __init__(self, source: StreamSource, embedder: Embedder, column: str) -> None:
        self._source, self._embedder, self.column = source, embedder, column

    @property
    def name(self) -> str:
        """Of the source."""
        return self._source.name

    def start(self, position: dict[str, Any] | None) -> None:
        """Start the source."""
        self._source.start(position)

    def poll(self, max_rows: int, timeout: float) -> Chunk | None:
        """The next chunk.

        Raises
        ------
        BadInputError : there is no such column, it holds no texts, or one called ``embedding`` is there already.
        """
        chunk = self._source.poll(max_rows, timeout)
        return None if chunk is None else self._embedded(chunk)

    @property
    def finished(self) -> bool:
        """Whether the source is."""
        return self._source.finished

    def committed(self, position: dict[str, Any]) -> None:
        """Tell the source."""
        self._source.committed(position)

    def backlog(self) -> int | None:
        """Of the source."""
        return self._source.backlog()

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _embedded(self, chunk: Chunk) -> Chunk:
        texts = self._texts(chunk)
        good = [i for i, text in enumerate(texts) if text is not None]
        dead = list(chunk.dead)
        for i in sorted(set(range(len(texts))) - set(good)):
            row = int(chunk.rows[i])
            raw = str(chunk.table.slice(i, 1).to_pylist()[0])
            dead.append(DeadLetter("empty text", f"{chunk.origin}, row {row + 1}", raw, row))
        kept = np.array(good, np.int64)
        table = chunk.table.take(pa.array(kept))
        said = [text for text in texts if text is not None]
        width = self._embedder.width
        vectors = self._embedder.embed(said) if said else np.empty((0, width), np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width)
        texts_kept = pa.array(said, pa.string())
        at = table.schema.get_field_index(self.column)
        return replace(
            chunk,
            table=table.set_column(at, self.column, texts_kept).append_column(VECTOR, column),
            rows=chunk.rows[kept],
            times=None if chunk.times is None else chunk.times[kept],
            dead=tuple(dead),
        )

    def _texts(self, chunk: Chunk) -> list[str | None]:
        """Clean texts; None where there is none."""
        names = list(chunk.table.schema.names)
        if self.column not in names:
            raise BadInputError.unknown_column(self.column, names, place=chunk.origin)
        if VECTOR in names:
            raise BadInputError(
                "is there already",
                place=f"{chunk.origin}, column {VECTOR!r}",
                remedy="rename it in the source",
            )
        column = chunk.table.column(self.column)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if not (
            pa.types.is_string(column.type)
            or pa.types.is_large_string(column.type)
            or pa.types.is_null(column.type)
        ):
            raise BadInputError(
                f"holds {column.type}, not texts",
                place=f"{chunk.origin}, column {self.column!r}",
                remedy="name the column of the texts",
            )
        cleaned = [None if text is None else clean(text) for text in column.to_pylist()]
        return [text if text and text.strip() else None for text in cleaned]
