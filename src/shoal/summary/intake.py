"""What every summary asks of the rows it is given: finite, in range, with weights and times that fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError

LARGEST = {np.dtype(np.float32): 1e17, np.dtype(np.float64): 1e100}
"""Largest magnitude of a value in each precision: squares of distances must not overflow."""
MOST_WEIGHT = 1e100
"""Of one row."""


def checked_rows(
    rows: NDArray[Any], weights: ArrayLike | None, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Finite (n, d) rows that are not too large for ``dtype``, and (n,) weights or None.

    Raises
    ------
    BadInputError : names the first bad row and column.
    """
    if rows.shape[1] == 0:
        raise BadInputError("rows have no columns")
    largest = LARGEST[dtype]
    # NaN and infinity spread through both, so that one look at each is enough
    if rows.size and not (float(rows.max()) <= largest and float(rows.min()) >= -largest):
        bad = ~(np.abs(rows.astype(np.float64)) <= largest)  # NaN compares False
        i, j = (int(v[0]) for v in np.nonzero(bad))
        remedy = "drop or fill such rows first"
        if np.isfinite(rows[i, j]):
            remedy = f"scale the column: {dtype.name} rows go up to {largest:g}"
        raise BadInputError(f"value is {rows[i, j]}", place=f"row {i}, column {j}", remedy=remedy)
    if weights is None:
        return rows, None
    w = np.ascontiguousarray(weights, np.float64)
    if w.shape != (len(rows),):
        raise BadInputError(f"weights have shape {w.shape}, not ({len(rows)},)")
    wrong = np.flatnonzero(~((w >= 0) & (w <= MOST_WEIGHT)))
    if len(wrong):
        place = f"row {wrong[0]}"
        raise BadInputError(
            f"weight is {w[wrong[0]]}", place=place, remedy=f"weights lie between 0 and {MOST_WEIGHT:g}"
        )
    return rows, w


def one_each(times: ArrayLike | None, n: int) -> ArrayLike | None:
    """Event times, one for each of n rows, or None.

    Raises
    ------
    BadInputError : another number of times.
    """
    if times is not None and np.shape(times) != (n,):
        raise BadInputError(f"event times have shape {np.shape(times)}, not ({n},)")
    return times
