"""From a pipeline's elements to arrays: tuples, lists, arrays, dicts, ``beam.Row``, pandas rows; what is wrong with those that cannot be used."""

from __future__ import annotations

import hashlib
import time as clock
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.engines.shares import RowBatch
from shoal.errors import BadInputError
from shoal.model.cluster_model import unit_rows
from shoal.summary.forgetting import FUTURE
from shoal.summary.intake import LARGEST

NO_TIME = "there is no event time"
_ODD = (TypeError, ValueError, OverflowError)
"""What Python and NumPy say of values that are no numbers."""


@dataclass(frozen=True)
class Fields:
    """Where the numbers are in an element.

    Parameters
    ----------
    features : names of fields of numbers, or of one that is a vector; none: the element is the vector, or all its fields are,
        those of dicts and ``beam.Row`` in the order of their names.
    weight, id : names of fields; an id is a whole number, a text or a UUID that names a row for ever: it is one row of the
        sample however often it comes. Counts and totals count what comes, except in ``OnlineClusters``.
    time : field of seconds since 1970; default the timestamp that Beam gives the element.
    cosine : rows are scaled to length 1.
    """

    features: tuple[str, ...] = ()
    weight: str | None = None
    time: str | None = None
    id: str | None = None
    cosine: bool = False

    def __post_init__(self) -> None:
        given: Any = self.features
        if isinstance(given, str):  # a frequent slip
            object.__setattr__(self, "features", (given,))
        object.__setattr__(self, "features", tuple(self.features))
        named = [*self.features, *(n for n in (self.weight, self.time, self.id) if n is not None)]
        for name in named:
            if not isinstance(name, str):
                raise BadInputError(f"{name!r} is no name of a field", remedy="give names, which are texts")
        if len(set(named)) < len(named):
            raise BadInputError(f"a field is named twice: {', '.join(named)}", remedy="name each once")


class Refused(NamedTuple):
    """An element that cannot be used."""

    position: int
    reason: str


class Read(NamedTuple):
    """What was found in some elements; ``rows.kept`` are the positions of those that can be used."""

    rows: RowBatch
    refused: list[Refused]


class ElementReader:
    """Turns elements into rows.

    Parameters
    ----------
    width : numbers in a row; None: as many as most rows of the first elements have.
    timed : whether rows need event times.

    >>> reader = ElementReader(Fields())
    >>> found = reader.read([(1.0, 2.0), "x", [3, 4], (5.0,)])
    >>> found.rows.X
    array([[1., 2.],
           [3., 4.]])
    >>> [r.reason for r in found.refused]
    ['str is no vector of numbers', 'the row has 1 numbers, not 2']
    """

    def __init__(self, fields: Fields, width: int | None = None, *, timed: bool = False) -> None:
        self.fields, self.width, self.timed = fields, width, timed
        self._names: tuple[str, ...] | None = None

    def read(self, elements: Sequence[Any], stamps: Sequence[float] | None = None) -> Read:
        """Rows of the elements that can be used.

        Parameters
        ----------
        stamps : (n,) Beam's event times in seconds, NaN for none.
        """
        refused: dict[int, str] = {}
        vectors = self._together(elements)
        if vectors is None:
            vectors = self._one_by_one(elements, refused)
        X = self._checked(vectors, refused)
        weights = self._numbers(elements, self.fields.weight, refused, least=0.0)
        times = self._times(elements, stamps, refused)
        ids = self._ids(elements, refused)
        kept = np.array([i for i in range(len(elements)) if i not in refused], np.intp)
        if refused:
            X = X[kept]
            weights = None if weights is None else weights[kept]
            times = None if times is None else times[kept]
            ids = None if ids is None else ids[kept]
        if self.fields.cosine and len(X):
            X = unit_rows(X)
        rows = RowBatch(np.ascontiguousarray(X), weights, times, ids, kept)
        return Read(rows, [Refused(i, reason) for i, reason in sorted(refused.items())])

    def _together(self, elements: Sequence[Any]) -> NDArray[Any] | None:
        """All at once where they are alike, as they are as a rule; None where they are not."""
        if self.fields.features or not isinstance(elements[0], (tuple, list, np.ndarray)):
            return None
        if hasattr(elements[0], "_fields"):
            return None
        kinds = {e.dtype if isinstance(e, np.ndarray) else np.dtype(np.float64) for e in elements}
        if any(kind.kind not in "fiub" for kind in kinds):
            return None
        try:
            made = np.array(elements, dtype=np.float32 if kinds == {np.dtype(np.float32)} else np.float64)
        except _ODD:
            return None
        if made.ndim != 2 or made.shape[1] == 0:
            return None
        self.width = self.width or made.shape[1]
        return made if made.shape[1] == self.width else None

    def _one_by_one(self, elements: Sequence[Any], refused: dict[int, str]) -> NDArray[Any]:
        found: list[NDArray[Any] | None] = []
        for i, element in enumerate(elements):
            vector: NDArray[Any] | None
            try:
                self._check_names(element)
                vector = vector_of(element, self.fields.features)
            except BadInputError as error:
                vector, refused[i] = None, str(error)
            found.append(vector)
        if self.width is None:
            self.width = _usual([len(v) for v in found if v is not None])
        for i, vector in enumerate(found):
            if vector is not None and len(vector) != self.width:
                refused[i] = f"the row has {len(vector)} numbers, not {self.width or 'one or more'}"
                found[i] = None
        singles = all(v is None or v.dtype == np.float32 for v in found)
        X = np.zeros((len(found), self.width or 1), np.float32 if singles else np.float64)
        for i, vector in enumerate(found):
            if vector is not None:
                X[i] = vector
        return X

    def _check_names(self, element: Any) -> None:
        """Without names of their own, all elements must have the same ones: else columns would mix."""
        if self.fields.features:
            return
        names = _names_of(element)
        if names is None:
            return
        self._names = self._names or names
        if names != self._names:
            raise BadInputError(f"the fields are {', '.join(names)}, not {', '.join(self._names)}")

    def _checked(self, X: NDArray[Any], refused: dict[int, str]) -> NDArray[Any]:
        most = LARGEST[X.dtype]
        with np.errstate(invalid="ignore"):
            fits = np.abs(X).max(axis=1, initial=0.0) <= most
        for i in np.flatnonzero(~fits):
            finite = np.isfinite(X[i]).all()
            refused.setdefault(int(i), f"value is beyond {most:g}" if finite else "value is NaN or infinite")
        if self.fields.cosine:
            for i in np.flatnonzero(~X.any(axis=1)):
                refused.setdefault(int(i), "the row is all zeros, which has no direction")
        return X

    def _numbers(
        self,
        elements: Sequence[Any],
        name: str | None,
        refused: dict[int, str],
        least: float = -LARGEST[np.dtype(np.float64)],
    ) -> NDArray[np.float64] | None:
        if name is None:
            return None
        out = np.zeros(len(elements))
        for i, element in enumerate(elements):
            try:
                out[i] = float(field_of(element, name))
            except _ODD:  # BadInputError is one
                refused.setdefault(i, f"field {name!r} is missing or no number")
                continue
            if not least <= out[i] <= LARGEST[out.dtype]:
                refused.setdefault(i, f"field {name!r} is NaN, negative or too large")
        return out

    def _times(
        self, elements: Sequence[Any], stamps: Sequence[float] | None, refused: dict[int, str]
    ) -> NDArray[np.float64] | None:
        if not self.timed:
            return None
        if self.fields.time is not None:
            found = self._numbers(elements, self.fields.time, refused)
            assert found is not None
            latest = clock.time() + FUTURE
            for i in np.flatnonzero(
                (found > latest) | (found < -1e15)
            ):  # one such row would age all others away
                refused.setdefault(
                    int(i), f"time in field {self.fields.time!r} lies in the future, or is in no seconds"
                )
            return found
        times = np.asarray(stamps if stamps is not None else np.full(len(elements), np.nan), np.float64)
        for i in np.flatnonzero(~np.isfinite(times)):
            refused.setdefault(int(i), NO_TIME)
        return times

    def _ids(self, elements: Sequence[Any], refused: dict[int, str]) -> NDArray[np.int64] | None:
        name = self.fields.id
        if name is None:
            return None
        out = np.zeros(len(elements), np.int64)
        for i, element in enumerate(elements):
            try:
                out[i] = id_of(field_of(element, name))
            except BadInputError:
                refused.setdefault(i, f"field {name!r} is missing or no id")
        return out


def vector_of(element: Any, features: tuple[str, ...]) -> NDArray[Any]:
    """The numbers (d,) of one element.

    Raises
    ------
    BadInputError : there are none.

    >>> vector_of({"name": 7, "v": [1.0, 2.0]}, ("v",))
    array([1., 2.])
    """
    values: Any = element
    if features:
        values = [field_of(element, name) for name in features]
    else:
        values = _all_fields(element)
    if isinstance(values, list) and len(values) == 1 and _is_vector(values[0]):
        values = values[0]
    try:
        made = np.asarray(values)
        if made.dtype.kind == "c":
            raise TypeError
        made = made.astype(np.float32 if made.dtype == np.float32 else np.float64, copy=False)
    except _ODD:
        raise BadInputError(f"{type(element).__name__} is no vector of numbers") from None
    if made.ndim != 1:
        raise BadInputError(f"{type(element).__name__} of {made.ndim} dimensions is no vector")
    return made


def field_of(element: Any, name: str) -> Any:
    """A field of a dict, a ``beam.Row``, a named tuple or a pandas row.

    Raises
    ------
    BadInputError : it has no such field.
    """
    try:
        if isinstance(element, Mapping) or hasattr(element, "iloc"):
            return element[name]
        return getattr(element, name)
    except (KeyError, AttributeError):
        raise BadInputError(f"{type(element).__name__} has no field {name!r}") from None


def id_of(value: Any) -> int:
    """64 bits that name a row: whole numbers as they are, texts and bytes by their hash.

    >>> id_of(7), id_of("a") == id_of(b"a")
    (7, True)
    """
    if isinstance(value, (int, np.integer)) and -(2**63) <= int(value) < 2**63:
        return int(value)
    if isinstance(value, uuid.UUID):
        value = value.bytes
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    if not isinstance(value, bytes):
        raise BadInputError(f"{type(value).__name__} is no id", remedy="use whole numbers, texts or UUIDs")
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little", signed=True)


def _all_fields(element: Any) -> Any:
    names = _names_of(element)
    if names is not None:
        return [field_of(element, name) for name in names]
    if hasattr(element, "iloc"):
        return list(element)
    return list(element) if hasattr(element, "_fields") else element


def _names_of(element: Any) -> tuple[str, ...] | None:
    """Names of the fields of a dict or ``beam.Row``, whose order says nothing; None of what has an order."""
    if isinstance(element, Mapping):
        return tuple(sorted(element, key=str))
    if hasattr(element, "as_dict"):  # beam.Row
        return tuple(sorted(element.as_dict()))
    return None


def _usual(widths: list[int]) -> int | None:
    """The width that most rows have; of two, the one that came first."""
    return next((width for width, _ in Counter(w for w in widths if w).most_common(1)), None)


def _is_vector(value: Any) -> bool:
    return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))
