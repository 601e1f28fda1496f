"""How good keywords are: whether they occur together in texts, and whether topics differ in them.

Words of bigrams are looked at in two ways, as BERTopic answers single words only: without the bigrams, and with each
bigram as its words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from shoal.text.keywords import TermCounts, keywords
from shoal.text.stop_words import stop_words
from shoal.text.tokens import terms

TOP = 10
Words = list[list[str]]
_ANALYSE = CountVectorizer().build_analyzer()


class Cooccurrence:
    """Which texts hold which words.

    A text holds a word if it is there as scikit-learn, as BERTopic or as Shoal reads it, so that nobody's words are missing.

    Parameters
    ----------
    texts : of the whole data set.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        counter = CountVectorizer(analyzer=_readings, binary=True)
        self._holds = counter.fit_transform(texts).tocsc().astype(np.float64)
        self._place: dict[str, int] = counter.vocabulary_

    def npmi(self, words: Words) -> float:
        """Mean over topics of the mean over pairs of their words of the normalised pointwise mutual information.

        It is in [-1, 1]; pairs that never occur together count -1 (Bouma 2009; Lau, Newman and Baldwin 2014).
        """
        found = [self._of_topic(topic) for topic in words if len(topic) > 1]
        return float(np.mean(found)) if found else float("nan")

    def _of_topic(self, words: list[str]) -> float:
        n = self._holds.shape[0]
        known = self._holds[:, [self._place[word] for word in words if word in self._place]]
        together = np.zeros((len(words), len(words)))
        together[: known.shape[1], : known.shape[1]] = (known.T @ known).toarray() / n
        alone = np.diag(together)
        upper = np.triu_indices(len(words), 1)
        return float(
            np.mean([_npmi(together[i, j], alone[i], alone[j]) for i, j in zip(*upper, strict=True)])
        )


def diversity(words: Words) -> float:
    """Share of distinct words among those of all topics (Dieng, Ruiz and Blei 2020)."""
    every = [word for topic in words for word in topic]
    return len(set(every)) / len(every) if every else float("nan")


def single(words: Words) -> Words:
    """The best ten single words of each topic."""
    return [[word for word in topic if " " not in word][:TOP] for topic in words]


def split(words: Words) -> Words:
    """The first ten words of each topic, bigrams read as two."""
    return [list(dict.fromkeys(w for term in topic for w in term.split(" ")))[:TOP] for topic in words]


def ours(texts: Sequence[str], labels: NDArray[np.int64], asked: int) -> Words:
    """Our keywords for an assignment that is given; noise is counted as a topic, as BERTopic does, and has no words here."""
    positions = labels - labels.min()
    counts = TermCounts.of(
        [terms(text) for text in texts],
        np.ones(len(texts)),
        positions,
        int(positions.max()) + 1,
        stop=stop_words(["en"]),
    )
    found = [[word.term for word in topic] for topic in keywords(counts, n=asked)]
    return found[max(0, -int(labels.min())) :]


def c_tf_idf(texts: Sequence[str], labels: NDArray[np.int64], *, stop: str | None) -> Words:
    """BERTopic's keywords for an assignment that is given."""
    from bertopic.vectorizers import ClassTfidfTransformer

    order = np.argsort(labels, kind="stable")
    ids, starts = np.unique(labels[order], return_index=True)
    ends = [*starts.tolist(), len(order)]
    joined = [_plain(" ".join(texts[i] for i in order[a:b].tolist())) for a, b in pairwise(ends)]
    counter = CountVectorizer(stop_words=stop)
    scores = ClassTfidfTransformer().fit_transform(counter.fit_transform(joined)).toarray()
    names = counter.get_feature_names_out()
    best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    return [
        [str(names[j]) for j in best[i].tolist() if scores[i, j] > 0]
        for i, topic in enumerate(ids)
        if topic >= 0
    ]


def _npmi(together: float, a: float, b: float) -> float:
    if together <= 0:
        return -1.0
    return 1.0 if together >= 1 else float(np.log(together / (a * b)) / -np.log(together))


def _readings(text: str) -> list[str]:
    return [*_ANALYSE(text), *_ANALYSE(_plain(text)), *(term for term in terms(text) if " " not in term)]


def _plain(text: str) -> str:
    """Letters, digits and blanks only, as BERTopic has English texts."""
    return re.sub(r"[^A-Za-z0-9 ]+", "", re.sub(r"[\n\t]", " ", text))
