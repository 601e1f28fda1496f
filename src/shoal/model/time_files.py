"""Summary files of a time store: written whole, named by their content, and their samples cut to size."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from shoal.errors import DamagedFileError, NewerFormatError
from shoal.model.durable import replace_durably
from shoal.summary import wire
from shoal.summary.coreset import DEFAULT_BYTES, Coreset

OURS = re.compile(r"[0-9a-f]{32}\.shoal|\.tmp-\w+")
"""Names of files this module writes."""


def write_summary(folder: Path, summary: Coreset) -> tuple[str, int]:
    """Write, sync and rename; answers the file's name, which is its content's hash, and its bytes."""
    data = summary.to_bytes()
    name = f"{hashlib.blake2b(data, digest_size=16).hexdigest()}.shoal"
    replace_durably(folder / name, data)
    return name, len(data)


def read_summary(folder: Path, name: str, rows: int) -> Coreset:
    """Inverse of :func:`write_summary`, with room for at least so many rows; see :func:`resized`.

    Raises
    ------
    FileNotFoundError : it is not there.
    DamagedFileError, NewerFormatError : its content is not what was written, or not for this release.
    """
    path = folder / name
    data = path.read_bytes()
    if f"{hashlib.blake2b(data, digest_size=16).hexdigest()}.shoal" != name:
        raise DamagedFileError(f"{path} was cut short or changed since it was written")
    try:
        return _roomier(data, rows)
    except (DamagedFileError, NewerFormatError) as error:
        raise type(error)(f"{path}: {error}") from error


def resized(summary: Coreset, rows: int) -> Coreset:
    """The same rows seen, with a sample of at most ``rows`` from here on; totals stay exact.

    The first rows by priority are a priority sample themselves, with the next one's priority as ``tau``. Room for more
    rows brings none back, but lets merging keep more of others: else the smallest sample of all would set the size.

    >>> big = Coreset(rows=100).update(np.arange(300.0)[:, None], key=1, rows=np.arange(300))
    >>> small = resized(big, 10); len(small.points().X), small.count, round(small.points().weights.sum())
    (10, 300, 300)
    >>> len(resized(small, 100).points().X), resized(small, 100).rows
    (10, 100)
    """
    if summary.n_features is None:
        return summary
    data = summary.to_bytes()
    meta, _ = wire.unpack("coreset", data)
    return _roomier(data, rows).merge(_empty(meta, rows))


def merge_all(summaries: Iterable[Coreset]) -> Coreset:
    """One summary of all, at least one; merged in pairs of like size, so that each row is moved few times."""
    piles: list[tuple[int, Coreset]] = []  # as the digits of a binary counter: few are held at a time
    for summary in summaries:
        size = 1
        while piles and piles[-1][0] == size:
            summary = piles.pop()[1].merge(summary)
            size *= 2
        piles.append((size, summary))
    _, whole = piles.pop()
    while piles:
        whole = piles.pop()[1].merge(whole)
    return whole


def _roomier(data: bytes, rows: int) -> Coreset:
    """A summary whose sample may hold at least so many rows from here on."""
    meta, arrays = wire.unpack("coreset", data)
    if meta["rows"] < rows:
        wanted, _ = wire.unpack("coreset", _empty(meta, rows).to_bytes())
        meta |= {name: max(meta[name], wanted[name]) for name in ("rows", "max_bytes", "m")}
        data = wire.pack("coreset", meta, arrays)
    return Coreset.from_bytes(data)


def _empty(like: dict[str, Any], rows: int) -> Coreset:
    """A summary that has seen no rows, but knows what they are like: merging with it sets a sample's size."""
    settings = {name: like[name] for name in ("k_max", "seed")}
    max_bytes = max(like["max_bytes"], DEFAULT_BYTES)
    out = Coreset(**settings, rows=rows, max_bytes=max_bytes, half_life=like.get("half_life"))
    return out.update(np.empty((0, like["d"]), like["dtype"]), times=np.empty(0))
