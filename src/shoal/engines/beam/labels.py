"""What a row is told: its cluster, how far from its centre, how odd, and which version of the model said so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from shoal.engines.shares import RowBatch
from shoal.model.cluster_model import ClusterModel

NO_CLUSTER = -1


class ClusterLabel(int):
    """The id of a cluster, which is all that code written for Beam's own transform expects, and what is known besides.

    >>> label = ClusterLabel.of(3, 0.5, 0.1, "9f2c")
    >>> label == 3, label.distance, label
    (True, 0.5, ClusterLabel(3, distance=0.5, outlier_score=0.1, version='9f2c'))
    """

    distance: float
    """To the cluster's centre; cosine distance where the model is of directions."""
    outlier_score: float
    """0 for a row as it should be in its cluster, near 1 for one that belongs to none."""
    version: str
    """Of the model; empty if there was none yet."""

    @classmethod
    def of(cls, cluster: int, distance: float, outlier_score: float, version: str) -> ClusterLabel:
        """All of it."""
        label = cls(cluster)
        label.distance, label.outlier_score, label.version = distance, outlier_score, version
        return label

    def __reduce__(self) -> tuple[Any, ...]:
        return ClusterLabel.of, (int(self), self.distance, self.outlier_score, self.version)

    def __repr__(self) -> str:
        return (
            f"ClusterLabel({int(self)}, distance={self.distance:.4g}, "
            f"outlier_score={self.outlier_score:.4g}, version={self.version!r})"
        )


NOT_YET = ClusterLabel.of(NO_CLUSTER, float("nan"), float("nan"), "")
"""Of a row that no model could be waited for."""


def labels_of(model: ClusterModel, rows: RowBatch) -> Iterator[ClusterLabel]:
    """The label of each row (n,)."""
    if not len(rows.X):
        return
    found = model.assign(rows.X, n_threads=1)
    columns: Sequence[Any] = (found.ids, found.distances, found.outlier_scores)
    for cluster, distance, score in zip(*(c.tolist() for c in columns), strict=True):
        yield ClusterLabel.of(cluster, distance, score, model.version)
