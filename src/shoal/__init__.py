"""Shoal clusters data in one pass: tables larger than memory, in one read."""

from shoal.engines.local import Budget, Clustering, fit, load, sweep
from shoal.errors import BadInputError, ShoalError
from shoal.estimators import KMeans, StreamingKMeans
from shoal.features.recipe import RecipeSpec
from shoal.sources.options import ReadOptions
from shoal.summary.coreset import Coreset

__all__ = [
    "BadInputError",
    "Budget",
    "Clustering",
    "Coreset",
    "KMeans",
    "ReadOptions",
    "RecipeSpec",
    "ShoalError",
    "StreamingKMeans",
    "fit",
    "load",
    "sweep",
]
