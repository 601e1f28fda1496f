"""A learned recipe: record batches in, float32 rows out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.errors import BadInputError, Rejects
from shoal.features.columns import FloatArray, Numeric, Vector, numbers, plain_batch
from shoal.features.one_hot import MISSING, OneHot
from shoal.features.scaling import Method
from shoal.features.spec import OnError, RecipeSpec
from shoal.features.troubles import Refused, Troubles
from shoal.features.where import Where
from shoal.model.successor import Space

Block = Numeric | Vector | OneHot

__all__ = ["Block", "Features", "Recipe", "RecipeSpec"]

_CELLS = 1 << 21
"""Numbers held as float64 at a time, however wide the batch."""


def scaling_of(spec: RecipeSpec, block: Block, blocks: Sequence[Block]) -> Method:
    """How the features of a block are scaled: never categories, and under ``auto`` only several number columns."""
    if isinstance(block, OneHot):
        return "none"
    if spec.scale != "auto":
        return spec.scale
    separate = sum(not isinstance(b, Vector) for b in blocks)
    several = isinstance(block, Numeric) and separate >= 2 and spec.metric == "euclidean"
    return "standard" if several else "none"


@dataclass(frozen=True, eq=False)
class Features:
    """The rows of one batch that are to be clustered."""

    matrix: NDArray[np.float32]
    """(n, d) C-contiguous."""
    rows: NDArray[np.int64]
    """(n,) 0-based data-row numbers in the file."""
    kept: NDArray[np.int64]
    """(n,) positions within the batch."""
    filtered: int
    """Rows left out by ``where`` or ``other="drop"``; not rejected, just not meant."""
    weight: FloatArray | None = None
    """(n,) weights, if the recipe has a weight column."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """Learned on the first block (:meth:`RecipeSpec.learn`), kept with the model, applied to every batch.

    >>> recipe = RecipeSpec(scale="minmax").learn(pa.table({"x": [0.0, 4.0]}), place="t")
    >>> out = recipe.apply(pa.record_batch({"x": [1.0, 2.0]}), origin="t", rows=np.arange(2), rejects=Rejects())
    >>> out.matrix.tolist()
    [[0.25], [0.5]]
    """

    spec: RecipeSpec
    blocks: tuple[Block, ...]
    means: FloatArray
    """(d,) what stands for a missing value under ``nulls="mean"``, unscaled."""
    centre: FloatArray
    """(d,) subtracted."""
    scale: FloatArray
    """(d,) then divided by."""

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """(d,) names such as ``income``, ``eventcode=043``, ``vector[0]``."""
        return tuple(name for block in self.blocks for name in block.feature_names)

    @property
    def n_features(self) -> int:
        """d."""
        return len(self.feature_names)

    @cached_property
    def columns_needed(self) -> tuple[str, ...]:
        """Columns to read, those used only by ``where`` or as weight included."""
        extra = (self.spec.weight,) if self.spec.weight else ()
        where = self._where.columns if self._where is not None else ()
        return tuple(dict.fromkeys((*(b.name for b in self.blocks), *where, *extra)))

    @cached_property
    def standardised(self) -> tuple[bool, ...]:
        """(d,) which features were standardised."""
        methods = [scaling_of(self.spec, b, self.blocks) == "standard" for b in self.blocks]
        return tuple(method for method, b in zip(methods, self.blocks) for _ in range(b.width))

    @property
    def space(self) -> Space:
        """The columns it makes, for a model."""
        return Space(self.spec.metric, self.feature_names, self.to_dict())

    @property
    def text_columns(self) -> frozenset[str]:
        """Columns to read as text."""
        return self.spec.text_columns

    @cached_property
    def _is_scaled(self) -> bool:
        return bool((self.centre != 0).any() or (self.scale != 1).any())

    @cached_property
    def _where(self) -> Where | None:
        return Where(self.spec.where) if self.spec.where is not None else None

    def apply(
        self,
        batch: Any,
        *,
        origin: str,
        rows: NDArray[np.int64],
        rejects: Rejects,
        on_error: OnError = "raise",
        refused: Refused | None = None,
    ) -> Features:
        """Turn a record batch into features.

        Parameters
        ----------
        batch : with at least ``columns_needed``.
        origin : the file, for errors.
        rows : (n,) 0-based data-row numbers in that file.
        rejects : takes the count of refused rows.
        on_error : ``raise``: the first bad row is an error; ``skip``: bad rows are left out and counted.
        refused : takes the numbers of the rows left out, with the reason.

        Raises :class:`BadInputError` naming file, row, column and remedy for missing, infinite and other bad
        values, for zero vectors under cosine, for values beyond float32, and for columns that are not there.
        """
        for name in self.columns_needed:
            if name not in batch.schema.names:
                raise BadInputError.unknown_column(name, list(batch.schema.names), place=origin)
        batch = plain_batch(batch.select(list(self.columns_needed)))
        matrix = np.empty((batch.num_rows, self.n_features), dtype=np.float32)
        kept, weights, done, filtered = [], [], 0, 0
        step = max(1, _CELLS // max(self.n_features, 1))
        for start in range(0, batch.num_rows, step):
            part, positions = self._filter(batch.slice(start, step))
            filtered += min(step, batch.num_rows - start) - len(positions)
            troubles = Troubles(origin, rows[start + positions], rejects, on_error, refused)
            values, weight = self._values(part, troubles, origin)
            good = troubles.settle()
            count = int(good.sum())
            matrix[done : done + count] = values[good]
            kept.append(start + positions[good])
            weights.append(weight[good])
            done += count
        chosen = np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)
        all_weights = (np.concatenate(weights) if weights else np.empty(0)) if self.spec.weight else None
        return Features(matrix[:done], np.asarray(rows)[chosen], chosen, filtered, all_weights)

    def to_original(self, X: NDArray[Any]) -> FloatArray:
        """Undo scaling: (k, d) centres in the units of the columns, as float64.

        Under cosine the lengths of rows are gone; what comes back is a direction in those units.
        """
        X = np.asarray(X, dtype=np.float64)
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise BadInputError(
                f"shape {X.shape} where (k, {self.n_features}) is due", remedy="give rows of this recipe"
            )
        return np.asarray(X * self.scale + self.centre)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; :meth:`from_dict` gives a recipe that computes the same bits."""
        from shoal.features.recipe_data import recipe_to_dict

        return recipe_to_dict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Recipe:
        """Inverse of :meth:`to_dict`; raises :class:`DamagedFileError` or :class:`NewerFormatError`."""
        from shoal.features.recipe_data import recipe_from_dict

        return recipe_from_dict(data)

    def _filter(self, batch: Any) -> tuple[Any, NDArray[np.int64]]:
        """The rows that are meant, and their positions."""
        meant = np.ones(batch.num_rows, dtype=np.bool_) if self._where is None else self._where.mask(batch)
        if self.spec.other == "drop":
            for block in self.blocks:
                if isinstance(block, OneHot):
                    codes = block.codes(batch.column(block.name))
                    meant = meant & (codes != MISSING) & (codes < len(block.categories))
        positions = np.flatnonzero(meant).astype(np.int64)
        return (batch if len(positions) == batch.num_rows else batch.filter(pa.array(meant))), positions

    def _values(self, batch: Any, troubles: Troubles, origin: str) -> tuple[NDArray[np.float32], FloatArray]:
        """(n, d) scaled values and (n,) weights; rows noted in ``troubles`` hold anything."""
        values = np.empty((batch.num_rows, self.n_features))
        at = 0
        for block in self.blocks:
            part = slice(at, at + block.width)
            try:
                values[:, part] = self._encode(block, batch.column(block.name), part, troubles)
            except BadInputError as error:
                if error.place == f"column {block.name!r}":
                    raise BadInputError(
                        error.problem, place=f"{origin}, {error.place}", remedy=error.remedy
                    ) from None
                raise
            at += block.width
        weight = self._weights(batch, troubles)
        # Bad rows may hold anything; what they do to the arithmetic is of no interest.
        with np.errstate(over="ignore", invalid="ignore"):
            if self._is_scaled:
                values -= self.centre
                values /= self.scale
            if self.spec.metric == "cosine":
                self._to_unit_length(values, troubles)
            single = values.astype(np.float32)
        finite = np.isfinite(single)
        if not finite.all():
            remedy = "rescale the column, or use --on-error skip"
            troubles.note_cells(~finite, "beyond the range of float32", self.feature_names, remedy=remedy)
        return single, weight

    def _encode(self, block: Block, column: Any, part: slice, troubles: Troubles) -> FloatArray:
        if isinstance(block, OneHot):
            codes = block.codes(column)
            if self.spec.nulls in ("error", "skip"):
                self._note_missing(codes == MISSING, block.name, troubles)
            return block.spread(codes)
        values, wrong = block.encode(column)
        reason = "not a number" if isinstance(block, Numeric) else f"not a vector of {block.width} numbers"
        troubles.note(wrong, reason, column=block.name, shown=column if isinstance(block, Numeric) else None)
        if np.isfinite(values).all():
            return values
        names = block.feature_names
        infinite = np.isinf(values)
        troubles.note_cells(infinite, "infinite value", names)
        missing = np.isnan(values) & ~wrong[:, None]
        if missing.any():
            if self.spec.nulls in ("error", "skip"):
                # A whole missing vector is named by its column, a missing element by its own name.
                whole = np.asarray(missing.all(axis=1))
                self._note_missing(whole, block.name, troubles)
                for j in np.flatnonzero(missing.any(axis=0)).tolist():
                    self._note_missing(missing[:, j] & ~whole, names[j], troubles)
            else:
                fill = self.means[part] if self.spec.nulls == "mean" else np.zeros(block.width)
                values = np.where(missing, fill, values)
        return values

    def _note_missing(self, mask: NDArray[np.bool_], name: str, troubles: Troubles) -> None:
        remedy = "use --nulls mean, --nulls skip or --on-error skip"
        troubles.note(mask, "missing value", column=name, remedy=remedy, allowed=self.spec.nulls == "skip")

    def _weights(self, batch: Any, troubles: Troubles) -> FloatArray:
        name = self.spec.weight
        if name is None:
            return np.ones(batch.num_rows)
        weight, wrong = numbers(batch.column(name), name)
        bad = wrong | ~np.isfinite(weight) | (weight < 0)
        remedy = "weights are finite and not negative; mend it or use --on-error skip"
        troubles.note(bad, "bad weight", column=name, remedy=remedy, shown=batch.column(name))
        return weight

    @staticmethod
    def _to_unit_length(values: FloatArray, troubles: Troubles) -> None:
        # Dividing by the largest first keeps squares of very large and very small numbers in range.
        largest = np.abs(values).max(axis=1, initial=0.0)
        zero = largest == 0
        remedy = "leave such rows out with --where or --on-error skip, or use --metric euclidean"
        troubles.note(zero, "zero vector, which has no direction under cosine", remedy=remedy)
        values /= np.where(zero | ~np.isfinite(largest), 1.0, largest)[:, None]
        norms = np.sqrt(np.einsum("ij,ij->i", values, values))
        values /= np.where(zero, 1.0, norms)[:, None]
