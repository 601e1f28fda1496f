"""Where topics go on their map: texts by t-SNE, bubbles apart from one another, names where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from shoal.model.cluster_model import ClusterModel
from shoal.report.layout import limits
from shoal.report.projection import Projection, by_pca, by_tsne
from shoal.report.thinning import thin
from shoal.report.view import View
from shoal.summary.protocol import WeightedPoints

FloatArray = NDArray[np.float64]

WIDTH, HEIGHT, MARGIN = 900, 640, 14
POINTS = 1200
FEW = 40
"""So few texts are shown by principal components: t-SNE needs neighbours."""
COVERED = 0.1
"""Share of the picture that bubbles cover together."""
LEAST, MOST = 8.0, 72.0
"""Radii of bubbles."""
SIZES = {"big": 27.0, "small": 13.5}
"""Of names: big ones are for narrow screens, on which the picture shrinks to less than half."""
LETTER = 0.63
"""Mean width of a letter, of its height."""


@dataclass(frozen=True)
class Label:
    """The name of a bubble, where there is room for it."""

    text: str
    x: float
    y: float
    anchor: str
    """``start``, ``middle`` or ``end``."""
    size: str
    """One of ``SIZES``."""


@dataclass(frozen=True)
class TopicMap:
    """A picture of topics."""

    rows: NDArray[np.int64]
    """(n,) texts of the sample that are shown, as positions in it."""
    points: FloatArray
    """(n, 2) their places."""
    bubbles: FloatArray
    """(k, 3) place and radius of each topic."""
    labels: tuple[tuple[Label, ...], ...]
    """Of each topic."""
    kind: str
    """``tsne`` or ``pca``."""


def topic_map(
    model: ClusterModel,
    X: NDArray[np.floating],
    weights: FloatArray,
    positions: NDArray[np.int64],
    shares: Sequence[float],
    names: Sequence[str],
) -> TopicMap:
    """Lay out k topics and a sample of their texts.

    Parameters
    ----------
    X, weights, positions : (m, d), (m,), (m,) texts of the sample and the topic of each.
    names : short ones.

    A bubble goes where the middle one of its texts lies, across and up.
    """
    k = len(names)
    rows, stands_for = thin(positions, weights, k, POINTS)
    view = View.of(model, WeightedPoints(X[rows], stands_for))
    with threadpool_limits(1, "openmp"):  # threads that wait for one another are slow where others work too
        differ = (
            len(rows) >= FEW and len(np.unique(X[rows], axis=0)) >= FEW
        )  # t-SNE ends the process where none do
        placed = by_tsne(view) if differ else by_pca(view)
    points, mine = _in_frame(placed), positions[rows]
    homes = [points[mine == j] for j in range(k)]
    anchors = np.array([np.median(own, axis=0) if len(own) else (WIDTH / 2, HEIGHT / 2) for own in homes])
    radii = bubble_radii(np.asarray(shares))
    bubbles = np.column_stack([part_bubbles(anchors, radii), radii])
    return TopicMap(rows, points, np.round(bubbles, 1), place_labels(bubbles, names), placed.kind)


def bubble_radii(shares: FloatArray) -> FloatArray:
    """(k,) radii: areas go with shares.

    >>> bubble_radii(np.array([0.04, 0.01])).round(1)
    array([27.1, 13.5])
    """
    whole = COVERED * WIDTH * HEIGHT / np.pi
    return np.clip(np.sqrt(whole * np.maximum(shares, 0.0)), LEAST, MOST)


def part_bubbles(anchors: FloatArray, radii: FloatArray, *, steps: int = 300) -> FloatArray:
    """(k, 2) places near the anchors, inside the picture, where no bubble covers another.

    >>> out = part_bubbles(np.array([[400.0, 300.0], [401.0, 300.0]]), np.array([20.0, 30.0]))
    >>> bool(np.linalg.norm(out[0] - out[1]) > 49)
    True
    """
    # Equal anchors need some direction in which to part; it must be the same every time.
    angle = 2.399963 * np.arange(len(anchors))
    at = anchors + 0.1 * np.column_stack([np.cos(angle), np.sin(angle)])
    need = radii[:, None] + radii[None] + 2.0
    mass = np.square(radii)
    yields = mass[None] / (mass[:, None] + mass[None])
    low = radii + MARGIN
    high = np.array([WIDTH, HEIGHT])[None] - low[:, None]
    for _ in range(steps):
        between = at[:, None] - at[None]
        apart = np.linalg.norm(between, axis=2)
        np.fill_diagonal(apart, np.inf)
        overlap = np.maximum(need - apart, 0.0)
        if overlap.max(initial=0.0) < 0.5:
            break
        push = (between / np.maximum(apart, 1e-9)[..., None] * (overlap * yields)[..., None]).sum(axis=1)
        at = np.clip(at + 0.6 * push, low[:, None], high)
    return np.clip(at, low[:, None], high)


def place_labels(bubbles: FloatArray, names: Sequence[str]) -> tuple[tuple[Label, ...], ...]:
    """Names beside the bubbles, the largest first, as many as fit without covering anything.

    Big and small ones are placed each for themselves, as no screen shows both.
    """
    out: list[list[Label]] = [[] for _ in names]
    discs = [(x - r, y - r, x + r, y + r) for x, y, r in bubbles.tolist()]
    for size, height in SIZES.items():
        taken = list(discs)
        for i in np.argsort(-bubbles[:, 2], kind="stable").tolist():
            x, y, r = bubbles[i].tolist()
            width = LETTER * height * len(names[i])
            places = (
                ("middle", x, y + r + 0.9 * height, x - width / 2),
                ("middle", x, y - r - 0.35 * height, x - width / 2),
                ("start", x + r + 4, y + 0.35 * height, x + r + 4),
                ("end", x - r - 4, y + 0.35 * height, x - r - 4 - width),
            )
            for anchor, at, base, left in places:
                box = (left, base - 0.85 * height, left + width, base + 0.2 * height)
                if _inside(box) and not any(_overlap(box, other) for other in taken):
                    taken.append(box)
                    out[i].append(Label(names[i], round(at, 1), round(base, 1), anchor, size))
                    break
    return tuple(tuple(labels) for labels in out)


def _in_frame(placed: Projection) -> FloatArray:
    """(n, 2) places in the units of the picture."""
    out = placed.points.copy()
    for axis, size in enumerate((WIDTH, HEIGHT)):
        low, high = limits(out[:, axis], placed.weights, np.empty(0))
        share = np.clip((out[:, axis] - low) / (high - low), 0.0, 1.0)
        share = 1.0 - share if axis == 1 else share
        out[:, axis] = MARGIN + share * (size - 2 * MARGIN)
    return np.asarray(np.round(out, 1), np.float64)


def _inside(box: tuple[float, float, float, float]) -> bool:
    return box[0] >= 2 and box[1] >= 2 and box[2] <= WIDTH - 2 and box[3] <= HEIGHT - 2


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
