"""How well the outlier score tells labelled anomalies, beside isolation forests and local outlier factors."""

from __future__ import annotations

import csv
import gzip
import statistics
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

from benchmarks import THREADS
from benchmarks.data import SHARED
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.solve.k_means import k_means
from shoal.summary.coreset import Coreset

KS = (5, 10, 20, 50, 100)
SEEDS = (0, 1, 2)
LOF_ROWS = 20_000
Matrix = NDArray[np.float32]
Labels = NDArray[np.bool_]
Scorer = Callable[[int], NDArray[Any]]


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Area under the ROC curve, average precision and seconds of everybody on every set."""
    out = []
    for name, X, anomalous in sets():
        if quick:
            some = np.random.default_rng(0).permutation(len(X))[:10_000]
            X, anomalous = X[some], anomalous[some]
        out += [_measure(name, who, scorer, anomalous, quick) for who, scorer in _contenders(X)]
        few = np.random.default_rng(1).permutation(len(X))[:LOF_ROWS]
        out.append(_measure(name, f"sklearn LOF, {len(few)} rows", _lof(X[few]), anomalous[few], True))
    return out


def sets() -> Iterator[tuple[str, Matrix, Labels]]:
    """Name, rows, and which are anomalies: each set as it is and with columns of unit variance."""
    if not SHARED.exists():
        print("skipped: ../shared/data is not beside the checkout")
        return
    cover = np.load(SHARED / "cover/10_cover.npz")
    yield from _both("cover", cover["X"], cover["y"] == 1)
    for service in ("http", "smtp"):
        yield from _both(f"kddcup99 {service}", *_service(service))
    numbers, text, anomalous = _normal_and_few_attacks()
    yield from _both("kddcup99 SA, numbers", numbers, anomalous)
    yield "kddcup99 SA, unit variance and one-hot", np.hstack([_unit(numbers), text]), anomalous


def _both(name: str, X: NDArray[Any], anomalous: Labels) -> Iterator[tuple[str, Matrix, Labels]]:
    yield name, X.astype(np.float32), anomalous
    yield f"{name}, unit variance", _unit(X), anomalous


def _unit(X: NDArray[Any]) -> Matrix:
    spread = X.std(axis=0)
    unit: Matrix = ((X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
    return unit


@cache
def _connections() -> list[list[str]]:
    with gzip.open(SHARED / "kddcup99/kddcup.data_10_percent.gz", "rt") as file:
        return list(csv.reader(file))


def _service(name: str) -> tuple[NDArray[Any], Labels]:
    """Duration and bytes both ways, in logs, of the logged-in connections of one service, as scikit-learn has it."""
    rows = [r for r in _connections() if r[11] == "1" and r[2] == name]
    X = np.log(np.array([[r[0], r[4], r[5]] for r in rows], float) + 0.1)
    return X, np.array([r[41] != "normal." for r in rows])


def _normal_and_few_attacks() -> tuple[NDArray[Any], Matrix, Labels]:
    """All normal connections and 3,377 attacks: the 38 columns of numbers, and the 3 of text one-hot."""
    rows = _connections()
    attack = np.array([r[41] != "normal." for r in rows])
    rng = np.random.RandomState(0)  # as scikit-learn draws them
    drawn = np.flatnonzero(attack)[rng.randint(0, attack.sum(), 3377)]
    index = np.concatenate([np.flatnonzero(~attack), drawn])
    numbers = np.array([rows[i][:1] + rows[i][4:41] for i in index], float)
    text = []
    for column in (1, 2, 3):
        kinds, which = np.unique([rows[i][column] for i in index], return_inverse=True)
        text.append(np.eye(len(kinds), dtype=np.float32)[which])
    return numbers, np.hstack(text), attack[index]


def _contenders(X: Matrix) -> Iterator[tuple[str, Scorer]]:
    for k in KS:
        yield f"shoal k={k}", lambda seed, k=k: _model(X, k, seed).assign(X).outlier_scores
    yield (
        "shoal k=20, share of the own cluster",
        lambda seed: _model(X, 20, seed).replace(outliers=None).assign(X).outlier_scores,
    )
    yield (
        "sklearn IsolationForest",
        lambda seed: -IsolationForest(random_state=seed, n_jobs=THREADS).fit(X).score_samples(X),
    )


def _model(X: Matrix, k: int, seed: int) -> ClusterModel:
    points = Coreset(k_max=max(k, 64), seed=seed, n_threads=THREADS).update(X).points()
    solution = k_means(points.X, k, weights=points.weights, seed=seed, n_threads=THREADS)
    return build_model(points.X, points.weights, solution, provenance=Provenance(rows_seen=len(X)))


def _lof(X: Matrix) -> Scorer:
    def score(seed: int) -> NDArray[Any]:
        factor = LocalOutlierFactor(n_jobs=THREADS).fit(X)
        return -factor.negative_outlier_factor_

    return score


def _measure(name: str, who: str, scorer: Scorer, anomalous: Labels, once: bool) -> dict[str, Any]:
    auc, precision, seconds = [], [], []
    for seed in SEEDS[: 1 if once else None]:
        began = time.perf_counter()
        scores = scorer(seed)
        seconds.append(time.perf_counter() - began)
        auc.append(float(roc_auc_score(anomalous, scores)))
        precision.append(float(average_precision_score(anomalous, scores)))
    print(
        f"{name:40} {who:36} AUC {statistics.median(auc):.3f} [{min(auc):.3f}, {max(auc):.3f}]"
        f"  AP {statistics.median(precision):.3f}  {statistics.median(seconds):.1f} s",
        flush=True,
    )
    return {
        "set": name,
        "rows": len(anomalous),
        "anomalies": int(anomalous.sum()),
        "who": who,
        "auc": auc,
        "average_precision": precision,
        "seconds": seconds,
    }
