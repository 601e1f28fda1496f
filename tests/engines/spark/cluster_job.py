"""The job that the cluster's tests submit: k-means of made rows whose tasks tell when they start and wait to be let go."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from shoal.engines.spark import KMeans, lloyd_plan
from shoal.engines.spark.lloyd_stage import StageWork

ROWS, WIDTH, K = 6_000, 3, 5


def points(ids):
    """(n, WIDTH) rows around K places, each a function of its id alone."""
    ids = np.asarray(ids, np.int64)
    mixed = (ids[:, None] * np.array([7919, 104729, 1299709])) % np.array([1009, 1013, 1019])
    return 10.0 * np.stack([ids % K, (3 * ids) % K, ids % 2], axis=1) + mixed / 1009.0


START = points(np.arange(K)) + 3.0


@dataclass(frozen=True)
class Slow:
    """Makes rows of ids. Its first two partitions go on at once, the others once the file ``go`` is there."""

    folder: str
    """Gets an empty file for each task: partition-task-pid.started and, with the same name, .done."""
    free: int = 2

    def __call__(self, batches):
        partition = mark(self.folder, "started")
        for batch in batches:
            if partition >= self.free:
                wait(f"{self.folder}/go")
            ids = np.asarray(batch.column(0))
            X = points(ids)
            features = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), WIDTH).cast(
                pa.list_(pa.float64())
            )
            yield pa.RecordBatch.from_arrays([pa.array(ids), features], names=["id", "features"])
        mark(self.folder, "done")


@dataclass(frozen=True)
class SlowStage(StageWork):
    """A barrier stage whose last rank waits before its third look at its rows, while the others wait for its answer."""

    folder: str = ""

    def _read(self, partition, batches):
        rows, error = super()._read(partition, batches)
        sums, looks = rows.sums, []

        def slow(C):
            looks.append(C)
            if len(looks) == 3 and mark(self.folder, "started") == 1:
                wait(f"{self.folder}/go")
            return sums(C)

        rows.sums = slow
        return rows, error


def mark(folder, what):
    """Leave an empty file partition-task-pid.what; answers the partition."""
    from pyspark import TaskContext

    context = TaskContext.get()
    name = f"{context.partitionId()}-{context.taskAttemptId()}-{os.getpid()}.{what}"
    (Path(folder) / name).touch()
    return context.partitionId()


def wait(path):
    """Until it is there; five minutes at most, so that nothing hangs if the test has died."""
    end = time.monotonic() + 300
    while not Path(path).exists() and time.monotonic() < end:
        time.sleep(0.05)


def rows(spark, folder, free=2):
    """DataFrame of id and features in six partitions."""
    ids = spark.range(0, ROWS, 1, 6)
    return ids.mapInArrow(Slow(str(folder), free), "id bigint, features array<double>")


def fitted(plan, spark, folder):
    """A model by one of the plans."""
    if plan == "summary":
        return KMeans(k=K, idCol="id", sampleRows=2 * ROWS).fit(rows(spark, folder))
    lloyd_plan.StageWork = partial(SlowStage, folder=str(folder))
    (folder / "rows").mkdir()
    learn = KMeans(idCol="id", plan="lloyd", initialModel=START, tol=0.0)
    return learn.fit(rows(spark, folder / "rows", free=6))


def found(model):
    """What must not depend on who died: floats as JSON has them, which is exactly."""
    return {
        "centres": sorted(c.tolist() for c in model.clusterCenters()),
        "cost": model.summary.trainingCost,
        "sizes": sorted(model.summary.clusterSizes),
        "rows": model.summary.rowsSeen,
        "plan": model.summary.plan,
    }


def main():
    """Fit once for each plan named, when the folder DIR/PLAN is there; it gets the marks of tasks, then found.json."""
    folder = Path(sys.argv[1])
    spark = SparkSession.builder.appName("test of the cluster").getOrCreate()
    for plan in sys.argv[2:]:
        place = folder / plan
        wait(place)
        told = json.dumps(found(fitted(plan, spark, place)))
        (place / "found.part").write_text(told)
        (place / "found.part").rename(place / "found.json")
    spark.stop()


if __name__ == "__main__":
    main()
