"""Words and bigrams of texts of all kinds, quickly and without an error."""

import timeit
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.text.tokens import LONGEST, MOST_WORDS, is_spaceless, normal_form, terms


def words(text: str) -> list[str]:
    return [term for term in terms(text) if " " not in term]


def bigrams(text: str) -> list[str]:
    return [term for term in terms(text) if " " in term]


def test_words_and_bigrams_come_once_in_order_of_first_appearance() -> None:
    assert terms("Credit card, credit CARD lost") == ["credit", "card", "credit card", "lost", "card lost"]


def test_case_width_and_accents_are_in_one_form() -> None:
    assert words("Straße STRASSE ｃａｒｄ ﬁne") == ["strasse", "card", "fine"]
    composed = "Überweisung café"
    assert terms(unicodedata.normalize("NFD", composed)) == terms(composed)
    assert words("don’t don't top‑up top-up") == ["don't", "top-up"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C++ and C# or .NET, node.js", ["c++", "and", "c#", "or", "net", "node.js"]),
        ("a b 7 2024 3.5 10-20 x1 1st", ["x1", "1st"]),
        ("it arrived.Please help", ["it", "arrived", "please", "help"]),
        ("#tag @someone a.b-c@mail.example.org", ["tag"]),
        ("see https://t.co/xYz or www.example.com/a?b=c or bit.ly/abc now", ["see", "or", "now"]),
        ("read https://t.co/aです", ["read", "です"]),
        ("l'argent d'un ami qu'elle o'brien don't", ["argent", "un", "ami", "elle", "o'brien", "don't"]),
        ("snake_case and/or", ["snake", "case", "and", "or"]),
        ("card💳 lost 😀 1️⃣ \ud800 ❤️", ["card", "lost"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("می‌خواهم", ["می‌خواهم"]),
        ("x" * (LONGEST + 1) + " short", ["short"]),
    ],
)
def test_what_a_word_is(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_mark_up_is_left_out_and_entities_are_read() -> None:
    html = "<p>Credit&nbsp;<b class='x'>card</b> &amp; more</p><p>lost</p><!-- not this --><style>p {color: red}</style>"
    assert terms(html) == ["credit", "card", "credit card", "more", "card more", "lost"]
    assert terms("<SCRIPT>var a = 1;</SCRIPT>card<script>never closed") == ["card"]
    assert words("if price <cheap and 3 < 4, i <3 it") == ["if", "price", "cheap", "and", "it"]


@pytest.mark.parametrize(
    "between", [". ", ", ", "; ", ": ", "! ", "? ", " (", ") ", "\n", " 7 ", " a ", " @me "]
)
def test_punctuation_and_what_is_left_out_end_a_bigram(between: str) -> None:
    assert bigrams(f"credit{between}card") == []


def test_quotes_and_blanks_do_not_end_a_bigram() -> None:
    assert bigrams('"credit  card"') == ["credit card"]


def test_scripts_without_spaces_give_pairs_of_characters() -> None:
    assert terms("東京都 card に行く") == ["東京", "京都", "card", "に行", "行く"]
    assert terms("カード・東京") == ["カー", "ード", "東京"]
    assert terms("บัตร") == ["บั", "ัต", "ตร"]
    assert [is_spaceless(term) for term in ("東京", "card", "карта")] == [True, False, False]


def test_only_the_first_words_are_looked_at() -> None:
    assert len(words(" ".join(f"word{i}" for i in range(3 * MOST_WORDS)))) == MOST_WORDS
    assert len(terms("東京都" * 100_000)) == 3
    assert terms("") == terms("  \n\x00 ") == []


@settings(deadline=None, max_examples=150)
@given(st.text(st.characters(codec=None), max_size=60))
def test_any_text_gives_distinct_terms_that_are_words_themselves(text: str) -> None:
    found = terms(text)
    assert len(found) == len(set(found))
    assert all(1 < len(part) <= LONGEST for term in found for part in term.split(" "))
    assert all(normal_form(term) == term for term in found if term.isascii())


@pytest.mark.parametrize(
    "piece",
    ["word ", "<a ", "a.b.", "a-", "<script", "@", "é.b.", "x/", "'", "😀", "&#x41;", "a@a.a.", "<!", "http"],
)
def test_a_large_text_costs_no_more_than_its_beginning(piece: str) -> None:
    terms("é")  # the table of letters is made at first use
    assert min(timeit.repeat(lambda: terms(piece * 30_000), number=1, repeat=3)) < 0.1
