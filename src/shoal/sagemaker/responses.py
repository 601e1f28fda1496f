"""Answers in the four formats that clients of the built-in k-means read.

``closest_cluster`` is the position of the centre in ``model_algo-1``, as a float, as clients expect; it is not the stable
id that Shoal has for a cluster. ``distance_to_cluster`` is the Euclidean distance, not its square.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError, ShoalError
from shoal.sagemaker.requests import JSON, KINDS, Mark
from shoal.sagemaker.tree import CSV, RECORDIO
from shoal.sources.recordio import frame
from shoal.sources.recordio_records import Record, Tensor, encode_record

CLOSEST, DISTANCE = "closest_cluster", "distance_to_cluster"


def write_answer(
    kind: str,
    positions: NDArray[np.integer[Any]],
    distances: NDArray[np.float64],
    marks: Sequence[Mark] | None = None,
) -> bytes:
    """One body with the answers for (n,) rows.

    Parameters
    ----------
    kind : one of :data:`shoal.sagemaker.requests.KINDS`.
    marks : (n,) uid and metadata for RecordIO answers, which are one record per row; other formats have no room for them.

    Raises
    ------
    BadInputError : a distance is beyond the floats of the format.

    >>> write_answer(CSV, np.array([1, 2]), np.array([3.0, 5.0]))
    b'1.0,3.0\\n2.0,5.0'
    >>> write_answer(JSON, np.array([1]), np.array([3.0]))
    b'{"predictions": [{"closest_cluster": 1.0, "distance_to_cluster": 3.0}]}'
    """
    with np.errstate(over="ignore"):
        held = np.isfinite(distances.astype(np.float32) if kind == RECORDIO else distances)
    if not held.all():
        raise BadInputError(
            "lies too far out for its distance to be a float",
            place=f"request, record {int(held.argmin()) + 1}",
            remedy="send smaller numbers",
        )
    if kind == RECORDIO:
        return _records(positions, distances, marks)
    pairs = zip(positions.astype(np.float64).tolist(), distances.tolist(), strict=True)
    if kind == CSV:
        return "\n".join(f"{c!r},{d!r}" for c, d in pairs).encode()
    objects = [f'{{"{CLOSEST}": {c!r}, "{DISTANCE}": {d!r}}}' for c, d in pairs]
    if kind == JSON:
        return f'{{"predictions": [{", ".join(objects)}]}}'.encode()
    return "".join(f"{one}\n" for one in objects).encode()


def chosen_answer(accept: str, default: str) -> str | None:
    """The format of an Accept header, the one asked for most; None for formats that are not written.

    >>> chosen_answer("text/plain, text/csv;q=0.5, application/jsonlines", JSON), chosen_answer("*/*", JSON)
    ('application/jsonlines', 'application/json')
    >>> chosen_answer("image/png", JSON) is None
    True
    """
    if not accept.strip():
        return default
    wishes = []
    for i, part in enumerate(accept.lower().split(",")):
        kind, *parameters = (p.strip() for p in part.split(";"))
        wishes.append((kind.count("*"), i, _quality(parameters), kind))
    rated: list[tuple[float, int, int, str]] = []
    for kind in (default, *KINDS):
        # the wish that names a format most closely is the one that counts for it
        meant = min((wish for wish in wishes if _meets(kind, wish[-1])), default=None)
        if meant is not None and meant[2] > 0:
            rated.append((-meant[2], meant[1], len(rated), kind))
    return min(rated)[-1] if rated else None


def _meets(kind: str, wish: str) -> bool:
    return wish in (kind, "*/*") or (wish.endswith("/*") and kind.startswith(wish[:-1]))


def checked_answer(accept: str) -> str:
    """A format that was set for all answers; raises :class:`ShoalError` for one that is not written."""
    kind = chosen_answer(accept, JSON)
    if kind is None:
        raise ShoalError(f"cannot answer as {accept!r}; use one of {', '.join(KINDS)}")
    return kind


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                number = float(value)
            except ValueError:
                return 0.0
            return number if 0 <= number <= 1 else 0.0
    return 1.0


def _records(
    positions: NDArray[np.integer[Any]], distances: NDArray[np.float64], marks: Sequence[Mark] | None
) -> bytes:
    numbers = np.stack([positions, distances], axis=1).astype("<f4")
    if marks is not None:
        rows = zip(numbers, marks, strict=True)
        return b"".join(_record(row, uid, metadata) for row, (uid, metadata) in rows)
    record, places = _template()
    out = np.tile(record, (len(numbers), 1))
    out[:, places] = np.ascontiguousarray(numbers).view(np.uint8)
    return out.tobytes()


@cache
def _template() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of a record, and where those of its two numbers lie: where two such records differ."""
    zeros, ones = (np.full(8, byte, np.uint8).view("<f4") for byte in (0, 255))
    a, b = (np.frombuffer(_record(row), np.uint8) for row in (zeros, ones))
    return a, np.flatnonzero(a != b)


def _record(numbers: NDArray[np.float32], uid: str | None = None, metadata: str | None = None) -> bytes:
    label = {CLOSEST: Tensor(numbers[:1]), DISTANCE: Tensor(numbers[1:])}
    return frame(encode_record(Record(label=label, uid=uid, metadata=metadata)))
