"""Training jobs on this machine: data in, one process for each instance, the model out, and a record of it all."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shoal.errors import ShoalError
from shoal.sagemaker.artefact import read_artefact
from shoal.sagemaker.failure import reason_of
from shoal.sagemaker.job_inputs import PipeFeeder, dealt, lay_out, objects_of
from shoal.sagemaker.job_processes import LAST_WORDS, Instances, Say, host_names, make_tree
from shoal.sagemaker.job_record import LONGEST_REASON, JobRecord
from shoal.sagemaker.job_spec import JobSpec
from shoal.sagemaker.job_store import JobStore, Record
from shoal.sagemaker.remote_files import Place, check_writable, fetch, objects_under, place_of, send
from shoal.sagemaker.tar_file import packed
from shoal.sagemaker.tree import Tree

OTHERS_END = 60.0
"""Seconds that instances have to end by themselves once one of them has failed."""
LEAVING = 5.0
"""Seconds that instances have to end if the runner itself must."""
CHECKPOINTS_EVERY = 30.0
ARN = "arn:aws:sagemaker:local:000000000000:training-job/"


@dataclass(frozen=True)
class Job:
    """A job that has ended."""

    name: str
    record: Record
    """In the shape of DescribeTrainingJob."""

    @property
    def status(self) -> str:
        """Completed, Failed or Stopped."""
        return str(self.record["TrainingJobStatus"])

    @property
    def reason(self) -> str:
        """Why it failed; empty if it did not."""
        return str(self.record.get("FailureReason", ""))

    @property
    def model(self) -> str | None:
        """Where its model is."""
        found = self.record.get("ModelArtifacts")
        return None if found is None else str(found["S3ModelArtifacts"])


def run_job(
    spec: JobSpec,
    work_dir: Path | None = None,
    endpoint_url: str | None = None,
    *,
    store: JobStore | None = None,
    say: Say | None = None,
    stop: threading.Event | None = None,
) -> Job:
    """Run a job to its end. That it fails is no error: its record tells why.

    Parameters
    ----------
    work_dir : a folder for the folders of the instances, which are kept; default: a temporary one.
    endpoint_url : of the S3 server; default: as ``AWS_ENDPOINT_URL`` says, else that of the cloud.
    store : where the job is recorded; default ``~/.shoal/jobs``.
    say : called with a host and each line of its log.
    stop : when it is set, the job is stopped, and its model is that of the rows read by then.

    Raises
    ------
    ShoalError : a job of this name is in the store.
    """
    store = JobStore() if store is None else store
    arn = f"{ARN}{spec.name}/{uuid.uuid4().hex}"
    record = JobRecord(spec, store, arn)
    with store.claimed(spec.name, record.values):
        scratch = Path(tempfile.mkdtemp(prefix="shoal-job-")) if work_dir is None else work_dir / spec.name
        run = _Run(spec, scratch, endpoint_url, store, record, say, stop or threading.Event())
        try:
            run.whole()
        except _StoppedEarlyError:
            record.finish("Stopped")
        except Exception as error:
            record.finish("Failed", FailureReason=run.reason_of_end(reason_of(error)))
        except BaseException:  # such as Ctrl-C
            record.finish("Stopped")
            raise
        finally:
            if work_dir is None:
                shutil.rmtree(scratch, ignore_errors=True)
    return Job(spec.name, record.values)


class _StoppedEarlyError(Exception):
    """The job is to end before it has processes."""


@dataclass
class _Run:
    spec: JobSpec
    scratch: Path
    endpoint_url: str | None
    store: JobStore
    record: JobRecord
    say: Say | None
    stop: threading.Event
    trees: list[Tree] = field(default_factory=list)
    instances: Instances | None = None
    feeders: list[PipeFeeder] = field(default_factory=list)
    secondary: str | None = None
    """How it was stopped."""
    saved: dict[Path, int] = field(default_factory=dict)
    """Checkpoints that have been sent, and when they were changed last."""

    def whole(self) -> None:
        """All stages."""
        self._check_places()
        folders = [self.scratch / name for name in host_names(self.spec.instances)]
        self.trees = [make_tree(folder, self.spec, rank) for rank, folder in enumerate(folders)]
        self.record.enter("Downloading")
        self._fetch_all()
        self.record.enter("Training")
        self.instances = Instances(self.trees, self.store.logs(self.spec.name))
        try:
            for feeder in self.feeders:
                feeder.start()
            self.instances.start(self.spec, self.record.arn)
            problem = self._until_the_end(self.instances)
        finally:
            self._leave()
        self.instances.new_lines(self._line)
        problem = problem or next((f.problem for f in self.feeders if f.problem), None)
        self._save_checkpoints()
        if problem is not None:
            self.record.finish("Failed", FailureReason=self.reason_of_end(problem))
            return
        self.record.enter("Uploading")
        made = self._upload(with_model=self.instances.statuses()[0] == 0)
        status = "Completed" if self.secondary is None else "Stopped"
        self.record.finish(status, secondary=self.secondary, **made)

    def _check_places(self) -> None:
        """What could not be written at the end is better known before the training."""
        if self.scratch.exists() and any(self.scratch.iterdir()):
            raise ShoalError(f"{self.scratch} is not empty; choose another work folder")
        for channel in self.spec.channels:
            place = place_of(channel.uri, self.endpoint_url)
            if place.is_local and self.scratch.absolute().is_relative_to(place.path.rstrip("/") or "/"):
                raise ShoalError(
                    f"{self.scratch} lies inside channel {channel.name}; choose another work folder"
                )
        try:
            self.scratch.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ShoalError(f"the work folder {self.scratch} cannot be made ({error.strerror})") from error
        check_writable(self._output())

    def _output(self) -> Place:
        return place_of(self.spec.output.rstrip("/") + "/", self.endpoint_url).below(self.spec.name, "output")

    def reason_of_end(self, problem: str) -> str:
        """Why the job failed; a model that is there already is kept beside its record, and the reason says where."""
        if not self.trees:
            return problem
        made, kept = self.trees[0].model, self.store.kept_model(self.spec.name)
        try:
            read_artefact(made)  # or it was being written
            shutil.copytree(made, kept)
        except (OSError, ShoalError):
            return problem
        where = f"; the model, which was written before, is kept in {kept}"
        return problem[: LONGEST_REASON - len(where)] + where

    def _leave(self) -> None:
        """Nothing goes on without its runner."""
        if self.instances is not None:
            self.instances.end(LEAVING)
        for feeder in self.feeders:
            feeder.close()

    def _going(self) -> None:
        if self.stop.is_set() or self.store.is_to_stop(self.spec.name):
            raise _StoppedEarlyError

    def _fetch_all(self) -> None:
        for channel in self.spec.channels:
            objects = objects_of(channel, self.endpoint_url)
            for rank, tree in enumerate(self.trees):
                share = dealt(objects, channel.spread, rank, len(self.trees))
                if channel.mode == "Pipe":
                    self.feeders.append(feeder := PipeFeeder(channel, share, tree))
                    if hidden := feeder.left_out():
                        text = (
                            f"channel {channel.name}: not read, as names with . or _ in front are markers: "
                        )
                        self._line(host_names(len(self.trees))[rank], text + ", ".join(hidden[:5]))
                else:
                    lay_out(channel, share, tree, self._going)
        if self.spec.checkpoints is not None:
            self._fetch_checkpoints(self.spec.checkpoints)

    def _fetch_checkpoints(self, uri: str) -> None:
        """What earlier attempts have left; of the first there is nothing yet."""
        place = place_of(uri.rstrip("/") + "/", self.endpoint_url)
        for found in objects_under(place, missing_ok=True):
            for tree in self.trees:
                target = tree.checkpoints / found.name
                fetch(found, target, going=self._going)
                # or an instance would send back its old copy of what another has changed
                self.saved[target] = target.stat().st_mtime_ns

    def _until_the_end(self, instances: Instances) -> str | None:
        """Watch over the processes; the reason if they failed."""
        began, saved = time.monotonic(), time.monotonic()
        ending: float | None = None
        while None in (found := instances.statuses()):
            moment = time.monotonic()
            instances.new_lines(self._line)
            fed = next((f.problem for f in self.feeders if f.problem), None)
            if fed is not None:
                return fed
            if ending is None and self._is_to_end(moment - began):
                self.record.enter("Stopping")
                instances.terminate()
                ending = moment + LAST_WORDS
            if ending is None and any(found):
                ending = moment + OTHERS_END
            if ending is not None and moment > ending:
                break
            if self.spec.checkpoints is not None and moment > saved + CHECKPOINTS_EVERY:
                self._save_checkpoints()
                saved = moment
            time.sleep(0.05)
        instances.kill()
        # one that was stopped before it could listen to signals has not failed
        return instances.reason() if any(instances.statuses()) and self.secondary is None else None

    def _is_to_end(self, seconds: float) -> bool:
        if self.stop.is_set() or self.store.is_to_stop(self.spec.name):
            self.secondary = "Stopped"
        elif seconds > self.spec.max_runtime:
            self.secondary = "MaxRuntimeExceeded"
        return self.secondary is not None

    def _line(self, host: str, line: str) -> None:
        self.record.metric(line)
        if self.say is not None:
            self.say(host, line)

    def _save_checkpoints(self) -> None:
        if self.spec.checkpoints is None:
            return
        target = place_of(self.spec.checkpoints, self.endpoint_url)
        for tree in self.trees:
            for path in sorted(p for p in tree.checkpoints.rglob("*") if p.is_file()):
                changed = path.stat().st_mtime_ns
                if not path.name.startswith(".") and self.saved.get(path) != changed:
                    send(path, target.below(path.relative_to(tree.checkpoints).as_posix()))
                    self.saved[path] = changed

    def _upload(self, *, with_model: bool) -> Record:
        """Send the model, and other output if there is any; what the record is to say of it."""
        made: Record = {}
        folder = self._output()
        models = [tree.model for tree in self.trees]
        if with_model and _pack(models, self.scratch / "model.tar.gz"):
            target = folder.below("model.tar.gz")
            send(self.scratch / "model.tar.gz", target)
            made["ModelArtifacts"] = {"S3ModelArtifacts": target.shown}
        others = [tree.root / "output" / "data" for tree in self.trees]
        names = host_names(len(others)) if len(others) > 1 else [""]
        if _pack(others, self.scratch / "output.tar.gz", names):
            send(self.scratch / "output.tar.gz", folder.below("output.tar.gz"))
        return made


def _pack(folders: Sequence[Path], target: Path, names: Sequence[str] = ()) -> bool:
    """Pack the files of several folders, below ``names``; False if there are none. Equal files give equal bytes."""
    files: dict[str, Path] = {}
    for folder, name in zip(folders, names or [""] * len(folders), strict=True):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            files.setdefault((Path(name) / path.relative_to(folder)).as_posix(), path)
    if not files:
        return False
    with target.open("wb") as file:
        packed(files, file)
    return True
