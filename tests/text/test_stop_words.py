"""Stop words by language, and the languages of texts from their stop words."""

import csv
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("stopwordsiso", reason="pip install 'shoal[text]'")

from shoal.errors import BadInputError, ShoalError
from shoal.text.stop_words import _list_of, is_stop, known_languages, languages_of, stop_words
from shoal.text.tokens import normal_form, terms

BANKING = Path(__file__).parents[3] / "shared/data/banking77/train.csv"
TEXTS = {
    "en": "I am still waiting on my card, what can I do if it has not arrived? The rate was wrong when I bought it.",
    "de": "Ich warte noch immer auf meine Karte. Der Kurs in der App war falsch, als ich am Samstag etwas gekauft habe.",
    "fr": "J'attends toujours ma carte, que puis-je faire ? Le taux était faux quand j'ai acheté un article samedi.",
    "es": "Todavía estoy esperando mi tarjeta, ¿qué puedo hacer si no ha llegado? El cambio era incorrecto cuando pagué.",
    "ru": "Я всё ещё жду свою карту, что мне делать, если она не пришла? Курс был неверным, когда я купил товар.",
    "ja": "まだカードが届いていません。どうすればいいですか。買い物をしたとき、レートが間違っていました。",
    "zh": "我还在等我的卡，如果没有收到我该怎么办？我在星期六买东西的时候，应用里的汇率是错误的。",
    "ko": "아직 카드를 기다리고 있습니다. 도착하지 않으면 어떻게 해야 하나요? 앱의 환율이 잘못되었습니다.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_the_language_of_a_text_is_found(language: str) -> None:
    assert languages_of(Counter(terms(TEXTS[language]))) == (language,)


@pytest.mark.parametrize("pair", [("de", "en"), ("en", "ru"), ("es", "fr"), ("en", "ja")])
def test_both_languages_of_a_mix_are_found(pair: tuple[str, str]) -> None:
    mix = Counter(terms(TEXTS[pair[0]])) + Counter(terms(TEXTS[pair[1]]))
    assert set(languages_of(mix)) == set(pair)
    assert len(languages_of(mix, most=1)) == 1


def test_texts_of_no_language_are_taken_for_english() -> None:
    assert languages_of({}) == languages_of({"inkjet": 2.0, "x77": 1.0, "the the": 5.0}) == ("en",)


@pytest.mark.skipif(not BANKING.exists(), reason="../shared/data is not here")
def test_real_questions_are_english_only() -> None:
    with BANKING.open() as file:
        counts = Counter(term for row in csv.DictReader(file) for term in terms(row["text"]))
    assert languages_of(counts) == ("en",)


def test_english_list_keeps_content_words_and_has_contractions() -> None:
    words = stop_words(["en"])
    content = "bill fire system interest computer money state member room case car number world card account top name"
    assert not words & set(content.split())
    assert {"the", "not", "don't", "dont", "im", "ive", "i've", "amp", "rt", "whats"} <= words
    assert "id" not in words  # a contraction without its apostrophe, but a word
    assert stop_words([]) == frozenset()
    assert stop_words("en") == words


@pytest.mark.parametrize("language", known_languages())
def test_words_are_in_the_form_of_terms(language: str) -> None:
    words = stop_words([language])
    assert len(words) > 20
    assert all(" " not in word and normal_form(word) == word for word in words)


def test_languages_add_up_and_codes_may_be_upper_case() -> None:
    assert stop_words(["EN", "de"]) == stop_words(["en"]) | stop_words(["de"])
    assert {"und", "für", "nicht"} <= stop_words(["de"])


def test_an_unknown_language_is_an_error_that_names_near_ones() -> None:
    with pytest.raises(BadInputError, match=r"language 'eng'; did you mean .*\ben\b"):
        stop_words(["eng"])
    with pytest.raises(BadInputError, match="known: af"):
        stop_words(["77"])


def test_bigrams_and_pairs_are_stop_if_either_part_is() -> None:
    words = stop_words(["en", "ja"])
    stop = ["my", "my card", "card of", "東の", "した"]
    content = ["card", "credit card", "東京"]
    assert [is_stop(term, words) for term in stop + content] == [True] * 5 + [False] * 3


def test_without_the_package_there_is_english_only(monkeypatch: pytest.MonkeyPatch) -> None:
    _list_of.cache_clear()
    monkeypatch.setattr("shoal.text.stop_words.find_spec", lambda name: None)
    assert "the" in stop_words(["en"])
    assert languages_of(Counter(terms(TEXTS["de"]))) == ("en",)
    with pytest.raises(ShoalError, match=r"'de' need .*pip install 'shoal\[text\]'"):
        stop_words(["de"])
