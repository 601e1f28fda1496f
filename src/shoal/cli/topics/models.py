"""Saved topics, and what makes the vectors of their texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.errors import BadInputError

if TYPE_CHECKING:
    from shoal.text.embedding import Embedder
    from shoal.text.topic_model import TopicModel


def open_model(path: Path, **changes: Any) -> TopicModel:
    """Topics that were saved, of a file or of a stream."""
    from shoal.text.topic_model import TopicModel

    return TopicModel.load(path, **changes)


def load_quick(model: str | None, device: str | None, folder: Path | None) -> Embedder:
    """What computes vectors; those of hashed words and static models are computed faster than found in a cache."""
    from shoal.text.embedding import load_embedder

    quick = (model or "").startswith(("hashed", "static:"))
    return load_embedder(model, device=device, cache=None if quick else folder)


def with_embedder(
    topics: TopicModel, path: Path, moved: str | None, device: str | None, folder: Path | None = None
) -> TopicModel:
    """Saved topics with what makes their vectors loaded.

    Parameters
    ----------
    path : of the topics, for an error to name.
    moved : where the language model is now; default: where it was.

    Raises
    ------
    BadInputError : the vectors were computed elsewhere.
    """
    name = moved or topics.embedder
    if not isinstance(name, str):
        raise BadInputError(
            "its vectors were computed elsewhere", place=str(path), remedy="use it in Python, with vectors="
        )
    topics.embedder = load_quick(name, device, folder)
    return topics
