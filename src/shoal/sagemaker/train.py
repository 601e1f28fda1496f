"""``train`` as the service calls it: read the job's folders, one pass over the data, a model, and an exit status."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadInputError, ShoalError
from shoal.sagemaker.artefact import Artefact, write_artefact
from shoal.sagemaker.earlier import CHANNEL, check_fits, earlier_model, start_of
from shoal.sagemaker.failure import reason_of, write_failure
from shoal.sagemaker.host_link import Message
from shoal.sagemaker.hosts import Group, StoppedError, join
from shoal.sagemaker.hyperparameters import Hyperparameters
from shoal.sagemaker.intake import Intake, check_same, merged
from shoal.sagemaker.outcome import model_of, tell_train_loss
from shoal.sagemaker.quality_log import QualityLog
from shoal.sagemaker.share import Share, no_test_rows
from shoal.sagemaker.solving import ExactPass, measured, points_of, solve_points
from shoal.sagemaker.tree import CSV, ChannelSettings, Hosts, Tree
from shoal.summary.coreset import Coreset

MOST_NAMES = 1000
"""Names of files that a model remembers from each host."""
Centres = NDArray[np.float64]


def main(root: str | os.PathLike[str] | None = None) -> int:
    """:func:`train` as a process of its own, whose SIGTERM ends the reading.

    It is never given back to the system: one that comes while the interpreter ends must not make a failure of a job whose
    model is written.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return train(root, stop)


def train(root: str | os.PathLike[str] | None = None, stop: threading.Event | None = None) -> int:
    """Run a training job: 0, or 1 with the reason in ``output/failure``.

    Parameters
    ----------
    root : of the job's folders; default: ``SAGEMAKER_DATA_PATH``, else ``/opt/ml``.
    stop : when it is set the reading ends: what was read by then becomes the model and a checkpoint, and the job ends well.
    """
    tree, log, stop = Tree.at(root), QualityLog(), stop or threading.Event()
    group: Group | None = None
    try:
        tree.failure.unlink(missing_ok=True)  # of an earlier attempt
        hosts = tree.hosts()
        log.host = hosts.current
        job = _Job(tree, Hyperparameters.from_strings(tree.hyperparameters()), hosts, log, stop)
        job.check()
        name = os.environ.get("TRAINING_JOB_ARN") or os.environ.get("TRAINING_JOB_NAME") or ""
        if (others := len(hosts.names) - 1) > 0:
            log.info(f"waiting for {others} other host{'s'[: others > 1]}")
        group = job.group = join(hosts, name, stop=stop)
        log.info(f"hosts of the job that have met: {', '.join(hosts.names)}")
        job.run()
    except StoppedError as error:
        log.info(f"{error}: no model is written")
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
        known = None if earlier is None else (earlier.model.n_features, f"channel {CHANNEL}")
        self.share.check_widths(known)
        newest = None if earlier is None or earlier.summary is None else earlier.summary.newest
        intake = self.share.summarise(0.0 if newest is None else newest + 1, known)
        told: dict[str, Any] = {"rows": intake.rows, "fresh": intake.fresh, "stopped": self.stop.is_set()}
        told |= {"names": sorted(intake.done)[:MOST_NAMES], "width": intake.width, "first": intake.first}
        replies = self.group.gather(told, b"" if self.group.leads else intake.whole().to_bytes())
        if self.group.leads:
            self._lead(replies, intake, earlier)
        else:
            self._obey()

    @cached_property
    def share(self) -> Share:
        """What this host reads."""
        return Share(
            self.tree,
            self.asked,
            self.hosts,
            self.channels,
            self.log,
            self.stop,
            self.group.check,
            self.log.rows_read,
        )

    def _needs_earlier(self) -> bool:
        return "model" in self.channels and (self.hosts.rank == 0 or bool(self.asked.half_life_time_size))

    # the first host

    def _lead(self, replies: list[Message], intake: Intake, earlier: Artefact | None) -> None:
        seconds = time.monotonic() - self.began
        _check_widths(self.hosts, replies)
        summaries = [intake.whole(), *(Coreset.from_bytes(m.content) for m in replies[1:])]
        known = [] if earlier is None or earlier.summary is None else [earlier.summary]
        summary = merged([*known, *(s for s in summaries if not s.is_empty)], self.share.new_summary)
        rows = sum(int(m.told["rows"]) for m in replies)
        stopped = any(m.told["stopped"] for m in replies)
        if not stopped:
            self.log.progress(100.0 / (1 + self.asked.exact_passes))
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
        names = tuple(n.rpartition("#")[0] for m in replies for n in m.told["names"])
        model = model_of(
            summary, points, measured(points, centres, solution), names, earlier, self.log, began=self.began
        )
        tell_train_loss(model, summary, rows, ssd, self.asked, self.log)
        self.tree.model.mkdir(parents=True, exist_ok=True)
        write_artefact(self.tree.model, model, summary)  # before the test channel, which may be damaged
        if "test" in self.channels and not self.stop.is_set() and not stopped:
            try:
                self._test(model.centres)
            except ShoalError:
                self.log.info(f"the model is written to {self.tree.model}, but cannot be scored")
                raise
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
                self.log.info(
                    f"epoch {epoch + 1} is left out: it read {found} rows, but the model is of {rows} (with those of the "
                    "model channel if there is one); each epoch has to bring the same rows"
                )
                break
            centres, ssd = total.moved(centres)
            self.log.progress(100.0 * (1 + epoch) / (1 + self.asked.exact_passes))
        return centres, ssd

    def _everyone(self, what: str, centres: Centres, epoch: int = 0) -> list[Message] | None:
        """What every host answers about its share; None if one of them was stopped."""
        told = {"do": what, "epoch": epoch, "shape": list(centres.shape)}
        replies = self._answer(self.group.tell(told, centres.tobytes()))
        return None if any(m.told["stopped"] for m in replies) else replies

    def _test(self, centres: Centres) -> None:
        replies = self._everyone("test", centres)
        if replies is None:
            self.log.info("stopped by SIGTERM: the test channel is not scored")
            return
        rows, ssd = sum(int(m.told["rows"]) for m in replies), sum(float(m.told["ssd"]) for m in replies)
        if not rows:
            raise no_test_rows()
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


def _check_widths(hosts: Hosts, replies: list[Message]) -> None:
    """Raises :class:`BadInputError` if hosts have read rows of different widths."""
    widths = [(int(m.told["width"]), str(m.told["first"])) for m in replies]
    found = [(w, f"{first} (host {name})") for (w, first), name in zip(widths, hosts.names, strict=True) if w]
    for other in found[1:]:
        check_same(other, found[0])


def _totals(message: Message, shape: tuple[int, ...]) -> ExactPass:
    values = np.frombuffer(message.content, np.float64).reshape(shape[1] + 1, shape[0])
    return ExactPass(values[:-1].T, values[-1], float(message.told["ssd"]))
