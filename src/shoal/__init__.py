"""Shoal clusters data in one pass: tables larger than memory, live streams."""

from typing import TYPE_CHECKING, Any

from shoal.engines.local import Budget, Clustering, fit, load, sweep
from shoal.errors import BadInputError, ShoalError
from shoal.features.recipe import RecipeSpec
from shoal.sources.options import ReadOptions
from shoal.summary.coreset import Coreset

if TYPE_CHECKING:
    from shoal.estimators import Birch, KMeans, MiniBatchKMeans, StreamingKMeans, SummaryClusterer
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


def __getattr__(name: str) -> Any:
    """The estimators are loaded when first asked for: scikit-learn takes a second to import."""
    if name in ("Birch", "KMeans", "MiniBatchKMeans", "StreamingKMeans", "SummaryClusterer"):
        from shoal import estimators

        return getattr(estimators, name)
    if name == "TopicModel":
        from shoal.text.topic_model import TopicModel

        return TopicModel
    raise AttributeError(f"module 'shoal' has no attribute {name!r}")
