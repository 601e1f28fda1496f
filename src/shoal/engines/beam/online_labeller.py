"""What labels the rows of a stream: each shard holds the newest model, which comes by the same door as the rows.

Side inputs that change would do on some runners and block for ever on others; a Flatten works on all. Rows that come before the
first model wait in state, in the pipeline's own coder, up to a limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.coders import BytesCoder, Coder
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import PredictionResult
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from shoal.engines.beam.elements import DEAD, NAMESPACE, DeadLetter
from shoal.engines.beam.labels import NOT_YET, labels_of
from shoal.engines.beam.online_learner import AT_THE_END
from shoal.engines.beam.rows import ElementReader, Fields
from shoal.engines.beam.store import FileStore, store_of_key
from shoal.engines.shares import framed, unframed
from shoal.model.cluster_model import ClusterModel
from shoal.model.packed import pack_model, unpack_model

OPEN = 64
"""Models a worker holds ready; those of other keys are opened again from state."""


class Letter(NamedTuple):
    """Rows, or a model, on their way to the labeller of a shard."""

    number: int
    """Of the model; 0 for rows."""
    content: bytes


def packed_elements(elements: list[Any], stamps: list[int], coder: Coder) -> bytes:
    """Elements as the pipeline's own coder writes them, with Beam's timestamps in microseconds."""
    encoded = [coder.encode(element) for element in elements]
    return framed([stamps, [len(e) for e in encoded]], b"".join(encoded))


def unpacked_elements(content: bytes, coder: Coder) -> tuple[list[Any], list[int]]:
    """Inverse of :func:`packed_elements`."""
    (stamps, sizes), data = unframed(content)
    elements, at = [], 0
    for size in sizes:
        elements.append(coder.decode(data[at : at + size]))
        at += size
    return elements, stamps


class LabelFn(beam.DoFn):  # type: ignore[misc]
    """((key, shard), :class:`Letter`) to (key, ``PredictionResult``).

    Parameters
    ----------
    wait_rows : rows that wait for the first model; those beyond are told that there is none yet.
    """

    MODEL = ReadModifyWriteStateSpec("model", BytesCoder())
    WAITING = BagStateSpec("waiting", BytesCoder())
    COUNT = ReadModifyWriteStateSpec("count", BytesCoder())
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(
        self, fields: Fields, coder: Coder, wait_rows: int, store: str | None = None, *, per_key: bool = False
    ) -> None:
        self.fields, self.coder, self.wait_rows = fields, coder, wait_rows
        self.store, self.per_key = store, per_key
        self.refused = Metrics.counter(NAMESPACE, "refused")
        self._opened: dict[Any, tuple[int, ClusterModel]] = {}

    def start_bundle(self) -> None:
        """The store may have a model by now."""
        self._looked: set[Any] = set()

    def process(
        self,
        element: tuple[Any, Letter],
        model: Any = beam.DoFn.StateParam(MODEL),
        waiting: Any = beam.DoFn.StateParam(WAITING),
        count: Any = beam.DoFn.StateParam(COUNT),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[Any]:
        """Label rows, or take in a newer model."""
        place, (number, content) = element
        held = model.read()
        if held is None and not number:
            held = self._stored(place)
            if held is not None:
                model.write(held)
        if number:
            if held is None or unframed(held)[0] < number:
                model.write(framed(number, content))
                yield from self._labelled(place, framed(number, content), waiting.read())
                waiting.clear()
                count.clear()
            return
        if held is not None:
            yield from self._labelled(place, held, [content])
            return
        rows = int(count.read() or b"0") + len(unframed(content)[0][0])
        if rows > self.wait_rows:
            yield from self._not_yet(place, [content])
            return
        waiting.add(content)
        count.write(str(rows).encode())
        end.set(AT_THE_END + Duration(1))  # after the last models

    @on_timer(END)  # type: ignore[untyped-decorator]
    def when_input_ends(
        self,
        place: Any = beam.DoFn.KeyParam,
        model: Any = beam.DoFn.StateParam(MODEL),
        waiting: Any = beam.DoFn.StateParam(WAITING),
    ) -> Iterator[Any]:
        """What still waits will never have a model."""
        left = list(waiting.read())
        held = model.read()
        yield from self._not_yet(place, left) if held is None else self._labelled(place, held, left)
        waiting.clear()

    def _labelled(self, place: Any, held: bytes, letters: Any) -> Iterator[Any]:
        model = self._model(place, held)
        fields = Fields(self.fields.features, cosine=model.metric == "cosine")
        for content in letters:
            elements, stamps = unpacked_elements(content, self.coder)
            found = ElementReader(fields, model.n_features).read(elements)
            labels = dict(zip(found.rows.kept.tolist(), labels_of(model, found.rows), strict=True))
            for position, reason in found.refused:  # rows of another width
                self.refused.inc()
                dead = DeadLetter(elements[position], reason, place[0])
                yield beam.pvalue.TaggedOutput(
                    DEAD, TimestampedValue(dead, Timestamp(micros=stamps[position]))
                )
            for i, label in labels.items():
                yield _stamped(place[0], PredictionResult(elements[i], label, label.version), stamps[i])

    def _not_yet(self, place: Any, letters: Any) -> Iterator[Any]:
        for content in letters:
            for element, stamp in zip(*unpacked_elements(content, self.coder), strict=True):
                yield _stamped(place[0], PredictionResult(element, NOT_YET, None), stamp)

    def _model(self, place: Any, held: bytes) -> ClusterModel:
        key, (number, content) = place[0], unframed(held)
        if self._opened.get(key, (0, None))[0] != number:
            while len(self._opened) >= OPEN:
                del self._opened[next(iter(self._opened))]
            self._opened[key] = number, unpack_model(content)[0]
        return self._opened[key][1]

    def _stored(self, place: Any) -> bytes | None:
        """The newest version in the store: a pipeline that is started anew labels by what the one before it knew."""
        key = place[0]
        if self.store is None or key in self._looked:
            return None
        self._looked.add(key)
        store = store_of_key(self.store, key) if self.per_key else FileStore(self.store)
        newest = store.newest()
        return None if newest is None else framed(newest.number, pack_model(store.load(newest).model))


def _stamped(key: Any, result: PredictionResult, micros: int) -> TimestampedValue:
    return TimestampedValue((key, result), Timestamp(micros=micros))
