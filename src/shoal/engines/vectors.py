"""The recipe of rows that are vectors already, so that every engine can label files with a model that one of them made."""

from __future__ import annotations

import pyarrow as pa

from shoal.features.recipe import Recipe
from shoal.features.spec import RecipeSpec


def recipe_of(
    columns: tuple[str, ...],
    width: int,
    *,
    cosine: bool = False,
    weight: str | None = None,
    skip_invalid: bool = True,
) -> Recipe:
    """Columns as they are, unscaled.

    Parameters
    ----------
    columns : names of ``width`` numbers, or of one vector.

    >>> recipe_of(("x", "y"), 2).feature_names
    ('x', 'y')
    """
    spec = RecipeSpec(
        columns=columns,
        scale="none",
        metric="cosine" if cosine else "euclidean",
        nulls="skip" if skip_invalid else "error",
        weight=weight,
    )
    several = len(columns) == width and width > 1
    example = {
        name: pa.array([1.0, 2.0]) if several else pa.array([[1.0] * width, [2.0] * width])
        for name in columns
    }
    if weight is not None:
        example[weight] = pa.array([1.0, 1.0])
    return spec.learn(pa.table(example), place="the rows")
