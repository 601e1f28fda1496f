"""Every k from one read: what a tuning job with a training job for each trial finds out, from one summary."""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shoal.engines.reading import Progress
from shoal.errors import ShoalError
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.model.release import release
from shoal.sagemaker.artefact import write_artefact
from shoal.sagemaker.channels import Channel
from shoal.sagemaker.hyperparameters import Hyperparameters
from shoal.sagemaker.job_inputs import lay_out, objects_of
from shoal.sagemaker.job_processes import make_tree
from shoal.sagemaker.job_spec import JobSpec
from shoal.sagemaker.quality_log import QualityLog
from shoal.sagemaker.share import Share
from shoal.sagemaker.solving import points_of, solve_points, squared_distances
from shoal.sagemaker.tree import Hosts, Tree
from shoal.solve.choose_k import KChoice, choose_k
from shoal.solve.lloyd import Solution
from shoal.summary.coreset import Coreset
from shoal.summary.protocol import WeightedPoints

Objective = Literal["test:msd", "test:ssd", "train:msd"]


@dataclass(frozen=True)
class Trial:
    """One combination of hyperparameters."""

    k: int
    extra_center_factor: int | None
    """None: ``auto``."""
    train_msd: float
    """Estimated from the summary, and low by what the centres fit it better than other rows."""
    test_msd: float | None
    """Exact, over all rows of the test channel; None without one."""
    test_ssd: float | None
    solution: Solution = field(repr=False)

    def value(self, objective: Objective) -> float:
        """The figure that is to be small; that of the train channel where there is no test channel."""
        found = {"test:msd": self.test_msd, "test:ssd": self.test_ssd, "train:msd": self.train_msd}[objective]
        return self.train_msd if found is None else found


@dataclass(frozen=True)
class Tuning:
    """What one read has answered.

    The best trial is the one with the least objective, which nearly always is that with the most clusters. The suggested
    k is another question; see :func:`shoal.solve.choose_k.choose_k`.
    """

    trials: tuple[Trial, ...]
    """The best one for every k and factor."""
    choice: KChoice
    objective: Objective
    summary: Coreset
    points: WeightedPoints
    names: tuple[str, ...]
    """Objects that were read."""
    seed: int
    left_out: tuple[int, ...] = ()
    """Numbers of clusters that the rows, or those of them that differ, are too few for."""

    @property
    def best(self) -> Trial:
        """The least objective of all."""
        return min(self.trials, key=lambda t: (t.value(self.objective), t.k))

    def best_of(self, k: int) -> Trial:
        """The least objective among the trials of one k."""
        return min((t for t in self.trials if t.k == k), key=lambda t: t.value(self.objective))

    @property
    def ks(self) -> list[int]:
        """Numbers of clusters that were tried."""
        return sorted({trial.k for trial in self.trials})

    def model(self, k: int) -> ClusterModel:
        """The model of the best trial of one k."""
        provenance = Provenance(
            rows_seen=self.summary.count,
            seed=self.seed,
            sources=self.names,
            library_version=release(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        solution, told = self.best_of(k).solution, self.choice.to_dict()
        return build_model(self.points.X, self.points.weights, solution, provenance=provenance, choice=told)

    def save(self, folder: Path, *, artefacts: bool = False) -> list[Path]:
        """Write ``elbow.png``, and ``k<number>/model.tar.gz`` for every k if they are wanted."""
        from shoal.report.pictures import criteria_curves, save_picture  # loads matplotlib: only when drawn

        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "elbow.png"]
        save_picture(criteria_curves(self.choice.to_dict()), written[0])
        for k in self.ks if artefacts else ():
            target = folder / f"k{k}" / "model.tar.gz"
            target.parent.mkdir(exist_ok=True)
            write_artefact(target, self.model(k), self.summary)
            written.append(target)
        return written

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        rows = [
            {
                "k": t.k,
                "extra_center_factor": "auto" if t.extra_center_factor is None else t.extra_center_factor,
                "train_msd": t.train_msd,
                "test_msd": t.test_msd,
                "test_ssd": t.test_ssd,
            }
            for t in self.trials
        ]
        return {
            "objective": self.objective,
            "rows": self.summary.count,
            "left_out": list(self.left_out),
            "best": rows[self.trials.index(self.best)],
            "trials": rows,
            "choice": self.choice.to_dict(),
        }


def tune(
    spec: JobSpec,
    ks: Sequence[int],
    *,
    factors: Sequence[int | None] = (None,),
    objective: Objective | None = None,
    endpoint_url: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_solved: Callable[[int], None] | None = None,
) -> Tuning:
    """Read a job's train channel once, and solve for every k and factor from its summary.

    Parameters
    ----------
    spec : of a training job; its instances, output and mode do not matter, as all is read here.
    ks : numbers of clusters.
    factors : values of ``extra_center_factor``; None is ``auto``.
    objective : to be small; default: ``test:msd`` if there is a test channel, else ``train:msd``.
    on_progress : told how far the read of the train channel is.
    on_solved : called with each k when it is solved.

    Raises
    ------
    ShoalError : no train channel, a channel that cannot be read, or no k that the rows allow.
    """
    names = {channel.name for channel in spec.channels}
    if "train" not in names:
        raise ShoalError("$.InputDataConfig: there is no train channel; give one")
    chosen: Objective = objective or ("test:msd" if "test" in names else "train:msd")
    if chosen.startswith("test:") and "test" not in names:
        raise ShoalError(f"{chosen} needs a test channel; give one, or tune train:msd")
    if not ks:
        raise ShoalError("there is no k to try; say --k 2:12")
    asked = replace(
        Hyperparameters.from_strings(dict(spec.hyperparameters) | {"k": str(max(ks))}), objective=""
    )
    with tempfile.TemporaryDirectory(prefix="shoal-tune-") as scratch:
        tree = _laid_out(spec, Path(scratch) / "algo-1", endpoint_url)
        summary, sources = _summarised(tree, asked, on_progress)
        points = points_of(summary)
        choice = choose_k(
            points.X, points.weights, ks, rows=summary.count, seed=asked.seed, progress=on_solved
        )
        trials = tuple(_scored(_solved(choice, points, asked, factors), tree, asked))
        left_out = tuple(sorted(set(ks) - choice.solutions.keys()))
        return Tuning(trials, choice, chosen, summary, points, sources, asked.seed, left_out)


def _laid_out(spec: JobSpec, root: Path, endpoint_url: str | None) -> Tree:
    files = tuple(replace(c, mode="FastFile") for c in spec.channels if c.name in ("train", "test"))
    tree = make_tree(root, replace(spec, channels=files, instances=1, checkpoints=None), 0)
    for channel in files:
        lay_out(channel, objects_of(channel, endpoint_url), tree, lambda: None)
    return tree


def _summarised(
    tree: Tree, asked: Hyperparameters, on_progress: Callable[[Progress], None] | None
) -> tuple[Coreset, tuple[str, ...]]:
    log, stop, began = QualityLog(stream=StringIO()), threading.Event(), time.monotonic()

    def tell(rows: int) -> None:
        if on_progress is not None:
            on_progress(Progress(rows, 0, None, time.monotonic() - began))

    share = Share(tree, asked, Hosts(), tree.channels(), log, stop, lambda: None, tell)
    intake = share.summarise()
    if not intake.rows:
        raise ShoalError("channel train: no rows; name objects with data")
    return intake.whole(), tuple(sorted(name.partition("#")[0] for name in intake.done))


def _solved(
    choice: KChoice, points: WeightedPoints, asked: Hyperparameters, factors: Iterable[int | None]
) -> list[tuple[int, int | None, Solution]]:
    found: list[tuple[int, int | None, Solution]] = []
    for k, factor in itertools.product(sorted(choice.solutions), dict.fromkeys(factors)):
        if factor is None and asked.local_lloyd_init_method == "kmeans++":
            found.append((k, factor, choice.solutions[k]))
        else:
            solution = solve_points(points, replace(asked, k=k, extra_center_factor=factor))
            found.append((k, factor, solution))
    return found


def _scored(
    trials: list[tuple[int, int | None, Solution]], tree: Tree, asked: Hyperparameters
) -> Iterable[Trial]:
    """The trials with their figures; the test channel is read once for all of them."""
    rows, ssd = 0, np.zeros(len(trials))
    if "test" in tree.channels():
        channel = Channel(tree, tree.channels()["test"], Hosts(), asked.mini_batch_size)
        for batch in channel.rows():
            if len(batch.X):
                asked.check_width(batch.X.shape[1], batch.file.partition("#")[0])
                ssd += [squared_distances([batch.X], s.centres)[1] for _, _, s in trials]
                rows += len(batch.X)
        if not rows:
            raise ShoalError("channel test: no rows; name objects with data, or no channel")
    for (k, factor, s), total in zip(trials, ssd.tolist(), strict=True):
        msd = s.inertia / float(s.counts.sum())
        yield Trial(k, factor, msd, total / rows if rows else None, total if rows else None, s)
