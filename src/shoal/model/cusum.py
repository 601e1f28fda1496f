"""Page's cumulative sum test, on the mean of a figure and on the shares of clusters.

Evidence for a shift is the log likelihood ratio of the shifted law to the usual one. It adds up over blocks of rows and
never falls below 0 (Page 1954); with the likelihoods right, the mean time until it first exceeds b is at least
``exp(b)`` blocks (Lorden 1971). The usual scatter of blocks is learned in a warm-up, at the start and after every change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
MOST = 7.0
"""Largest level of a row, so that a single one cannot raise an alarm."""
UNLIKE = 1.5
"""Ratio of the first usual level to that of the solve from which it is itself reported."""


@dataclass(frozen=True)
class Change:
    """A figure is no longer what it was."""

    value: float
    expected: float
    threshold: float
    blocks: int
    """Blocks since the evidence began."""


class LevelTest:
    """Two-sided cumulative sums of the mean level of blocks, as normal with the scatter learned."""

    def __init__(self, warm_up: int, shift: float, false_alarm_blocks: float) -> None:
        self.warm_up, self.shift = warm_up, shift
        self.bound = math.log(2 * false_alarm_blocks)
        self.first = True
        """Whether the usual still has to be compared with the solve."""
        self.usual = self.scatter = 0.0
        self.learned: list[float] = []
        """Mean levels of the blocks of the warm-up."""
        self.within = 0.0
        """Sum over those blocks of the variance that chance alone gives their means."""
        self.evidence = [0.0, 0.0]
        self.since = [0, 0]
        self.sums = [0.0, 0.0]

    def take(self, levels: FloatArray) -> Change | None:
        """The change that a block of levels brings to light, if any."""
        mean = float(levels.mean())
        if len(self.learned) < self.warm_up:
            self.learned.append(mean)
            # never less than one far row moves the mean, or that row would be an alarm where all others are equal
            self.within += max(float(levels.var()) / len(levels), (MOST / len(levels)) ** 2)
            return self._learn() if len(self.learned) == self.warm_up else None
        step = self.shift * max(self.usual, 0.05) / self.scatter
        for i, sign in enumerate((1.0, -1.0)):
            z = sign * (mean - self.usual) / self.scatter
            self.evidence[i] = max(0.0, self.evidence[i] + step * (z - step / 2))
            running = self.evidence[i] > 0
            self.since[i] = self.since[i] + 1 if running else 0
            self.sums[i] = self.sums[i] + mean if running else 0.0
            if self.evidence[i] > self.bound:
                value, expected, blocks = self.sums[i] / self.since[i], self.usual, self.since[i]
                self._forget()
                return Change(value, expected, expected * (1 + sign * self.shift / 2), blocks)
        return None

    def _learn(self) -> Change | None:
        means = np.array(self.learned)
        self.usual = float(means.mean())
        self.scatter = math.sqrt(max(float(means.var(ddof=1)), self.within / len(means)))
        first, self.first = self.first, False
        if first and not 1 / UNLIKE <= self.usual <= UNLIKE:
            bound = UNLIKE if self.usual > UNLIKE else 1 / UNLIKE
            return Change(self.usual, 1.0, bound, self.warm_up)
        return None

    def _forget(self) -> None:
        self.learned, self.within = [], 0.0
        self.evidence, self.since, self.sums = [0.0, 0.0], [0, 0], [0.0, 0.0]

    def state(self) -> dict[str, Any]:
        """For JSON."""
        names = ("first", "usual", "scatter", "learned", "within", "evidence", "since", "sums")
        return {name: copy(getattr(self, name)) for name in names}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        for name in self.state():
            setattr(self, name, copy(state[name]))


class ShareTest:
    """Two-sided cumulative sums of the counts of every cluster, as binomial, discounted for overdispersion."""

    _ARRAYS = ("usual", "total", "squares", "excess", "evidence", "since", "counted")

    def __init__(
        self,
        solved: FloatArray,
        known_from: int,
        *,
        block: int,
        warm_up: int,
        shift: float,
        false_alarm_blocks: float,
    ) -> None:
        k = len(solved)
        self.known_from, self.block, self.warm_up, self.shift = known_from, block, warm_up, shift
        self.bound = math.log(2 * k * false_alarm_blocks)
        self.first = True
        """Whether the usual is still that of the solve."""
        self.usual = solved
        self.blocks = 0
        """Blocks of the warm-up taken."""
        self.total, self.squares = np.zeros(k, np.int64), np.zeros(k, np.int64)
        self.excess = np.ones(k)
        self.evidence = np.zeros((2, k))
        self.since, self.counted = np.zeros((2, k), np.int64), np.zeros((2, k), np.int64)

    def take(self, counts: NDArray[np.int64]) -> list[tuple[int, Change]]:
        """Positions and changes that a block of rows, counted by cluster, brings to light."""
        if self.blocks < self.warm_up:
            self.blocks += 1
            self.total += counts
            self.squares += counts * counts
            return self._learn() if self.blocks == self.warm_up else []
        found = self._weigh(counts, 1)
        if found:
            self._forget()
            self.blocks = 0
        return found

    def _learn(self) -> list[tuple[int, Change]]:
        """The usual shares, and how much more than chance they scatter; the first time compared with the solve."""
        rows = self.blocks * self.block
        mean = self.total / self.blocks
        variance = (self.squares - self.blocks * mean * mean) / (self.blocks - 1)
        chance = mean * (1 - mean / self.block)
        ratio = np.divide(variance, chance, out=np.ones_like(mean), where=chance > 0)
        excess, total = np.maximum(ratio, 1.0), self.total.copy()
        found: list[tuple[int, Change]] = []
        known = 0
        if self.first:
            self.first = False
            self.excess = excess * (
                1 + rows / max(self.known_from, 1)
            )  # the solve has seen but a sample, too
            found = self._weigh(total, self.blocks)
            known = 0 if found else self.known_from
        before = self.usual
        self._forget()
        self.excess = excess
        self.usual = (total + 0.5 + known * before) / (rows + known + 0.5 * len(total) + 0.5)
        return found

    def _weigh(self, counts: NDArray[np.int64], blocks: int) -> list[tuple[int, Change]]:
        rows = blocks * self.block
        shifted = _odds_times(self.usual, np.array([[self.shift], [1 / self.shift]]))
        gain, loss = np.log(shifted / self.usual), np.log1p(-shifted) - np.log1p(-self.usual)
        gathered = self.evidence + (counts * gain + (rows - counts) * loss) / self.excess
        self.evidence = np.maximum(0.0, gathered)
        running = self.evidence > 0
        self.since = np.where(running, self.since + blocks, 0)
        self.counted = np.where(running, self.counted + counts, 0)
        found = []
        for side, c in zip(*np.nonzero(self.evidence > self.bound), strict=True):
            value = float(self.counted[side, c] / (self.since[side, c] * self.block))
            g, h = float(gain[side, c]), float(loss[side, c])
            bound = h / (h - g)  # the share at which evidence neither grows nor wanes
            found.append((int(c), Change(value, float(self.usual[c]), bound, int(self.since[side, c]))))
        return sorted(found, key=lambda one: one[0])

    def _forget(self) -> None:
        for name in ("total", "squares", "evidence", "since", "counted"):
            setattr(self, name, np.zeros_like(getattr(self, name)))

    def state(self) -> dict[str, Any]:
        """For JSON."""
        arrays = {name: getattr(self, name).tolist() for name in self._ARRAYS}
        return arrays | {"first": self.first, "blocks": self.blocks}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        for name in self._ARRAYS:
            now = getattr(self, name)
            array = np.array(state[name], now.dtype)
            if array.shape != now.shape:
                raise ValueError(f"{name} has shape {array.shape}")
            setattr(self, name, array)
        self.first, self.blocks = bool(state["first"]), int(state["blocks"])


def _odds_times(share: FloatArray, factor: FloatArray) -> FloatArray:
    odds = share / (1 - share) * factor
    return np.asarray(odds / (1 + odds), np.float64)
