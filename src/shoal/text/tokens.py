"""The terms of a text: its words and its pairs of adjacent words, in any script, without mark-up, links and names."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from html import unescape

MOST_WORDS = 400
"""Words of a text that are looked at: what a text is about is said by then."""
MOST_CHARS = 16_000
"""Characters of a text that are looked at, mark-up with them."""
LONGEST = 40
"""Letters of a word at most; longer ones are keys and encoded bytes."""

_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\uaa60-\uaa7f"  # Thai, Lao, Myanmar, Khmer
    "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_LAST_SCRIPT = 0x1E960
_BREAKS = frozenset(".,;:!?()[]{}|\n\r…–—•¿¡。、・،؛؟।۔「」")
_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)", re.S | re.I)
_INLINE = re.compile(
    r"</?(?:a|abbr|b|code|em|font|i|mark|q|s|small|span|strong|sub|sup|u)(?:\s[^<>]*)?>", re.I
)
_TAG = re.compile(r"<[a-z/!?][^<>]*>", re.I)
_PLAIN_LINK = rf"[^\s<>\"{_SPACELESS}]"
_LINKS = re.compile(
    rf"(?:\b[a-z][a-z0-9+.-]{{1,9}}://|\bwww\.){_PLAIN_LINK}*"
    rf"|(?<![\w.-])[a-z0-9-]++(?:\.[a-z0-9-]++)*?\.(?:be|co|com|gl|io|ly|me|net|org)/{_PLAIN_LINK}*"
    rf"|(?<![a-z0-9._+-])[a-z0-9._+-]*+@(?:[^\W{_SPACELESS}]+(?:[.-][^\W{_SPACELESS}]+)*+)?"
)
_ONE_SIGN: dict[int, str | None] = {ord(c): "'" for c in "’‘ʼ＇"}
_ONE_SIGN |= {ord(c): "-" for c in "‐‑"}
_ONE_SIGN |= dict.fromkeys((0xAD, 0x2060, 0xFEFF))  # soft hyphens and the like are no part of a word
_BEFORE_APOSTROPHE = "c d j l m n s t qu jusqu lorsqu puisqu all dall dell nell sull"  # of French and Italian
_ELIDED = frozenset(_BEFORE_APOSTROPHE.split())


def terms(text: str) -> list[str]:
    """Distinct terms of a text, in order of first appearance: words, and bigrams of adjacent words.

    Case, width and accents are in one form (NFKC, case folded). Mark-up, links, addresses and @mentions are left out,
    ``#tag`` is ``tag``; numbers and single letters are no words. Punctuation, and whatever is left out, ends a bigram.
    Scripts written without spaces give pairs of characters instead of words.

    Examples
    --------
    >>> terms("My <b>Credit&nbsp;Card</b> was declined, see https://example.com/help")
    ['my', 'credit', 'my credit', 'card', 'credit card', 'was', 'card was', 'declined', 'was declined', 'see']
    >>> terms("C++ or #NodeJS?"), terms("東京都")
    (['c++', 'or', 'c++ or', 'nodejs', 'or nodejs'], ['東京', '京都'])
    """
    text = _without_links(normal_form(_without_markup(text[:MOST_CHARS])))
    scan = _ASCII_SCAN if text.isascii() else _scan_of_all()
    return _terms(scan.findall(text))


def normal_form(text: str) -> str:
    """Case folded NFKC with one sign for apostrophes and one for hyphens.

    >>> normal_form("Ｆｕｌｌ Straße, don’t")
    "full strasse, don't"
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).translate(_ONE_SIGN)


def is_spaceless(term: str) -> bool:
    """Whether a term is a pair of characters of a script that is written without spaces.

    >>> is_spaceless("東京"), is_spaceless("tokyo")
    (True, False)
    """
    return not term.isascii() and _SPACELESS_RUN.fullmatch(term) is not None


def _without_markup(text: str) -> str:
    if "<" in text:
        text = _TAG.sub("\n", _INLINE.sub(" ", _HIDDEN.sub("\n", text)))
    return unescape(text) if "&" in text else text


def _without_links(text: str) -> str:
    if "@" in text or "/" in text or "www." in text:
        return _LINKS.sub("\n", text)
    return text


def _terms(found: list[str]) -> list[str]:
    """Words and bigrams of what the scan found: words, runs of characters and punctuation."""
    out: dict[str, None] = {}
    last, looked_at = "", 0
    for word in found:
        if word in _BREAKS:
            last = ""
            continue
        looked_at += 1
        if looked_at > MOST_WORDS:
            break
        if "'" in word:
            head, _, tail = word.partition("'")
            if head in _ELIDED and len(tail) > 1:  # l'argent, but don't
                word, last = tail, ""
        if word[0] >= "\u0e00" and _SPACELESS_RUN.match(word):
            out.update(dict.fromkeys(word[i : i + 2] for i in range(min(len(word), MOST_WORDS) - 1)))
            looked_at += len(word) // 2
            last = ""
        elif not 1 < len(word) <= LONGEST or (word[0].isdigit() and not any(map(str.isalpha, word))):
            last = ""
        else:
            out[word] = None
            if last:
                out[f"{last} {word}"] = None
            last = word
    return list(out)


def _scan(letter: str, more: str = "") -> re.Pattern[str]:
    """Words of these letters, runs of spaceless characters where ``more`` says so, and breaks.

    A dot joins short endings only (node.js): elsewhere a blank was forgotten.
    """
    inside = rf"(?:['’\u200c\u200d-]{letter}+|\.{letter}{{1,4}}(?!{letter}))"
    breaks = re.escape("".join(sorted(_BREAKS)))
    return re.compile(rf"{letter}+{inside}*(?:(?:\+{{1,2}}|\#)(?![+#]|{letter}))?{more}|[{breaks}]")


_ASCII_SCAN = _scan("[a-z0-9]")
_SPACELESS_RUN = re.compile(f"[{_SPACELESS}]+")


@cache
def _scan_of_all() -> re.Pattern[str]:
    """The scan for texts beyond ASCII, at first use.

    Letters are listed: ``\\w`` knows no combining marks, and one plain set is searched five times faster than a choice.
    """
    other = re.compile(f"[\ufe00-\ufe0f\u20d0-\u20ff{_SPACELESS}]")  # marks that only emoji carry
    places = [c for c in range(_LAST_SCRIPT) if unicodedata.category(chr(c))[0] in "LMN"]
    ranges: list[list[int]] = []
    for c in places:
        if other.match(chr(c)):
            continue
        if ranges and c == ranges[-1][1] + 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    letters = "".join(f"{chr(a)}-{chr(b)}" for a, b in ranges)
    return _scan(f"[{letters}]", rf"|[{_SPACELESS}]+")
