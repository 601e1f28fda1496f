"""Recipes as plain data, checked on the way back."""

from __future__ import annotations

from typing import Any

import numpy as np

from shoal.errors import DamagedFileError, NewerFormatError, ShoalError
from shoal.features.columns import FloatArray, Numeric, Vector
from shoal.features.one_hot import OneHot
from shoal.features.recipe import Block, Recipe
from shoal.features.spec import RecipeSpec

FORMAT = "shoal-recipe"
VERSION = 1


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain data for JSON."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "spec": recipe.spec.to_dict(),
        "blocks": [_block_to_dict(block) for block in recipe.blocks],
        "means": recipe.means.tolist(),
        "centre": recipe.centre.tolist(),
        "scale": recipe.scale.tolist(),
    }


def recipe_from_dict(data: dict[str, Any]) -> Recipe:
    """Inverse of :func:`recipe_to_dict`.

    Raises :class:`NewerFormatError` for a later version and :class:`DamagedFileError` for anything that does
    not fit together.

    >>> recipe_from_dict({"format": "shoal-recipe", "version": 99})
    Traceback (most recent call last):
    shoal.errors.NewerFormatError: recipe has version 99, this release reads up to 1; upgrade shoal
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DamagedFileError("this is no recipe of shoal")
    version = data.get("version")
    if not isinstance(version, int) or version < 1:
        raise DamagedFileError(f"recipe has version {version!r}")
    if version > VERSION:
        raise NewerFormatError(
            f"recipe has version {version}, this release reads up to {VERSION}; upgrade shoal"
        )
    try:
        spec = RecipeSpec.from_dict(data["spec"])
        blocks = tuple(_block_from_dict(item) for item in data["blocks"])
        width = sum(block.width for block in blocks)
        means, centre, scale = (_floats(data, name, width) for name in ("means", "centre", "scale"))
    except ShoalError as error:
        raise DamagedFileError(f"recipe is damaged: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedFileError(f"recipe is damaged: {type(error).__name__} {error}") from error
    if not blocks or (scale <= 0).any():
        raise DamagedFileError("recipe is damaged: no features, or a scale that is not positive")
    return Recipe(spec, blocks, means, centre, scale)


def _block_to_dict(block: Block) -> dict[str, Any]:
    if isinstance(block, OneHot):
        return {
            "kind": "one_hot",
            "name": block.name,
            "categories": list(block.categories),
            "other": block.has_other,
        }
    if isinstance(block, Vector):
        return {"kind": "vector", "name": block.name, "width": block.width}
    return {"kind": "numeric", "name": block.name}


def _block_from_dict(item: dict[str, Any]) -> Block:
    kind, name = item["kind"], item["name"]
    if not isinstance(name, str):
        raise DamagedFileError(f"a column is named {name!r}")
    if kind == "one_hot":
        return OneHot(name, tuple(str(c) for c in item["categories"]), bool(item["other"]))
    if kind == "vector":
        return Vector(name, int(item["width"]))
    if kind == "numeric":
        return Numeric(name)
    raise DamagedFileError(f"column {name!r} is of kind {kind!r}")


def _floats(data: dict[str, Any], name: str, width: int) -> FloatArray:
    values = np.array(data[name], dtype=np.float64)
    if values.shape != (width,) or not np.isfinite(values).all():
        raise DamagedFileError(f"{name!r} holds {values.size} values or odd ones where {width} are due")
    return values
