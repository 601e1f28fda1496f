"""``train`` as the service calls it: read the job's folders, one pass over the data, a model, and an exit status."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError, ShoalError
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.model.identity import follow
from shoal.model.release import release
from shoal.sagemaker.artefact import Artefact, write_artefact
from shoal.sagemaker.earlier import check_fits, earlier_model, start_of
from shoal.sagemaker.failure import reason_of, write_failure
from shoal.sagemaker.host_link import Message
from shoal.sagemaker.hosts import Group, join
from shoal.sagemaker.hyperparameters import Hyperparameters
from shoal.sagemaker.intake import Intake, merged
from shoal.sagemaker.quality_log import QualityLog
from shoal.sagemaker.share import Share
from shoal.sagemaker.solving import ExactPass, measured, points_of, solve_points
from shoal.sagemaker.tree import CSV, ChannelSettings, Hosts, Tree
from shoal.summary.coreset import Coreset
from shoal.summary.protocol import WeightedPoints

MOST_NAMES = 1000
"""Names of files that a model remembers from each host."""
Centres = NDArray[np.float64]


def train(root: str | os.PathLike[str] | None = None) -> int:
    """Run a training job: 0, or 1 with the reason in ``output/failure``.

    SIGTERM ends the reading: what was read by then becomes the model and a checkpoint, and the job ends well.

    Parameters
    ----------
    root : of the job's folders; default: ``SAGEMAKER_DATA_PATH``, else ``/opt/ml``.
    """
    tree, log, stop = Tree.at(root), QualityLog(), threading.Event()
    group: Group | None = None
    try:
        with _stopping(stop):
            hosts = tree.hosts()
            log.host = hosts.current
            job = _Job(tree, Hyperparameters.from_strings(tree.hyperparameters()), hosts, log, stop)
            job.check()
            name = os.environ.get("TRAINING_JOB_ARN") or os.environ.get("TRAINING_JOB_NAME") or ""
            group = job.group = join(hosts, name)
            log.info(f"hosts of the job that have met: {', '.join(hosts.names)}")
            job.run()
    except Exception as error:
        reason = reason_of(error)
        if not isinstance(error, ShoalError):
            log.problem(traceback.format_exc())
        log.problem(reason)
        write_failure(tree.failure, reason)
        if group is not None:
            group.fail(reason)
        return 1
    finally:
        stop.set()  # a thread may still wait for a pipe
        if group is not None:
            group.close()
    return 0


@dataclass
class _Job:
    """One host's part in a training job."""

    tree: Tree
    asked: Hyperparameters
    hosts: Hosts
    log: QualityLog
    stop: threading.Event
    group: Group = field(init=False)
    channels: dict[str, ChannelSettings] = field(init=False)
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.channels = self.tree.channels()
        self.log.debugging = self.asked.debug

    def check(self) -> None:
        """Say what the hyperparameters mean here, and what is missing before anything is read."""
        for text in self.asked.remarks():
            self.log.info(f"Hyperparameter {text}")
        for name in self.asked.ignored:
            self.log.debug(f"Hyperparameter {name} is accepted and steers nothing")
        for name in self.channels.keys() - {"train", "test", "model"}:
            self.log.info(f"channel {name} is not used")
        if "train" not in self.channels:
            raise BadInputError("there is no train channel", remedy="give one; test and model are optional")
        if self.asked.objective.startswith("test:") and "test" not in self.channels:
            raise BadInputError(
                f"{self.asked.objective} is to be tuned, but there is no test channel", remedy="give one"
            )
        settings = self.channels["train"]
        if settings.content_type == CSV and "label_size" not in (settings.parameters or {}):
            self.log.info("text/csv: the first column is taken for the label; text/csv;label_size=0 has none")

    def run(self) -> None:
        """Read this host's share; the first host makes the model of all shares, the others do as it says."""
        earlier = earlier_model(self.tree, self.channels) if self._needs_earlier() else None
        if earlier is not None:
            check_fits(earlier, self.asked, self.share.new_summary())
        newest = None if earlier is None or earlier.summary is None else earlier.summary.newest
        intake = self.share.summarise(0.0 if newest is None else newest + 1)
        told: dict[str, Any] = {"rows": intake.rows, "fresh": intake.fresh, "stopped": self.stop.is_set()}
        told |= {"names": sorted(intake.done)[:MOST_NAMES]}
        replies = self.group.gather(told, b"" if self.group.leads else intake.whole().to_bytes())
        if self.group.leads:
            self._lead(replies, intake, earlier)
        else:
            self._obey()

    @property
    def share(self) -> Share:
        """What this host reads."""
        return Share(self.tree, self.asked, self.hosts, self.channels, self.log, self.stop, self.group.check)

    def _needs_earlier(self) -> bool:
        return "model" in self.channels and (self.hosts.rank == 0 or bool(self.asked.half_life_time_size))

    # the first host

    def _lead(self, replies: list[Message], intake: Intake, earlier: Artefact | None) -> None:
        seconds = time.monotonic() - self.began
        summaries = [intake.whole(), *(Coreset.from_bytes(m.content) for m in replies[1:])]
        known = [] if earlier is None or earlier.summary is None else [earlier.summary]
        summary = merged([*known, *(s for s in summaries if not s.is_empty)], self.share.new_summary)
        rows = sum(int(m.told["rows"]) for m in replies)
        self.log.progress(100.0 / (1 + self.asked.exact_passes))
        stopped = any(m.told["stopped"] for m in replies)
        if stopped and summary.count < self.asked.k:
            self.log.info(
                f"{summary.count} rows are too few for {self.asked.k} clusters: no model is written"
            )
            self.group.tell({"do": "end"})
            return
        if not rows and not known:
            raise BadInputError("no rows", place="channel train", remedy="name objects with data")
        points = points_of(summary)
        start = start_of(earlier, self.asked, self.log.info)
        solution = solve_points(points, self.asked, start=start)
        centres, ssd = solution.centres, None
        if not stopped:
            centres, ssd = self._exact_passes(centres, summary.count)
        names = tuple(n.partition("#")[0] for m in replies for n in m.told["names"])
        model = self._model(summary, points, measured(points, centres, solution), names, earlier)
        self._tell_train_loss(model, summary, rows, ssd)
        if "test" in self.channels and not self.stop.is_set() and not stopped:
            self._test(model.centres)
        self.tree.model.mkdir(parents=True, exist_ok=True)
        write_artefact(self.tree.model, model, summary)
        self.group.tell({"do": "end"})
        self.log.throughput(sum(int(m.told["fresh"]) for m in replies), seconds)
        total = time.monotonic() - self.began
        times = {"epochs": float(self.asked.epochs), "update.time": 1e3 * seconds, "totaltime": 1e3 * total}
        self.log.metrics(times | {"rows": float(rows)})

    def _exact_passes(self, centres: Centres, rows: int) -> tuple[Centres, float | None]:
        """Lloyd's steps on all rows of all hosts, and the squared distances of the last."""
        ssd: float | None = None
        for epoch in range(1, 1 + self.asked.exact_passes):
            replies = self._everyone("pass", centres, epoch)
            if replies is None:
                self.log.info(f"stopped by SIGTERM in epoch {epoch + 1}: it is left out")
                break
            total = _totals(replies[0], centres.shape)
            for reply in replies[1:]:
                total = total.plus(_totals(reply, centres.shape))
            if (found := int(total.counts.sum())) != rows:
                text = f"epoch {epoch + 1} is left out: it read {found} rows, but the model is of {rows}"
                self.log.info(f"{text}, those of earlier jobs among them")
                break
            centres, ssd = total.moved(centres)
            self.log.progress(100.0 * (1 + epoch) / (1 + self.asked.exact_passes))
        return centres, ssd

    def _everyone(self, what: str, centres: Centres, epoch: int = 0) -> list[Message] | None:
        """What every host answers about its share; None if one of them was stopped."""
        told = {"do": what, "epoch": epoch, "shape": list(centres.shape)}
        replies = self._answer(self.group.tell(told, centres.tobytes()))
        return None if any(m.told["stopped"] for m in replies) else replies

    def _model(
        self,
        summary: Coreset,
        points: WeightedPoints,
        solution: Any,
        names: tuple[str, ...],
        earlier: Artefact | None,
    ) -> ClusterModel:
        was = earlier.model if earlier is not None and earlier.summary is not None else None
        provenance = Provenance(
            rows_seen=summary.count,
            seed=summary.seed,
            sources=(*(was.provenance.sources if was is not None else ()), *names),
            library_version=release(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=time.monotonic() - self.began,
        )
        parent = was.version or None if was is not None else None
        model = build_model(points.X, points.weights, solution, provenance=provenance, parent=parent)
        if was is None:
            return model
        found = follow(was, model, points, time=float(summary.count))
        for event in found.events:
            self.log.info(str(event))
        return found.model

    def _tell_train_loss(self, model: ClusterModel, summary: Coreset, rows: int, ssd: float | None) -> None:
        weight = float(model.weights.sum())
        if ssd is not None:
            msd, weight = ssd / max(rows, 1), float(rows)
            how = "of all rows, with the clusters as the last epoch found them: the true one is not larger"
        else:
            msd = model.inertia / weight
            kept = len(summary.sampled_ids())
            how = f"estimated from {kept} of {summary.count} rows; low by what the centres fit these better"
            if summary.tau == 0:
                how = "exact: the summary holds every row"
        self.log.info(f"train msd is {how}")
        self.log.quality("train", "msd", msd)
        if "ssd" in self.asked.eval_metrics:
            self.log.quality("train", "ssd", msd * weight)

    def _test(self, centres: Centres) -> None:
        replies = self._everyone("test", centres)
        if replies is None:
            self.log.info("stopped by SIGTERM: the test channel is not scored")
            return
        rows, ssd = sum(int(m.told["rows"]) for m in replies), sum(float(m.told["ssd"]) for m in replies)
        if not rows:
            raise BadInputError(
                "no rows", place="channel test", remedy="name objects with data, or no channel"
            )
        self.log.info(f"test metrics are exact, over {rows} rows")
        for metric in self.asked.eval_metrics:
            self.log.quality("test", metric, ssd / rows if metric == "msd" else ssd)

    # all hosts

    def _obey(self) -> None:
        """Do what the first host says until the model is written."""
        while (order := self.group.tell()).told.get("do") != "end":
            self._answer(order)
        self.log.info(f"no model is written on {self.hosts.current}: {self.hosts.names[0]} has written it")

    def _answer(self, order: Message) -> list[Message]:
        """This host's part of what was asked for; at the first host with those of the others."""
        shape = tuple(int(n) for n in order.told["shape"])
        centres, told = np.frombuffer(order.content, np.float64).reshape(shape), {}
        content = b""
        if order.told["do"] == "pass":
            found = self.share.exact_pass(int(order.told["epoch"]), centres)
            told, content = {"ssd": found.ssd}, np.vstack([found.sums.T, found.counts]).tobytes()
        else:
            rows, ssd = self.share.score(centres)
            told = {"ssd": ssd, "rows": rows}
        return self.group.gather(told | {"stopped": self.stop.is_set()}, content)


def _totals(message: Message, shape: tuple[int, ...]) -> ExactPass:
    values = np.frombuffer(message.content, np.float64).reshape(shape[1] + 1, shape[0])
    return ExactPass(values[:-1].T, values[-1], float(message.told["ssd"]))


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """SIGTERM sets ``stop`` while the job runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
