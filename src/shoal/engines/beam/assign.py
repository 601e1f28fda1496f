"""``AssignClusters``: the clusters of rows by a model that is there, or that the same pipeline makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import PredictionResult
from apache_beam.pvalue import EmptySideInput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from shoal.engines.beam.batches import BATCH_ROWS, Gathering, Group
from shoal.engines.beam.elements import DEAD, NAMESPACE, DeadLetter, keyed, rows_of
from shoal.engines.beam.labels import labels_of
from shoal.engines.beam.rows import ElementReader, Fields
from shoal.errors import BadInputError
from shoal.model.cluster_model import ClusterModel

LABELS = "labels"
NO_MODEL = "there is no model of its key"
NOTHING_LEARNED = "there is no model of its window: not one row could be learned from"


class AssignClusters(beam.PTransform):  # type: ignore[misc]
    """Rows to ``PredictionResult(example, inference, model_id)``; the inference is a
    :class:`~shoal.engines.beam.labels.ClusterLabel`, the id of a cluster that knows distance, outlier score and version.

    Parameters
    ----------
    model : a :class:`~shoal.model.cluster_model.ClusterModel`, or ``AsSingleton(models)`` of this pipeline; with ``per_key``
        a dict of them by key, or ``AsDict(models)``. A side input is that of the row's window.
    fields : where the numbers are in an element; default: the element is the row.
    per_key : elements are pairs of key and row; results too.
    model_id : what to write into results instead of the model's version.

    Raises
    ------
    BadInputError : no model is given. Elements that cannot be labelled are counted in the metric ``shoal/refused``, and handed
        out by :meth:`with_dead_letters`.

    Examples
    --------
    >>> from shoal.engines.beam.fit_clusters import FitClusters
    >>> with beam.Pipeline() as pipeline:
    ...     rows = pipeline | beam.Create([(0.0, 1.0), (0.0, 2.0), (9.0, 9.0)])
    ...     model = rows | FitClusters(2)
    ...     labelled = rows | AssignClusters(beam.pvalue.AsSingleton(model))
    ...     _ = labelled | beam.Filter(lambda r: r.inference == 1) | beam.Map(lambda r: print(r.example))
    (9.0, 9.0)
    """

    def __init__(
        self,
        model: Any,
        fields: Fields | None = None,
        *,
        per_key: bool = False,
        model_id: str | None = None,
        batch_rows: int = BATCH_ROWS,
        is_batched: bool = False,
    ) -> None:
        super().__init__()
        wanted = Mapping if per_key else ClusterModel
        if not isinstance(model, (wanted, beam.pvalue.AsSideInput)):
            raise BadInputError(
                f"the model is a {type(model).__name__}",
                remedy="give AsDict(models) or a dict of models"
                if per_key
                else "give a model or AsSingleton(models)",
            )
        self.model, self.with_dead = model, False
        self._assign = AssignFn(fields or Fields(), per_key, model_id, batch_rows, is_batched)

    def with_dead_letters(self) -> AssignClusters:
        """Answer a pair: the labels, and a PCollection of :class:`~shoal.engines.beam.elements.DeadLetter`."""
        self.with_dead = True
        return self

    def expand(self, pcoll: Any) -> Any:
        """Results, in the windows and with the timestamps of their elements."""
        found = pcoll | "Assign" >> beam.ParDo(self._assign, self.model).with_outputs(DEAD, main=LABELS)
        return (found[LABELS], found[DEAD]) if self.with_dead else found[LABELS]


class AssignFn(beam.DoFn):  # type: ignore[misc]
    """Labels elements in batches."""

    def __init__(
        self, fields: Fields, per_key: bool, model_id: str | None, batch_rows: int, is_batched: bool
    ) -> None:
        self.fields, self.per_key, self.model_id = fields, per_key, model_id
        self.batch_rows, self.is_batched = batch_rows, is_batched
        self.refused = Metrics.counter(NAMESPACE, "refused")

    def start_bundle(self) -> None:
        """Nothing waits yet."""
        self._waiting = Gathering(self.batch_rows)

    def process(
        self,
        element: Any,
        model: Any,
        stamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterable[Any] | None:
        """Keep it, and label when there are enough."""
        try:
            key, element = keyed(element) if self.per_key else (None, element)
            rows = rows_of(element, self.fields, is_batched=self.is_batched)
        except BadInputError as error:
            group = Group(None, window, [element], [stamp], [None])
            return [self._dead(group, 0, error.problem)]
        if self.per_key:
            model = model.get(key)
        elif not isinstance(model, ClusterModel):
            self._check(window, model)
            model = None
        if rows is not None:
            return self._labelled(Group(key, window, rows, [stamp] * len(rows), [model])) if rows else None
        full = self._waiting.add(key, window, element, stamp, model)
        return None if full is None else self._labelled(full)

    def finish_bundle(self) -> Iterator[Any]:
        """Label what waits."""
        for group in self._waiting.rest():
            yield from self._labelled(group)

    @staticmethod
    def _check(window: Any, model: Any) -> None:
        """A window may be without a model; a whole pipeline without one has read the wrong fields."""
        if not isinstance(model, EmptySideInput):
            raise BadInputError(
                f"the model is a {type(model).__name__}", remedy="give a model or AsSingleton(models)"
            )
        if isinstance(window, GlobalWindow):
            raise BadInputError(
                "there is no model: not one row could be learned from",
                remedy="look at the dead letters of FitClusters, and at the names in Fields",
            )

    def _labelled(self, group: Group) -> Iterator[Any]:
        model: ClusterModel | None = group.extra[0]
        if model is None:
            reason = NO_MODEL if self.per_key else NOTHING_LEARNED
            for i in range(len(group.elements)):
                yield self._dead(group, i, reason)
            return
        fields = self.fields
        cosine = model.metric == "cosine"
        need = Fields(fields.features, cosine=cosine)
        found = ElementReader(need, model.n_features).read(group.elements)
        for position, reason in found.refused:
            yield self._dead(group, position, reason)
        name, of_key, windows = self.model_id or model.version, self.per_key, (group.window,)
        elements, stamps = group.elements, group.stamps
        for position, label in zip(found.rows.kept.tolist(), labels_of(model, found.rows), strict=True):
            result = PredictionResult(elements[position], label, name)
            yield WindowedValue((group.key, result) if of_key else result, stamps[position], windows)

    def _dead(self, group: Group, position: int, reason: str) -> Any:
        self.refused.inc()
        dead = DeadLetter(group.elements[position], reason, group.key)
        return beam.pvalue.TaggedOutput(DEAD, WindowedValue(dead, group.stamps[position], (group.window,)))
