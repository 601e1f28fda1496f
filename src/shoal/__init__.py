"""Shoal clusters data in one pass: tables larger than memory, live streams."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.engines.local import Budget, Clustering, fit, load, sweep
    from shoal.errors import BadInputError, ShoalError
    from shoal.estimators import Birch, KMeans, MiniBatchKMeans, StreamingKMeans, SummaryClusterer
    from shoal.features.recipe import RecipeSpec
    from shoal.sources.options import ReadOptions
    from shoal.summary.coreset import Coreset
    from shoal.text.topic_model import TopicModel

__all__ = [
    "BadInputError",
    "Birch",
    "Budget",
    "Clustering",
    "Coreset",
    "KMeans",
    "MiniBatchKMeans",
    "ReadOptions",
    "RecipeSpec",
    "ShoalError",
    "StreamingKMeans",
    "SummaryClusterer",
    "TopicModel",
    "fit",
    "load",
    "sweep",
]


_PLACES = {
    "shoal.engines.local": ("Budget", "Clustering", "fit", "load", "sweep"),
    "shoal.errors": ("BadInputError", "ShoalError"),
    "shoal.estimators": ("Birch", "KMeans", "MiniBatchKMeans", "StreamingKMeans", "SummaryClusterer"),
    "shoal.features.recipe": ("RecipeSpec",),
    "shoal.sources.options": ("ReadOptions",),
    "shoal.summary.coreset": ("Coreset",),
    "shoal.text.topic_model": ("TopicModel",),
}


def __getattr__(name: str) -> Any:
    """Everything is loaded when it is first asked for: Arrow takes half a second to import, scikit-learn a whole one."""
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'shoal' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
