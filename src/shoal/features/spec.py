"""What a person asks of a recipe, before any data was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from shoal.errors import BadInputError
from shoal.features.where import Where

if TYPE_CHECKING:
    from shoal.features.recipe import Recipe

Scale = Literal["auto", "none", "standard", "minmax"]
Nulls = Literal["error", "skip", "mean", "zero"]
Other = Literal["column", "drop"]
Metric = Literal["euclidean", "cosine"]
OnError = Literal["raise", "skip"]


@dataclass(frozen=True)
class RecipeSpec:
    """Which columns become features, and how.

    Raises :class:`BadInputError` for a word that is not among those allowed, and for a condition that cannot
    be understood.

    >>> spec = RecipeSpec(columns=("tone",), one_hot=("eventcode",), where="kind = 'a'")
    >>> sorted(spec.text_columns)
    ['eventcode', 'kind']
    """

    columns: tuple[str, ...] | None = None
    """Columns of numbers or vectors; None: all that are not used otherwise and are not wholly missing. A column
    of ``one_hot`` may be named here too, to give it its place in the order of features."""
    one_hot: tuple[str, ...] = ()
    """Columns of categories; each becomes 0/1 features, which are never scaled."""
    top: int = 20
    """Categories kept per one-hot column: the most frequent of the first block."""
    other: Other = "column"
    """Rarer, later and (with ``drop``) missing categories: one more 0/1 feature, or the row is filtered out."""
    scale: Scale = "auto"
    """``auto``: standardise columns of numbers if features come from two or more columns, never vectors, and
    nothing under cosine. ``standard`` and ``minmax`` take in the elements of vectors as well."""
    nulls: Nulls = "error"
    """Null or NaN: an error, a row counted as rejected, the mean of the first block, or 0."""
    where: str | None = None
    """Condition on rows (:class:`shoal.features.where.Where`)."""
    metric: Metric = "euclidean"
    """``cosine``: rows are brought to length 1 after scaling."""
    weight: str | None = None
    """Column of row weights, finite and not negative."""

    def __post_init__(self) -> None:
        choices = {"other": Other, "scale": Scale, "nulls": Nulls, "metric": Metric}
        for name, kind in choices.items():
            value, allowed = getattr(self, name), get_args(kind)
            if value not in allowed:
                raise BadInputError(f"{name} is {value!r}", remedy=f"use one of {', '.join(allowed)}")
        if isinstance(self.top, bool) or not isinstance(self.top, int) or self.top < 1:
            raise BadInputError(f"top is {self.top!r}", remedy="use a whole number of at least 1")
        for name in ("columns", "one_hot"):
            _check_names(name, getattr(self, name))
        if self.columns == () and not self.one_hot:
            raise BadInputError("no columns are named", remedy="name at least one in --columns or --one-hot")
        if self.where is not None:
            Where(self.where)

    @property
    def text_columns(self) -> frozenset[str]:
        """Columns that must be read as text: categories, and what ``where`` compares with text."""
        compared = Where(self.where).text_columns if self.where is not None else ()
        return frozenset((*self.one_hot, *compared))

    def learn(self, first: Any, *, place: str, on_error: OnError = "raise") -> Recipe:
        """Learn categories, means and scales from the first block; see :func:`shoal.features.learn.learn_recipe`."""
        from shoal.features.learn import learn_recipe

        return learn_recipe(self, first, place=place, on_error=on_error)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RecipeSpec:
        """Inverse of :meth:`to_dict`; raises :class:`BadInputError` for a key that is unknown."""
        known = [f.name for f in fields(cls)]
        for name in data:
            if name not in known:
                raise BadInputError.unknown_column(name, known, place="recipe")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        return cls(**values)


def _check_names(what: str, names: Sequence[Any] | None) -> None:
    if names is None:
        return
    if isinstance(names, str) or not all(isinstance(n, str) and n for n in names):
        raise BadInputError(f"{what} is {names!r}", remedy="give a list of column names")
    twice = next((n for n in names if list(names).count(n) > 1), None)
    if twice is not None:
        raise BadInputError(f"{what} names {twice!r} twice", remedy="name each column once")
