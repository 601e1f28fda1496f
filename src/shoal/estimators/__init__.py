"""scikit-learn estimators, one per file."""

from shoal.estimators.k_means import KMeans
from shoal.estimators.streaming_k_means import StreamingKMeans

__all__ = ["KMeans", "StreamingKMeans"]
