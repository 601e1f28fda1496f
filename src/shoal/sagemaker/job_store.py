"""Records of jobs in a folder of JSON files, which other processes may read while a job runs."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shoal.errors import DamagedFileError, ShoalError
from shoal.model.durable import replace_durably
from shoal.sagemaker.job_spec import NAME
from shoal.sagemaker.json_text import parsed_json

DEFAULT = Path("~/.shoal/jobs")
RUNNING = "InProgress"
GONE = "InternalServerError: the process that ran the job is gone"
Record = dict[str, Any]


class JobStore:
    """A folder with one folder for each job: ``job.json``, the logs of its hosts, and what others ask of it.

    Parameters
    ----------
    folder : default ``~/.shoal/jobs``.

    >>> import tempfile
    >>> store = JobStore(tempfile.mkdtemp())
    >>> with store.claimed("houses", {"TrainingJobName": "houses", "TrainingJobStatus": "InProgress"}):
    ...     store.read("houses")["TrainingJobStatus"]
    'InProgress'
    >>> store.read("houses")["FailureReason"]
    'InternalServerError: the process that ran the job is gone'
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = Path(DEFAULT if folder is None else folder).expanduser()

    @contextmanager
    def claimed(self, name: str, record: Record) -> Iterator[None]:
        """Hold a new job while it runs; that this process does so is seen by a lock, which ends with it.

        Raises
        ------
        ShoalError : there is a job of that name.
        """
        if not NAME.fullmatch(name):
            raise ShoalError(f"{name!r} is no name of a job")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._of(name).mkdir()
        except FileExistsError as error:
            raise ShoalError(
                f"there is a job {name!r} already in {self.folder}; choose another name"
            ) from error
        with (self._of(name) / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.logs(name).mkdir()
            self.write(name, record)
            yield

    def write(self, name: str, record: Record) -> None:
        """Replace a job's record."""
        record["LastModifiedTime"] = now()
        replace_durably(self._of(name) / "job.json", (json.dumps(record, indent=2) + "\n").encode())

    def read(self, name: str) -> Record:
        """What is known of a job, in the shape of DescribeTrainingJob.

        A job that no process runs any more, although it has not ended, is told as failed.

        Raises
        ------
        ShoalError : there is none of that name.
        DamagedFileError : its record is no JSON.
        """
        path = self._of(name) / "job.json"
        if not NAME.fullmatch(name) or not path.is_file():
            known = ", ".join(self.names()[-5:]) or "none"
            raise ShoalError(f"there is no job {name!r} in {self.folder}; the latest there: {known}")
        held = self._is_held(name)  # before the record is read: a job may end in between
        try:
            record: Record = parsed_json(path.read_bytes())
        except ValueError as error:
            raise DamagedFileError(f"{path}: {error}") from error
        if record.get("TrainingJobStatus") == RUNNING and not held:
            return record | {
                "TrainingJobStatus": "Failed",
                "SecondaryStatus": "Failed",
                "FailureReason": GONE,
            }
        return record

    def names(self) -> list[str]:
        """All jobs, the oldest first."""
        found = self.folder.glob("*/job.json") if self.folder.is_dir() else iter(())
        return [path.parent.name for path in sorted(found, key=lambda p: (self._made(p.parent), p))]

    def logs(self, name: str) -> Path:
        """Folder of a job's logs, one file for each host."""
        return self._of(name) / "logs"

    def kept_model(self, name: str) -> Path:
        """Folder for the model of a job that failed after it was written."""
        return self._of(name) / "model"

    def ask_to_stop(self, name: str) -> None:
        """Let the process that runs a job know that it shall end.

        Raises
        ------
        ShoalError : the job is not running.
        """
        if (status := self.read(name)["TrainingJobStatus"]) != RUNNING:
            raise ShoalError(f"job {name!r} is {status} and cannot be stopped")
        (self._of(name) / "stop").touch()

    def is_to_stop(self, name: str) -> bool:
        """Whether somebody asked for the end of a job."""
        return (self._of(name) / "stop").exists()

    def _of(self, name: str) -> Path:
        return self.folder / name

    def _made(self, folder: Path) -> float:
        return (folder / "lock").stat().st_mtime if (folder / "lock").exists() else 0.0

    def _is_held(self, name: str) -> bool:
        try:
            with (self._of(name) / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False


def now() -> str:
    """This moment in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
