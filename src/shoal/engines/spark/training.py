"""What is known of a fit: kept with the model, saved and loaded with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import Rejects


@dataclass(frozen=True)
class TrainingSummary:
    """How a model was found. Names are those of ``pyspark.ml``'s summaries where it has them.

    >>> TrainingSummary(k=1, trainingCost=0.5, clusterSizes=[2.0]).costIsExact
    True
    """

    k: int
    trainingCost: float
    """Weighted sum of squared distances of all rows to the centres of the model itself (for cosine: of unit vectors)."""
    clusterSizes: list[float]
    """(k,) weight of each cluster, in the order of ``clusterCenters()``; rows, where there are no weights."""
    costIsExact: bool = True
    """False: cost and sizes are estimated from the sample, as more rows were seen than it keeps."""
    plan: str = "summary"
    """``summary``, ``barrier`` or ``jobs``: how it was run."""
    steps: list[dict[str, float]] = field(default_factory=list)
    """Of each iteration over the rows (plan ``summary``: over the sample): iteration, inertia before it, shift, rows
    moved, clusters repaired."""
    trajectory: list[list[list[float]]] = field(default_factory=list)
    """Centres after each iteration over all rows."""
    converged: bool = True
    rowsSeen: int = 0
    rejects: dict[str, dict[str, object]] = field(default_factory=dict)
    """Rows that were skipped: by reason, how many and the first place."""

    @property
    def numIter(self) -> int:
        """Iterations."""
        return len(self.steps)

    @property
    def rowsSkipped(self) -> int:
        """Rows that could not be used."""
        return Rejects.from_dict(self.rejects).total

    def at(self, order: NDArray[np.intp]) -> TrainingSummary:
        """The same with the centres in another order."""
        return replace(
            self,
            clusterSizes=[self.clusterSizes[i] for i in order],
            trajectory=[[step[i] for i in order] for step in self.trajectory],
        )

    def with_cost(self, cost: float) -> TrainingSummary:
        """The same with another cost."""
        return replace(self, trainingCost=cost)

    def to_json(self) -> str:
        """For saving."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TrainingSummary:
        """Inverse of :meth:`to_json`."""
        data: dict[str, Any] = json.loads(text)
        return cls(**data)
