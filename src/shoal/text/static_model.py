"""Vectors of a model2vec model: the mean of fixed token vectors, hundreds of times faster than a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ShoalError
from shoal.text.embedding import checked, fingerprint_of, unit_rows
from shoal.text.sentence_model import from_folder_or_hub


class StaticModel:
    """A model2vec model that is loaded; an :class:`~shoal.text.embedding.Embedder`.

    A text of unknown tokens only has no vector of its own; see :func:`shoal.text.embedding.unit_rows`.

    Parameters
    ----------
    model : a ``model2vec.StaticModel``.
    name : how a person calls it.
    fingerprint : hash of its files.
    """

    def __init__(self, model: Any, name: str, fingerprint: str) -> None:
        self._model, self.name, self.fingerprint = model, name, fingerprint

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self._model.dim)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (n, width) of length 1, the same whatever other texts come with them.

        Raises
        ------
        BadInputError : one of them is no text, or an empty one.
        """
        rows = checked(texts)
        if not rows:
            return np.empty((0, self.width), np.float32)
        # its own processes would set the environment for everyone; the tokeniser is parallel already
        found = self._model.encode(rows, normalize=False, show_progress_bar=False, use_multiprocessing=False)
        return unit_rows(found)


def load_static(where: str) -> StaticModel:
    """Load a model2vec model.

    Parameters
    ----------
    where : directory, or name on the hub, such as ``minishlab/potion-base-8M``.

    Raises
    ------
    ShoalError : model2vec is missing, the directory is no model, or the hub cannot be reached.

    Examples
    --------
    >>> load_static("minishlab/potion-base-8M").width  # doctest: +SKIP
    256
    """
    if find_spec("model2vec") is None:
        raise ShoalError("static models need model2vec: pip install 'shoal[text]'")

    def load(place: str) -> Any:
        from model2vec import StaticModel as Loaded

        # what lies in the hub's cache is used as it is
        return Loaded.from_pretrained(Path(place) if Path(place).is_dir() else place, force_download=False)

    model, folder = from_folder_or_hub(where, load)
    return StaticModel(model, f"static:{where}", fingerprint_of(folder))
