"""What a model asks of a row: its columns in order, and how values become them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.features.columns import Vector
from shoal.serve.models import Served

PLACE = "request"
TEXT = "text"
"""Column of the texts of topics."""
MEND_ROW = "mend the row"
MEND = f"{MEND_ROW}, or ask for ?on_error=skip to have null for it"

_UNFIT = (pa.ArrowException, TypeError, ValueError, OverflowError)
"""What a value of another kind raises, and a text with half a surrogate pair."""


@dataclass(frozen=True)
class Wanted:
    """One column of a request's rows."""

    name: str
    kind: Literal["number", "text", "vector"]
    width: int = 1
    """Numbers of a vector."""

    def array(self, values: Sequence[Any], unfit: set[int] | None = None) -> pa.Array:
        """Values of a JSON document as a column.

        Parameters
        ----------
        unfit : takes the positions of values that do not fit, which are null then.

        Raises
        ------
        BadInputError : with the row of the first value that does not fit, where ``unfit`` takes none.

        >>> rooms, unfit = Wanted("rooms", "number"), set()
        >>> rooms.array([3, None, "4.5", "many"], unfit).to_pylist(), unfit
        ([3.0, nan, 4.5, None], {3})
        """
        if self.kind == "text":
            return self._converted(values, _as_text, pa.string(), unfit)
        if self.kind == "vector":
            return self._converted(values, _as_is, pa.list_(pa.float64()), unfit)
        return self._converted(values, _as_number, pa.float64(), unfit)

    def _converted(self, values: Sequence[Any], convert: Any, kind: Any, unfit: set[int] | None) -> pa.Array:
        try:
            return pa.array([convert(v) for v in values], kind)
        except _UNFIT:
            pass
        fitting: list[Any] = []
        for i, value in enumerate(values):
            try:
                pa.array([convert(value)], kind)
                fitting.append(convert(value))
            except _UNFIT:
                if unfit is None:
                    raise BadInputError(
                        f"not a {self.kind}: {ascii(value)[:40]}",
                        place=f"{PLACE}, row {i + 1}, column {self.name!r}",
                        remedy=MEND,
                    ) from None
                unfit.add(i)
                fitting.append(None)
        return pa.array(fitting, kind)


def wanted_columns(served: Served) -> tuple[Wanted, ...]:
    """The columns in the order in which rows of bare values have them; of topics the one of the texts."""
    known = _known.get(served)
    if known is None:
        known = _known[served] = _columns(served)
    return known


_known: WeakKeyDictionary[Served, tuple[Wanted, ...]] = WeakKeyDictionary()
"""Of hundreds of columns: making them takes as long as labelling a row."""


def _columns(served: Served) -> tuple[Wanted, ...]:
    if served.topics is not None:
        return (Wanted(TEXT, "text"),)
    if served.recipe is None:
        return tuple(Wanted(name, "number") for name in served.model.feature_names)
    vectors = {b.name: b.width for b in served.recipe.blocks if isinstance(b, Vector)}
    text = served.recipe.text_columns
    return tuple(
        Wanted(name, "vector", vectors[name])
        if name in vectors
        else Wanted(name, "text" if name in text else "number")
        for name in served.recipe.columns_needed
    )


def bare_width(columns: Sequence[Wanted]) -> int:
    """Values of a row without names: those of the vector, if that is all the model asks for."""
    return columns[0].width if len(columns) == 1 else len(columns)


def batch_of(columns: Sequence[Wanted], X: NDArray[Any]) -> pa.RecordBatch:
    """An (n, width) array of numbers as the columns a recipe reads."""
    if len(columns) == 1 and columns[0].kind == "vector":
        flat = pa.array(np.ascontiguousarray(X).reshape(-1))
        arrays = [pa.FixedSizeListArray.from_arrays(flat, X.shape[1])]
    else:
        arrays = [pa.array(np.ascontiguousarray(X[:, j])) for j in range(X.shape[1])]
    return pa.RecordBatch.from_arrays(arrays, names=[c.name for c in columns])


def check_width(width: int, columns: Sequence[Wanted], place: str = PLACE) -> None:
    """Raises :class:`BadInputError` for rows of another width than the model's."""
    wanted = bare_width(columns)
    if width != wanted:
        names = ", ".join(c.name for c in columns[:8]) + ", ..." * (len(columns) > 8)
        raise BadInputError(
            f"has {width} values, the model takes {wanted}", place=place, remedy=f"give {names} in this order"
        )


def _as_is(value: Any) -> Any:
    return value


def _as_number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return json.dumps(value)  # as files are read: true is "true", 43 is "43"
    raise TypeError
