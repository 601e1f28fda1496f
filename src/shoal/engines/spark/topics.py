"""Topics of a column of texts: ``fit_topics`` by one pass over a DataFrame, ``assign_topics`` by an Arrow function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from shoal.engines.spark import jobs
from shoal.engines.spark.columns import check_free, quoted
from shoal.engines.topic_labels import TopicLabeller, labeller_of
from shoal.engines.topics import (
    TextBatch,
    TopicOptions,
    TopicShare,
    chosen_options,
    embedded,
)
from shoal.errors import BadInputError, Rejects
from shoal.features.columns import numbers
from shoal.text.loaded import loaded
from shoal.text.text_input import EMPTY, texts_of
from shoal.text.topic_model import TopicModel

_LABEL = "struct<topic: int, topic_name: string, similarity: double, outlier_score: double>"
_FIELDS = ("topic", "topic_name", "similarity", "outlier_score")
_MADE = "_shoal_topic_51b1"
"""A column that nobody has."""
_TIMES = ("timestamp", "timestamp_ntz", "date")
_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double")
_WHOLE = _NUMBERS[:4]
LARGEST_WEIGHT = 1e100


def fit_topics(
    df: Any,
    textCol: str = "text",
    *,
    n_topics: int | tuple[int, int] | Literal["auto"] = "auto",
    embedder: str | None = None,
    idCol: str | None = None,
    timeCol: str | None = None,
    weightCol: str | None = None,
    settings: TopicOptions | None = None,
) -> TopicModel:
    """Topics of the texts of a DataFrame, by one pass: workers embed and summarise, the driver solves.

    Parameters
    ----------
    df : classic or Connect DataFrame. Null and blank texts are left out and counted in ``rejects_``, and so are rows whose id,
        time or weight cannot be used.
    n_topics : a number, a range such as ``(5, 40)``, or ``"auto"``: 5 to 100, as the silhouette finds them.
    embedder : name or directory of a language model, see :func:`~shoal.text.embedding.load_embedder`; loaded once for each
        Python worker.
    idCol : whole numbers or texts that name each row for ever. With them the sample does not depend on partitions; without, a
        row is named by its partition, its place there and its text.
    timeCol : timestamps, dates or seconds; needed where texts are forgotten, and for :meth:`TopicModel.over_time`.
    settings : all else.

    Raises
    ------
    BadInputError : a column that is missing or of another type, no texts at all.
    ShoalError : the language model cannot be loaded by a worker, or workers have different ones.

    Examples
    --------
    >>> model = fit_topics(df, "title", n_topics=20, idCol="id")  # doctest: +SKIP
    >>> assign_topics(df, model, "title").groupBy("topic_name").count().show()  # doctest: +SKIP
    """
    options = chosen_options(settings, n_topics, embedder)
    if options.half_life is not None and timeCol is None:
        raise BadInputError("texts are forgotten by their time", remedy="name the column: timeCol=...")
    columns = _TextColumns(textCol, idCol, timeCol, weightCol)
    _check(df.schema, columns)
    chosen = df.select(*[F.col(quoted(name)) for name in columns.names()])
    share = _joined(reply for _, reply in jobs.run(chosen, _TopicWork(columns, options), join=_JoinShares()))
    if share is None or not share.summary.vectors.weight > 0:
        left_out = share.rejects.counts if share is not None else {}
        said = f"there are no texts ({', '.join(left_out)})" if left_out else "there are no texts"
        raise BadInputError(said, place="the DataFrame", remedy="check its filter and its source")
    return share.model(options)


def assign_topics(
    df: Any,
    model: TopicModel,
    textCol: str = "text",
    *,
    embedder: str | None = None,
    topicCol: str = "topic",
    nameCol: str = "topic_name",
    similarityCol: str = "similarity",
    outlierCol: str = "outlier_score",
) -> Any:
    """The DataFrame with columns for the topic of each text; nulls where there is no text.

    Parameters
    ----------
    embedder : its name on the workers; default: as the model has it.
    topicCol, nameCol : id and name of the topic; -1 and null of outliers, where the model has a threshold.
    similarityCol : cosine similarity to the centre of the nearest cluster.
    outlierCol : in [0, 1], the share of all texts learned that lie less far out. An empty name leaves a column out.

    Raises
    ------
    BadInputError : no such column, one that holds no texts, or ours are there already.
    """
    _check(df.schema, _TextColumns(textCol))
    outputs = zip(_FIELDS, (topicCol, nameCol, similarityCol, outlierCol), strict=True)
    wanted = [(field, name) for field, name in outputs if name]
    names = [name for _, name in wanted]
    if len(set(names)) < len(names):
        raise BadInputError(f"two columns of ours are called alike: {', '.join(names)}", remedy="rename one")
    check_free(df, names)
    label = F.arrow_udf(_labels(TopicLabeller.of(model, embedder).to_bytes()), _LABEL)
    labelled = df.withColumn(_MADE, label(F.col(quoted(textCol))))
    ours = [F.col(_MADE).getField(field).alias(name) for field, name in wanted]
    return labelled.select(*[F.col(quoted(name)) for name in df.columns], *ours)


@dataclass(frozen=True)
class _TextColumns:
    text: str
    id: str | None = None
    time: str | None = None
    weight: str | None = None

    def names(self) -> list[str]:
        """Columns to read, each once."""
        return list(dict.fromkeys(n for n in (self.text, self.id, self.time, self.weight) if n is not None))


@dataclass(frozen=True)
class _TopicWork:
    """Embed the texts of a partition and summarise them; an empty partition answers nothing."""

    columns: _TextColumns
    options: TopicOptions

    def __call__(self, partition: int, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
        """One reply: the bytes of a share."""
        share, rows = TopicShare(self.options.new()), 0
        for batch in batches:
            if batch.num_rows:
                share.take(self._read(batch, partition, rows))
            rows += batch.num_rows
        if rows:
            yield share.to_bytes()

    def _read(self, batch: pa.RecordBatch, partition: int, before: int) -> TextBatch:
        """The texts of a batch that can be used, with their vectors."""
        c, rejects = self.columns, Rejects()
        found = texts_of(batch.column(c.text))
        times, weights = _times(batch, c.time), _weights(batch, c.weight)
        wrong = {
            EMPTY: ~np.isin(np.arange(batch.num_rows), found.kept),
            "the event time is null or not finite": _not_finite(times),
            "the weight is null, NaN, negative or infinite": _not_finite(weights),
            "the id is null": None if c.id is None else ~_valid(batch.column(c.id)),
        }
        usable = np.ones(batch.num_rows, np.bool_)
        for reason, rows in wrong.items():
            if rows is not None and (rows & usable).any():
                first = before + int(np.flatnonzero(rows & usable)[0]) + 1
                rejects.add(reason, int((rows & usable).sum()), f"row {first} of partition {partition}")
                usable &= ~rows
        at = np.flatnonzero(usable)
        texts = [text for text, i in zip(found.texts, found.kept.tolist(), strict=True) if usable[i]]
        embedder = loaded(self.options.embedder, self.options.device)
        made = embedded(embedder, texts)
        for i, reason in made.refused.items():
            rejects.add(reason, 1, f"row {before + int(at[i]) + 1} of partition {partition}")
        at, texts = at[made.kept], [texts[i] for i in made.kept]
        return TextBatch(
            made.X,
            texts,
            (embedder.name, embedder.fingerprint),
            self._ids(batch, at, texts, f"{partition} {before}"),
            None if weights is None else weights[at].tolist(),
            None if times is None else times[at].tolist(),
            rejects,
        )

    def _ids(
        self, batch: pa.RecordBatch, at: NDArray[np.intp], texts: list[str], place: str
    ) -> list[int | str]:
        """Those that were given; else the place of each row and its text, as other days have rows at the same places."""
        if self.columns.id is None:
            return [f"{place} {i} {text}" for i, text in zip(at.tolist(), texts, strict=True)]
        given: list[int | str] = batch.column(self.columns.id).take(pa.array(at)).to_pylist()
        return given


@dataclass(frozen=True)
class _JoinShares:
    """Merge what partitions answered."""

    def __call__(self, replies: Iterable[bytes]) -> bytes:
        """One reply of the same kind."""
        found = _joined(replies)
        if found is None:
            raise BadInputError("nothing to merge")
        return found.to_bytes()


def _joined(replies: Iterable[bytes]) -> TopicShare | None:
    out: TopicShare | None = None
    for reply in replies:
        share = TopicShare.from_bytes(reply)
        if out is None:
            out = share
        else:
            out.add(share)
    return out


def _labels(labeller: bytes) -> Callable[[pa.Array], pa.Array]:
    """An Arrow function of the texts: structs of topic, name, similarity and outlier score."""

    def label(texts: pa.Array) -> pa.Array:
        by = labeller_of(labeller)
        given = texts_of(texts)
        found = by.labels(given.texts, loaded(by.embedder, by.device))
        at = given.kept[found.kept]
        missing = np.ones(len(texts), np.bool_)
        missing[at] = False
        names: list[str | None] = [None] * len(texts)
        for i, name in zip(at.tolist(), found.names, strict=True):
            names[i] = name or None
        columns = [pa.array(_spread(found.topics, at, len(texts)).astype(np.int32), mask=missing)]
        columns.append(pa.array(names, pa.string()))
        rest = (found.similarities, found.outlier_scores)
        columns += [pa.array(_spread(values, at, len(texts)), mask=missing) for values in rest]
        return pa.StructArray.from_arrays(columns, names=list(_FIELDS))

    return label


def _spread(values: NDArray[Any], at: NDArray[np.intp], n: int) -> NDArray[Any]:
    out = np.zeros(n, values.dtype)
    out[at] = values
    return out


def _times(batch: pa.RecordBatch, name: str | None) -> NDArray[np.float64] | None:
    """Seconds; NaN for null."""
    if name is None:
        return None
    column = batch.column(name)
    if not pa.types.is_temporal(column.type):
        return numbers(column, name)[0]
    zone = getattr(column.type, "tz", None)
    return numbers(column.cast(pa.timestamp("us", zone)).cast(pa.int64()), name)[0] / 1e6


def _weights(batch: pa.RecordBatch, name: str | None) -> NDArray[np.float64] | None:
    """NaN for what is no weight."""
    if name is None:
        return None
    values = numbers(batch.column(name), name)[0]
    return np.where((values >= 0) & (values <= LARGEST_WEIGHT), values, np.nan)


def _not_finite(values: NDArray[np.float64] | None) -> NDArray[np.bool_] | None:
    return None if values is None else ~np.isfinite(values)


def _valid(column: Any) -> NDArray[np.bool_]:
    return np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False), np.bool_)


def _check(schema: Any, columns: _TextColumns) -> None:
    """Look at names and types only.

    Raises
    ------
    BadInputError : a column that is not there, or of a type that cannot be used; with the remedy.
    """
    types = {field.name: field.dataType.simpleString() for field in schema.fields}
    allowed = {
        columns.text: (("string",), "give a column of texts"),
        columns.id: ((*_WHOLE, "string"), "ids are whole numbers or texts; cast it first"),
        columns.time: ((*_TIMES, *_NUMBERS), "an event time is a timestamp, a date or seconds as a number"),
        columns.weight: (_NUMBERS, "weights are numbers; cast it first"),
    }
    for name, (kinds, remedy) in allowed.items():
        if name is None:
            continue
        if name not in types:
            raise BadInputError.unknown_column(name, list(types), place="the DataFrame")
        kind = types[name].partition("(")[0]  # varchar and char have a length
        if kind not in kinds and not (kind in ("varchar", "char") and "string" in kinds):
            raise BadInputError(f"is {types[name]}", place=f"column {name!r}", remedy=remedy)
