"""Categories as 0/1 columns: the most frequent ones of the first block, and one for all others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MISSING = -1
"""Code of a null."""


@dataclass(frozen=True)
class OneHot:
    """One column of categories.

    >>> block = OneHot("kind", ("a", "b"), has_other=True)
    >>> block.feature_names
    ('kind=a', 'kind=b', 'kind=other')
    >>> block.codes(pa.array(["b", None, "z"])).tolist()
    [1, -1, 2]
    """

    name: str
    categories: tuple[str, ...]
    has_other: bool

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.categories) + self.has_other

    @property
    def feature_names(self) -> tuple[str, ...]:
        """``name=category`` for each, then ``name=other`` (``name=(other)`` if a category has that name)."""
        other = "(other)" if "other" in self.categories else "other"
        return tuple(f"{self.name}={c}" for c in (*self.categories, *([other] if self.has_other else [])))

    @cached_property
    def _code(self) -> dict[str, int]:
        return {category: i for i, category in enumerate(self.categories)}

    def codes(self, column: Any) -> NDArray[np.int64]:
        """(n,) position of each value's category; ``len(categories)`` for any other value, -1 for null."""
        words, indices = _encoded(column)
        lookup = np.array(
            [self._code.get(w, len(self.categories)) for w in words] + [MISSING], dtype=np.int64
        )
        return lookup[indices]

    def spread(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n, width) of zeros with a one in each row; nulls count as other."""
        out = np.zeros((len(codes), self.width))
        column = np.where(codes == MISSING, len(self.categories), codes)
        inside = column < self.width
        out[np.flatnonzero(inside), column[inside]] = 1.0
        return out


def learn_one_hot(name: str, column: Any, top: int, *, has_other: bool) -> OneHot:
    """The ``top`` most frequent values; equals are taken in the order of their names.

    >>> learn_one_hot("x", pa.array(["b", "c", "a", "c"]), 2, has_other=False).categories
    ('c', 'a')
    """
    words, indices = _encoded(column)
    counts = np.bincount(indices[indices >= 0], minlength=len(words))
    totals: Counter[str] = Counter()
    for word, count in zip(words, counts.tolist()):
        totals[word] += count
    ranked = sorted((w for w in totals if totals[w]), key=lambda w: (-totals[w], w))
    return OneHot(name, tuple(ranked[:top]), has_other)


def _encoded(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct values as text, and (n,) positions among them, -1 for null (NaN too)."""
    if pa.types.is_floating(column.type):
        column = pa.array(column.to_numpy(zero_copy_only=False), from_pandas=True)
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    values = coded.dictionary.to_pylist()
    indices = np.asarray(
        coded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64
    )
    holes = np.array([v is None for v in values] + [True])
    return [_word(v) for v in values], np.where(holes[indices], -1, indices)


def _word(value: Any) -> str:
    """A category's name: the number 43 is "43" whether it was read as an integer or not."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)
