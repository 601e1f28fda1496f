"""The first step of every transform: elements to arrays in batches; those that cannot be used leave by a door of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from shoal.engines.beam.batches import BATCH_ROWS, Gathering, Group
from shoal.engines.beam.rows import ElementReader, Fields, Read
from shoal.engines.shares import RowBatch
from shoal.errors import BadInputError, Rejects

ROWS, DEAD = "rows", "dead_letters"
NAMESPACE = "shoal"


class DeadLetter(NamedTuple):
    """An element that could not be used."""

    element: Any
    reason: str
    key: Any = None


class Batch(NamedTuple):
    """Rows of one key and window."""

    rows: RowBatch
    rejects: Rejects
    """Elements of the same bundle that were refused."""
    elements: list[Any] | None = None
    """Those of the rows, where they are asked for."""
    stamps: list[int] | None = None
    """Beam's timestamps of the elements, microseconds."""


class ToBatches(beam.DoFn):  # type: ignore[misc]
    """Elements, or with ``per_key`` pairs of key and element, to (key, :class:`Batch`); the key is None without keys.

    Refused elements go to the output ``dead_letters``, and are counted in the metric ``shoal/refused``.
    """

    def __init__(
        self,
        fields: Fields,
        *,
        width: int | None = None,
        timed: bool = False,
        per_key: bool = False,
        batch_rows: int = BATCH_ROWS,
        is_batched: bool = False,
        keep_elements: bool = False,
    ) -> None:
        self.keep_elements = keep_elements
        self.fields, self.width, self.timed = fields, width, timed
        self.per_key, self.batch_rows, self.is_batched = per_key, batch_rows, is_batched
        self.seen, self.refused = Metrics.counter(NAMESPACE, "rows"), Metrics.counter(NAMESPACE, "refused")

    def start_bundle(self) -> None:
        """Nothing waits yet."""
        self._waiting = Gathering(self.batch_rows)
        self._widths: dict[Any, int | None] = {}

    def process(
        self, element: Any, stamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterable[Any] | None:
        """Keep it, and give a batch when there are enough."""
        try:
            key, element = keyed(element) if self.per_key else (None, element)
            rows = rows_of(element, self.fields, is_batched=self.is_batched)
        except BadInputError as error:
            self.refused.inc()
            return [_at(beam.pvalue.TaggedOutput(DEAD, DeadLetter(element, error.problem)), stamp, window)]
        if rows is None:
            full = self._waiting.add(key, window, element, stamp)
            return None if full is None else self._read(full)
        group = Group(key, window, rows, [stamp] * len(rows), [])
        return self._read(group) if rows else None

    def finish_bundle(self) -> Iterator[Any]:
        """Give what waits."""
        for group in self._waiting.rest():
            yield from self._read(group)

    def _read(self, group: Group) -> Iterator[Any]:
        reader = ElementReader(
            self.fields, self.width or self._widths.get((group.key, group.window)), timed=self.timed
        )
        found: Read = reader.read(group.elements, group.seconds() if self.timed else None)
        self._widths[(group.key, group.window)] = reader.width
        self.seen.inc(len(found.rows.X))
        rejects = Rejects()
        for position, reason in found.refused:
            self.refused.inc()
            rejects.add(reason, 1, "an element")
            dead = DeadLetter(group.elements[position], reason, group.key)
            yield _at(beam.pvalue.TaggedOutput(DEAD, dead), group.stamps[position], group.window)
        # as late as the latest of them: nothing of a batch holds the watermark back longer than its elements did
        yield _at((group.key, self._batch(group, found, rejects)), max(group.stamps), group.window)

    def _batch(self, group: Group, found: Read, rejects: Rejects) -> Batch:
        if not self.keep_elements:
            return Batch(found.rows, rejects)
        kept = found.rows.kept.tolist()
        elements, stamps = [group.elements[i] for i in kept], [group.stamps[i].micros for i in kept]
        return Batch(found.rows, rejects, elements, stamps)


class ToBatchesGlobally(ToBatches):
    """The same where all is one window and times mean nothing: without them Beam hands over an element in half the time."""

    def start_bundle(self) -> None:
        """Nothing waits yet."""
        super().start_bundle()
        self._bundle: list[Any] = []

    def process(self, element: Any) -> Iterable[Any] | None:  # type: ignore[override]
        """Keep it, and give a batch when there are enough."""
        if self.is_batched or is_table(element):
            return super().process(element, _END, _GLOBAL)
        self._bundle.append(element)
        return self._all() if len(self._bundle) >= self.batch_rows else ()

    def finish_bundle(self) -> Iterator[Any]:
        """Give what waits."""
        return self._all()

    def _all(self) -> Iterator[Any]:
        elements, self._bundle = self._bundle, []
        if elements:
            yield from self._read(Group(None, _GLOBAL, elements, [_END] * len(elements), []))


def batches_of(pcoll: Any, fields: Fields, **reading: Any) -> Any:
    """The outputs ``rows`` and ``dead_letters`` of a collection, by the fastest reader there is for its windows.

    Parameters
    ----------
    reading : those of :class:`ToBatches`.
    """
    plain = pcoll.is_bounded and pcoll.windowing.is_default()
    plain = plain and not (reading.get("per_key") or reading.get("timed"))
    reader = (ToBatchesGlobally if plain else ToBatches)(fields, **reading)
    return pcoll | "Read" >> beam.ParDo(reader).with_outputs(DEAD, main=ROWS)


_GLOBAL = GlobalWindow()
_END = _GLOBAL.max_timestamp()


def _at(value: Any, stamp: Any, window: Any) -> Any:
    if isinstance(value, beam.pvalue.TaggedOutput):
        return beam.pvalue.TaggedOutput(value.tag, WindowedValue(value.value, stamp, (window,)))
    return WindowedValue(value, stamp, (window,))


def keyed(element: Any) -> tuple[Any, Any]:
    """Key and row of an element.

    Raises
    ------
    BadInputError : it is no pair, or its key is none that Beam can group by.
    """
    try:
        key, row = element
        hash(key)
    except (TypeError, ValueError):
        raise BadInputError("is no pair of key and row") from None
    return key, row


def is_table(element: Any) -> bool:
    """Whether an element is a batch without being told: a 2-d array or a data frame."""
    return hasattr(element, "itertuples") or (isinstance(element, np.ndarray) and element.ndim == 2)


_ROWS = frozenset((tuple, list, dict))
"""What elements are as a rule, told apart in no time."""


def rows_of(element: Any, fields: Fields, *, is_batched: bool) -> list[Any] | None:
    """The rows of an element that is a batch; None of one that is a row.

    Rows of a data frame are dicts where ``fields`` has names to look for, else tuples in the order of its columns.

    Raises
    ------
    BadInputError : it should be a batch, and is none.
    """
    if type(element) in _ROWS and not is_batched:
        return None
    if hasattr(element, "itertuples"):
        named = fields.features or fields.weight or fields.id or fields.time
        return list(element.to_dict("records") if named else element.itertuples(index=False, name=None))
    if not (is_batched or is_table(element)):
        return None
    try:
        return list(element)
    except TypeError:
        raise BadInputError(f"{type(element).__name__} is no batch of rows") from None
