"""``AssignTopics``: the topics of texts by a model that is there, or that the same pipeline makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from shoal.engines.beam.assign import LABELS, NO_MODEL, NOTHING_LEARNED
from shoal.engines.beam.batches import BATCH_ROWS, Gathering, Group
from shoal.engines.beam.elements import DEAD, NAMESPACE, DeadLetter, keyed
from shoal.engines.beam.rows import Fields
from shoal.engines.beam.text_rows import checked_fields, read_rows
from shoal.engines.topic_labels import TopicLabeller, labeller_of
from shoal.errors import BadInputError
from shoal.text.loaded import loaded
from shoal.text.topic_model import TopicModel


class TopicLabel(NamedTuple):
    """What an element is told."""

    element: Any
    """As it came: the text, or what holds it."""
    topic: int
    """Id of the topic; -1 of outliers, where the model has a threshold."""
    name: str
    """Of the topic; empty of outliers."""
    similarity: float
    """Cosine similarity to the centre of the nearest cluster."""
    outlier_score: float
    """In [0, 1]: the share of all texts learned that lie less far out."""


class AssignTopics(beam.PTransform):  # type: ignore[misc]
    """Texts to :class:`TopicLabel`; with ``per_key`` to pairs of key and label.

    Workers get the centres and names of the topics, not the sample of texts.

    Parameters
    ----------
    model : a :class:`~shoal.text.topic_model.TopicModel`, or ``AsSingleton(models)`` of this pipeline; with ``per_key`` a dict
        of them by key, or ``AsDict(models)``. A side input is that of the text's window.
    fields : where the text is in an element that is none itself; default: the field ``text``.
    embedder : its name on the workers; default: as the model has it.
    per_key : elements are pairs of key and element; results too.

    Raises
    ------
    BadInputError : no model is given. Elements that hold no text are counted in the metric ``shoal/refused``, and handed out by
        :meth:`with_dead_letters`.

    Examples
    --------
    >>> texts = ["lost card", "card lost", "exchange rate", "what exchange rate"]
    >>> model = TopicModel(2, embedder="hashed:64").fit(texts)
    >>> with beam.Pipeline() as pipeline:
    ...     found = pipeline | beam.Create(["my lost card"]) | AssignTopics(model)
    ...     _ = found | beam.Map(lambda label: print(label.element, "->", label.name))
    my lost card -> card · lost
    """

    def __init__(
        self,
        model: Any,
        fields: Fields | None = None,
        *,
        embedder: str | None = None,
        per_key: bool = False,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        super().__init__()
        if not isinstance(model, (Mapping if per_key else TopicModel, beam.pvalue.AsSideInput)):
            raise BadInputError(
                f"the model is a {type(model).__name__}",
                remedy="give AsDict(models) or a dict of models"
                if per_key
                else "give a model or AsSingleton(models)",
            )
        self.per_key, self.embedder, self.with_dead = per_key, embedder, False
        self.model = model
        self._label = LabelTexts(checked_fields(fields), per_key=per_key, batch_rows=batch_rows)

    def with_dead_letters(self) -> AssignTopics:
        """Answer a pair: the labels, and a PCollection of :class:`~shoal.engines.beam.elements.DeadLetter`."""
        self.with_dead = True
        return self

    def expand(self, pcoll: Any) -> Any:
        """Labels, in the windows and with the timestamps of their elements."""
        label = beam.ParDo(self._label, self._labellers()).with_outputs(DEAD, main=LABELS)
        found = pcoll | "Label" >> label
        return (found[LABELS], found[DEAD]) if self.with_dead else found[LABELS]

    def _labellers(self) -> Any:
        """What labels, as bytes: far smaller than the models, and read once for each process."""
        model, embedder = self.model, self.embedder
        if isinstance(model, TopicModel):
            return _packed(model, embedder)
        if isinstance(model, Mapping):
            return {key: _packed(value, embedder) for key, value in model.items()}
        if self.per_key:
            pack = beam.MapTuple(lambda key, value: (key, _packed(value, embedder)))
            return type(model)(model.pvalue | "Pack" >> pack.with_output_types(tuple[Any, bytes]))
        pack = beam.Map(_packed, embedder).with_output_types(bytes)
        return type(model)(model.pvalue | "Pack" >> pack)


class LabelTexts(beam.DoFn):  # type: ignore[misc]
    """Labels elements in batches."""

    def __init__(self, fields: Fields, *, per_key: bool, batch_rows: int) -> None:
        self.fields, self.per_key, self.batch_rows = fields, per_key, batch_rows
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
        except BadInputError as error:
            return [self._dead(Group(None, window, [element], [stamp], []), 0, error.problem)]
        if self.per_key:
            model = model.get(key)
        elif not isinstance(model, bytes):  # an empty side input
            if isinstance(window, GlobalWindow):
                raise BadInputError(
                    "there are no topics: not one text could be learned from",
                    remedy="look at the dead letters of FitTopics, and at the names in Fields",
                )
            model = None
        full = self._waiting.add(key, window, element, stamp, model)
        return None if full is None else self._labelled(full)

    def finish_bundle(self) -> Iterator[Any]:
        """Label what waits."""
        for group in self._waiting.rest():
            yield from self._labelled(group)

    def _labelled(self, group: Group) -> Iterator[Any]:
        if group.extra[0] is None:
            reason = NO_MODEL if self.per_key else NOTHING_LEARNED
            for i in range(len(group.elements)):
                yield self._dead(group, i, reason)
            return
        labeller = labeller_of(group.extra[0])
        found = read_rows(group.elements, Fields(self.fields.features))
        texts = [row.text for row in found.rows]
        labels = labeller.labels(texts, loaded(labeller.embedder, labeller.device))
        for position, reason in found.refused:
            yield self._dead(group, position, reason)
        for i, reason in labels.refused.items():
            yield self._dead(group, found.kept[i], reason)
        topics, near, odd = (
            values.tolist() for values in (labels.topics, labels.similarities, labels.outlier_scores)
        )
        for i, *told in zip(labels.kept, topics, labels.names, near, odd, strict=True):
            position = found.kept[i]
            label = TopicLabel(group.elements[position], *told)
            value = (group.key, label) if self.per_key else label
            yield WindowedValue(value, group.stamps[position], (group.window,))

    def _dead(self, group: Group, position: int, reason: str) -> Any:
        self.refused.inc()
        dead = DeadLetter(group.elements[position], reason, group.key)
        return beam.pvalue.TaggedOutput(DEAD, WindowedValue(dead, group.stamps[position], (group.window,)))


def _packed(model: TopicModel, embedder: str | None) -> bytes:
    return TopicLabeller.of(model, embedder).to_bytes()
