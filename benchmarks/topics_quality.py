"""Topics beside the labels that people gave, and the words of topics: every contender on every set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from benchmarks.common import timed, why
from benchmarks.topics import BERTOPIC, KMEANS_10, NO_STOP, ONLINE, OURS, PLAIN, SHOAL
from benchmarks.topics_data import SETS, TextSet, available
from benchmarks.topics_peers import ALONE, ASKED, LATER, Fit, Found, Words
from benchmarks.topics_words import Cooccurrence, c_tf_idf, diversity, ours, single, split

SEEDS = (0, 1, 2)
EXAMPLE = 6
"""Words that are printed of the first topic."""
ONCE_FROM = 60.0
"""Seconds from which a contender runs once instead of three times."""
WARM_UP = 5_000
"""Texts that make UMAP and EVoC compile all that they will need."""


def run(quick: bool = False, names: tuple[str, ...] = tuple(SETS)) -> list[dict[str, Any]]:
    """Quality of everybody on every set, then words."""
    sets = list(available(quick, names))
    first: dict[str, dict[str, Found]] = {one.name: {} for one in sets}
    rows: list[dict[str, Any]] = []
    for contenders in (ALONE, LATER):
        if sets and not quick:
            _warm_up(sets[0], contenders)
        for one in sets:
            found, measured = _fits(one, contenders, SEEDS[:1] if quick else SEEDS)
            first[one.name] |= found
            rows += measured
    for one in sets:
        rows += _words(one, first[one.name])
    return rows


def agreement(labels: NDArray[np.int64], truth: NDArray[np.int64]) -> dict[str, float]:
    """Indices in which texts without a topic are one more group, the same without them, and how many have one."""
    covered = labels >= 0
    inside = adjusted_mutual_info_score(truth[covered], labels[covered]) if covered.any() else float("nan")
    return {
        "ami": float(adjusted_mutual_info_score(truth, labels)),
        "ari": float(adjusted_rand_score(truth, labels)),
        "ami_covered": float(inside),
        "coverage": float(covered.mean()),
        "topics": len(np.unique(labels[covered])),
    }


def _warm_up(one: TextSet, contenders: Mapping[str, Fit]) -> None:
    few = one.some(np.arange(min(WARM_UP, len(one.texts))))
    for who, fit in contenders.items():
        try:
            fit(few, 0)
        except Exception as error:  # told when it is measured
            print(f"warm-up of {who}: {why(error)}", flush=True)


def _fits(
    one: TextSet, contenders: Mapping[str, Fit], seeds: tuple[int, ...]
) -> tuple[dict[str, Found], list[dict[str, Any]]]:
    """What each found with the first seed, and all figures; contenders take turns."""
    first: dict[str, Found] = {}
    facts: dict[str, Any] = {"part": "quality", "set": one.name, "n": len(one.texts), "k": one.k}
    rows: dict[str, dict[str, Any]] = {who: facts | {"who": who, "seconds": []} for who in contenders}
    for seed in seeds:
        for who, fit in contenders.items():
            row = rows[who]
            if seed != seeds[0] and (who not in first or who == KMEANS_10 or row["seconds"][0] >= ONCE_FROM):
                continue
            try:
                seconds, found = timed(lambda fit=fit, seed=seed: fit(one, seed))  # type: ignore[misc]
            except Exception as error:  # a peer that fails is a row that says so
                row["failed"] = why(error)
                continue
            first.setdefault(who, found)
            row["seconds"].append(seconds)
            for name, value in agreement(found.labels, one.labels).items():
                row.setdefault(name, []).append(value)
            print(
                f"{one.name}, {who}: AMI {row['ami'][-1]:.3f}, {row['topics'][-1]} topics, {seconds:.1f} s",
                flush=True,
            )
    return first, list(rows.values())


def _words(one: TextSet, found: dict[str, Found]) -> list[dict[str, Any]]:
    """Everybody's words for everybody's topics."""
    seen = Cooccurrence(one.texts)
    groups = {"the labels": one.labels}
    groups |= {f"topics of {who}": found[who].labels for who in (OURS, BERTOPIC) if who in found}
    answers: list[tuple[str, str, Words]] = []
    for assignment, labels in groups.items():
        own = assignment == f"topics of {OURS}"
        answers += [
            (assignment, SHOAL, found[OURS].words if own else ours(one.texts, labels, ASKED)),
            (assignment, NO_STOP, c_tf_idf(one.texts, labels, stop="english")),
            (assignment, PLAIN, c_tf_idf(one.texts, labels, stop=None)),
        ]
    if ONLINE in found:
        answers.append((f"topics of {ONLINE}", NO_STOP, found[ONLINE].words))
    rows = []
    for assignment, who, words in answers:
        alone, shown = single(words), split(words)
        row = {"part": "words", "set": one.name, "assignment": assignment, "who": who, "topics": len(words)}
        row |= {"npmi": seen.npmi(alone), "diversity": diversity(alone)}
        row |= {"npmi_split": seen.npmi(shown), "diversity_split": diversity(shown)}
        row["example"] = words[0][:EXAMPLE]
        rows.append(row)
        print(f"{one.name}, {assignment}, {who}: NPMI {row['npmi']:.3f}", flush=True)
    return rows
