"""``FitTopics``: the topics of the texts of every key and window, in batch and streaming alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue

from shoal.engines.beam.batches import BATCH_ROWS, Gathering, Group
from shoal.engines.beam.elements import DEAD, NAMESPACE, ROWS, DeadLetter, keyed
from shoal.engines.beam.rows import Fields
from shoal.engines.beam.text_rows import checked_fields, new_ids, read_rows
from shoal.engines.beam.topic_coders import TopicShareCoder
from shoal.engines.topics import TextBatch, TopicOptions, TopicShare, chosen_options, embedded
from shoal.errors import BadInputError, Rejects
from shoal.text.loaded import loaded
from shoal.text.topic_model import TopicModel


class FitTopics(beam.PTransform):  # type: ignore[misc]
    """Texts to a :class:`~shoal.text.topic_model.TopicModel`: for each window and trigger firing, and with ``per_key`` for each key.

    Workers embed and summarise the texts they have, summaries are merged on the way and solved at the end.

    Parameters
    ----------
    n_topics : a number, a range such as ``(5, 40)``, or ``"auto"``: 5 to 100, as the silhouette finds them.
    fields : where the text is in an element that is none itself (default: the field ``text``), and its id, weight and time:
        ``Fields(("title",), id="id")``. With ids the sample does not depend on how texts were spread over workers; without,
        each is named by chance.
    embedder : name or directory of a language model, see :func:`~shoal.text.embedding.load_embedder`; loaded once for each
        worker process.
    settings : all else, see :class:`~shoal.engines.topics.TopicOptions`. With a half-life texts count by their event time.
    per_key : the input is pairs of key and element; the output pairs of key and model.

    Raises
    ------
    BadInputError : settings that make no sense. Elements that hold no text are left out, counted in the model and in the metric
        ``shoal/refused``, and handed out by :meth:`with_dead_letters`.

    Examples
    --------
    >>> with beam.Pipeline() as pipeline:
    ...     texts = pipeline | beam.Create(["lost card", "card lost", "exchange rate"])
    ...     model = texts | FitTopics(2, embedder="hashed:64")
    ...     _ = model | beam.Map(lambda model: print([topic.name for topic in model.topics_]))
    ['card · lost', 'exchange rate']
    """

    def __init__(
        self,
        n_topics: int | tuple[int, int] | Literal["auto"] = "auto",
        fields: Fields | None = None,
        *,
        embedder: str | None = None,
        settings: TopicOptions | None = None,
        per_key: bool = False,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        super().__init__()
        self.options = chosen_options(settings, n_topics, embedder)
        self.fields, self.per_key = checked_fields(fields), per_key
        self.batch_rows, self.with_dead = batch_rows, False

    def with_dead_letters(self) -> FitTopics:
        """Answer a pair: the models, and a PCollection of :class:`~shoal.engines.beam.elements.DeadLetter`."""
        self.with_dead = True
        return self

    def expand(self, pcoll: Any) -> Any:
        """One model for each key and window that has texts."""
        read = EmbedTexts(self.fields, self.options, per_key=self.per_key, batch_rows=self.batch_rows)
        kind = tuple[Any, TextBatch]
        found = pcoll | "Embed" >> beam.ParDo(read).with_output_types(kind).with_outputs(DEAD, main=ROWS)
        fn = TopicShareFn(self.options)
        if self.per_key:
            shares = found[ROWS] | "Combine" >> beam.CombinePerKey(fn)
        else:
            batches = found[ROWS] | "Batches" >> beam.Values().with_output_types(TextBatch)
            shares = batches | "Combine" >> beam.CombineGlobally(fn).without_defaults()
        made = tuple[Any, TopicModel] if self.per_key else TopicModel
        solve = beam.ParDo(SolveTopics(self.options, per_key=self.per_key)).with_output_types(made)
        models = shares | "Solve" >> solve
        return (models, found[DEAD]) if self.with_dead else models


class EmbedTexts(beam.DoFn):  # type: ignore[misc]
    """Elements, or with ``per_key`` pairs of key and element, to (key, :class:`~shoal.engines.topics.TextBatch`); the key is None without keys.

    Refused elements go to the output ``dead_letters``, and are counted in the metric ``shoal/refused``.
    """

    def __init__(self, fields: Fields, options: TopicOptions, *, per_key: bool, batch_rows: int) -> None:
        self.fields, self.options = fields, options
        self.per_key, self.batch_rows = per_key, batch_rows
        self.seen, self.refused = Metrics.counter(NAMESPACE, "rows"), Metrics.counter(NAMESPACE, "refused")

    def start_bundle(self) -> None:
        """Nothing waits yet."""
        self._waiting = Gathering(self.batch_rows)

    def process(
        self, element: Any, stamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterable[Any] | None:
        """Keep it, and embed when there are enough."""
        try:
            key, element = keyed(element) if self.per_key else (None, element)
        except BadInputError as error:
            return [self._dead(Group(None, window, [element], [stamp], []), 0, error.problem)]
        full = self._waiting.add(key, window, element, stamp)
        return None if full is None else self._read(full)

    def finish_bundle(self) -> Iterator[Any]:
        """Embed what waits."""
        for group in self._waiting.rest():
            yield from self._read(group)

    def _read(self, group: Group) -> Iterator[Any]:
        stamps = group.seconds()
        timed = self.options.half_life is not None
        found = read_rows(group.elements, self.fields, stamps, timed=timed)
        refused = dict(found.refused)
        embedder = loaded(self.options.embedder, self.options.device)
        made = embedded(embedder, [row.text for row in found.rows])
        refused |= {found.kept[i]: reason for i, reason in made.refused.items()}
        rows = [found.rows[i] for i in made.kept]
        self.seen.inc(len(rows))
        rejects = Rejects()
        for position, reason in sorted(refused.items()):
            rejects.add(reason, 1, "an element")
            yield self._dead(group, position, reason)
        ids = new_ids(len(rows)) if self.fields.id is None else [row.id for row in rows if row.id is not None]
        times = [row.time for row in rows]
        batch = TextBatch(
            made.X,
            [row.text for row in rows],
            (embedder.name, embedder.fingerprint),
            ids,
            None if self.fields.weight is None else [row.weight for row in rows],
            times if any(time == time for time in times) else None,
            rejects,
        )
        yield WindowedValue((group.key, batch), max(group.stamps), (group.window,))

    def _dead(self, group: Group, position: int, reason: str) -> Any:
        self.refused.inc()
        dead = DeadLetter(group.elements[position], reason, group.key)
        return beam.pvalue.TaggedOutput(DEAD, WindowedValue(dead, group.stamps[position], (group.window,)))


@beam.typehints.with_input_types(TextBatch)
@beam.typehints.with_output_types(TopicShare)
class TopicShareFn(beam.CombineFn):  # type: ignore[misc]
    """Batches of texts to one share. The runner owns the accumulators, so a bundle that is done again counts once."""

    def __init__(self, options: TopicOptions) -> None:
        self.options = options

    def create_accumulator(self) -> TopicShare:
        """Of no texts."""
        return TopicShare(self.options.new())

    def add_input(self, accumulator: TopicShare, element: TextBatch) -> TopicShare:
        """One batch more."""
        accumulator.take(element)
        return accumulator

    def merge_accumulators(self, accumulators: Any) -> TopicShare:
        """One of all."""
        out = self.create_accumulator()
        for accumulator in accumulators:
            out.add(accumulator)
        return out

    def extract_output(self, accumulator: TopicShare) -> TopicShare:
        """As it is."""
        return accumulator

    def get_accumulator_coder(self) -> TopicShareCoder:
        """Their own bytes."""
        return TopicShareCoder()


class SolveTopics(beam.DoFn):  # type: ignore[misc]
    """Shares to models; none of a share without texts, or whose texts weigh nothing."""

    def __init__(self, options: TopicOptions, *, per_key: bool) -> None:
        self.options, self.per_key = options, per_key

    def process(self, element: Any) -> Iterator[Any]:
        """At most one model."""
        key, share = element if self.per_key else (None, element)
        if share.summary.vectors.weight > 0:
            model = share.model(self.options)
            yield (key, model) if self.per_key else model
