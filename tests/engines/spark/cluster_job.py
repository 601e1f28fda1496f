"""The job that the cluster's tests submit: k-means of made rows whose tasks tell when they start and wait to be let go."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

ROWS, WIDTH, K = 6_000, 3, 5


def points(ids):
    """(n, WIDTH) rows around K places, each a function of its id alone."""
    ids = np.asarray(ids, np.int64)
    mixed = (ids[:, None] * np.array([7919, 104729, 1299709])) % np.array([1009, 1013, 1019])
    return 10.0 * np.stack([ids % K, (3 * ids) % K, ids % 2], axis=1) + mixed / 1009.0


@dataclass(frozen=True)
class Slow:
    """Makes rows of ids. Its first two partitions go on at once, the others once the file ``go`` is there."""

    folder: str
    """Gets an empty file for each task: partition-attempt-pid.started and, with the same name, .done."""
    free: int = 2
    barrier: bool = False
    """Tell and wait in tasks of a barrier stage only."""

    def __call__(self, batches):
        from pyspark import BarrierTaskContext, TaskContext

        context = TaskContext.get()
        told = Path(self.folder) / f"{context.partitionId()}-{context.attemptNumber()}-{os.getpid()}"
        concerned = isinstance(context, BarrierTaskContext) or not self.barrier
        if concerned:
            told.with_suffix(".started").touch()
        for batch in batches:
            if concerned and context.partitionId() >= self.free:
                self.wait()
            ids = np.asarray(batch.column(0))
            X = points(ids)
            features = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), WIDTH).cast(
                pa.list_(pa.float64())
            )
            yield pa.RecordBatch.from_arrays([pa.array(ids), features], names=["id", "features"])
        if concerned:
            told.with_suffix(".done").touch()

    def wait(self):
        """A minute at most, so that nothing hangs if the test has died."""
        end = time.monotonic() + 60
        while not (Path(self.folder) / "go").exists() and time.monotonic() < end:
            time.sleep(0.05)


def rows(spark, slow, partitions):
    """DataFrame of id and features."""
    ids = spark.range(0, ROWS, 1, partitions)
    return ids.mapInArrow(slow, "id bigint, features array<double>")


def found(model):
    """What must not depend on who died: floats as JSON has them, which is exactly."""
    return {
        "centres": sorted(c.tolist() for c in model.clusterCenters()),
        "cost": model.summary.trainingCost,
        "sizes": sorted(model.summary.clusterSizes),
        "rows": model.summary.rowsSeen,
        "plan": model.summary.plan,
        "coreset": model.coreset.count,
    }


def main():
    """Fit once for each plan named; DIR/PLAN gets the marks of tasks, and found.json at the end."""
    from pyspark.sql import SparkSession

    from shoal.engines.spark import KMeans

    folder = Path(sys.argv[1])
    spark = SparkSession.builder.appName("test of the cluster").getOrCreate()
    for plan in sys.argv[2:]:
        place = folder / plan
        place.mkdir()
        if plan == "summary":
            model = KMeans(k=K, idCol="id", sampleRows=2 * ROWS).fit(rows(spark, Slow(str(place)), 6))
        elif plan == "small":
            model = KMeans(k=K, idCol="id", sampleRows=500).fit(rows(spark, Slow(str(place)), 6))
        else:
            slow = Slow(str(place), free=1, barrier=True)
            start = points(np.arange(K)) + 3.0
            model = KMeans(k=K, idCol="id", plan="lloyd", initialModel=start, tol=0.0).fit(
                rows(spark, slow, 2)
            )
        (place / "found.part").write_text(json.dumps(found(model)))
        (place / "found.part").rename(place / "found.json")
    spark.stop()


if __name__ == "__main__":
    main()
