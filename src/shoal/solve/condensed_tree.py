"""From a spanning tree to clusters: single linkage, condensed by weight, and the clusters that last longest.

Campello, Moulavi and Sander (2013). Edges of equal height are cut together, as the paper asks, and a point leaves
its cluster at its own core distance: so the answer does not depend on the order of points, and a point of weight w
counts exactly as w equal rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.solve.neighbours import ROUNDING, Floats64
from shoal.solve.spanning_tree import SpanningTree

Selection = Literal["eom", "leaf"]


@dataclass
class Branch:
    """A cluster of the condensed tree."""

    parent: int
    birth: float
    """Density (1 / distance) at which it parts from its siblings; 0 for the root."""
    weight: float
    stability: float = 0.0
    """Excess of mass: weight times the range of density each row stays for."""
    peak: float = 0.0
    """Density at which its last point leaves, or at which it splits."""
    children: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class CondensedTree:
    """Branches, the root first and children after their parents."""

    branches: list[Branch]
    branch: NDArray[np.intp]
    """(m,) the last branch each point belonged to."""
    density: Floats64
    """(m,) the density at which it left."""

    def select(self, selection: Selection, *, allow_one: bool = False) -> list[int]:
        """The branches that are clusters: no two of them above one another.

        The root is one only if it never splits, or where ``allow_one`` and it outweighs all below.
        """
        if selection == "leaf":
            return [b for b, branch in enumerate(self.branches) if not branch.children]
        best = [branch.stability for branch in self.branches]
        chosen = [True] * len(best)
        for b in range(len(best) - 1, -1, -1):
            if below := self.branches[b].children:
                inside = sum(best[c] for c in below)
                chosen[b] = best[b] >= inside * (1 - ROUNDING) and (b > 0 or allow_one)
                best[b] = max(best[b], inside) if chosen[b] else inside
        selected, open_branches = [], [0]
        while open_branches:
            b = open_branches.pop()
            if chosen[b]:
                selected.append(b)
            else:
                open_branches += self.branches[b].children
        return sorted(selected)

    def exactly(self, k: int) -> list[int]:
        """The k branches of the largest total stability that leave out no branch; fewer if there are no k."""
        values: list[dict[int, float]] = [{} for _ in self.branches]
        splits: list[dict[int, tuple[int, ...]]] = [{} for _ in self.branches]
        for b in range(len(self.branches) - 1, -1, -1):
            below: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
            for child in self.branches[b].children:
                wider: dict[int, tuple[float, tuple[int, ...]]] = {}
                for i, (value, split) in below.items():
                    for j, more in values[child].items():
                        if i + j <= k and value + more > wider.get(i + j, (-1.0, ()))[0]:
                            wider[i + j] = value + more, (*split, j)
                below = wider
            if self.branches[b].children:
                values[b] = {j: value for j, (value, _) in below.items()}
                splits[b] = {j: split for j, (_, split) in below.items()}
            values[b][1], splits[b][1] = self.branches[b].stability, ()
        selected, waiting = [], [(0, max(values[0]))]
        while waiting:
            b, j = waiting.pop()
            if splits[b][j]:
                waiting += zip(self.branches[b].children, splits[b][j], strict=True)
            else:
                selected.append(b)
        return sorted(selected)

    def members(self, selected: list[int]) -> tuple[NDArray[np.int32], Floats64]:
        """Cluster of each point (-1 for noise), and how strongly it belongs to it: 1 for those who stay to the end."""
        inside = np.full(len(self.branches), -1, np.int32)
        inside[selected] = np.arange(len(selected))
        for b, branch in enumerate(self.branches[1:], start=1):
            if inside[b] < 0:
                inside[b] = inside[branch.parent]
        labels = inside[self.branch]
        peaks = np.array([self.branches[b].peak for b in selected] + [np.inf])
        strengths = np.minimum(self.density / peaks[labels], 1.0)
        return labels, strengths


class _Linkage(NamedTuple):
    """Single linkage in which one node joins everything that meets at one height."""

    children: list[list[int]]
    """Of every node; empty for the m points, which come first."""
    heights: list[float]
    """Of every node; for a point its core distance: above it, a point is noise on its own."""
    weights: list[float]
    root: int


def condense(
    tree: SpanningTree, core: Floats64, weights: Floats64, min_cluster_weight: float
) -> CondensedTree:
    """The tree of clusters that weigh at least ``min_cluster_weight``.

    core, weights : (m,) of every point, in the order of the tree.
    """
    linkage = _single_linkage(tree, core, weights)
    positive = tree.heights[tree.heights > 0]
    positive = np.concatenate([positive, core[core > 0]])
    # Coinciding rows are infinitely dense; they count as dense as the densest that do not coincide.
    floor = float(positive.min()) if len(positive) else 1.0
    m = len(core)
    branch, density = np.zeros(m, np.intp), np.zeros(m)
    branches = [Branch(-1, 0.0, linkage.weights[linkage.root])]
    waiting = [(linkage.root, 0)]
    least = min_cluster_weight * (1 - ROUNDING)
    while waiting:
        node, b = waiting.pop()
        height = linkage.heights[node]
        now, one = 1.0 / max(height, floor), branches[b]
        parts = linkage.children[node]
        if not parts:
            branch[node], density[node] = b, now
            one.stability += linkage.weights[node] * (now - one.birth)
            one.peak = max(one.peak, now)
            continue
        large = []
        for part in parts:
            if linkage.weights[part] >= least and linkage.heights[part] < height:
                large.append(part)
                continue
            one.stability += linkage.weights[part] * (now - one.birth)
            one.peak = max(one.peak, now)
            leaving = _points(linkage, part)
            branch[leaving], density[leaving] = b, now
        if len(large) == 1:
            waiting.append((large[0], b))
            continue
        for part in large:
            weight = linkage.weights[part]
            one.stability += weight * (now - one.birth)
            one.peak = max(one.peak, now)
            one.children.append(len(branches))
            waiting.append((part, len(branches)))
            branches.append(Branch(b, now, weight))
    return CondensedTree(branches, branch, density)


def _single_linkage(tree: SpanningTree, core: Floats64, weights: Floats64) -> _Linkage:
    m = len(core)
    children: list[list[int]] = [[] for _ in range(m)]
    heights, total = core.tolist(), weights.tolist()
    leader, top = list(range(m)), list(range(m))  # top: the highest node of each leader's group

    def lead(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for (i, j), h in zip(tree.ends.tolist(), tree.heights.tolist(), strict=True):
        a, b = lead(i), lead(j)
        if total[top[a]] < total[top[b]]:
            a, b = b, a
        p, q = top[a], top[b]
        leader[b] = a
        level = [p >= m and heights[p] == h, q >= m and heights[q] == h]
        if level[1] and (not level[0] or len(children[q]) > len(children[p])):
            p, q, level = q, p, level[::-1]
        if level[0]:
            children[p].extend(children[q] if level[1] else [q])
            total[p] += total[q]
            top[a] = p
        else:
            top[a] = len(children)
            children.append([p, q])
            heights.append(h)
            total.append(total[p] + total[q])
    return _Linkage(children, heights, total, top[lead(0)])


def _points(linkage: _Linkage, node: int) -> list[int]:
    found, waiting = [], [node]
    while waiting:
        node = waiting.pop()
        if linkage.children[node]:
            waiting += linkage.children[node]
        else:
            found.append(node)
    return found
