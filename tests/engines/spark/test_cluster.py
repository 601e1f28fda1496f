"""Real processes: a master, two workers and jobs submitted to them, with a worker killed in the middle."""

import json
import shutil
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'shoal[spark]'")

from tests.engines.spark import cluster_job as job
from tests.engines.spark.cluster import ROOT, Cluster, family, left, listening

from shoal.engines.shares import RowBatch, SummarySettings, fill, solved
from shoal.solve.lloyd import lloyd

JOB = ROOT / "tests" / "engines" / "spark" / "cluster_job.py"
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc"),
    pytest.mark.skipif(shutil.which("java") is None, reason="no Java: install a JRE of version 17 or later"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One for the module; nothing of it may stay behind."""
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(folder) as running:
        yield running
    assert left(folder) == []


def in_one_process(sample=2 * job.ROWS):
    """The same rows in one Coreset of this process."""
    summary = SummarySettings(rows=sample).new()
    ids = np.arange(job.ROWS)
    fill(summary, RowBatch(job.points(ids), None, None, ids, ids))
    solution = solved(summary, job.K)
    return sorted(solution.centres.tolist()), solution.inertia


def until(test, client, log):
    """What a test finds, once it finds something."""
    end = time.monotonic() + 180
    while not (found := test()):
        ended = client.poll() is not None and not test()
        assert not ended, log.read_text()[-3000:]
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.05)
    return found


def tasks(folder, suffix):
    """(partition, task, pid) of the tasks that started, or are done."""
    return [tuple(map(int, path.stem.split("-"))) for path in folder.glob(f"*.{suffix}")]


def result(folder):
    """What a fit found, once it is written."""
    path = folder / "found.json"
    return json.loads(path.read_text()) if path.exists() else None


def waiting(folder, first):
    """(partition, pid) of the tasks that wait to be let go."""
    return [(p, pid) for p, _, pid in tasks(folder, "started") if p >= first]


def addresses(cluster, client):
    """Where the cluster and the client listen."""
    return listening(pid for top in (*cluster.roles().values(), client.pid) for pid in family(top))


def test_a_job_submitted_to_a_cluster(cluster, tmp_path):
    ids = np.arange(job.ROWS)
    X = job.points(ids)
    table = pa.table({"id": ids, "a": X[:, 0], "b": X[:, 1], "c": X[:, 2]})
    for part in range(3):
        (tmp_path / "rows").mkdir(exist_ok=True)
        pq.write_table(table.slice(part * 2000, 2000), tmp_path / "rows" / f"{part}.parquet")
    log = tmp_path / "log"
    example = ROOT / "examples" / "spark_submit_kmeans.py"
    client = cluster.submit(
        log, example, tmp_path / "rows", "-k", job.K, "--features", "a,b,c", "--id", "id",
        "--out", tmp_path / "model", "--labels", tmp_path / "labels", "--json",
    )  # fmt: skip
    assert client.wait(timeout=240) == 0, log.read_text()[-3000:]
    told = json.loads(next(line for line in log.read_text().splitlines() if line.startswith('{"k"')))
    centres, cost = in_one_process()
    assert sorted(told["centres"]) == centres
    assert (told["rows"], told["cost"], told["cost_is_exact"]) == (job.ROWS, cost, True)
    labels = pq.read_table(tmp_path / "labels")
    assert labels.num_rows == job.ROWS
    assert np.bincount(labels["prediction"].to_numpy()).tolist() == told["sizes"]


def test_workers_killed_in_the_middle_change_nothing(cluster, tmp_path):
    log = tmp_path / "log"
    client = cluster.submit(log, JOB, tmp_path, "summary", "lloyd")
    (tmp_path / "summary").mkdir()
    killed_in_the_one_pass(cluster, client, tmp_path / "summary", log)
    started_again(cluster)
    # A barrier stage is not even tried while there are fewer slots than it has tasks.
    until(lambda: log.read_text().count("Registered executor") == 3, client, log)
    (tmp_path / "lloyd").mkdir()
    killed_between_iterations(cluster, client, tmp_path / "lloyd", log)
    assert client.wait(timeout=60) == 0, log.read_text()[-3000:]


def killed_in_the_one_pass(cluster, client, marks, log):
    """Two of six tasks are done, two are in progress; the worker of one of each dies."""
    stuck = until(lambda: len(w := waiting(marks, first=2)) == 2 and w, client, log)
    assert addresses(cluster, client) <= LOOPBACK
    partition, pid = stuck[0]
    victim = cluster.worker_of(pid)
    finished = {p for p, _, pid in tasks(marks, "done") if cluster.worker_of(pid) == victim}
    assert finished
    cluster.kill(victim)
    (marks / "go").touch()
    told = until(lambda: result(marks), client, log)
    centres, cost = in_one_process()
    assert told["centres"] == centres
    assert (told["rows"], told["cost"], told["plan"]) == (job.ROWS, cost, "summary")
    # The task it was at was done again, and those whose answers it held (Spark drops all answers of its host).
    again = [p for p, _, _ in tasks(marks, "started")]
    assert {p for p in again if again.count(p) > 1} >= {partition} | finished


def started_again(cluster):
    """The start script starts what died, and leaves the rest alone."""
    before = cluster.roles()
    told = cluster.script("status")
    assert told.returncode == 1
    assert told.stdout.count("not running") == 1
    cluster.start()
    assert cluster.script("status").returncode == 0
    after = cluster.roles()
    assert before.keys() == after.keys()
    assert sum(before[role] != after[role] for role in before) == 1
    assert before["master"] == after["master"]


def killed_between_iterations(cluster, client, marks, log):
    """Two exact iterations are done; the worker of the second rank dies, the first one waits for it."""
    ((_, pid),) = until(lambda: waiting(marks, first=1), client, log)
    assert addresses(cluster, client) <= LOOPBACK
    cluster.kill(cluster.worker_of(pid))
    cluster.start()
    (marks / "go").touch()
    told = until(lambda: result(marks), client, log)
    exact = lloyd(job.points(np.arange(job.ROWS)), job.START, tol=0.0)
    np.testing.assert_allclose(told["centres"], sorted(exact.centres.tolist()), rtol=1e-12)
    assert told["cost"] == pytest.approx(exact.inertia, rel=1e-12)
    assert told["sizes"] == sorted(exact.counts.tolist())
    assert (told["rows"], told["plan"]) == (job.ROWS, "barrier")
    # All ranks came as far twice: a barrier stage is done again as a whole.
    assert sorted(p for p, _, _ in tasks(marks, "started")) == [0, 0, 1, 1]
