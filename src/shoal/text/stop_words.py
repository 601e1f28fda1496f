"""Words that say nothing about a topic, by language, and which languages a summary of texts is in.

They are left out when keywords are chosen, never when terms are counted: other languages can be given afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from heapq import nlargest
from importlib.util import find_spec

from shoal.errors import BadInputError, ShoalError
from shoal.text.tokens import is_spaceless, normal_form, terms

LEAST_SHARE = 0.06
"""Share of all words' weight that a language's stop words must have, without those of the languages before it."""
LOOKED_AT = 2_000
"""Heaviest words that tell the languages: stop words are among them."""

# in scikit-learn's list, yet topics are told apart by them
_CONTENT = """
amount bill bottom call computer cry describe detail empty fill fire found front full interest mill mine move name serious
side sincere system thick thin top
"""
# what scikit-learn's list lacks: contractions, with and without their apostrophe, and what mark-up and tweets leave
_CONTRACTIONS = """
aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't mustn't needn't shouldn't wasn't weren't won't
wouldn't ain't i'm i've i'd i'll you're you've you'd you'll he's he'd he'll she's she'd she'll it's it'd it'll we're we've
we'd we'll they're they've they'd they'll that's that'll that'd there's there'll here's what's what're who's who'd who'll
where's when's why's how's how'd let's y'all could've should've would've might've must've
"""
_OTHER_WORDS = "id ill well wed were hell shell shed"  # without the apostrophe: I'd, but an id
_MORE_ENGLISH = """
did does doing didn doesn don isn wasn aren weren hasn haven hadn couldn shouldn wouldn ain ve ll just really actually
also like got getting gets want wants wanted need needs know let said say says going gonna wanna gotta amp nbsp quot href lt gt
rt via http https www thing things lot lots yes ok okay oh hi hello thanks thank non too having being theirs ought shall
used using use
"""
_HAN_PARTICLES = frozenset("的了是在和也就都而及與与着或吗呢吧啊们之")


def stop_words(languages: Sequence[str]) -> frozenset[str]:
    """Stop words of languages, in the form :func:`shoal.text.tokens.terms` gives words.

    English has scikit-learn's list without the words topics are about (bill, fire, system), and contractions; other
    languages have that of the package ``stopwordsiso``.

    Parameters
    ----------
    languages : ISO 639-1 codes, such as ``["en", "de"]``; none gives no stop words.

    Raises
    ------
    BadInputError : an unknown code; names the nearest ones.
    ShoalError : ``stopwordsiso`` is missing, and another language than English was asked for.

    Examples
    --------
    >>> words = stop_words(["en"])
    >>> {"the", "don't", "dont"} <= words, "bill" in words
    (True, False)
    """
    if isinstance(languages, str):
        languages = [languages]
    return frozenset().union(*(_list_of(normal_form(code.strip())) for code in languages))


def is_stop(term: str, words: frozenset[str]) -> bool:
    """Whether a term says nothing: a word that is one of ``words``, or a bigram of which either word is.

    In scripts without spaces a pair of characters is one, too, if either character is a word of its own among them.

    >>> is_stop("of cards", stop_words(["en"])), is_stop("credit card", stop_words(["en"]))
    (True, False)
    """
    if term in words:
        return True
    first, blank, second = term.partition(" ")
    if blank:
        return first in words or second in words
    return len(term) == 2 and is_spaceless(term) and (term[0] in words or term[1] in words)


def languages_of(sketch_like: Mapping[str, float], *, most: int = 3) -> tuple[str, ...]:
    """Languages that texts are in, main one first, from the weight of each of their terms.

    A language is taken for the share of the words' weight that its stop words have; each further one, for what those
    before it leave. Where none has enough, English.

    Parameters
    ----------
    sketch_like : weight of each term, such as :meth:`shoal.text.term_sketch.TermSketch.items`; bigrams do not count.
    most : languages at most.

    Examples
    --------
    >>> languages_of({"the": 3, "card": 2, "is": 2, "of": 1})
    ('en',)
    """
    words = ((term, weight) for term, weight in sketch_like.items() if " " not in term and weight > 0)
    left = dict(nlargest(LOOKED_AT, words, key=lambda pair: (pair[1], pair[0])))
    total = sum(left.values())
    found: list[str] = []
    others = list(known_languages())
    while total and others and len(found) < most:
        shares = {code: _share(left, _list_of(code)) / total for code in others}
        best = max(others, key=shares.__getitem__)
        if shares[best] < LEAST_SHARE:
            break
        others.remove(best)
        found.append(best)
        stop = _list_of(best)
        left = {term: weight for term, weight in left.items() if not is_stop(term, stop)}
    return tuple(found) or ("en",)


def known_languages() -> tuple[str, ...]:
    """ISO codes that :func:`stop_words` knows.

    >>> "en" in known_languages()
    True
    """
    if find_spec("stopwordsiso") is None:
        return ("en",)
    import stopwordsiso

    return tuple(sorted(stopwordsiso.langs()))


def _share(weights: Mapping[str, float], words: frozenset[str]) -> float:
    return sum(weight for term, weight in weights.items() if is_stop(term, words))


@cache
def _list_of(code: str) -> frozenset[str]:
    if code == "en":
        return _english()
    if find_spec("stopwordsiso") is None:
        raise ShoalError(
            f"stop words of {code!r} need the package stopwordsiso: pip install 'shoal[text]'; English needs nothing"
        )
    if code not in known_languages():
        raise _unknown(code)
    import stopwordsiso

    words: set[str] = set()
    for listed in stopwordsiso.stopwords(code):
        word = normal_form(listed)
        if (
            len(word) == 1
            and not word.isascii()
            and (not "\u3400" <= word <= "\u9fff" or word in _HAN_PARTICLES)
        ):
            words.add(word)
        pieces = terms(word)
        if len(pieces) == 1 or (pieces and is_spaceless(word)):
            words.update(pieces)
    return frozenset(words)


@cache
def _english() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    contractions = set(_CONTRACTIONS.split())
    bare = {word.replace("'", "") for word in contractions} - set(_OTHER_WORDS.split())
    plain = {word for listed in ENGLISH_STOP_WORDS for word in terms(listed)} - set(_CONTENT.split())
    return frozenset(plain | contractions | bare | set(_MORE_ENGLISH.split()))


def _unknown(code: str) -> BadInputError:
    from difflib import get_close_matches

    known = known_languages()
    near = get_close_matches(code, known, n=3, cutoff=0.3) or [c for c in known if c[:1] == code[:1]][:5]
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known)}"
    return BadInputError(f"no stop words for language {code!r}", remedy=hint)
