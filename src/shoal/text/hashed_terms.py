"""Vectors without a model: words and pairs of words, hashed (Weinberger et al. 2009) and projected at random.

The projection has eight entries of +1 or -1 for a bucket, one in each eighth of the columns (Kane and Nelson 2014). All
choices come from hashes that are written down here, so that any process on any machine gets the same vectors.
"""

from __future__ import annotations

import zlib
from base64 import b85decode, b85encode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import DamagedFileError, ShoalError
from shoal.text.embedding import MAX_CHARS, checked, unit_rows
from shoal.text.tokens import is_spaceless, terms

WIDTH = 256
BUCKETS = 1 << 16
ENTRIES = 8
"""Columns that a bucket goes to."""
BLOCK = 512
"""Texts whose sums are held at once."""
PAIR = 0.25
"""Weight of a pair of words: pairs tell texts apart, but most are in no other text and only add noise."""
LONG = 8
"""Letters from which a word counts fully."""


class HashedTerms:
    """Hashed words and pairs of words; an :class:`~shoal.text.embedding.Embedder`.

    A term counts ``sign * weight * idf``, however often it occurs: in short texts that is once. Frequent words are short
    (Zipf 1935); so a word weighs an eighth for each letter up to eight. A pair of words weighs a quarter. Without
    :meth:`learn`, idf is 1.

    Parameters
    ----------
    width : numbers in a vector, 8 to 65,536.
    idf : weights (65,536,) of the buckets, as :meth:`learn` finds them; default: all 1.

    Raises
    ------
    ShoalError : such a width cannot be.

    Examples
    --------
    >>> found = HashedTerms().embed(["my card is lost", "I lost my card", "rate of exchange"])
    >>> bool(found[0] @ found[1] > found[0] @ found[2] + 0.2)
    True
    """

    def __init__(self, width: int = WIDTH, idf: NDArray[np.float32] | None = None) -> None:
        if not ENTRIES <= width <= BUCKETS:
            raise ShoalError(f"hashed terms cannot have width {width}: give {ENTRIES} to {BUCKETS}")
        self.width, self.idf = int(width), idf
        self._columns, self._signs = _projection(self.width)

    @property
    def name(self) -> str:
        """``hashed:WIDTH``."""
        return f"hashed:{self.width}"

    @property
    def fingerprint(self) -> str:
        """Hash of the width and of what was learnt."""
        state = blake2b(f"shoal hashed terms 1, {MAX_CHARS}, {self.width}".encode(), digest_size=16)
        if self.idf is not None:
            state.update(self.idf.astype("<f4").tobytes())
        return state.hexdigest()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (n, width) of length 1, the same whatever other texts come with them.

        Raises
        ------
        BadInputError : one of them is no text, or an empty one.
        """
        rows = checked(texts)
        out = np.empty((len(rows), self.width), np.float32)
        for start in range(0, len(rows), BLOCK):
            out[start : start + BLOCK] = unit_rows(self._sums(rows[start : start + BLOCK]))
        return out

    def learn(self, texts: Sequence[str]) -> HashedTerms:
        """The same with idf from these texts: ``1 + log((1 + n) / (1 + texts with a term in the bucket))``.

        The weights are rounded to float16, in which they are stored, so that a stored model embeds alike.
        """
        rows = checked(texts)
        seen = np.zeros(BUCKETS)
        for text in rows:
            seen[list({_hashed(term)[0] for term in terms(text)})] += 1
        idf = 1 + np.log((1 + len(rows)) / (1 + seen))
        return HashedTerms(self.width, idf.astype(np.float16).astype(np.float32))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; at most 170 kB, some kB if it learnt from few texts."""
        if self.idf is None:
            return {"width": self.width, "idf": None}
        return {
            "width": self.width,
            "idf": b85encode(zlib.compress(self.idf.astype("<f2").tobytes())).decode(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HashedTerms:
        """Inverse of :meth:`to_dict`.

        Raises
        ------
        DamagedFileError : it is not what :meth:`to_dict` makes.
        """
        try:
            width, packed = data["width"], data["idf"]
            if not isinstance(width, int):
                raise TypeError("width")  # noqa: TRY301
            if packed is None:
                return cls(width)
            raw = zlib.decompressobj().decompress(b85decode(packed), 2 * BUCKETS + 1)
            idf = np.frombuffer(raw, "<f2").astype(np.float32)
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise DamagedFileError(f"hashed terms cannot be read: {error}; use another copy") from error
        if len(idf) != BUCKETS or not (np.isfinite(idf).all() and (idf >= 0).all()):
            raise DamagedFileError("hashed terms have weights that cannot be; use another copy")
        return cls(width, idf)

    def _sums(self, texts: list[str]) -> NDArray[np.float64]:
        owner, buckets, values = [], [], []
        for i, text in enumerate(texts):
            for term in terms(text):
                bucket, value = _hashed(term)
                owner.append(i)
                buckets.append(bucket)
                values.append(value)
        b, v = np.array(buckets, np.int64), np.array(values, np.float64)
        if self.idf is not None:
            v *= self.idf[b]
        cells = np.array(owner, np.int64)[:, None] * self.width + self._columns[b]
        # bincount adds in the order given, which is each text's own: no text's sum depends on another
        sums = np.bincount(cells.ravel(), (v[:, None] * self._signs[b]).ravel(), len(texts) * self.width)
        return sums.astype(np.float64).reshape(len(texts), self.width)


@lru_cache(maxsize=1 << 17)
def _hashed(term: str) -> tuple[int, float]:
    """Bucket of a term, and its weight with a sign."""
    found = int.from_bytes(blake2b(term.encode("utf-8"), digest_size=8).digest(), "little")
    weight = PAIR if " " in term else 1.0 if is_spaceless(term) else min(len(term), LONG) / LONG
    return found % BUCKETS, weight if found >> 63 else -weight


@lru_cache(maxsize=4)
def _projection(width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Columns and signs (BUCKETS, ENTRIES), by the mixing function of splitmix64 (Steele, Lea and Flood 2014)."""
    z = np.arange(1, BUCKETS * ENTRIES + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = (z ^ (z >> np.uint64(31))).reshape(BUCKETS, ENTRIES)
    edges = np.arange(ENTRIES + 1) * width // ENTRIES
    columns = edges[:-1] + ((z >> np.uint64(1)) % np.diff(edges).astype(np.uint64)).astype(np.int64)
    signs = np.where(z & np.uint64(1), 1.0, -1.0)
    columns.flags.writeable = signs.flags.writeable = False
    return columns, signs
