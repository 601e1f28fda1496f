"""Whether texts keep the ids of their topics while more texts come: labels of the same texts after each of 20 batches."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from benchmarks.common import why
from benchmarks.topics import AUTO, BIRCH, MINI, ONLINE, OURS
from benchmarks.topics_data import TextSet, available
from benchmarks.topics_peers import ONLINE_MAKERS, Labels, Online

BATCHES, QUICK_BATCHES = 20, 3
PROBES = 2_000
FOLLOWED = ("banking77", "Stack Overflow titles")
"""Not the tweets: nobody's clusters of them are those of the labels, so that staying or not says little."""
LONGEST = 100.0
"""Seconds after which a contender is stopped and judged by the steps so far."""
CONTENDERS = (OURS, AUTO, ONLINE, MINI, BIRCH)
SHUFFLED, SORTED = "shuffled", "sorted by label"


def run(quick: bool = False, names: tuple[str, ...] = FOLLOWED) -> list[dict[str, Any]]:
    """Every contender on every set in both orders, once: it is a mean over 19 steps already."""
    rows = []
    for one in available(quick, names):
        orders = {SHUFFLED: one, SORTED: one.some(np.argsort(one.labels, kind="stable"))}
        for order, texts in orders.items():
            for who in CONTENDERS:
                row = {"part": "churn", "set": one.name, "n": len(one.texts), "order": order, "who": who}
                try:
                    row |= _follow(ONLINE_MAKERS[who](one.k, 0), texts, QUICK_BATCHES if quick else BATCHES)
                except Exception as error:  # a peer that fails is a row that says so
                    row["failed"] = why(error)
                rows.append(row)
                told = row.get("failed") or f"{row['mean']:.3f}, AMI {row['ami']:.3f}, {row['seconds']:.0f} s"
                print(f"churn, {one.name}, {order}, {who}: {told}", flush=True)
    return rows


def _follow(model: Online, one: TextSet, batches: int) -> dict[str, Any]:
    """Share of the texts labelled both times whose id is another, from each batch to the next."""
    probes = np.sort(np.random.default_rng(1).permutation(len(one.texts))[:PROBES])
    ends = np.linspace(0, len(one.texts), batches + 1).astype(int)
    began = time.perf_counter()
    before: Labels = np.empty(0, np.int64)
    churn = []
    for a, b in pairwise(ends):
        model.learn(one.texts[a:b], one.X[a:b])
        seen = one.some(probes[probes < b])
        now = model.label(seen.texts, seen.X)
        if len(before):
            churn.append(float((now[: len(before)] != before).mean()))
        before = now
        if time.perf_counter() - began > LONGEST:
            break
    return {
        "churn": churn,
        "mean": float(np.mean(churn)),
        "ami": float(adjusted_mutual_info_score(one.labels[probes[: len(before)]], before)),
        "seconds": time.perf_counter() - began,
    }
