"""scikit-learn estimators, one per file."""

from shoal.estimators.birch import Birch
from shoal.estimators.k_means import KMeans
from shoal.estimators.mini_batch_k_means import MiniBatchKMeans
from shoal.estimators.streaming_k_means import StreamingKMeans
from shoal.estimators.summary_clusterer import SummaryClusterer

__all__ = ["Birch", "KMeans", "MiniBatchKMeans", "StreamingKMeans", "SummaryClusterer"]
