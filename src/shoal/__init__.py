"""Shoal clusters data in one pass: tables larger than memory, in one read."""

from shoal.estimators import KMeans, StreamingKMeans
from shoal.summary.coreset import Coreset

__all__ = ["Coreset", "KMeans", "StreamingKMeans"]
