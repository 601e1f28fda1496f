"""Language models that a process has loaded, for workers that are set up anew again and again."""

from __future__ import annotations

import threading

from shoal.text.embedding import Embedder, load_embedder

_LOADED: dict[tuple[str | None, str | None], Embedder] = {}
_LOADING = threading.Lock()


def loaded(model: str | None = None, device: str | None = None) -> Embedder:
    """A language model, loaded once for each process; see :func:`shoal.text.embedding.load_embedder`.

    Beam's local streaming runner sets every step up anew for every bundle, and would load it each time.

    >>> loaded("hashed:64") is loaded("hashed:64")
    True
    """
    with _LOADING:
        if (model, device) not in _LOADED:
            _LOADED[model, device] = load_embedder(model, device=device)
        return _LOADED[model, device]
