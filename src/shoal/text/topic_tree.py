"""How topics hang together: Ward's hierarchy over their centres, with keywords at every fork."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal.model.cluster_model import ClusterModel
from shoal.solve.hierarchy import ward
from shoal.summary.protocol import WeightedPoints
from shoal.text.keywords import Keyword, keywords, name_of
from shoal.text.term_sketch import TermSketch
from shoal.text.topics import Described


@dataclass(frozen=True)
class Node:
    """A topic, or several that are alike."""

    topics: tuple[int, ...]
    """Ids of the topics below, in the order in which they are drawn."""
    name: str
    keywords: tuple[Keyword, ...]
    share: float
    height: float
    """At which the parts were merged, as in SciPy's dendrograms; 0 for a topic."""
    children: tuple[Node, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "topics": list(self.topics),
            "name": self.name,
            "keywords": [k.term for k in self.keywords],
            "share": self.share,
            "height": self.height,
            "children": [child.to_dict() for child in self.children],
        }

    def lines(self, indent: str = "") -> list[str]:
        """As text, one line for each node.

        >>> tea, mugs = (Node((i,), n, (), 0.5, 0.0) for i, n in enumerate(("tea", "mugs")))
        >>> print("\\n".join(Node((0, 1), "kitchen", (), 1.0, 1.2, (tea, mugs)).lines()))
        kitchen (100%)
          0 tea (50%)
          1 mugs (50%)
        """
        number = "" if self.children else f"{self.topics[0]} "
        out = [f"{indent}{number}{self.name} ({self.share:.0%})"]
        for child in self.children:
            out += child.lines(indent + "  ")
        return out


def topic_tree(
    model: ClusterModel, found: Described, *, known: TermSketch | None = None, n_keywords: int = 10
) -> Node:
    """The hierarchy of topics; its root is all of them.

    Parameters
    ----------
    known : terms of all texts.
    """
    topics = found.topics
    leaves = [Node((t.id,), t.name, t.keywords, t.share, 0.0) for t in topics]
    if len(leaves) == 1:
        return leaves[0]
    # by weight, Ward would join small topics first, however little they have in common
    tree = ward(WeightedPoints(_centres(model, found), np.ones(len(topics))))
    members = [[i] for i in np.argsort(tree.leaf).tolist()]  # the tree has an order of its own
    nodes: list[Node] = [leaves[i] for (i,) in members]
    merges = []
    for a, b, height, _ in tree.linkage.tolist():
        parts = sorted((int(a), int(b)), key=lambda i: -nodes_share(members[i], topics))
        members.append(members[parts[0]] + members[parts[1]])
        merges.append((parts, float(height)))
    words = keywords(found.counts.joined(members[len(topics) :]), n=n_keywords, known=known)
    for (parts, height), mine, below in zip(merges, words, members[len(topics) :], strict=True):
        children = tuple(nodes[i] for i in parts)
        ids = tuple(topics[i].id for i in below)
        nodes.append(Node(ids, name_of(mine), mine, nodes_share(below, topics), height, children))
    return nodes[-1]


def nodes_share(members: list[int], topics: list[Any]) -> float:
    """Share of several topics together."""
    return float(sum(topics[i].share for i in members))


def _centres(model: ClusterModel, found: Described) -> np.ndarray:
    """(k, d) centre of each topic: the mean of its clusters' by weight; topics at the same place are moved a hair apart."""
    ids = model.ids.tolist()
    out = []
    for topic in found.topics:
        at = [ids.index(c) for c in topic.clusters]
        w = np.maximum(model.weights[at], 1e-12)
        out.append((model.centres[at] * w[:, None]).sum(axis=0) / w.sum())
    centres = np.array(out)
    same = len(np.unique(centres, axis=0)) < len(centres)
    return centres + np.arange(len(centres))[:, None] * 1e-9 if same else centres
