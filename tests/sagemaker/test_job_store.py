"""Records of jobs: whole for every reader, unique by name, and honest about runners that died."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from shoal.errors import DamagedFileError, ShoalError
from shoal.sagemaker.job_store import JobStore

RUNNING = {"TrainingJobName": "a", "TrainingJobStatus": "InProgress"}
DIES = """
import os, sys
from shoal.sagemaker.job_store import JobStore
with JobStore(sys.argv[1]).claimed("a", {"TrainingJobName": "a", "TrainingJobStatus": "InProgress"}):
    print("claimed", flush=True)
    sys.stdin.readline()
    os._exit(9)
"""


def test_a_name_is_used_once(tmp_path):
    store = JobStore(tmp_path)
    with store.claimed("a", dict(RUNNING)):
        pass
    with pytest.raises(ShoalError, match="already"), store.claimed("a", {}):
        pass


def test_of_many_that_claim_one_name_at_once_one_gets_it(tmp_path):
    got, start = [], threading.Barrier(8)

    def claim(i):
        start.wait()
        try:
            with JobStore(tmp_path).claimed("a", dict(RUNNING, by=i)):
                got.append(i)
        except ShoalError:
            pass

    threads = [threading.Thread(target=claim, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert JobStore(tmp_path).read("a")["by"] == got[0]


def test_another_process_sees_a_job_run_and_its_runner_die(tmp_path):
    command = [sys.executable, "-c", DIES, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout.readline() == "claimed\n"
        store = JobStore(tmp_path)
        assert store.read("a")["TrainingJobStatus"] == "InProgress"
        store.ask_to_stop("a")
        assert store.is_to_stop("a")
        runner.communicate("die\n", timeout=20)
    assert store.read("a")["TrainingJobStatus"] == "Failed"
    assert "gone" in store.read("a")["FailureReason"]
    with pytest.raises(ShoalError, match="cannot be stopped"):
        store.ask_to_stop("a")


def test_readers_never_see_half_a_record(tmp_path):
    store = JobStore(tmp_path)
    with store.claimed("a", dict(RUNNING)):
        over = threading.Event()

        def write():
            for i in range(200):
                store.write("a", dict(RUNNING, filler=["x" * 100] * (i % 50), n=i))
            over.set()

        thread = threading.Thread(target=write)
        thread.start()
        seen = [store.read("a")["TrainingJobStatus"]]
        while not over.is_set():
            seen.append(store.read("a")["TrainingJobStatus"])
        thread.join()
    assert set(seen) == {"InProgress"}


@pytest.mark.parametrize("name", ["../a", "", "a/b", ".", "-a", "x" * 64])
def test_a_name_never_leads_out_of_the_folder(tmp_path, name):
    store = JobStore(tmp_path / "jobs")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "job.json").write_text("{}")
    with pytest.raises(ShoalError):
        store.read(name)
    with pytest.raises(ShoalError), store.claimed(name, {}):
        pass


def test_a_damaged_record_is_named(tmp_path):
    store = JobStore(tmp_path)
    with store.claimed("a", dict(RUNNING)):
        pass
    (tmp_path / "a" / "job.json").write_text("{")
    with pytest.raises(DamagedFileError, match=r"job\.json"):
        store.read("a")


def test_jobs_are_listed_in_the_order_in_which_they_were_made(tmp_path):
    store = JobStore(tmp_path)
    for name in ("z", "m", "a"):
        with store.claimed(name, {"TrainingJobStatus": "InProgress"}):
            store.write(name, {"TrainingJobStatus": "Completed"})
    assert store.names() == ["z", "m", "a"]
