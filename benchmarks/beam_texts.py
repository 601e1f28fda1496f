"""Embeddings of texts, clustered while they come: ``OnlineClusters`` beside what Beam's guide to online clustering does.

No language model runs: the vectors are made. The stream has bundles of ten, as Pub/Sub gives them on the local runner.
"""

# ruff: noqa: B008 - how Beam declares state

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.coders import PickleCoder
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec
from sklearn.cluster import Birch

from benchmarks.beam import BUNDLE
from benchmarks.beam import TEXTS_ALONE as ALONE
from benchmarks.beam import TEXTS_D as D
from benchmarks.beam import TEXTS_OURS as OURS
from benchmarks.beam import TEXTS_THEIRS as THEIRS
from benchmarks.beam_rows import K
from benchmarks.common import timed
from shoal.engines.beam import Fields, OnlineClusters
from shoal.engines.beam.online_learner import AT_THE_END, LearnFn
from shoal.engines.beam.online_merger import Merged

BUDGET = 8 << 20
"""Bytes for the summary: 20,000 vectors are 29 MiB, so it must choose what to keep."""
FLUSH_ROWS = 2_000
"""Rows that a shard keeps, at most, before it hands on their summary."""
SIZES = {ALONE: (1_000, 20_000), OURS: (1_000, 5_000, 10_000, 20_000), THEIRS: (250, 500, 1_000)}
QUICK = {ALONE: (60,), OURS: (60, 200), THEIRS: (60,)}

_arrived: list[int] = []
"""One for each element that came out of a pipeline; the runner is in this process."""
_state_bytes: list[int] = []
_waiting_bytes: list[int] = []


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Every number of texts in a pipeline of its own."""
    found = []
    _stream(60, OURS)  # warms up
    for who, sizes in (QUICK if quick else SIZES).items():
        for n in sizes:
            for kept in (_arrived, _state_bytes, _waiting_bytes):
                kept.clear()
            seconds, _ = timed(lambda n=n, who=who: _stream(n, who))  # type: ignore[misc]
            if len(_arrived) != n:
                raise RuntimeError(f"{who}: {n} texts went in, {len(_arrived)} came out")
            row = {
                "part": "texts",
                "who": who,
                "n": n,
                "seconds": seconds,
                "budget": BUDGET,
                "flush_rows": FLUSH_ROWS,
            }
            row |= {"state": max(_state_bytes, default=0), "waiting": max(_waiting_bytes, default=0)}
            print(f"{who}: {n:,} texts in {seconds:.1f} s, {row['state']:,} bytes of state", flush=True)
            found.append(row)
    return found


def _stream(n: int, who: str) -> None:
    stream = TestStream()
    texts = _texts(n)
    for at in range(0, n, BUNDLE):
        stream = stream.add_elements(texts[at : at + BUNDLE])
    stream = stream.advance_watermark_to(AT_THE_END).advance_watermark_to_infinity()
    with (
        _sizes_told(),
        beam.Pipeline(BundleBasedDirectRunner(), PipelineOptions([], streaming=True)) as pipeline,
    ):
        arriving = pipeline | stream
        if who == OURS:
            cluster = OnlineClusters(
                K, Fields("embedding", id="id", cosine=True), max_bytes=BUDGET, flush_rows=FLUSH_ROWS
            )
            arriving = (arriving | cluster).labels
        elif who == THEIRS:
            keyed = arriving | "Key" >> beam.Map(_with_one_key)
            arriving = keyed | beam.ParDo(KeepsAll(n)) | "Updates" >> beam.ParDo(TextsOfClusters())
        _ = arriving | "Count" >> beam.Map(_count)


def _texts(n: int) -> list[dict[str, Any]]:
    """Unit vectors about six directions."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(K, D))[rng.integers(K, size=n)] + rng.normal(size=(n, D)) * 0.7
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    return [{"id": f"text-{i}", "text": f"this is text {i}", "embedding": row} for i, row in enumerate(X)]


def _with_one_key(element: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return 1, element


def _count(element: Any) -> None:
    _arrived.append(1)


class KeepsAll(beam.DoFn):  # type: ignore[misc]
    """What the guide's stateful step does, in our words: one tree, all texts and all vectors in pickled state, and with every text the
    labels of all texts there ever were.

    Parameters
    ----------
    last : number of the text after which the bytes of the state are counted.
    """

    TREE = ReadModifyWriteStateSpec("tree", PickleCoder())
    TEXTS = ReadModifyWriteStateSpec("texts", PickleCoder())
    VECTORS = ReadModifyWriteStateSpec("vectors", PickleCoder())
    UPDATES = ReadModifyWriteStateSpec("updates", PickleCoder())

    def __init__(self, last: int) -> None:
        self.last = last

    def process(
        self,
        element: tuple[int, dict[str, Any]],
        tree_state: Any = beam.DoFn.StateParam(TREE),
        texts_state: Any = beam.DoFn.StateParam(TEXTS),
        vectors_state: Any = beam.DoFn.StateParam(VECTORS),
        updates_state: Any = beam.DoFn.StateParam(UPDATES),
    ) -> Iterator[dict[str, Any]]:
        """Learn one text, label all."""
        _, text = element
        tree = tree_state.read() or Birch(n_clusters=None, threshold=0.7)
        texts = texts_state.read() or {}
        vectors = vectors_state.read() or {}
        updates = (updates_state.read() or 0) + 1
        name = text["id"]
        texts[name] = {"id": name, "text": text["text"]}
        vectors[name] = text["embedding"]
        tree.partial_fit(np.atleast_2d(text["embedding"]))
        labels = tree.predict(np.vstack(list(vectors.values())))
        tree_state.write(tree)
        texts_state.write(texts)
        vectors_state.write(vectors)
        updates_state.write(updates)
        if updates == self.last:
            _state_bytes.append(sum(len(pickle.dumps(value)) for value in (tree, texts, vectors, updates)))
        yield {"labels": labels, "docs": texts, "id": list(vectors), "counter": updates}


class TextsOfClusters(beam.DoFn):  # type: ignore[misc]
    """The guide's last step, without its printing."""

    def process(self, element: dict[str, Any]) -> Iterator[dict[int, list[Any]]]:
        """All texts of all clusters."""
        groups: dict[int, list[Any]] = defaultdict(list)
        for label, name in zip(element["labels"].tolist(), element["id"], strict=True):
            groups[label].append(element["docs"][name])
        yield groups


@contextmanager
def _sizes_told() -> Iterator[None]:
    """Notes the bytes that our merger and our shard keep; they run in this process."""
    to_bytes, flushed = Merged.to_bytes, LearnFn._flushed

    def told_to_bytes(self: Merged) -> bytes:
        content = to_bytes(self)
        _state_bytes.append(len(content))
        return content

    def told_flushed(self: LearnFn, key: Any, shard: int, rows: Any, state: Any) -> Iterator[Any]:
        _waiting_bytes.append(sum(map(len, rows.read())))
        yield from flushed(self, key, shard, rows, state)

    Merged.to_bytes, LearnFn._flushed = told_to_bytes, told_flushed  # type: ignore[method-assign]
    try:
        yield
    finally:
        Merged.to_bytes, LearnFn._flushed = to_bytes, flushed  # type: ignore[method-assign]
