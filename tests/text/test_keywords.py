"""Keywords by class-based TF-IDF: those of the formula, without repetition, and sensible on real questions."""

import csv
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from shoal.errors import BadInputError
from shoal.text.keywords import COMMON, NO_WORDS, Keyword, TermCounts, keywords, name_of
from shoal.text.stop_words import stop_words
from shoal.text.term_sketch import TermSketch
from shoal.text.tokens import terms

BANKING = Path(__file__).parents[3] / "shared/data/banking77/train.csv"
NONE: frozenset[str] = frozenset()


def table(names: list[str], rows: list[list[float]]) -> TermCounts:
    return TermCounts(tuple(names), sparse.csr_array(np.array(rows, np.float64)))


def found(words: tuple[Keyword, ...]) -> list[str]:
    return [word.term for word in words]


@pytest.fixture(scope="module")
def banking() -> dict[str, tuple[Keyword, ...]]:
    if not BANKING.exists():
        pytest.skip("../shared/data is not here")
    with BANKING.open() as file:
        rows = list(csv.DictReader(file))
    topics = sorted({row["category"] for row in rows})
    texts = [terms(row["text"]) for row in rows]
    positions = [topics.index(row["category"]) for row in rows]
    counts = TermCounts.of(texts, np.ones(len(texts)), positions, len(topics), stop=stop_words(["en"]))
    return dict(zip(topics, keywords(counts, known=TermSketch().update(texts)), strict=True))


@pytest.mark.parametrize(
    ("topic", "word"),
    [
        ("exchange_rate", "exchange rate"),
        ("passcode_forgotten", "passcode"),
        ("direct_debit_payment_not_recognised", "direct debit"),
        ("card_swallowed", "swallowed"),
        ("age_limit", "age"),
    ],
)
def test_real_questions_have_the_words_of_their_topic(banking, topic: str, word: str) -> None:
    assert word in found(banking[topic])[:3]


def test_real_keywords_have_no_stop_words_and_no_repetition(banking) -> None:
    stop = stop_words(["en"])
    for words in banking.values():
        assert len(words) == 10
        assert len({w.term.removesuffix("s") for w in words}) == 10
        assert not any(set(w.term.split()) & stop for w in words)
        assert [w.score for w in words] == sorted((w.score for w in words), reverse=True)
    assert len({name_of(words) for words in banking.values()}) == len(banking)  # names tell topics apart


def test_scores_are_those_of_the_formula() -> None:
    rows = [[5.0, 1.0, 0.0], [1.0, 3.0, 2.0]]
    names = ["card", "pin", "rate"]
    mean, over_all = 12 / 2, [rows[0][j] + rows[1][j] for j in range(3)]

    def clear(share: float, j: int) -> float:
        return min(max(math.log2(share / (over_all[j] / 12)), COMMON), 1.0)

    for row, words in zip(rows, keywords(table(names, rows)), strict=True):
        true = {
            name: row[j] / sum(row) * math.log(1 + mean / over_all[j]) * clear(row[j] / sum(row), j)
            for j, name in enumerate(names)
            if row[j]
        }
        assert dict(words) == pytest.approx(true)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.lists(st.sampled_from("abcdef"), max_size=4), st.integers(-1, 2)), max_size=30))
def test_counts_are_weights_of_the_texts_that_hold_a_term(pairs) -> None:
    texts, positions = [list(t) for t, _ in pairs], [p for _, p in pairs]
    weights = [1.0 + i % 3 for i in range(len(pairs))]
    counts = TermCounts.of(texts, weights, positions, 3, stop=NONE, at_least=1)
    assert counts.counts.shape == (3, len(counts.terms))
    assert list(counts.terms) == sorted({t for text, p in zip(texts, positions) if p >= 0 for t in text})
    dense = counts.counts.toarray()
    for topic in range(3):
        for j, term in enumerate(counts.terms):
            true = sum(w for t, w, p in zip(texts, weights, positions) if p == topic and term in t)
            assert dense[topic, j] == true


def test_stop_words_and_rare_terms_are_left_out_unless_a_topic_has_nothing_else() -> None:
    texts = [["the", "card", "odd"], ["the", "card"], ["unique", "the"], ["the"], []]
    counts = TermCounts.of(texts, np.ones(5), [0, 0, 1, 2, 3], 4, stop=frozenset({"the"}))
    assert [found(words) for words in keywords(counts)] == [["card"], ["unique"], ["the"], []]


def test_groups_of_topics_add_up() -> None:
    counts = table(["a", "b"], [[1, 0], [2, 3], [0, 4]])
    joined = counts.joined([[0, 2], [], [1], [0, 1, 2]])
    assert joined.counts.toarray().tolist() == [[1, 4], [0, 0], [2, 3], [3, 7]]
    assert joined.terms == counts.terms
    assert keywords(joined)[1] == ()
    with pytest.raises(BadInputError, match="outside 0 to 2"):
        counts.joined([[3]])


def test_a_bigram_takes_the_place_of_words_it_nearly_always_holds() -> None:
    counts = table(["exchange", "exchange rate", "rate", "wrong"], [[10, 9, 10, 5], [0, 0, 0, 30]])
    assert found(keywords(counts)[0]) == ["exchange rate", "wrong"]
    assert keywords(counts, n=1)[0] == (keywords(counts)[0][0],)


def test_a_bigram_of_two_words_that_are_there_is_left_out() -> None:
    counts = table(["card", "card lost", "lost", "new"], [[10, 3, 10, 0], [1, 0, 1, 50]])
    assert found(keywords(counts)[0]) == ["card", "lost"]


def test_one_form_of_singular_and_plural_is_kept_the_usual_one() -> None:
    names = ["account", "accounts", "card's", "cards", "card", "status", "top up", "top-up"]
    rows = [[1, 6, 2, 3, 9, 2, 2, 5], [1, 0, 0, 0, 1, 1, 1, 1]]
    assert sorted(found(keywords(table(names, rows))[0])) == ["accounts", "card", "status", "top-up"]


def test_ties_are_in_order_of_the_terms_and_n_is_a_limit() -> None:
    names = [f"w{i:03}x" for i in range(400)]
    rng = random.Random(0)
    shuffled = rng.sample(names, len(names))
    words = keywords(table(shuffled, [[1.0] * len(names), [1.0] * len(names)]), n=7)
    assert found(words[0]) == found(words[1]) == names[:7]


def test_what_a_sketch_knows_lowers_terms_common_elsewhere() -> None:
    counts = table(["apple", "banana"], [[5, 5], [1, 1]])
    assert found(keywords(counts)[0]) == ["apple", "banana"]
    known = TermSketch().update([["apple"]] * 50 + [["banana"]] * 5)
    assert found(keywords(counts, known=known)[0]) == ["banana", "apple"]
    assert found(keywords(counts, known=known, total=55.0)[0]) == ["banana", "apple"]
    apple = dict(keywords(counts, known=known, total=110.0)[0])["apple"]
    assert apple == pytest.approx(0.5 * math.log(1 + 6 / 100) * COMMON)  # more frequent elsewhere than here


def test_terms_that_all_topics_hold_alike_name_none_of_them() -> None:
    names = ["feel", "love", "fear"]
    counts = table(names, [[100, 30, 0], [100, 0, 30], [100, 1, 1]])
    assert [name_of(words, 1) for words in keywords(counts)] == ["love", "fear", "feel"]


def test_an_empty_sketch_changes_nothing() -> None:
    counts = table(["apple", "banana"], [[5, 5], [1, 1]])
    assert keywords(counts, known=TermSketch()) == keywords(counts)


def test_wrong_shapes_are_errors() -> None:
    with pytest.raises(BadInputError, match="2 texts"):
        TermCounts.of([["a"], ["b"]], [1.0], [0, 0], 1, stop=NONE)
    with pytest.raises(BadInputError, match="text 2: topic 1 of 1"):
        TermCounts.of([["a"], ["b"]], [1.0, 1.0], [0, 1], 1, stop=NONE)


def test_no_texts_and_names() -> None:
    counts = TermCounts.of([], [], [], 2, stop=NONE)
    assert keywords(counts) == [(), ()]
    assert name_of(()) == NO_WORDS == "(no words)"
    words = [Keyword(w, 1.0) for w in ("card", "payment", "declined", "shop")]
    assert name_of(words) == "card · payment · declined"
    assert name_of(words, 1) == "card"
