"""Which k? Every criterion from one summary, a suggestion with its reasons, and "none" as an honest answer.

The elbow of the inertia curve is drawn for people who expect it, but never decides: it has no theory, depends on
the scale of the plot and shows up in uniform noise too (Schubert 2023, "Stop using the elbow criterion").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.kernels import default_threads, greedy_seeds, nearest
from shoal.solve.k_means import Cover, cover_size, make_cover, solve
from shoal.solve.lloyd import Metric, Solution, descend, shifted
from shoal.solve.quality import Quality, quality

PROBE_ROWS = 2000
"""Rows of the small samples on which stability and the gap are measured."""
PAIRS = 4
REFERENCES = 3
CLEAR = 0.03
"""Least gap, less twice its error, that counts as structure."""
BIC_VOTES = 2
"""The BIC counts twice where it has a minimum inside the range: then it is right most often (docs/choosing_k.md)."""
STEADY, UNSTABLE = 0.8, 0.5
"""Stability (adjusted Rand index between clusterings of independent samples) below which a k is called unstable, and
below which, where no k reaches it, there is nothing to suggest."""


@dataclass(frozen=True)
class Candidate:
    """All figures of one k."""

    quality: Quality
    stability: float
    """Mean adjusted Rand index between clusterings of disjoint samples, in about [0, 1]. 1 for k = 1."""
    gap: float
    """How much lower log inertia is than on data of the same shape without clusters (gap statistic, Tibshirani,
    Walther and Hastie 2001), against the strictest of two uniform and a normal reference."""
    gap_error: float
    """Standard error of the gap."""

    @property
    def k(self) -> int:
        """Number of clusters."""
        return self.quality.k


@dataclass(frozen=True)
class KChoice:
    """The answer to "which k"."""

    candidates: tuple[Candidate, ...]
    solutions: dict[int, Solution]
    suggested: int | None
    """None: no cluster structure found."""
    confidence: float
    """In [0, 1]: agreement of the criteria times the stability of the suggestion."""
    reasons: tuple[str, ...]
    votes: dict[str, int]
    """What each criterion would choose."""

    @property
    def structure(self) -> bool:
        """Whether the data is more clustered than data of the same shape without clusters."""
        return self.suggested is not None

    @property
    def most_voted(self) -> int:
        """The suggestion, or without one the k with the most votes; the least k tried if there were none."""
        if self.suggested is not None or not self.votes:
            return self.suggested or min(self.solutions)
        return max(self.votes.values(), key=lambda k: (_count(self.votes, k), -k))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; figures that do not exist are None."""
        rows = []
        for c in self.candidates:
            figures = asdict(c.quality) | {"stability": c.stability, "gap": c.gap, "gap_error": c.gap_error}
            rows.append({name: v if np.isfinite(v) else None for name, v in figures.items()})
        return {
            "suggested": self.suggested,
            "confidence": self.confidence,
            "votes": self.votes,
            "reasons": list(self.reasons),
            "candidates": rows,
        }


def choose_k(
    X: NDArray[Any],
    weights: NDArray[np.float64],
    ks: Iterable[int],
    *,
    rows: int | None = None,
    metric: Metric = "euclidean",
    seed: int = 0,
    n_threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> KChoice:
    """Solve for every k and weigh the criteria.

    Parameters
    ----------
    X, weights : (m, d) points and (m,) weights, as a summary's ``points()`` answers.
    ks : numbers of clusters to try, each at least 1.
    rows : rows behind the points; default m.
    progress : called with each k when it is solved.

    Raises
    ------
    BadInputError : no k, or one larger than the number of points.

    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(c, 0.1, (100, 2)) for c in (0.0, 2.0, 5.0)])
    >>> choose_k(X, np.ones(300), range(2, 7)).suggested
    3
    """
    wanted = sorted(set(ks))
    if not wanted or wanted[0] < 1:
        raise BadInputError(f"cannot choose among k={wanted}", remedy="give one or more k of at least 1")
    X, origin = shifted(X, metric)
    rng = np.random.default_rng([seed, 0xC0])
    cover = None
    wanted = [k for k in wanted if k <= len(X)]
    if not wanted:
        raise BadInputError(f"every k asked for is larger than the {len(X)} rows", remedy="try smaller k")
    if len(X) >= 2 * cover_size(wanted[-1]):
        cover = make_cover(X, weights, cover_size(wanted[-1]), metric=metric, rng=rng, n_threads=n_threads)
    solutions: dict[int, Solution] = {}
    for k, found in _solve_all(X, weights, wanted, metric, seed, cover, n_threads):
        if not (found.counts > 0).all():  # fewer distinct points than clusters, for every larger k too
            break
        solutions[k] = found
        if progress is not None:
            progress(k)
    if not solutions:
        raise BadInputError(
            "the rows are too few or too much alike for any k asked for", remedy="try smaller k"
        )
    wanted = list(solutions)
    probes = _probe_all(X, weights, wanted, metric, seed, n_threads)
    candidates = tuple(
        Candidate(quality(X, weights, solutions[k], rows or len(X)), *probes[k]) for k in wanted
    )
    answer = _decide(candidates, solutions)
    best = answer.most_voted  # the one people will use is solved with all care
    again = solve(X, weights, best, metric=metric, seed=seed, n_threads=n_threads)
    solutions[best] = min(again, solutions[best], key=lambda s: s.inertia)
    told = {k: replace(found, centres=found.centres + origin) for k, found in solutions.items()}
    return replace(answer, solutions=told)


def _solve_all(
    X: NDArray[Any],
    weights: NDArray[np.float64],
    ks: list[int],
    metric: Metric,
    seed: int,
    cover: Cover | None,
    n_threads: int | None,
) -> Iterator[tuple[int, Solution]]:
    """The solution for every k, in order; side by side, as each is one of many small steps."""

    def work(k: int) -> Solution:
        return solve(X, weights, k, metric=metric, seed=seed, cover=cover, thorough=False, n_threads=1)

    with ThreadPoolExecutor(default_threads(n_threads)) as pool:
        yield from zip(ks, pool.map(work, ks), strict=True)


def _probe_all(
    X: NDArray[Any],
    weights: NDArray[np.float64],
    ks: list[int],
    metric: Metric,
    seed: int,
    n_threads: int | None,
) -> dict[int, tuple[float, float, float]]:
    """Stability, gap and its error of every k; each k has random numbers of its own, so threads change nothing."""
    rng = np.random.default_rng([seed, 0xC1])
    probe = _resample(X, weights, PROBE_ROWS, rng)
    references = _references(probe, metric, rng)
    halves = [_halves(X, weights, rng) for _ in range(PAIRS)]

    def work(k: int) -> tuple[float, float, float]:
        own = np.random.default_rng([seed, 0xC2, k])
        return (_stability(halves, k, metric, own), *_gap(probe, references, k, metric, own))

    with ThreadPoolExecutor(default_threads(n_threads)) as pool:
        return dict(zip(ks, pool.map(work, ks), strict=True))


def _decide(candidates: tuple[Candidate, ...], solutions: dict[int, Solution]) -> KChoice:
    real = [c for c in candidates if c.k > 1 and np.isfinite(c.stability) and np.isfinite(c.gap)]
    if not real:
        why = "there are too few rows to tell" if any(c.k > 1 for c in candidates) else "only k = 1 was tried"
        return KChoice(candidates, solutions, None, 0.0, (why,), {})
    votes = _votes(real)
    best = _most_voted(real, votes)
    clear = max(c.gap - 2 * c.gap_error for c in real) > CLEAR
    most = max(real, key=lambda c: (c.stability, -c.k))
    if not clear or most.stability < UNSTABLE:
        return KChoice(candidates, solutions, None, *_no_structure(clear, most, best), votes)
    agree = _count(votes, best.k) / sum(_count(votes, k) for k in set(votes.values()))
    sure = agree * max(best.stability, 0.0)
    return KChoice(candidates, solutions, best.k, sure, _reasons(best, votes, real), votes)


def _no_structure(clear: bool, most: Candidate, best: Candidate) -> tuple[float, tuple[str, ...]]:
    why = []
    if not clear:
        why.append("no k fits better than it does on data of the same shape without clusters (gap statistic)")
    if most.stability < STEADY:
        why.append(f"no k is stable: at best {most.stability:.2f} of 1 between samples, at k = {most.k}")
    why.append(f"if k must be chosen all the same, {best.k} has the most votes")
    return (0.6 if clear or most.stability >= STEADY else 0.9), tuple(why)


def _votes(real: list[Candidate]) -> dict[str, int]:
    votes = {
        "Calinski-Harabasz": max(real, key=lambda c: c.quality.calinski_harabasz).k,
        "Davies-Bouldin": min(real, key=lambda c: c.quality.davies_bouldin).k,
        "silhouette": max(real, key=lambda c: c.quality.silhouette).k,
        "gap": _gap_rule(real),
        "stability": max(real, key=lambda c: (round(c.stability, 2), c.k)).k,
    }
    lowest = min(real, key=lambda c: c.quality.bic).k
    if lowest != real[-1].k or len(real) == 1:  # at the end of the range it has only been cut off
        votes["BIC"] = lowest
    return votes


def _gap_rule(real: list[Candidate]) -> int:
    """The first k whose gap the next one does not beat by more than its error."""
    for now, after in pairwise(real):
        if now.gap >= after.gap - after.gap_error and now.gap > 0:
            return now.k
    return max(real, key=lambda c: c.gap).k


def _most_voted(real: list[Candidate], votes: dict[str, int]) -> Candidate:
    def rank(c: Candidate) -> tuple[int, float]:
        return _count(votes, c.k), c.stability

    return max(real, key=rank)


def _count(votes: dict[str, int], k: int) -> int:
    return sum(BIC_VOTES if name == "BIC" else 1 for name, vote in votes.items() if vote == k)


def _reasons(best: Candidate, votes: dict[str, int], real: list[Candidate]) -> tuple[str, ...]:
    agree = [name for name, k in votes.items() if k == best.k]
    others = [f"{name} says {k}" for name, k in votes.items() if k != best.k]
    text = [f"{len(agree)} of {len(votes)} criteria choose k = {best.k}: {', '.join(agree)}"]
    if others:
        text.append("the others differ: " + ", ".join(others))
    text.append(f"clusterings of independent samples agree to {best.stability:.2f} of 1 at this k")
    if best.stability < STEADY:
        text.append("that is not stable: the groups are there, but their number is not sharp")
    text.append(f"it explains {best.quality.explained:.0%} of the variance")
    if len(real) == 1:
        text.append("no other k was tried")
    elif best.k == real[-1].k:
        text.append("it is the largest k tried: try larger ones")
    return tuple(text)


def _quick(X: NDArray[Any], k: int, metric: Metric, rng: np.random.Generator, runs: int = 1) -> Solution:
    """A fair solution of a small sample, on one thread."""
    found = []
    for _ in range(runs):
        chosen, _ = greedy_seeds(X, k, rng=rng, n_threads=1)
        found.append(descend(X, X[chosen], None, metric=metric, max_iter=20, improvement=2e-3, n_threads=1))
    return min(found, key=lambda s: s.inertia)


def _resample(
    X: NDArray[Any], weights: NDArray[np.float64], size: int, rng: np.random.Generator
) -> NDArray[Any]:
    """Rows of equal weight, drawn by weight and no more than the points are worth.

    Many draws from few points would be copies of each other, and copies look like clusters: so at most the effective
    number of points (Kish 1965), systematically, which repeats a row only if its weight calls for it.
    """
    if np.ptp(weights) == 0:
        return X[rng.permutation(len(X))[:size]]
    effective = int(weights.sum() ** 2 / (weights**2).sum())
    size = max(min(size, effective), 1)
    steps = (np.arange(size) + rng.random()) * weights.sum() / size
    drawn = np.searchsorted(np.cumsum(weights[order := rng.permutation(len(X))]), steps, side="right")
    rows: NDArray[Any] = X[order[np.minimum(drawn, len(X) - 1)]]
    return rows


def _halves(
    X: NDArray[Any], weights: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[Any], ...]:
    """Samples of two disjoint halves of the points, and a third of all of them to judge by."""
    order = rng.permutation(len(X))
    halves = order[: len(X) // 2], order[len(X) // 2 :]
    parts = [_resample(X[half], weights[half], PROBE_ROWS, rng) for half in halves if len(half)]
    return (*parts, _resample(X, weights, PROBE_ROWS, rng))


def _stability(
    halves: list[tuple[NDArray[Any], ...]], k: int, metric: Metric, rng: np.random.Generator
) -> float:
    """Mean agreement, on a third sample, of clusterings found on two disjoint halves of the points."""
    if k == 1:
        return 1.0
    scores = []
    for *parts, judge in halves:
        if len(parts) < 2 or min(len(p) for p in parts) < k:
            return float("nan")
        centres = [_quick(part, k, metric, rng, runs=2).centres for part in parts]
        scores.append(adjusted_rand(*(nearest(judge, C, n_threads=1).labels for C in centres)))
    return float(np.mean(scores))


def _gap(
    X: NDArray[Any],
    references: list[list[NDArray[Any]]],
    k: int,
    metric: Metric,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Log inertia of the kindest references without clusters, less that of the data, and the error of this."""
    if k > len(X):
        return float("nan"), float("nan")
    mine = _log_inertia(_quick(X, k, metric, rng, runs=2))
    strictest = (np.inf, 0.0)
    for family in references:
        logs = np.array([_log_inertia(_quick(ref, k, metric, rng)) for ref in family])
        error = float(logs.std(ddof=1) * np.sqrt(1 + 1 / len(logs)))
        strictest = min(strictest, (float(logs.mean()) - mine, error))
    return strictest


def _log_inertia(solution: Solution) -> float:
    return float(np.log(max(solution.inertia, 1e-300)))


def _references(X: NDArray[Any], metric: Metric, rng: np.random.Generator) -> list[list[NDArray[Any]]]:
    """Rows of the same shape as X but without clusters, several of each family.

    Uniform in the box around X; uniform in the box along its principal axes; normal with its covariance. For cosine:
    directions of normal rows with its mean and covariance.
    """
    mean = X.mean(axis=0)
    U, spread, axes = np.linalg.svd(X - mean, full_matrices=False)
    turned = U * spread

    def box() -> NDArray[Any]:
        return rng.uniform(X.min(axis=0), X.max(axis=0), size=X.shape)

    def turned_box() -> NDArray[Any]:
        rows: NDArray[Any] = rng.uniform(turned.min(axis=0), turned.max(axis=0), size=turned.shape) @ axes
        return rows

    def normal() -> NDArray[Any]:
        rows: NDArray[Any] = rng.normal(size=turned.shape) * (spread / np.sqrt(len(X))) @ axes
        return rows

    def directions() -> NDArray[Any]:
        rows = normal() + mean
        unit: NDArray[Any] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return unit

    makers = (box, turned_box, normal) if metric == "euclidean" else (directions,)
    return [[make().astype(X.dtype) for _ in range(REFERENCES)] for make in makers]


def adjusted_rand(a: NDArray[np.integer[Any]], b: NDArray[np.integer[Any]]) -> float:
    """Adjusted Rand index of two labelings (Hubert and Arabie 1985): 1 if they agree, about 0 if by chance.

    >>> adjusted_rand(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
    1.0
    """
    table = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
    np.add.at(table, (a, b), 1.0)

    def pairs(counts: NDArray[np.float64]) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both, one, two, n = pairs(table), pairs(table.sum(1)), pairs(table.sum(0)), len(a)
    expected = one * two / max(n * (n - 1) / 2, 1)
    most = (one + two) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)
