"""A recipe learned from the first block of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from shoal.errors import BadInputError
from shoal.features.columns import Numeric, Vector, is_number, is_text, is_vector, numbers, plain_batch
from shoal.features.one_hot import OneHot, learn_one_hot
from shoal.features.recipe import Block, Recipe, scaling_of
from shoal.features.scaling import Moments, learn_scaling
from shoal.features.spec import OnError, RecipeSpec
from shoal.features.where import Where

FAR_OFF = 1000.0
"""Unscaled columns are moved to their mean if it is this many standard deviations away from zero."""
_CELLS = 1 << 21
"""Numbers converted at a time."""


def learn_recipe(spec: RecipeSpec, first: Any, *, place: str, on_error: OnError = "raise") -> Recipe:
    """Categories, means and scales of the rows of ``first`` that pass ``where``.

    Parameters
    ----------
    first : a table or record batch: the first block of the data, and all that is looked at.
    place : what errors call the data.
    on_error : under ``raise`` a column asked for as numbers may hold no other text; under ``skip`` up to half.

    Values that are missing or infinite are left out of means and scales; the rows that hold them are judged
    when the recipe is applied. Raises :class:`BadInputError` for columns that are not there or of a type that
    is no number, and if no row of the block is left to learn from.

    >>> spec = RecipeSpec(scale="minmax")
    >>> learn_recipe(spec, pa.table({"x": [0.0, 4.0], "name": ["a", "b"]}), place="t").feature_names
    ('x',)
    """
    batch = plain_batch(_one_batch(first))
    for name in (*(spec.columns or ()), *spec.one_hot, *((spec.weight,) if spec.weight else ())):
        if name not in batch.schema.names:
            raise BadInputError.unknown_column(name, list(batch.schema.names), place=place)
    if spec.where is not None:
        batch = batch.filter(pa.array(Where(spec.where).mask(batch)))
    if batch.num_rows == 0:
        raise BadInputError(
            "no row of the first block is left to learn from",
            place=place,
            remedy="loosen --where, or shuffle the rows",
        )
    blocks = tuple(_block(spec, name, batch, place, on_error) for name in _order(spec, batch, place))
    if spec.other == "drop":
        batch = _known_only(batch, blocks)
    return _fitted(spec, batch, blocks)


def _one_batch(first: Any) -> Any:
    if isinstance(first, pa.RecordBatch):
        return first
    batches = first.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=first.schema)


def _order(spec: RecipeSpec, batch: Any, place: str) -> list[str]:
    """The columns that become features, in their order."""
    if spec.columns is not None:
        return list(dict.fromkeys((*spec.columns, *spec.one_hot)))
    taken = {*spec.one_hot, spec.weight}
    found = [
        field.name
        for i, field in enumerate(batch.schema)
        if field.name not in taken
        and (is_number(field.type) or is_vector(field.type))
        and batch.column(i).null_count < batch.num_rows
    ]
    if not found and not spec.one_hot:
        text = [f.name for f in batch.schema if is_text(f.type)]
        remedy = f"use --one-hot {','.join(text[:3])}" if text else "name columns of numbers in --columns"
        raise BadInputError("no column holds numbers", place=place, remedy=remedy)
    return [*found, *spec.one_hot]


def _block(spec: RecipeSpec, name: str, batch: Any, place: str, on_error: OnError) -> Block:
    column = batch.column(name)
    if name in spec.one_hot:
        block = learn_one_hot(name, column, spec.top, has_other=spec.other == "column")
        if block.width == 0:
            raise BadInputError(
                "has no category in the first block",
                place=f"{place}, column {name!r}",
                remedy="choose another column",
            )
        return block
    if is_vector(column.type):
        return Vector(name, _width(column, f"{place}, column {name!r}"))
    try:
        values, wrong = numbers(column.slice(0, 0) if not is_text(column.type) else column, name)
    except BadInputError as error:
        raise BadInputError(error.problem, place=f"{place}, column {name!r}", remedy=error.remedy) from None
    if wrong.any():
        _check_text(column, values, wrong, place, name, on_error)
    return Numeric(name)


def _width(column: Any, place: str) -> int:
    if pa.types.is_fixed_size_list(column.type):
        return int(column.type.list_size)
    lengths = [len(v) for v in column.slice(0, 1000) if v.is_valid]
    if not lengths or not max(lengths):
        raise BadInputError("holds no vector in the first rows", place=place, remedy="choose another column")
    # The most frequent length; of equals the longer, as it is likelier that values were lost than gained.
    return max(set(lengths), key=lambda n: (lengths.count(n), n))


def _check_text(column: Any, values: Any, wrong: Any, place: str, name: str, on_error: OnError) -> None:
    right = np.isfinite(values).sum()
    row = int(np.flatnonzero(wrong)[0])
    value = str(column[row].as_py())[:40]
    if wrong.sum() >= right:
        problem, remedy = f"is text, for example {value!r}", f"use --one-hot {name} for categories"
        raise BadInputError(problem, place=f"{place}, column {name!r}", remedy=remedy)
    if on_error == "raise":
        remedy = f"mend it, use --on-error skip, or --one-hot {name} for categories"
        raise BadInputError(f"not a number: {value!r}", place=f"{place}, column {name!r}", remedy=remedy)


def _known_only(batch: Any, blocks: tuple[Block, ...]) -> Any:
    for block in blocks:
        if isinstance(block, OneHot):
            codes = block.codes(batch.column(block.name))
            batch = batch.filter(pa.array((codes >= 0) & (codes < len(block.categories))))
    return batch


def _fitted(spec: RecipeSpec, batch: Any, blocks: tuple[Block, ...]) -> Recipe:
    parts: list[tuple[Any, Any, Any]] = []
    for block in blocks:
        if isinstance(block, OneHot):
            parts.append((np.zeros(block.width), np.zeros(block.width), np.ones(block.width)))
            continue
        method = scaling_of(spec, block, blocks)
        moments = Moments(block.width)
        step = max(1, _CELLS // block.width)
        column = batch.column(block.name)
        for start in range(0, len(column), step):
            moments.add(block.encode(column.slice(start, step))[0])
        centre, width = learn_scaling(moments, method)
        if method == "none" and spec.metric == "euclidean":
            # Moving all rows changes no distance, and float32 cannot tell 1.7e9 from 1.7e9 + 20.
            spread = moments.deviation
            centre = np.where((spread > 0) & (np.abs(moments.mean) > FAR_OFF * spread), moments.mean, 0.0)
        parts.append((moments.mean, centre, width))
    means, centre, scale = (np.concatenate(p) for p in zip(*parts))
    return Recipe(spec, blocks, means, centre, scale)
