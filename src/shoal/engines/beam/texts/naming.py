"""Names for the clusters of a stream of texts: the words that tell the texts last seen of each from those of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from shoal.text.keywords import NO_WORDS, TermCounts, keywords, name_of
from shoal.text.stop_words import languages_of, stop_words
from shoal.text.term_sketch import TermSketch
from shoal.text.tokens import terms
from shoal.text.topics import STILL_FITS

WORDS = 2
"""Of a name; a line of output has room for no more."""


def names_of(said: Mapping[int, Sequence[str]], before: Mapping[int, str] | None = None) -> dict[int, str]:
    """A name for each cluster that has one.

    Parameters
    ----------
    said : texts of each cluster.
    before : names as they were, which stay as long as their words fit.

    >>> names_of({3: ["my card is lost", "lost card"], 5: ["the exchange rate", "which exchange rate"]})
    {3: 'card · lost', 5: 'exchange rate'}
    """
    clusters = list(said)
    found = [terms(text) for cluster in clusters for text in said[cluster]]
    if not found:
        return {}
    positions = np.repeat(np.arange(len(clusters)), [len(said[cluster]) for cluster in clusters])
    sketch = TermSketch().update(found)
    stop = stop_words(languages_of(sketch.items()))
    counts = TermCounts.of(found, np.ones(len(found)), positions, len(clusters), stop=stop)
    out = {}
    for cluster, words in zip(clusters, keywords(counts), strict=True):
        name, old = name_of(words, WORDS), (before or {}).get(cluster)
        if old is not None and _fits(old, [word.term for word in words]):
            name = old
        if name != NO_WORDS:
            out[cluster] = name
    return out


def kept(said: Mapping[str, Sequence[str]], most: int) -> dict[str, list[str]]:
    """The texts last seen of each cluster, in all about so many, each cluster having an equal share of the room.

    >>> kept({"3": ["a", "b", "c", "d"], "5": ["e"]}, 4)
    {'3': ['c', 'd'], '5': ['e']}
    """
    if sum(len(texts) for texts in said.values()) <= most:
        return {cluster: list(texts) for cluster, texts in said.items()}
    room = max(most // max(len(said), 1), 1)
    return {cluster: list(texts)[-room:] for cluster, texts in said.items()}


def _fits(name: str, words: Sequence[str]) -> bool:
    parts = name.split(" · ")
    return sum(part in words for part in parts) >= STILL_FITS * len(parts)
