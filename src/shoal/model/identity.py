"""Clusters keep their names: a new solve is matched with the model before it, and what does not match is an event.

Both models label the same points, those of the current summary. The weight that an old and a new cluster share says how
they belong together (as in MONIC, Spiliopoulou et al. 2006, with weighted points for members); the best one-to-one
matching (Hungarian) says who keeps an id. Ids are never used again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.kernels import nearest
from shoal.model.cluster_model import QUANTILES, ClusterModel, unit_rows
from shoal.model.events import Event
from shoal.summary.protocol import WeightedPoints

Matrix = NDArray[np.float64]
ROUNDING = 2.0**-40
"""Relative error of a centre, the mean of many rows in float64."""


@dataclass(frozen=True)
class IdentitySettings:
    """From when on a change is told."""

    survives: float = 0.5
    """A cluster keeps its id while this share of its weight, or of its successor's, is common to both."""
    outside: float = 0.5
    """A new cluster is born if this share of its weight lies beyond the old clusters' reach."""
    brings: float = 0.5
    """A cluster was split off if it took at least this part of its weight from the old one, and merged if it brought
    at least this part along; else it was born, or has died."""
    apart: float = 1.5
    """New clusters nearer to the old one's heir than so many times the sum of their root mean square radii are parts of
    it, whatever their weights."""
    memory: int = 8
    """Solves over which shares are remembered: what comes or goes slowly is seen as it was before."""
    grows: float = 1.5
    """Factor of the share since it was last told."""
    grows_by: float = 0.02
    """And difference of the share, at least."""
    settles: float = 1.1
    """What was just born or split off may grow by more than this factor from solve to solve without being told: under
    forgetting a new cluster reaches its share by and by."""
    moves: float = 1.0
    """Distance from where it was last told, in root mean square radii."""


@dataclass
class IdentityState:
    """What was last told of each living cluster, so that a slow change is told once, and how its share went lately."""

    shares: dict[int, float] = field(default_factory=dict)
    centres: dict[int, list[float]] = field(default_factory=dict)
    lately: dict[int, list[float]] = field(default_factory=dict)
    """Shares at the last few solves."""
    rising: set[int] = field(default_factory=set)
    """New clusters whose share has not settled yet."""
    origin: dict[int, int] = field(default_factory=dict)
    """Which cluster a new one was split off, for as many solves as shares are remembered."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            str(i): [self.shares[i], self.centres[i], self.lately[i], i in self.rising, self.origin.get(i)]
            for i in self.shares
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> IdentityState:
        """Inverse of :meth:`to_dict`."""
        out = cls()
        for i, (share, centre, lately, *more) in data.items():
            out.shares[int(i)], out.centres[int(i)] = float(share), [float(v) for v in centre]
            out.lately[int(i)] = [float(v) for v in lately]
            rising, origin = more or (False, None)  # states of before have neither
            if rising:
                out.rising.add(int(i))
            if origin is not None:
                out.origin[int(i)] = int(origin)
        return out


class Followed(NamedTuple):
    """A model with its ids, and what happened on the way to it."""

    model: ClusterModel
    events: list[Event]
    state: IdentityState
    overlap: Matrix
    """(old k, new k) weight of the points that both have in common."""


def follow(
    previous: ClusterModel | None,
    model: ClusterModel,
    points: WeightedPoints,
    *,
    time: float,
    state: IdentityState | None = None,
    settings: IdentitySettings | None = None,
) -> Followed:
    """Give a fresh model the ids of the model before it, as far as they live on.

    Parameters
    ----------
    previous : the model before; None: all clusters are born.
    model : just solved; its ids mean nothing yet.
    points : of the summary that ``model`` was solved from.
    time : of the events.

    Raises
    ------
    BadInputError : the points have no weight, or the models differ in metric or columns.

    >>> from shoal.model.build import build_model
    >>> from shoal.model.cluster_model import Provenance
    >>> from shoal.solve.k_means import k_means
    >>> X, w = np.array([[0.0], [1.0], [50.0], [51.0]]), np.ones(4)
    >>> one, two = (build_model(X, w, k_means(X, k), provenance=Provenance(rows_seen=4)) for k in (1, 2))
    >>> first = follow(None, one, WeightedPoints(X, w), time=0.0)
    >>> [str(e) for e in follow(first.model, two, WeightedPoints(X, w), time=1.0, state=first.state).events]
    ['cluster 0 split into 0 and 1 (100.0% of the weight)']
    """
    settings, state = settings or IdentitySettings(), state or IdentityState()
    if not points.weights.sum() > 0:
        raise BadInputError("the points have no weight", remedy="follow a summary that holds rows")
    if previous is not None and previous.metric != model.metric:
        raise BadInputError(
            f"a model of metric {previous.metric} cannot go on as one of {model.metric}",
            remedy="use the metric of the model before",
        )
    shares = model.weights / model.weights.sum()
    if previous is None:
        events = [
            Event("born", time, int(i), float(w), float(s))
            for i, w, s in zip(model.ids, model.weights, shares)
        ]
        state = _remember(state, model, shares, settings.memory)
        return Followed(model, events, state, np.zeros((0, model.k)))
    return _Matching(previous, model, points, time, settings, state).followed()


class _Matching:
    def __init__(
        self,
        old: ClusterModel,
        new: ClusterModel,
        points: WeightedPoints,
        time: float,
        settings: IdentitySettings,
        state: IdentityState,
    ) -> None:
        self.old, self.new, self.time, self.settings, self.state = old, new, time, settings, state
        X = unit_rows(points.X) if new.metric == "cosine" else points.X
        before, after = nearest(X, old.centres), nearest(X, new.centres)
        w = points.weights
        self.overlap = np.zeros((old.k, new.k))
        np.add.at(self.overlap, (before.labels, after.labels), w)
        squared = np.asarray(before.squared, np.float64)
        distances = squared / 2 if new.metric == "cosine" else np.sqrt(squared)
        reach = old.radii[:, int(np.searchsorted(QUANTILES, 0.99))]
        # equal rows have no radius but that of rounding
        self.rounding = max(4 * float(np.finfo(X.dtype).eps), ROUNDING)
        noise = self.rounding * np.abs(old.centres).max(axis=1)
        far = distances > (reach + noise)[before.labels]
        self.outside = np.bincount(after.labels, weights=w * far, minlength=new.k)
        self.inside = np.zeros_like(self.overlap)
        np.add.at(self.inside, (before.labels, after.labels), w * ~far)
        self.old_now, self.new_now = self.overlap.sum(axis=1), self.overlap.sum(axis=0)
        self.total = float(w.sum())

    def followed(self) -> Followed:
        ids, heirs = self._ids()
        model = replace(self.new, ids=ids, next_id=max(self.old.next_id, int(ids.max()) + 1))
        events = [*self._births(ids, heirs), *self._ends(ids, heirs)]
        told = self._changes(model, {i for e in events for i in (e.cluster, *e.children, *e.parents)})
        shares = self.new_now / self.total
        rising = self._rising(ids, shares)
        fresh = {e.cluster for e in told} | self._unknown(ids, events)
        state = _remember(self.state, model, shares, self.settings.memory, only=fresh)
        state.rising = rising | {i for i in ids.tolist() if i not in self.state.shares}
        origin = self.state.origin | {i: e.cluster for e in events if e.kind == "split" for i in e.children}
        state.origin = {
            i: parent
            for i, parent in origin.items()
            if i != parent and len(state.lately.get(i, [0.0] * self.settings.memory)) < self.settings.memory
        }
        return Followed(model, events + told, state, self.overlap)

    def _rising(self, ids: NDArray[np.int64], shares: Matrix) -> set[int]:
        """New clusters that still grow towards the share they will have."""
        known = ((i, float(s)) for i, s in zip(ids.tolist(), shares, strict=True) if i in self.state.rising)
        return {i for i, share in known if share > self.settings.settles * self.state.lately[i][-1]}

    def _ids(self) -> tuple[NDArray[np.int64], dict[int, int]]:
        """Ids of the new clusters, and which new position each old one lives on in."""
        from scipy.optimize import (
            linear_sum_assignment,
        )  # a quarter of a second: only where clusters are matched

        # rows beyond an old cluster's reach lie in its cell, but were never its own
        alike = self.inside + 0.1 * self.overlap
        alike[:, [j for j in range(self.new.k) if self._is_birth(j)]] = 0.0
        rows, columns = linear_sum_assignment(-alike)
        ids = np.full(self.new.k, -1, np.int64)
        heirs: dict[int, int] = {}
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
            shared = self.overlap[i, j]
            of_old, of_new = shared / max(self.old_now[i], 1e-300), shared / max(self.new_now[j], 1e-300)
            if shared > 0 and max(of_old, of_new) >= self.settings.survives and not self._is_birth(j):
                ids[j] = self.old.ids[i]
                heirs[i] = j
        fresh = np.flatnonzero(ids < 0)
        ids[fresh] = self.old.next_id + np.arange(len(fresh))
        return ids, heirs

    def _is_birth(self, j: int) -> bool:
        return bool(self.outside[j] > self.settings.outside * self.new_now[j])

    def _is_extra(self, j: int, parent: int, heirs: dict[int, int]) -> bool:
        """Whether a new cluster took little of its weight from the old one in whose cell it lies.

        The cell may have held its first rows for some solves, so the old share is the least of the last few.
        """
        if parent not in heirs:
            return False
        before = min(self.state.lately.get(int(self.old.ids[parent]), [0.0]))
        mine, heir = self.new_now[j] / self.total, self.new_now[heirs[parent]] / self.total
        # a newcomer leaves it before * (1 - mine), a part that broke off leaves it before - mine
        return bool(heir > before * (1 - mine) - self.settings.brings * mine * (1 - before))

    def _gap(self, a: int, b: int) -> float:
        """Distance of two new clusters in sums of their radii."""
        radius = np.sqrt(self.new.scatter / np.maximum(self.new.weights, 1e-300))
        step = float(np.linalg.norm(self.new.centres[a] - self.new.centres[b]))
        return step / max(float(radius[a] + radius[b]), 1e-300)

    def _is_gone(self, i: int, j: int, heirs: dict[int, int]) -> bool:
        """Whether an old cluster without an heir brought little along to the new one that holds what is left of it."""
        heir = [int(self.old.ids[h]) for h, position in heirs.items() if position == j]
        had = max(self.state.lately.get(int(self.old.ids[i]), [0.0]))
        host = float(np.median(self.state.lately[heir[0]])) if heir and heir[0] in self.state.lately else 0.0
        return bool(self.new_now[j] / self.total < host + self.settings.brings * had)

    def _births(self, ids: NDArray[np.int64], heirs: dict[int, int]) -> list[Event]:
        """New clusters: of rows nobody knew, or split off an old one."""
        events = []
        splits: dict[int, list[int]] = {}
        for j in sorted(set(range(self.new.k)) - set(heirs.values())):
            parent = int(self.overlap[:, j].argmax())
            beside = parent in heirs and self._gap(j, heirs[parent]) < self.settings.apart
            if not beside and (self._is_birth(j) or self.new_now[j] <= 0 or self._is_extra(j, parent, heirs)):
                events.append(self._event("born", int(ids[j]), self.new_now[j]))
            else:
                splits.setdefault(parent, []).append(j)
        for i, parts in splits.items():
            children = sorted({*(int(ids[j]) for j in parts), *([int(ids[heirs[i]])] if i in heirs else [])})
            parent_id = int(self.old.ids[i])
            if len(children) == 1:  # nothing but the new part is left of it: a new id for an old cluster
                events.append(self._event("born", children[0], self.new_now[parts[0]], parents=(parent_id,)))
            else:
                events.append(
                    self._event(
                        "split", parent_id, self.old_now[i], parents=(parent_id,), children=tuple(children)
                    )
                )
        return events

    def _ends(self, ids: NDArray[np.int64], heirs: dict[int, int]) -> list[Event]:
        """Old clusters without an heir: died away, or merged into another."""
        events = []
        into: dict[int, list[int]] = {}
        before = self.old.weights / self.old.weights.sum()
        for i in sorted(set(range(self.old.k)) - set(heirs)):
            j = int(self.overlap[i].argmax())
            scattered = self.overlap[i, j] < self.settings.survives * self.old_now[i]
            if scattered or self._is_gone(i, j, heirs):
                share = float(before[i])
                gone = int(self.old.ids[i])
                alive = tuple(c for c, p in sorted(self.state.origin.items()) if p == gone and c in ids)
                events.append(
                    Event("died", self.time, gone, float(self.old.weights[i]), share, children=alive)
                )
            else:
                into.setdefault(j, []).append(i)
        for j, parts in into.items():
            heir = [i for i, k in heirs.items() if k == j]
            parents = tuple(sorted(int(self.old.ids[i]) for i in parts + heir))
            events.append(self._event("merged", int(ids[j]), self.new_now[j], parents=parents))
        return events

    def _changes(self, model: ClusterModel, busy: set[int]) -> list[Event]:
        """Clusters that live on, but are no more as they were when last told."""
        events = []
        radius = np.sqrt(model.scatter / np.maximum(model.weights, 1e-300))
        for j, i in enumerate(model.ids.tolist()):
            if i in busy or i not in self.state.shares:
                continue
            share, before = self.new_now[j] / self.total, self.state.shares[i]
            if (
                i not in self.state.rising
                and abs(share - before) >= self.settings.grows_by
                and not (1 / self.settings.grows < share / max(before, 1e-300) < self.settings.grows)
            ):
                kind: Any = "grew" if share > before else "shrank"
                events.append(self._event(kind, i, self.new_now[j], detail={"before": before}))
            step = float(np.linalg.norm(model.centres[j] - np.array(self.state.centres[i])))
            noise = self.rounding * float(np.abs(model.centres[j]).max())
            if step >= self.settings.moves * radius[j] and step > noise:
                detail = {"distance": step / max(float(radius[j]), 1e-300), "from": self.state.centres[i]}
                events.append(
                    self._event(
                        "moved", i, self.new_now[j], detail=detail | {"to": model.centres[j].tolist()}
                    )
                )
        return events

    def _unknown(self, ids: NDArray[np.int64], events: list[Event]) -> set[int]:
        """Clusters to be remembered as they are now: new ones, and those that an event changed."""
        named = {i for e in events for i in (e.cluster, *e.children)}
        return {i for i in ids.tolist() if i in named or i not in self.state.shares}

    def _event(self, kind: Any, cluster: int, mass: float, **more: Any) -> Event:
        return Event(kind, self.time, cluster, float(mass), float(mass) / self.total, **more)


def _remember(
    state: IdentityState,
    model: ClusterModel,
    shares: Matrix,
    memory: int,
    only: set[int] | None = None,
) -> IdentityState:
    out = IdentityState()
    for j, i in enumerate(model.ids.tolist()):
        out.lately[i] = [*state.lately.get(i, []), float(shares[j])][-memory:]
        fresh = only is None or i in only
        out.shares[i] = float(shares[j]) if fresh or i in state.rising else state.shares[i]
        out.centres[i] = model.centres[j].tolist() if fresh else state.centres[i]
    return out
