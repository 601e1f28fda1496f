"""Numbers as people write them: enough digits to tell clusters apart and no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePath


def value_text(value: float, spread: float = math.nan) -> str:
    """A value of a column whose standard deviation is ``spread``, to about a hundredth of that.

    >>> value_text(452600.4, 115000.0), value_text(-122.2345, 2.0), value_text(0.00123)
    ('452,600', '−122.23', '0.00123')
    """
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 1e9 or not (math.isfinite(spread) and spread > 0):
        text = f"{value:,.4g}" if abs(value) < 1e4 or abs(value) >= 1e9 else f"{value:,.0f}"
    else:
        places = min(max(math.ceil(1.5 - math.log10(spread)), 0), 8)
        text = f"{value:,.{places}f}"
    if not any(digit in text for digit in "123456789"):
        text = text.removeprefix("-")
    return text.replace("-", "−", 1) if text.startswith("-") else text


def compact(value: float, step: float = 0.0) -> str:
    """A figure in little room; ``step`` is the least difference that must show.

    >>> compact(1234567.0), compact(0.25), compact(-1500.0), compact(10020.0, 20.0), compact(2.5, 2.5)
    ('1.23M', '0.25', '−1.5k', '10.02k', '2.5')
    """
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 1e15 or (0 < abs(value) < 1e-4 and not step):
        return f"{value:.3g}".replace("-", "−")
    units = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
    size, unit = next(((s, u) for s, u in units if abs(value) >= s), (1.0, ""))
    if not step > 0:
        return f"{value / size:.3g}{unit}".replace("-", "−")
    # The fewest places in which the step is exact, so that neighbours such as 2.5 and 5 keep their distance.
    fine = step / size
    places = next((p for p in range(9) if abs(round(fine * 10**p) - fine * 10**p) < 1e-6 * 10**p * fine), 9)
    if unit and places > 2 and abs(value) < 1e8:  # 10,039.5 reads better than 10.0395k
        return f"{value:,.{max(places - round(math.log10(size)), 0)}f}".replace("-", "−")
    text = f"{value / size:.{places}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}{unit}".replace("-", "−")


def percent_text(share: float) -> str:
    """A share as a percentage; small ones keep a digit that is not zero.

    >>> percent_text(0.873), percent_text(0.0042), percent_text(0.00001), percent_text(0.0)
    ('87%', '0.4%', '<0.1%', '0%')
    """
    if not math.isfinite(share):
        return "–"
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.995 <= share < 1:
        return f"{math.floor(share * 1000) / 10:.1f}%"
    return f"{share:.1%}" if 0 < share < 0.0095 else f"{share:.0%}"


def count_text(number: float, noun: str = "", plural: str = "") -> str:
    """A whole number with its noun in the right number.

    >>> count_text(20640, "row"), count_text(1, "group"), count_text(2, "city", "cities")
    ('20,640 rows', '1 group', '2 cities')
    """
    text = f"{round(number):,}"
    if not noun:
        return text
    return f"{text} {noun}" if round(number) == 1 else f"{text} {plural or noun + 's'}"


def sample_text(shown: int, seen: int) -> str:
    """How many of the rows a picture shows.

    >>> sample_text(3000, 20640), sample_text(12, 12)
    ('3,000 sampled rows of 20,640', 'all 12 rows')
    """
    if shown == seen and shown > 1:
        return f"all {count_text(seen, 'row')}"
    return f"{count_text(shown, 'sampled row')} of {seen:,}"


def seconds_text(seconds: float) -> str:
    """Wall time, as said aloud.

    >>> seconds_text(0.42), seconds_text(95.0), seconds_text(0.0004)
    ('0.4 s', '1 min 35 s', '<0.01 s')
    """
    if seconds < 0.01:
        return "<0.01 s"
    if seconds < 0.095:
        return f"{seconds:.2f} s"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def date_text(created: str) -> str:
    """An ISO 8601 time as a date with its minute; anything else as it is.

    >>> date_text("2026-11-21T02:05:09+00:00"), date_text("long ago")
    ('21 November 2026, 02:05 UTC', 'long ago')
    """
    try:
        when = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def sources_text(sources: Sequence[str]) -> str:
    """What was read, in a few words: one file by its name, several by their number.

    >>> sources_text(["data/housing.csv"]), sources_text(["a.csv", "b.csv", "c.csv"]), sources_text([])
    ('housing.csv', '3 files', '')
    """
    if not sources:
        return ""
    if len(sources) == 1:
        return PurePath(sources[0]).name or sources[0]
    return count_text(len(sources), "file")


def short(text: str, length: int = 26) -> str:
    """Text on one line, cut in the middle where too long: the end of a column's name often tells the most.

    >>> short("a very long name of a column, indeed", 16)
    'a very lo…indeed'
    """
    line = "".join(ch if ch.isprintable() else " " for ch in text)
    line = " ".join(line.split()) or "(no name)"
    if len(line) <= length:
        return line
    tail = (length - 1) * 2 // 5
    return line[: length - 1 - tail] + "…" + line[-tail:]
