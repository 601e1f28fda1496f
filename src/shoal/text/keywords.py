"""The words that tell topics apart: class-based TF-IDF of the terms of their texts, without repetition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from shoal.errors import BadInputError
from shoal.text.stop_words import is_stop
from shoal.text.term_sketch import TermSketch

SAME = 0.7
"""A bigram stands for a word of its own where it has at least this share of the word's texts."""
COMMON = 0.01
"""Factor of terms that are as frequent everywhere: they are keywords only where there are no others."""
NO_WORDS = "(no words)"


class Keyword(NamedTuple):
    """A term of a topic."""

    term: str
    score: float
    """Class-based TF-IDF: the higher, the more it tells the topic from the others."""


@dataclass(frozen=True)
class TermCounts:
    """The weight of the texts of each topic that hold each term.

    >>> texts = [["lost", "card"], ["lost", "pin"], ["card", "lost"]]
    >>> counts = TermCounts.of(texts, [1, 1, 2], [0, 1, 0], 2, stop=frozenset())
    >>> counts.terms, counts.counts.toarray().tolist()
    (('card', 'lost'), [[3.0, 3.0], [0.0, 1.0]])
    """

    terms: tuple[str, ...]
    """V distinct terms, sorted."""
    counts: sparse.csr_array
    """(k, V) float64 weights."""

    @classmethod
    def of(
        cls,
        texts: Sequence[Sequence[str]],
        weights: ArrayLike,
        positions: ArrayLike,
        k: int,
        *,
        stop: frozenset[str],
        at_least: float = 2,
    ) -> TermCounts:
        """Count the terms of n texts.

        Parameters
        ----------
        texts : the distinct terms of each text, as :func:`shoal.text.tokens.terms` gives them.
        weights : (n,) weight of each text.
        positions : (n,) topic of each text, from 0; negative: in none.
        k : topics.
        stop : words to leave out, and the bigrams that hold one.
        at_least : texts that must hold a term.

        A topic that would be left with no term keeps its rare ones, and if it has none either, its stop words.

        Raises
        ------
        BadInputError : another number of weights or positions than texts, or a position beyond the topics.
        """
        w, rows = np.asarray(weights, np.float64), np.asarray(positions, np.int64)
        if w.shape != (len(texts),) or rows.shape != (len(texts),):
            raise BadInputError(f"{len(texts)} texts with weights {w.shape} and positions {rows.shape}")
        if len(rows) and rows.max() >= k:
            raise BadInputError(f"topic {rows.max()} of {k}", place=f"text {int(rows.argmax()) + 1}")
        names, columns, lengths = _numbered(texts)
        said_by = np.bincount(columns, minlength=len(names))
        empty_words = np.array([is_stop(name, stop) for name in names], bool)
        row_of = np.repeat(rows, lengths)
        inside = row_of >= 0
        counts = _matrix(np.repeat(w, lengths)[inside], row_of[inside], columns[inside], (k, len(names)))
        return _chosen(names, counts, good=(said_by >= at_least) & ~empty_words, rare=~empty_words)

    def joined(self, groups: Sequence[Sequence[int]]) -> TermCounts:
        """Counts of groups of topics: the nodes of a hierarchy, or topics that were merged.

        >>> one = TermCounts(("a",), sparse.csr_array([[1.0], [2.0], [4.0]]))
        >>> one.joined([[0, 2], [1]]).counts.toarray().tolist()
        [[5.0], [2.0]]
        """
        k = self.counts.shape[0]
        members = np.fromiter(chain.from_iterable(groups), np.int64)
        if len(members) and not (members.min() >= 0 and members.max() < k):
            raise BadInputError(f"a group names a topic outside 0 to {k - 1}")
        of_group = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        adds = _matrix(np.ones(len(members)), of_group, members, (len(groups), k))
        summed = sparse.csr_array(adds @ self.counts)
        summed.sort_indices()
        return TermCounts(self.terms, summed)


def keywords(
    counts: TermCounts, *, n: int = 10, known: TermSketch | None = None, total: float | None = None
) -> list[tuple[Keyword, ...]]:
    """The keywords of each topic, best first; a topic without terms has none.

    A term's score is its share of the topic's counts times ``log(1 + A / f)``: A is the mean of the topics' counts, f the
    term's over all topics (Grootendorst 2022, "BERTopic", class-based TF-IDF). A term that is no more frequent here than
    elsewhere tells nothing, and hardly counts: the factor grows to 1 at twice the frequency. What another keyword says already is left
    out: one form of singular and plural, a word that a bigram nearly always holds, terms whose words are all there.

    Parameters
    ----------
    n : keywords of a topic at most.
    known : weights of terms over more texts than were counted here; f is the larger of both where it holds the term, as
        a sample may have missed texts that it did not.
    total : weight of the texts counted here, to bring ``known`` to the same scale; default: as the terms in both show.

    Examples
    --------
    >>> texts = [["exchange", "rate", "exchange rate"]] * 3 + [["lost", "card"]] * 3
    >>> counts = TermCounts.of(texts, [1] * 6, [0] * 3 + [1] * 3, 2, stop=frozenset())
    >>> [name_of(words) for words in keywords(counts)]
    ['exchange rate', 'card · lost']
    """
    table = counts.counts
    per_topic = np.asarray(table.sum(axis=1)).ravel()
    of_term = _over_all(counts, known, total)
    mean = float(per_topic.sum()) / max(int(np.count_nonzero(per_topic)), 1)
    rarity = np.log1p(np.divide(mean, of_term, out=np.zeros_like(of_term), where=of_term > 0))
    everywhere = of_term / max(float(per_topic.sum()), 1e-300)
    out = []
    for topic, whole in enumerate(np.maximum(per_topic, 1e-300)):
        at = slice(table.indptr[topic], table.indptr[topic + 1])
        columns, values = table.indices[at], table.data[at]
        scores = values / whole * rarity[columns] * _clear(values / whole, everywhere[columns])
        out.append(_distinct(_candidates(counts.terms, columns, values, scores, 20 * n + 50), n))
    return out


def name_of(words: Sequence[Keyword], n: int = 3) -> str:
    """A topic's name: its best keywords.

    >>> name_of([Keyword("card", 0.3), Keyword("declined", 0.2)]), name_of(())
    ('card · declined', '(no words)')
    """
    return " · ".join(word.term for word in words[:n]) or NO_WORDS


class _Candidate(NamedTuple):
    term: str
    weight: float
    score: float


def _candidates(
    terms: tuple[str, ...],
    columns: NDArray[np.int32],
    values: NDArray[np.float64],
    scores: NDArray[np.float64],
    most: int,
) -> list[_Candidate]:
    """The best terms of a topic, one form of each, best first; ties by term."""
    floor = np.partition(scores, -most)[-most] if len(scores) > most else 0.0
    kept = np.flatnonzero((scores >= floor) & (scores > 0))
    forms: dict[str, list[_Candidate]] = {}
    for i in kept.tolist():
        found = _Candidate(terms[columns[i]], float(values[i]), float(scores[i]))
        forms.setdefault(_singular(found.term), []).append(found)
    merged = []
    for same in forms.values():
        usual = min(same, key=lambda c: (-c.weight, c.term))
        merged.append(usual._replace(score=max(c.score for c in same)))
    return sorted(merged, key=lambda c: (-c.score, c.term))


def _distinct(ranked: list[_Candidate], n: int) -> tuple[Keyword, ...]:
    """The first n of ranked terms that say something new."""
    instead = _bigrams_instead({_singular(c.term): c for c in ranked})
    out: dict[str, Keyword] = {}
    said: set[str] = set()
    """Words of the terms taken so far."""
    for c in ranked:
        if len(out) == n:
            break
        key = _singular(c.term)
        if key in instead:  # the bigram takes the word's place
            c = instead[key]._replace(score=max(c.score, instead[key].score))
            key = _singular(c.term)
        parts = set(key.split(" "))
        if key in out or parts <= said:
            continue
        said |= parts
        out[key] = Keyword(c.term, c.score)
    return tuple(sorted(out.values(), key=lambda word: (-word.score, word.term)))


def _bigrams_instead(forms: Mapping[str, _Candidate]) -> dict[str, _Candidate]:
    """For each word that a bigram nearly always holds, the bigram that does so most often."""
    out: dict[str, _Candidate] = {}
    for key, bigram in forms.items():
        if " " not in key:
            continue
        for word in key.split(" "):
            if word not in forms or bigram.weight < SAME * forms[word].weight:
                continue
            before = out.get(word)
            if before is None or (-bigram.weight, bigram.term) < (-before.weight, before.term):
                out[word] = bigram
    return out


def _singular(term: str) -> str:
    """A key that singular, plural and possessive of a term share, with and without a hyphen; no word for readers."""
    return " ".join(map(_stem, term.replace("-", " ").split(" ")))


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 2 and word.endswith("s") and word[-2] not in "siu":
        return word[:-1]
    return word


def _clear(share: NDArray[np.float64], everywhere: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factor for terms of a topic by how much more frequent they are in it than over all."""
    lift = np.divide(share, everywhere, out=np.ones_like(share), where=everywhere > 0)
    return np.clip(np.log2(np.maximum(lift, 1e-300)), COMMON, 1.0)


def _over_all(counts: TermCounts, known: TermSketch | None, total: float | None) -> NDArray[np.float64]:
    """(V,) weight of each term over all topics."""
    here = np.asarray(counts.counts.sum(axis=0), np.float64).ravel()
    if known is None or known.is_empty:
        return here
    elsewhere = np.array([known[term] for term in counts.terms], np.float64)
    both = elsewhere > 0
    if total is not None and known.weight > 0:
        scale = total / known.weight
    else:
        scale = float(here[both].sum() / elsewhere[both].sum()) if both.any() else 0.0
    return np.maximum(here, elsewhere * scale)


def _numbered(texts: Sequence[Sequence[str]]) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """The distinct terms of all texts, sorted; the number of each term of each text in turn; terms of each text."""
    each = [dict.fromkeys(text) for text in texts]
    names = sorted(set(chain.from_iterable(each)))
    number = dict(zip(names, range(len(names)), strict=True))
    columns = np.fromiter(map(number.__getitem__, chain.from_iterable(each)), np.int64)
    return names, columns, np.fromiter(map(len, each), np.int64, len(each))


def _chosen(
    names: list[str], counts: sparse.csr_array, *, good: NDArray[np.bool_], rare: NDArray[np.bool_]
) -> TermCounts:
    """The counts of good terms; of rare ones, or of all, only in topics that have no better."""
    left = np.ones(counts.shape[0], bool)  # topics without a term yet
    row_of = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    kept = np.zeros(counts.nnz, bool)
    for allowed in (good, rare, np.ones(len(names), bool)):
        fits = left[row_of] & allowed[counts.indices] & (counts.data > 0)
        kept |= fits
        left[row_of[fits]] = False
    used = np.unique(counts.indices[kept])
    columns = np.searchsorted(used, counts.indices[kept])
    shape = (counts.shape[0], len(used))
    return TermCounts(tuple(names[i] for i in used), _matrix(counts.data[kept], row_of[kept], columns, shape))


def _matrix(
    values: NDArray[np.float64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    shape: tuple[int, int],
) -> sparse.csr_array:
    out = sparse.csr_array((values, (rows, columns)), shape=shape)
    out.sum_duplicates()
    return out
