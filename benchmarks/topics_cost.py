"""What topics cost beside the language model that they need, and the memory they hold."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import THREADS
from benchmarks.common import median, timed
from benchmarks.topics import AUTO, ONLINE, OURS
from benchmarks.topics_data import TextSet, available
from benchmarks.topics_peers import BATCH, ONLINE_MAKERS, Online, Ours
from shoal.text.embedding import load_embedder

EMBEDDED, QUICK_EMBEDDED = 2_000, 200
LITTLE = 500
"""Texts of a small model: what is held before there is much to hold."""
ROUNDS = 3
SHOWN = 10
"""Keywords of a topic, as by default."""


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Embedding and everything else on emotion, in turns; then memory, which is not timed."""
    rows: list[dict[str, Any]] = []
    for one in available(quick, ("emotion",)):
        rows += _times(one, QUICK_EMBEDDED if quick else EMBEDDED, 1 if quick else ROUNDS)
        little = one.some(np.arange(LITTLE))
        rows += [_memory(some, who) for who in (OURS, ONLINE) for some in (little, one)]
    return rows


def _times(one: TextSet, few: int, rounds: int) -> list[dict[str, Any]]:
    """Seconds of each round; those of embedding everything follow from the rate of the few."""
    import torch

    torch.set_num_threads(THREADS)
    embedder = load_embedder()
    embedder.embed(one.texts[:64])
    works: dict[tuple[str, int], Callable[[], float]] = {}
    for who, k in ((OURS, one.k), (AUTO, "auto")):
        for n in (few, len(one.texts)):
            works[who, n] = partial(_learn, one, k, n)
    embedding: list[float] = []
    rest: dict[tuple[str, int], list[float]] = {case: [] for case in works}
    for _ in range(rounds):
        embedding.append(timed(lambda: embedder.embed(one.texts[:few]))[0])
        for case, work in works.items():
            rest[case].append(work())
            print(f"{case}: {rest[case][-1]:.2f} s, embedding {few} texts {embedding[-1]:.1f} s", flush=True)
    each = median(embedding) / few
    return [
        {
            "part": "cost",
            "who": who,
            "n": n,
            "embedded": few,
            "embedding": embedding,
            "rest": seconds,
            "share": median(seconds) / (median(seconds) + each * n),
        }
        for (who, n), seconds in rest.items()
    ]


def _learn(one: TextSet, k: Any, n: int) -> float:
    """Seconds to learn n texts in batches and to answer their topics with words and names."""
    model = Ours(k, asked=SHOWN)

    def work() -> int:
        _batches(model, one, n)
        return len(model.model.topics_)

    return timed(work)[0]


def _memory(one: TextSet, who: str) -> dict[str, Any]:
    """Bytes that Python's allocator still counts after all texts were learned and the topics asked for."""
    _batches(ONLINE_MAKERS[who](one.k, 0), one, LITTLE)  # imports
    gc.collect()
    tracemalloc.start()
    try:
        model = ONLINE_MAKERS[who](one.k, 0)
        _batches(model, one, len(one.texts))
        model.words()
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    row: dict[str, Any] = {
        "part": "memory",
        "who": who,
        "n": len(one.texts),
        "d": one.X.shape[1],
        "held": held,
    }
    if isinstance(model, Ours):
        state = model.model.state_
        row |= {"file": len(state.to_bytes()), "told": state.summary.nbytes}
    print(f"memory of {who}, {row['n']:,} texts: {held / 2**20:.1f} MiB", flush=True)
    return row


def _batches(model: Online, one: TextSet, n: int) -> None:
    for at in range(0, n, BATCH):
        end = min(at + BATCH, n)
        model.learn(one.texts[at:end], one.X[at:end])
