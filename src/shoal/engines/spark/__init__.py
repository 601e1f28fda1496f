"""Shoal on Spark: estimators in the manner of ``pyspark.ml``, a streaming sink, and the embedded engine's ``fit``.

Pure Python over DataFrames, so classic sessions and Spark Connect are served alike. Needs ``pip install 'shoal[spark]'``
and a Java runtime of version 17 or later.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from shoal.errors import ShoalError

_WHERE = {
    "Birch": "birch",
    "BirchModel": "birch",
    "KMeans": "k_means",
    "KMeansModel": "k_means",
    "StreamingKMeans": "streaming_k_means",
    "StreamingKMeansModel": "streaming_k_means",
    "RowColumns": "rows",
    "assign_per_key": "per_key",
    "assign_topics": "topics",
    "batch_learner": "streaming",
    "fit": "files",
    "fit_per_key": "per_key",
    "fit_topics": "topics",
    "label_stream": "streaming",
    "per_key_settings": "key_task",
    "register": "sink",
    "session": "sessions",
    "stream_per_key": "per_key_stream",
    "sweep": "files",
    "update_per_key": "per_key",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    """Names are imported when first asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need_pyspark()
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def need_pyspark() -> None:
    """Raises :class:`ShoalError` where pyspark is not installed."""
    if find_spec("pyspark") is None:
        raise ShoalError("Spark's Python package is missing: pip install 'shoal[spark]'")
