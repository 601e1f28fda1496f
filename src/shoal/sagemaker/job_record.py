"""What is told of a job while it runs and afterwards, in the shape of DescribeTrainingJob."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shoal.sagemaker.job_spec import JobSpec
from shoal.sagemaker.job_store import RUNNING, JobStore, Record, now

LONGEST_REASON = 1024
METRICS = {
    f"test:{name}": re.compile(rf"#quality_metric: host=\S+, test {name} <loss>=(\S+)")
    for name in ("msd", "ssd")
}
"""The names of the built-in k-means, and where in its log they are found."""
_MESSAGES = {
    "Starting": "Laying out the folders of the instances",
    "Downloading": "Downloading the training data",
    "Training": "Training in progress",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading the model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job ran longer than StoppingCondition.MaxRuntimeInSeconds allows",
}


@dataclass
class JobRecord:
    """The record of one job; every change is written to the store at once.

    Parameters
    ----------
    arn : of the job, with something in it that no other job has.
    """

    spec: JobSpec
    store: JobStore
    arn: str
    values: Record = field(init=False)

    def __post_init__(self) -> None:
        given = self.spec.document
        names = ("RoleArn", "AlgorithmSpecification", "InputDataConfig", "OutputDataConfig", "ResourceConfig")
        kept = {n: given[n] for n in (*names, "CheckpointConfig", "Environment") if n in given}
        self.values = {
            "TrainingJobName": self.spec.name,
            "TrainingJobArn": self.arn,
            "TrainingJobStatus": RUNNING,
            "SecondaryStatus": "Starting",
            "HyperParameters": dict(self.spec.hyperparameters),
            **kept,
            "StoppingCondition": {"MaxRuntimeInSeconds": self.spec.max_runtime},
            "CreationTime": now(),
            "SecondaryStatusTransitions": [],
            "IgnoredFields": list(self.spec.ignored),
        }
        self._turn("Starting")

    def enter(self, status: str) -> None:
        """Go on to a secondary status."""
        if status == "Training":
            self.values["TrainingStartTime"] = now()
        self._turn(status)
        self._write()

    def metric(self, line: str) -> None:
        """Remember the metric that a line of a log tells, if it tells one."""
        for name, pattern in METRICS.items():
            if found := pattern.search(line):
                try:
                    value = float(found[1])
                except ValueError:
                    continue
                others = [m for m in self.values.get("FinalMetricDataList", []) if m["MetricName"] != name]
                new = {"MetricName": name, "Value": value, "Timestamp": now()}
                self.values["FinalMetricDataList"] = [*others, new]
                self._write()

    def finish(self, status: str, *, secondary: str | None = None, **more: Any) -> None:
        """End as Completed, Failed or Stopped; ``more`` joins the record."""
        self._turn(secondary or status)
        ended = now()
        self.values |= {"TrainingJobStatus": status, "TrainingEndTime": ended} | more
        self.values["SecondaryStatusTransitions"][-1]["EndTime"] = ended
        if began := self.values.get("TrainingStartTime"):
            seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
            self.values["TrainingTimeInSeconds"] = round(seconds, 3)
        if reason := more.get("FailureReason"):
            self.values["FailureReason"] = reason[:LONGEST_REASON]
        self._write()

    def _turn(self, status: str) -> None:
        turns, moment = self.values["SecondaryStatusTransitions"], now()
        if turns:
            turns[-1]["EndTime"] = moment
        turns.append({"Status": status, "StartTime": moment, "StatusMessage": _MESSAGES[status]})
        self.values["SecondaryStatus"] = status

    def _write(self) -> None:
        self.store.write(self.spec.name, self.values)
