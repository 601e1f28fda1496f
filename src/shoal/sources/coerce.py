"""Text to typed columns value by value, telling which values do not fit: the careful path of text formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

NULL_WORDS: tuple[str, ...] = tuple(pacsv.ConvertOptions().null_values)
_TRUE = tuple(pacsv.ConvertOptions().true_values)
_FALSE = tuple(pacsv.ConvertOptions().false_values)
NUMBER = r"(?i)^[+-]?(\d+\.?\d*(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?|inf|infinity|nan)$"


def coerce_text(values: Any, kind: Any, null_words: tuple[str, ...] | None) -> tuple[Any, NDArray[np.bool_]]:
    """``values`` (binary) as type ``kind``, and an (n,) mask of the values that do not fit (null in the result).

    >>> good, bad = coerce_text(pa.array([b" 1.5", b"", b"x"]), pa.float64(), None)
    >>> good.to_pylist(), bad.tolist()
    ([1.5, None, None], [False, False, True])
    """
    text, not_utf8 = _decoded(values)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        words = ("",) if null_words is None else ("", *null_words)
        return pc.if_else(pc.is_in(text, pa.array(words)), pa.scalar(None, kind), text.cast(kind)), not_utf8
    text = pc.utf8_trim_whitespace(text)
    empty = pc.is_in(text, pa.array(("", *(NULL_WORDS if null_words is None else null_words))))
    text = pc.if_else(empty, pa.scalar(None, pa.string()), text)
    if pa.types.is_floating(kind):
        fits = pc.match_substring_regex(text, NUMBER)
        plain = pc.replace_substring_regex(pc.if_else(fits, text, pa.scalar(None, pa.string())), r"^\+", "")
        result = plain.cast(kind)
    elif pa.types.is_boolean(kind):
        result = pc.if_else(
            pc.is_in(text, pa.array(_TRUE)), True, pc.if_else(pc.is_in(text, pa.array(_FALSE)), False, None)
        )
        result = result.cast(kind)
    else:
        result = _cast_each(text, kind)
    bad = np.asarray(text.is_valid()) & ~np.asarray(result.is_valid())
    return result, np.asarray(bad | not_utf8, dtype=np.bool_)


def number_share(values: Any) -> float:
    """The share of non-empty texts that are numbers; 0 if there are none.

    >>> number_share(pa.array(["1", "2.5", "", "three"]))
    0.6666...
    """
    result, bad = coerce_text(values.cast(pa.binary()), pa.float64(), None)
    good = len(result) - result.null_count
    return good / (good + int(bad.sum())) if good else 0.0


def _decoded(values: Any) -> tuple[Any, NDArray[np.bool_]]:
    try:
        return values.cast(pa.string()), np.zeros(len(values), dtype=np.bool_)
    except pa.ArrowInvalid:
        texts = [_utf8_or_none(v) for v in values.to_pylist()]
        return pa.array(texts, pa.string()), np.array([t is None for t in texts], dtype=np.bool_)


def _utf8_or_none(value: bytes | None) -> str | None:
    try:
        return (value or b"").decode()
    except UnicodeDecodeError:
        return None


def _cast_each(text: Any, kind: Any) -> Any:
    try:
        return text.cast(kind)
    except pa.ArrowException:
        return pa.array([_cast_one(v, kind) for v in text], kind)


def _cast_one(value: Any, kind: Any) -> Any:
    try:
        return value.cast(kind).as_py()
    except pa.ArrowException:
        return None
