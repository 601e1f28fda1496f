"""What happened from one window of time to another: the events of :mod:`shoal.model.identity`, for windows apart.

A stream follows its clusters on points that two solves have in common. Two windows may have no point in common, and
an old cluster is then not left with few rows, but with none; so both sides are asked. Rows of the second window go to
the clusters of the first that reach them, rows of the first to those of the second; where a cluster's own rows find
nobody, it was born or has died. Sizes are shares, so the windows need not be equally long.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.kernels import nearest
from shoal.model.cluster_model import QUANTILES, ClusterModel, unit_rows
from shoal.model.events import Event
from shoal.model.identity import IdentitySettings
from shoal.summary.protocol import WeightedPoints

Matrix = NDArray[np.float64]
REACH = 0.99
"""A cluster reaches as far as this share of its own rows lies from its centre."""


def changes(
    before: tuple[ClusterModel, WeightedPoints],
    after: tuple[ClusterModel, WeightedPoints],
    *,
    time: float,
    settings: IdentitySettings | None = None,
) -> tuple[ClusterModel, list[Event]]:
    """The second model with the ids of the first as far as its clusters live on, and what happened.

    Parameters
    ----------
    before, after : model of each window, and the points it was solved from.
    time : of the events.

    >>> from shoal.model.cluster_model import Provenance
    >>> from shoal.model.build import build_model
    >>> from shoal.solve.k_means import k_means
    >>> def window(*places):
    ...     X = np.repeat(places, 50)[:, None] + np.tile(np.linspace(-0.5, 0.5, 50), len(places))[:, None]
    ...     points = WeightedPoints(X, np.ones(len(X)))
    ...     return build_model(X, points.weights, k_means(X, 2), provenance=Provenance(len(X))), points
    >>> model, events = changes(window(0.0, 5.0), window(0.1, 9.0), time=1.0)
    >>> [event.kind for event in events], int(model.ids.max())
    (['born', 'died'], 2)
    """
    return _Comparison(before, after, time, settings or IdentitySettings()).told()


class _Comparison:
    def __init__(
        self,
        before: tuple[ClusterModel, WeightedPoints],
        after: tuple[ClusterModel, WeightedPoints],
        time: float,
        settings: IdentitySettings,
    ) -> None:
        self.old, self.new, self.time, self.settings = before[0], after[0], time, settings
        self.old_shares, of_old = _shared(*before, self.new)
        self.new_shares, of_new = _shared(*after, self.old)
        # (old k, new k) both: the part of each old cluster that lives in a new one, and of each new one that did
        self.lives, self.lived = of_old, of_new.T
        self.heirs = self._heirs()
        self.ids = np.full(self.new.k, -1, np.int64)
        for i, j in self.heirs.items():
            self.ids[j] = self.old.ids[i]
        fresh = np.flatnonzero(self.ids < 0)
        self.ids[fresh] = self.old.next_id + np.arange(len(fresh))

    def told(self) -> tuple[ClusterModel, list[Event]]:
        next_id = max(self.old.next_id, int(self.ids.max()) + 1)
        model = replace(self.new, ids=self.ids, next_id=next_id)
        events = [*self._beginnings(), *self._ends()]
        busy = {i for e in events for i in (e.cluster, *e.children, *e.parents)}
        return model, events + self._changes(busy)

    def _heirs(self) -> dict[int, int]:
        """New position that each old one lives on in."""
        from scipy.optimize import (
            linear_sum_assignment,
        )  # a quarter of a second: only where windows are compared

        common = self.lives * self.old_shares[:, None] + self.lived * self.new_shares
        pairs = zip(*(a.tolist() for a in linear_sum_assignment(-common)), strict=True)
        enough = self.settings.survives
        return {i: j for i, j in pairs if max(self.lives[i, j], self.lived[i, j]) >= enough}

    def _beginnings(self) -> list[Event]:
        events, splits = [], dict[int, list[int]]()
        for j in sorted(set(range(self.new.k)) - set(self.heirs.values())):
            parent = int(self.lived[:, j].argmax())
            if self.lived[parent, j] >= self.settings.survives and parent in self.heirs:
                splits.setdefault(parent, []).append(j)
            else:
                events.append(self._event("born", self.ids[j], [j]))
        for i, parts in splits.items():
            parts.append(self.heirs[i])
            children = tuple(sorted(int(self.ids[j]) for j in parts))
            who = int(self.old.ids[i])
            events.append(self._event("split", who, parts, parents=(who,), children=children))
        return events

    def _ends(self) -> list[Event]:
        events, merges = [], dict[int, list[int]]()
        heir_of = {j: i for i, j in self.heirs.items()}
        for i in sorted(set(range(self.old.k)) - set(self.heirs)):
            j = int(self.lives[i].argmax())
            if self.lives[i, j] >= self.settings.survives and j in heir_of:
                merges.setdefault(j, [heir_of[j]]).append(i)
            else:
                mass, share = float(self.old.weights[i]), float(self.old_shares[i])
                events.append(Event("died", self.time, int(self.old.ids[i]), mass, share))
        for j, parts in merges.items():
            parents = tuple(sorted(int(self.old.ids[i]) for i in parts))
            events.append(self._event("merged", self.ids[j], [j], parents=parents))
        return events

    def _changes(self, busy: set[int]) -> list[Event]:
        """Clusters that live on, but are not as they were."""
        events, s = [], self.settings
        radius = np.sqrt(self.new.scatter / np.maximum(self.new.weights, 1e-300))
        for i, j in sorted(self.heirs.items()):
            who = int(self.ids[j])
            if who in busy:
                continue
            was, now = float(self.old_shares[i]), float(self.new_shares[j])
            if abs(now - was) >= s.grows_by and not 1 / s.grows < now / max(was, 1e-300) < s.grows:
                events.append(
                    self._event("grew" if now > was else "shrank", who, [j], detail={"before": was})
                )
            a, b = self.old.centres[i], self.new.centres[j]
            step = float(np.linalg.norm(b - a))
            if step > 0 and step >= s.moves * radius[j]:
                detail = {"distance": step / max(float(radius[j]), 1e-300)}
                detail |= {"from": a.tolist(), "to": b.tolist()}
                events.append(self._event("moved", who, [j], detail=detail))
        return events

    def _event(self, kind: Any, cluster: int, positions: list[int], **more: Any) -> Event:
        mass, share = (float(a[positions].sum()) for a in (self.new.weights, self.new_shares))
        return Event(kind, self.time, int(cluster), mass, share, **more)


def _shared(own: ClusterModel, points: WeightedPoints, others: ClusterModel) -> tuple[Matrix, Matrix]:
    """(k,) shares of a window's clusters, and (k, k of the others) which part of each the others reach."""
    X = unit_rows(points.X) if own.metric == "cosine" else points.X
    mine, theirs = nearest(X, own.centres), nearest(X, others.centres)
    squared = np.asarray(theirs.squared, np.float64)
    distances = squared / 2 if own.metric == "cosine" else np.sqrt(squared)
    reach = others.radii[:, int(np.searchsorted(QUANTILES, REACH))]
    inside = distances <= reach[theirs.labels]
    parts, whole = np.zeros((own.k, others.k)), np.zeros(own.k)
    np.add.at(whole, mine.labels, points.weights)
    np.add.at(parts, (mine.labels, theirs.labels), points.weights * inside)
    return whole / max(float(whole.sum()), 1e-300), parts / np.maximum(whole, 1e-300)[:, None]
