"""``FitClusters``: the clusters of every key and window, in batch and streaming alike."""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from shoal.engines.beam.batches import BATCH_ROWS
from shoal.engines.beam.rows import Fields
from shoal.engines.beam.solving import Solving, checked_k
from shoal.engines.beam.summaries import Summarise
from shoal.engines.shares import SummarySettings
from shoal.model.cluster_model import ClusterModel


class FitClusters(beam.PTransform):  # type: ignore[misc]
    """Rows to a model of their clusters: for each window and trigger firing, and with ``per_key`` for each key.

    Rows are summarised where they are, summaries are merged on the way and solved at the end, in batch and streaming alike. It needs no first guess: a bundle of one row is as good as any.

    Parameters
    ----------
    k : number of clusters, or the fewest and most; fewer, where fewer rows differ.
    fields : where the numbers are in an element; default: the element is the row.
    settings : size, seed and half-life of the summaries. With a half-life rows count by their event time.
    per_key : the input is pairs of key and row; the output pairs of key and model.
    fanout : so many partial summaries of each key and window before the last merge, for streams whose bundles are many and small.
        The local streaming runner loses late rows with it.
    n_features : numbers in a row; default as many as the first row of a bundle has.
    is_batched : elements are batches already: arrays (n, d), data frames, lists of rows. (2-d arrays and data frames are
        taken for batches without being told.)

    Raises
    ------
    BadInputError : settings that make no sense. Elements that cannot be used are left out, counted in the model's
        provenance and in the metric ``shoal/refused``, and handed out by :meth:`with_dead_letters`.

    Examples
    --------
    >>> with beam.Pipeline() as pipeline:
    ...     rows = pipeline | beam.Create([(0.0, 1.0), (0.0, 2.0), (9.0, 9.0)])
    ...     _ = rows | FitClusters(2) | beam.Map(lambda model: print(model.weights.tolist()))
    [2.0, 1.0]
    """

    def __init__(
        self,
        k: int | tuple[int, int],
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
        self._summarise = Summarise(
            fields,
            settings=settings,
            per_key=per_key,
            fanout=fanout,
            n_features=n_features,
            batch_rows=batch_rows,
            is_batched=is_batched,
        )
        self._solve = SolveClusters(k, self._summarise.fields, per_key=per_key)

    def with_dead_letters(self) -> FitClusters:
        """Answer a pair: the models, and a PCollection of :class:`~shoal.engines.beam.elements.DeadLetter`."""
        self._summarise.with_dead_letters()
        return self

    def expand(self, pcoll: Any) -> Any:
        """The models."""
        found = pcoll | "Summarise" >> self._summarise
        if not self._summarise.with_dead:
            return found | "Solve" >> self._solve
        summaries, dead = found
        return summaries | "Solve" >> self._solve, dead


class SolveClusters(beam.PTransform):  # type: ignore[misc]
    """Summaries to models; any k, without another look at the rows.

    Parameters
    ----------
    k : number of clusters, or the fewest and most.
    fields : those of the rows, so that the model knows its columns.
    per_key : elements are pairs of key and summary.
    """

    def __init__(
        self, k: int | tuple[int, int], fields: Fields | None = None, *, per_key: bool = False
    ) -> None:
        super().__init__()
        self.k, self.fields, self.per_key = checked_k(k), fields or Fields(), per_key

    def expand(self, pcoll: Any) -> Any:
        """One model for each summary that has rows."""
        solve = beam.ParDo(SolveFn(Solving(self.k, self.fields), per_key=self.per_key))
        kind = tuple[Any, ClusterModel] if self.per_key else ClusterModel
        return pcoll | "Solve" >> solve.with_output_types(kind)


class SolveFn(beam.DoFn):  # type: ignore[misc]
    """Summary to model."""

    def __init__(self, solving: Solving, *, per_key: bool) -> None:
        self.solving, self.per_key = solving, per_key

    def process(self, element: Any) -> Any:
        """None of a summary without rows, or whose rows weigh nothing."""
        key, learned = element if self.per_key else (None, element)
        if not learned.summary.weight > 0:
            return
        model = self.solving.first(learned).model
        yield (key, model) if self.per_key else model
