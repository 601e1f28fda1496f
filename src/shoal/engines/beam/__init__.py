"""Shoal on Apache Beam: clusters of bounded and unbounded collections. Needs ``pip install 'shoal[beam]'``.

>>> sorted(__all__)[:3]
['AssignClusterLabelsInMemoryModel', 'AssignClusterLabelsRunInference', 'AssignClusters']
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from shoal.errors import ShoalError

_WHERE = {
    "AssignClusterLabelsInMemoryModel": "online_clustering",
    "AssignClusterLabelsRunInference": "online_clustering",
    "AssignClusters": "assign",
    "AssignTopics": "assign_topics",
    "ClusterEvents": "cluster_events",
    "ClusterLabel": "labels",
    "ClusteringAlgorithm": "algorithms",
    "DeadLetter": "elements",
    "Fields": "rows",
    "FileStore": "store",
    "FitClusters": "fit_clusters",
    "FitTopics": "topics",
    "Learned": "coders",
    "MergeSummaries": "summaries",
    "OnlineBirch": "algorithms",
    "OnlineClustering": "online_clustering",
    "OnlineClusters": "online",
    "OnlineKMeans": "algorithms",
    "ShoalModelHandler": "model_handler",
    "SolveClusters": "fit_clusters",
    "Summarise": "summaries",
    "TopicLabel": "assign_topics",
    "fit": "files",
    "sweep": "files",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    """Names are imported when first asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need_beam()
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def need_beam() -> None:
    """Raises :class:`ShoalError` where Apache Beam is not installed."""
    if find_spec("apache_beam") is None:
        raise ShoalError("Apache Beam is missing: pip install 'shoal[beam]'")
