"""How much a row matters to any clustering: sensitivity against rough running centres.

``q = w * (1 + d²(x, C) / mean d² + W / (|C| W_cluster(x)))`` (sensitivity sampling, Feldman and Langberg 2011;
Bachem, Lucic and Krause 2018): the first term keeps the sample even, the second keeps what lies far out, the third
what lies in small clusters. The rough centres C steer the variance of the sample, never its bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.kernels import Nearest, accumulate, greedy_seeds, nearest, score

SEEDING_ROWS_PER_CENTRE = 40
FAR, FAR_SHARE = 4.0, 0.2
"""A block asks for new rough centres if this share of it is farther out than so many mean squared distances."""


@dataclass
class Importance:
    """Rough centres and the running figures that scale importances."""

    centres: NDArray[np.floating]
    """(c, d)."""
    cluster_weight: NDArray[np.float64]
    """(c,) weight of the rows nearest to each centre so far."""
    squared: float
    """Weighted sum of squared distances so far."""
    weight_at_refresh: float
    stale: bool = False

    @classmethod
    def learn(
        cls, X: NDArray[np.floating], weights: NDArray[np.float64], c: int, seed: int, n_threads: int | None
    ) -> Importance:
        """Rough centres of weighted rows: k-means++ and two Lloyd steps on at most a few thousand of them."""
        rng = np.random.default_rng([seed, 0x5EED])
        chosen, _ = greedy_seeds(
            X, min(c, len(X)), weights=weights, candidates=2, rng=rng, n_threads=n_threads
        )
        centres = X[np.unique(chosen)]
        for _ in range(2):
            totals = accumulate(X, centres, weights, n_threads=n_threads)
            full = totals.counts > 0
            centres = (totals.sums[full] / totals.counts[full, None]).astype(X.dtype)
        totals = accumulate(X, centres, weights, n_threads=n_threads)
        return cls(centres, totals.counts, totals.inertia, float(totals.counts.sum()))

    @property
    def weight(self) -> float:
        """Weight of the rows the running figures stand for."""
        return float(self.cluster_weight.sum())

    def find(self, X: NDArray[np.floating], n_threads: int | None) -> Nearest:
        """Nearest rough centre of each row."""
        return nearest(X, self.centres, n_threads=n_threads)

    def score(
        self, found: Nearest, weights: NDArray[np.float64] | None, ids: NDArray[np.uint64], seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Importance and priority of rows by the figures before them."""
        W = self.weight
        least = W / (100.0 * len(self.centres) ** 2)  # an empty cluster must not make its first row infinite
        rarity = W / (len(self.centres) * np.maximum(self.cluster_weight, max(least, np.finfo(float).tiny)))
        mean = self.squared / W if W > 0 else 0.0
        return score(found, weights, mean_squared=mean, rarity=rarity, ids=ids, seed=seed)

    def is_surprised_by(self, found: Nearest, weights: NDArray[np.float64]) -> bool:
        """Whether so many rows lie far out that the centres no longer fit, as in sorted or drifting data.

        A few far rows are no reason: by lying far out they are important enough.
        """
        before = self.squared / self.weight if self.weight > 0 else 0.0
        return float(weights[found.squared > FAR * before].sum()) > FAR_SHARE * float(weights.sum())

    def age(self, factor: float) -> None:
        """Let what was counted so far weigh ``factor`` times as much."""
        self.cluster_weight = self.cluster_weight * factor
        self.squared *= factor
        self.weight_at_refresh *= factor

    def learn_from(self, found: Nearest, weights: NDArray[np.float64] | None) -> None:
        """Count scored rows in the running figures; twice the weight asks for new centres."""
        w = np.ones(len(found.labels)) if weights is None else weights
        self.cluster_weight = self.cluster_weight + np.bincount(
            found.labels, weights=w, minlength=len(self.centres)
        )
        self.squared += float(np.dot(w, found.squared.astype(np.float64)))
        self.stale = self.weight >= 2 * self.weight_at_refresh
