"""The sink ``writeStream.format("shoal")``: summaries as commit messages, a version of the model for every batch.

Tasks summarise what they are given, the driver merges once Spark says that all of them are done. Spark may commit a batch
twice after a crash; the store knows which batch it holds, so that rows count once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
from pyspark.sql.datasource import (
    DataSource,
    DataSourceArrowWriter,
    DataSourceStreamArrowWriter,
    WriterCommitMessage,
)

from shoal.engines.shares import fill, joined, packed
from shoal.engines.spark.columns import checked_schema
from shoal.engines.spark.live import LiveSettings, advance
from shoal.engines.spark.rows import RowReader
from shoal.errors import BadInputError, ShoalError


def register(spark: Any) -> None:
    """Make the format ``shoal`` known to a session, classic or Connect.

    Examples
    --------
    >>> register(spark)  # doctest: +SKIP
    >>> query = rows.writeStream.format("shoal").option("k", 8).start("models")  # doctest: +SKIP
    """
    spark.dataSource.register(ShoalSource)


@dataclass
class Summary(WriterCommitMessage):  # type: ignore[misc]
    """What a task found: its summary, or what was wrong with its rows."""

    content: bytes = b""
    error: str = ""


class ShoalSource(DataSource):  # type: ignore[misc]
    """Format ``shoal``; options are told in :mod:`shoal.engines.spark.live`."""

    @classmethod
    def name(cls) -> str:
        """What to write in ``format(...)``."""
        return "shoal"

    def streamWriter(self, schema: Any, overwrite: bool) -> StreamSink:
        """For ``writeStream``."""
        return StreamSink(self._settings(schema))

    def writer(self, schema: Any, overwrite: bool) -> BatchSink:
        """For ``write``."""
        if overwrite:
            raise ShoalError('the format "shoal" adds rows to what a store has learned; use mode("append")')
        return BatchSink(self._settings(schema))

    def _settings(self, schema: Any) -> LiveSettings:
        settings = LiveSettings.parse(dict(self.options))
        checked_schema(schema, settings.columns)
        return settings


class _Sink:
    """What both have in common: a task's work."""

    def __init__(self, settings: LiveSettings) -> None:
        self.settings = settings

    def write(self, iterator: Iterator[pa.RecordBatch]) -> Summary:
        """Summarise what a task is given; runs on the workers."""
        from pyspark import TaskContext

        context = TaskContext.get()
        s = self.settings
        reader = RowReader(s.columns, 0 if context is None else int(context.partitionId()))
        summary = s.summary.new()
        try:
            for batch in iterator:
                rows = reader.read(batch)
                if len(rows.X):
                    fill(summary, rows)
        except ShoalError as error:
            return Summary(error=str(error))
        return Summary(packed(summary, reader.rejects) if reader.rows else b"")

    def take(
        self, messages: list[Summary | None], query: str, batch: int | None, checkpoint: str | None = None
    ) -> None:
        """Merge what the tasks of a batch found into the store; runs on the driver.

        Raises
        ------
        BadInputError : rows that could not be used; the query stops before anything of the batch is counted.
        """
        found = [m for m in messages if m is not None]
        for message in found:
            if message.error:
                raise BadInputError(message.error)
        summarised = joined(m.content for m in found if m.content)
        advance(self.settings, query, batch, summarised, checkpoint=checkpoint)


class StreamSink(_Sink, DataSourceStreamArrowWriter):  # type: ignore[misc]
    """Learns every batch of a stream once."""

    def __init__(self, settings: LiveSettings) -> None:
        super().__init__(settings)
        if settings.query is None and settings.checkpoint is None:
            raise BadInputError(
                "the sink cannot tell this stream from others",
                remedy='give it a checkpoint, .option("checkpointLocation", "..."), or a name, .option("query", "...")',
            )

    def commit(self, messages: list[Summary | None], batchId: int) -> None:
        """All tasks of a batch are done."""
        self.take(messages, query_name(self.settings), batchId, checkpoint_id(self.settings))

    def abort(self, messages: list[Summary | None], batchId: int) -> None:
        """A task failed; nothing was counted."""


class BatchSink(_Sink, DataSourceArrowWriter):  # type: ignore[misc]
    """Learns a DataFrame, as one more batch."""

    def commit(self, messages: list[Summary | None]) -> None:
        """All tasks are done."""
        self.take(messages, self.settings.query or "batch", None)

    def abort(self, messages: list[Summary | None]) -> None:
        """A task failed; nothing was counted."""


def query_name(settings: LiveSettings) -> str:
    """What names a stream for ever: the name it was given, or the id that Spark keeps in its checkpoint."""
    return settings.query or checkpoint_id(settings) or str(settings.checkpoint)


def checkpoint_id(settings: LiveSettings) -> str | None:
    """The id in a checkpoint; None if there is none, or it cannot be reached from here."""
    if settings.checkpoint is None:
        return None
    place = settings.checkpoint.rstrip("/") + "/metadata"
    try:
        if "://" not in place:
            return Path(place.removeprefix("file:")).read_text().strip()[:200] or None
        filesystem, path = pafs.FileSystem.from_uri(place.replace("s3a://", "s3://", 1))
        with filesystem.open_input_stream(path) as file:
            return str(file.read(200).decode().strip()) or None
    except (OSError, ValueError, pa.ArrowException):
        return None
