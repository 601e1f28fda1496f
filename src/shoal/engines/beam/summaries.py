"""``Summarise`` and ``MergeSummaries``: one summary of every key and window, as ``CombineFn``."""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from shoal.engines.beam.batches import BATCH_ROWS
from shoal.engines.beam.coders import Learned, LearnedCoder
from shoal.engines.beam.elements import DEAD, ROWS, Batch, batches_of
from shoal.engines.beam.rows import Fields
from shoal.engines.shares import SummarySettings


class SummaryFn(beam.CombineFn):  # type: ignore[misc]
    """Batches of rows to one summary. The runner owns the accumulators, so a bundle that is done again counts once."""

    def __init__(self, settings: SummarySettings) -> None:
        self.settings = settings

    def create_accumulator(self) -> Learned:
        """Of no rows."""
        return Learned.nothing(self.settings)

    def add_input(self, accumulator: Learned, element: Batch) -> Learned:
        """One batch more."""
        accumulator.take(element.rows, self.settings)
        accumulator.rejects = accumulator.rejects.merge(element.rejects)
        return accumulator

    def merge_accumulators(self, accumulators: Any) -> Learned:
        """One of all."""
        out = self.create_accumulator()
        for accumulator in accumulators:
            out.add(accumulator)
        return out

    def extract_output(self, accumulator: Learned) -> Learned:
        """As it is."""
        return accumulator

    def get_accumulator_coder(self) -> LearnedCoder:
        """Their own bytes."""
        return LearnedCoder()


class MergeSummaries(beam.PTransform):  # type: ignore[misc]
    """Summaries of any windows, pipelines and days to one; with ``per_key`` one for each key.

    Examples
    --------
    >>> summaries | MergeSummaries() | SolveClusters(8)  # doctest: +SKIP
    """

    def __init__(self, *, per_key: bool = False, fanout: int | None = None) -> None:
        super().__init__()
        self.per_key, self.fanout = per_key, fanout

    def expand(self, pcoll: Any) -> Any:
        """One summary of each key and window."""
        return pcoll | "Merge" >> Combining(MergeFn(), self.per_key, self.fanout)


class MergeFn(beam.CombineFn):  # type: ignore[misc]
    """Summaries to one."""

    def create_accumulator(self) -> list[Learned]:
        """Nothing yet, as settings are those of the first."""
        return []

    def add_input(self, accumulator: list[Learned], element: Learned) -> list[Learned]:
        """One more."""
        if not accumulator:
            return [Learned(element.summary, element.rejects)]
        accumulator[0].add(element)
        return accumulator

    def merge_accumulators(self, accumulators: Any) -> list[Learned]:
        """One of all."""
        out: list[Learned] = []
        for accumulator in accumulators:
            for element in accumulator:
                out = self.add_input(out, element)
        return out

    def extract_output(self, accumulator: list[Learned]) -> Learned:
        """The only one."""
        return accumulator[0]

    def get_accumulator_coder(self) -> Any:
        """A list of none or one."""
        return beam.coders.IterableCoder(LearnedCoder())


class Summarise(beam.PTransform):  # type: ignore[misc]
    """Rows to their summary, one for each window, and with ``per_key`` for each key of (key, row).

    Parameters are those of :class:`FitClusters`.
    """

    def __init__(
        self,
        fields: Fields | None = None,
        *,
        settings: SummarySettings | None = None,
        per_key: bool = False,
        fanout: int | None = None,
        n_features: int | None = None,
        batch_rows: int = BATCH_ROWS,
        is_batched: bool = False,
    ) -> None:
        super().__init__()
        self.fields, self.settings = fields or Fields(), settings or SummarySettings()
        self.settings.new()  # wrong settings are an error now, not in a worker
        self.per_key, self.fanout, self.with_dead = per_key, fanout, False
        self._reading: dict[str, Any] = {
            "width": n_features,
            "timed": self.settings.half_life is not None,
            "per_key": per_key,
            "batch_rows": batch_rows,
            "is_batched": is_batched,
        }

    def with_dead_letters(self) -> Summarise:
        """Answer a pair: the summaries, and a PCollection of :class:`~shoal.engines.beam.elements.DeadLetter`."""
        self.with_dead = True
        return self

    def expand(self, pcoll: Any) -> Any:
        """One :class:`~shoal.engines.beam.coders.Learned` for each key and window that has rows."""
        read = batches_of(pcoll, self.fields, **self._reading)
        rows = read[ROWS] if self.per_key else read[ROWS] | "Rows" >> beam.Values()
        found = rows | "Combine" >> Combining(SummaryFn(self.settings), self.per_key, self.fanout)
        return (found, read[DEAD]) if self.with_dead else found


class Combining(beam.PTransform):  # type: ignore[misc]
    """A combine to :class:`~shoal.engines.beam.coders.Learned`, for all or for each key, with partial results where keys are hot."""

    def __init__(self, fn: beam.CombineFn, per_key: bool, fanout: int | None) -> None:
        super().__init__()
        self.fn, self.per_key, self.fanout = fn, per_key, fanout

    def expand(self, pcoll: Any) -> Any:
        """Nothing for a window without elements."""
        if self.per_key:
            combine = beam.CombinePerKey(self.fn)
            return pcoll | (combine.with_hot_key_fanout(self.fanout) if self.fanout else combine)
        combine = beam.CombineGlobally(self.fn).without_defaults()
        found = pcoll | (combine.with_fanout(self.fanout) if self.fanout else combine)
        return found | "Typed" >> beam.Map(_same).with_output_types(Learned)


def _same(value: Any) -> Any:
    return value
