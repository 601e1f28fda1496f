"""An artefact that answers: the body of a request in, the body of its answer out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError, Rejects, ShoalError
from shoal.features.recipe import Recipe
from shoal.model.cluster_model import Assignment
from shoal.sagemaker.artefact import read_artefact
from shoal.sagemaker.requests import PLACE, Hold, Rows, read_request
from shoal.sagemaker.responses import write_answer
from shoal.serve.columns import Wanted, bare_width, batch_of, wanted_columns
from shoal.serve.models import Served


@dataclass(frozen=True, eq=False)
class Answering:
    """A model, and how rows of bare numbers become its vectors."""

    served: Served
    columns: tuple[Wanted, ...]
    """What the model asks of a row: numbers, or one vector."""

    @classmethod
    def of_artefact(cls, path: str | os.PathLike[str]) -> Answering:
        """Read an artefact: ``model.tar.gz``, the folder it is unpacked to, or ``model_algo-1``.

        Raises
        ------
        ShoalError, DamagedFileError : as :func:`read_artefact`; the model asks for more than a row of numbers.
        """
        model = read_artefact(path).model
        recipe = None if model.recipe is None else Recipe.from_dict(dict(model.recipe))
        served = Served("model", model, recipe, model.version, "", Path(path), "model")
        columns = wanted_columns(served)
        numbers = all(c.kind == "number" for c in columns) or len(columns) == 1
        features = recipe is None or set(recipe.columns_needed) == {b.name for b in recipe.blocks}
        if not numbers or any(c.kind == "text" for c in columns) or not features:
            raise ShoalError(
                f"{path}: the model takes categories, filters or weights, which such requests have no names for; "
                "use shoal serve"
            )
        return cls(served, columns)

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return bare_width(self.columns)

    def read(self, kind: str, body: bytes, hold: Hold | None = None) -> Rows:
        """The vectors of a request; parameters and errors as of :func:`read_request`."""
        rows = read_request(kind, body, self.width, hold)
        if self.served.recipe is not None:
            return Rows(self._prepared(self.served.recipe, rows.matrix), rows.marks)
        if self.served.model.metric == "cosine" and not (some := rows.matrix.any(axis=1)).all():
            place = f"{PLACE}, record {int(some.argmin()) + 1}"
            raise BadInputError(
                "is all zeros, which has no direction", place=place, remedy="leave such records out"
            )
        return rows

    def _prepared(self, recipe: Recipe, X: NDArray[Any]) -> NDArray[Any]:
        batch, numbers = batch_of(self.columns, X), np.arange(len(X))
        try:
            return recipe.apply(batch, origin=PLACE, rows=numbers, rejects=Rejects()).matrix
        except BadInputError as error:  # its remedies are options of the command line
            raise BadInputError(error.problem, place=error.place, remedy="mend the record") from error

    def answer(self, kind: str, body: bytes, accept: str) -> bytes:
        """Read a body, label its rows, and write the answer.

        Raises
        ------
        BadInputError : as :func:`read_request` and :func:`write_answer`.
        """
        rows = self.read(kind, body)
        return self.written(rows, self.served.model.assign(rows.matrix), accept)

    def written(self, rows: Rows, found: Assignment, accept: str) -> bytes:
        """The answer for rows that were labelled."""
        return write_answer(accept, found.positions, found.distances, rows.marks)
