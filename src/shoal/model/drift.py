"""Drift alarms: do the rows that arrive still look like the rows the model was solved on?

Two watches read what labelling finds. The *distance* watch asks whether rows lie farther from their centres, or nearer,
than usual; the *shares* watch asks whether a cluster gets more of the rows, or fewer. Both gather rows into blocks of
500, whatever the sizes of the batches, and run Page's cumulative sum test (Page 1954; with the estimated mean it is
known as Page-Hinkley) on the log likelihood ratio of a shifted law to the usual one: evidence adds up, never falls
below 0, and an alarm is due when it exceeds ``log(2 * tests * false_alarm_blocks)``. For independent rows the mean time to
a false alarm is then at least ``false_alarm_blocks`` (Lorden 1971). Shifts of less than half the one tested for are the
usual noise of life and bring no alarm, however long they last.

Rows that follow one another are seldom independent. So each watch first learns, for 20 blocks, how far blocks scatter,
and discounts evidence by as much as that is more than chance. After an alarm it learns the new usual in the same way.
Alarms report; nothing acts on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError, ShoalError
from shoal.model.cluster_model import QUANTILES, ClusterModel
from shoal.model.cusum import MOST, Change, LevelTest, ShareTest
from shoal.model.outliers import share_nearer

FloatArray = NDArray[np.float64]
ROUNDING = 1e-6
"""Distances are equal if they differ by less than this times the length of the centre: rows are float32."""
AT_ONCE = 20_000
"""Rows whose quantiles are laid side by side."""
KNOWN = 50_000
"""Rows, at most, that the shares of the solve are taken to come from: it has seen a sample."""
FORMAT = 1


@dataclass(frozen=True)
class Alarm:
    """Rows are not as they were."""

    kind: Literal["distance", "shares"]
    time: float | None
    """Of the last row of the block that brought it, as given to ``update``."""
    row: int
    """Rows watched when it came."""
    cluster: int | None
    """Id of the cluster whose share changed."""
    value: float
    """Distance level (1 where rows are as in the solve) or share of the cluster, since about ``since``."""
    expected: float
    """What was usual."""
    threshold: float
    """What the value must pass for evidence to gather."""
    since: int
    """Rows watched when the change is thought to have begun."""
    message: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class DriftWatch:
    """Watches what labelling finds, and says when it changes for good.

    Parameters
    ----------
    model : whose answers are watched; its solve says what to expect.
    block : rows taken together.
    warm_up : blocks from which the usual is learned, at the start and after every alarm.
    level_shift : relative change of the distance level that is tested for; half of it goes without alarm.
    share_shift : factor of a cluster's odds that is tested for, up and down.
    false_alarm_blocks : mean number of blocks to a false alarm of each watch, if rows are independent.

    >>> from shoal.model.build import build_model
    >>> from shoal.model.cluster_model import Provenance
    >>> from shoal.solve.k_means import k_means
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat([0.0, 9.0], 20_000)[:, None] + rng.normal(size=(40_000, 1))
    >>> model = build_model(X, np.ones(40_000), k_means(X, 2), provenance=Provenance(rows_seen=40_000))
    >>> watch, X = DriftWatch(model), rng.permutation(X)
    >>> found = model.assign(X); watch.update(found.positions, found.distances)
    []
    >>> found = model.assign(X[:2000] + 1.0); alarm, = watch.update(found.positions, found.distances)
    >>> alarm.kind, alarm.row, alarm.since
    ('distance', 40500, 40000)
    """

    def __init__(
        self,
        model: ClusterModel,
        *,
        block: int = 500,
        warm_up: int = 20,
        level_shift: float = 0.1,
        share_shift: float = 1.5,
        false_alarm_blocks: float = 1e6,
    ) -> None:
        if block < 1 or warm_up < 2:
            raise ShoalError(f"block={block} must be at least 1 and warm_up={warm_up} at least 2")
        if not (0 < level_shift < 1 and share_shift > 1 and false_alarm_blocks >= 1):
            raise ShoalError(
                f"level_shift={level_shift} must lie between 0 and 1, share_shift={share_shift} above 1 "
                f"and false_alarm_blocks={false_alarm_blocks} be at least 1"
            )
        self.block, self.warm_up = block, warm_up
        self.level_shift, self.share_shift = level_shift, share_shift
        self.false_alarm_blocks = false_alarm_blocks
        self.rows = 0
        self.rebase(model)

    def rebase(self, model: ClusterModel) -> None:
        """Watch by another model from now on; rows of an unfinished block are left out."""
        self.model = model
        self._positions: NDArray[np.int64] = np.empty(0, np.int64)
        self._levels: FloatArray = np.empty(0)
        self._distance = LevelTest(self.warm_up, self.level_shift, self.false_alarm_blocks)
        share = (model.weights + 0.5) / (model.weights.sum() + 0.5 * model.k + 0.5)
        self._shares = ShareTest(
            share,
            min(model.provenance.rows_seen, KNOWN),
            block=self.block,
            warm_up=self.warm_up,
            shift=self.share_shift,
            false_alarm_blocks=self.false_alarm_blocks,
        )

    def update(
        self, positions: ArrayLike, distances: ArrayLike, time: ArrayLike | None = None
    ) -> list[Alarm]:
        """Take in n rows as :meth:`ClusterModel.assign` found them; answers the alarms they bring.

        Parameters
        ----------
        positions, distances : (n,) each, as in :class:`Assignment`.
        time : one for all rows or (n,), to be told in alarms.

        Raises
        ------
        BadInputError : arrays that do not fit, positions the model does not have, distances that are no numbers.
        """
        where, far = self._checked(positions, distances)
        if time is not None and np.shape(time) not in ((), where.shape):
            raise BadInputError(f"times have shape {np.shape(time)}, not ({len(where)},)")
        times = None if time is None else np.broadcast_to(np.asarray(time, np.float64), where.shape)
        held = len(self._levels)
        where = np.concatenate([self._positions, where])
        pieces = np.array_split(np.arange(len(far)), len(far) // AT_ONCE + 1)  # bounds the memory
        new = [self._level(where[held:][piece], far[piece]) for piece in pieces]
        levels = np.concatenate([self._levels, *new])
        alarms: list[Alarm] = []
        for end in range(self.block, len(where) + 1, self.block):
            last = end - 1 - held
            part = slice(end - self.block, end)
            alarms += self._take(where[part], levels[part], None if times is None else float(times[last]))
        rest = len(where) - len(where) % self.block
        self._positions, self._levels = where[rest:].copy(), levels[rest:].copy()
        return alarms

    def to_dict(self) -> dict[str, Any]:
        """State for JSON, without the model; :meth:`from_dict` goes on exactly where this stands."""
        return {
            "format": FORMAT,
            "model": _fingerprint(self.model),
            "block": self.block,
            "warm_up": self.warm_up,
            "level_shift": self.level_shift,
            "share_shift": self.share_shift,
            "false_alarm_blocks": self.false_alarm_blocks,
            "rows": self.rows,
            "positions": self._positions.tolist(),
            "levels": self._levels.tolist(),
            "distance": self._distance.state(),
            "shares": self._shares.state(),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any], model: ClusterModel) -> Self:
        """Inverse of :meth:`to_dict`, with the model that was watched.

        Raises
        ------
        ShoalError : another model, or a state that is damaged or of a newer release.
        """
        if not isinstance(state.get("format"), int) or state["format"] > FORMAT:
            raise ShoalError(
                f"the drift state has format {state.get('format')!r}, this release reads {FORMAT}"
            )
        if state.get("model") != _fingerprint(model):
            raise ShoalError("the drift state belongs to another model; start a new watch, or rebase one")
        try:
            names = ("block", "warm_up", "level_shift", "share_shift", "false_alarm_blocks")
            out = cls(model, **{name: state[name] for name in names})
            out.rows = int(state["rows"])
            out._positions = np.array(state["positions"], np.int64)
            out._levels = np.array(state["levels"], np.float64)
            out._distance.restore(state["distance"])
            out._shares.restore(state["shares"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ShoalError(f"the drift state cannot be read: {error!r}; start a new watch") from error
        return out

    def _checked(self, positions: ArrayLike, distances: ArrayLike) -> tuple[NDArray[np.int64], FloatArray]:
        where, far = np.asarray(positions), np.asarray(distances, np.float64)
        if where.ndim != 1 or where.shape != far.shape or (len(where) and where.dtype.kind not in "iu"):
            raise BadInputError(
                f"positions of shape {where.shape} ({where.dtype}) and distances of shape {far.shape}",
                remedy="give both as assign answers them",
            )
        if len(where) and not (where.min() >= 0 and where.max() < self.model.k):
            raise BadInputError(
                f"positions from {where.min()} to {where.max()}, the model has {self.model.k} clusters",
                remedy="give positions, not ids",
            )
        wrong = np.flatnonzero(~(far >= 0))
        if len(wrong):
            raise BadInputError(f"distance is {far[wrong[0]]}", place=f"row {wrong[0]}")
        return where.astype(np.int64), far

    def _level(self, positions: NDArray[np.int64], distances: FloatArray) -> FloatArray:
        """Minus log of the share of the cluster's rows farther out: exponential with mean 1, if all is as it was.

        A row among equally distant ones has the mean of what they would have in any order.
        """
        radii = self.model.radii
        length = np.linalg.norm(self.model.centres, axis=1)
        rounding = (ROUNDING * np.maximum(length, radii[:, -1]))[positions]
        nearer = share_nearer(distances - rounding, radii[positions], QUANTILES)
        up_to = share_nearer(distances + rounding, radii[positions], QUANTILES, or_equal=True)
        return np.minimum(_mean_log(nearer, up_to), MOST)

    def _take(self, positions: NDArray[np.int64], levels: FloatArray, time: float | None) -> list[Alarm]:
        self.rows += self.block
        found: list[Alarm] = []
        change = self._distance.take(levels)
        if change is not None:
            found.append(self._distance_alarm(change, time))
        counts = np.bincount(positions, minlength=self.model.k)
        for c, shift in self._shares.take(counts):
            found.append(self._share_alarm(c, shift, time))
        return found

    def _distance_alarm(self, change: Change, time: float | None) -> Alarm:
        since = self.rows - change.blocks * self.block
        text = (
            f"rows lie {'farther from' if change.value > change.expected else 'nearer to'} their centres than usual "
            f"since about row {since:,}: level {change.value:.3g} instead of {change.expected:.3g}"
        )
        return Alarm(
            "distance", time, self.rows, None, change.value, change.expected, change.threshold, since, text
        )

    def _share_alarm(self, c: int, change: Change, time: float | None) -> Alarm:
        since, cluster = self.rows - change.blocks * self.block, int(self.model.ids[c])
        text = (
            f"cluster {cluster} gets {change.value:.2%} of the rows since about row {since:,} "
            f"instead of {change.expected:.2%}"
        )
        return Alarm(
            "shares", time, self.rows, cluster, change.value, change.expected, change.threshold, since, text
        )


def _mean_log(low: FloatArray, high: FloatArray) -> FloatArray:
    """Mean of -log(1 - u) for u between two shares."""
    width = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        at_low, at_high = (np.where(u < 1, (1 - u) * (np.log1p(-u) - 1), 0.0) for u in (low, high))
        point = -np.log1p(-(low + high) / 2)
        return np.where(width > 1e-4, (at_high - at_low) / width, point)


def _fingerprint(model: ClusterModel) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for array in (model.ids, model.radii, model.weights):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
