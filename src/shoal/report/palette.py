"""Colours of clusters: told apart by people with and without colour blindness, on light and on dark ground.

The first ten are Petroff's (2021), found by survey and by models of colour vision, with the two greys put last. More are added one by one, each as
far as can be from all before it, in the OKLab space of perceived colour, for normal sight and for deuteranopes. Beyond
about twenty no palette can be told apart by colour alone, which is why pictures number the centres.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FIRST = (
    "#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#a96b59", "#e76300", "#92dadd", "#b9ac70", "#717581", "#94a4a2",
)  # fmt: skip
INK, PAPER = "#12252e", "#ffffff"

_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
_DEUTERANOPE = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)


def cluster_colours(k: int) -> tuple[str, ...]:
    """k colours as ``#rrggbb``, the same for every call.

    >>> cluster_colours(2)
    ('#3f90da', '#ffa90e')
    >>> len(set(cluster_colours(100)))
    100
    """
    if k <= len(FIRST):
        return FIRST[:k]
    many = _grown(min(k, 256))
    return tuple(many[i % len(many)] for i in range(k))


def ink_on(colour: str) -> str:
    """Dark or white text, whichever has the greater contrast on ``colour`` (WCAG).

    >>> ink_on("#ffa90e"), ink_on("#832db6")
    ('#12252e', '#ffffff')
    """
    return max((INK, PAPER), key=lambda ink: contrast(ink, colour))


def contrast(one: str, two: str) -> float:
    """Contrast ratio of two colours after WCAG 2, in [1, 21].

    >>> round(contrast("#000000", "#ffffff"), 3)
    21.0
    """
    low, high = sorted(float(_linear(_rgb(c)) @ (0.2126, 0.7152, 0.0722)) for c in (one, two))
    return (high + 0.05) / (low + 0.05)


@lru_cache(maxsize=8)
def _grown(k: int) -> tuple[str, ...]:
    levels = np.arange(0x10, 0xF1, 0x10)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3).astype(np.float64)
    light = _views(grid)[:, 0]
    grid = grid[(light > 0.42) & (light < 0.82)]  # visible on white and on near black
    views, chosen = _views(grid), [_rgb(c) for c in FIRST]
    nearest = np.full(len(grid), np.inf)
    for seen in _views(np.array(chosen)):
        nearest = np.minimum(nearest, _apart(views, seen))
    while len(chosen) < k:
        best = int(np.argmax(nearest))
        chosen.append(grid[best])
        nearest = np.minimum(nearest, _apart(views, views[best]))
    return tuple("#" + "".join(f"{int(v):02x}" for v in rgb) for rgb in chosen)


def _apart(views: NDArray[np.float64], one: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance as people see it: mostly of normal sight, partly of deuteranopes."""
    normal = np.linalg.norm(views[:, :3] - one[:3], axis=1)
    out: NDArray[np.float64] = normal + 0.5 * np.linalg.norm(views[:, 3:] - one[3:], axis=1)
    return out


def _views(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 6) OKLab for normal sight and for deuteranopes."""
    linear = _linear(rgb)
    both = (_oklab(linear), _oklab(np.clip(linear @ _DEUTERANOPE.T, 0, 1)))
    return np.concatenate(both, axis=1)


def _oklab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = np.cbrt(linear @ _LMS.T) @ _LAB.T
    return out


def _rgb(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float64)


def _linear(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    part = rgb / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
