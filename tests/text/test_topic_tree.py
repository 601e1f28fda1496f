"""The hierarchy joins topics that are alike first, whatever their sizes and order."""

from __future__ import annotations

import numpy as np

from shoal.text.topic_model import TopicModel
from shoal.text.topic_tree import Node

PLACES = {
    "tea": (1.0, 0.2, 0.0),
    "coffee": (1.0, 0.0, 0.0),
    "rain": (0.0, 0.0, 1.0),
    "snow": (0.0, 0.2, 1.0),
    "tax": (0.0, 1.0, 0.0),
}


def fitted(sizes: list[int]) -> TopicModel:
    texts = [f"{word} is {word}" for word, n in zip(PLACES, sizes, strict=True) for _ in range(n)]
    vectors = np.array([PLACES[t.split()[0]] for t in texts])
    vectors += np.random.default_rng(0).normal(scale=0.005, size=vectors.shape)
    return TopicModel(5).fit(texts, vectors=vectors)


def groups(node: Node, names: dict[int, str]) -> set[frozenset[str]]:
    own = {frozenset(names[t] for t in node.topics)}
    return own.union(*(groups(child, names) for child in node.children))


def test_what_is_alike_is_joined_first_whatever_the_sizes() -> None:
    for sizes in ([50, 40, 30, 20, 10], [3, 80, 5, 60, 2], [10, 10, 90, 3, 40]):
        model = fitted(sizes)
        names = {t.id: t.name for t in model.topics_}
        assert set(names.values()) == set(PLACES)
        tree = model.tree()
        found = groups(tree, names)
        assert {frozenset(("tea", "coffee")), frozenset(("rain", "snow"))} <= found
        assert len(found) == 9
        leaves = [line.strip() for line in tree.lines() if line.strip()[0].isdigit()]
        for line in leaves:
            number, name = line.split()[:2]
            assert names[int(number)] == name


def test_keywords_of_a_fork_are_of_the_topics_below_it() -> None:
    tree = fitted([50, 40, 30, 20, 10]).tree()
    for node in tree.children:
        below = {k.term for k in node.keywords}
        assert below <= set(PLACES)
        assert len(below) >= min(len(node.topics), 2) - 1
