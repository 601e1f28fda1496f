"""Kill -9 at any moment: what a run leaves is what it would have left undisturbed, bit for bit."""

from __future__ import annotations

import random
import signal
import subprocess
import time

import pytest
from tests.engines.stream.made import BAD_EVERY, command, lines, what_it_left

from shoal.engines.stream.checkpoint import Checkpoint
from shoal.model.time_store import TimeStore

KILLS = 20
ROWS = 60_000


def learned(state):
    known = Checkpoint.read(state)
    return 0 if known is None else known.meta["learner"]["read"]


def start(folder, *more):
    """A run over ``rows.jsonl`` of a folder, under that name: places in letters are the same wherever it lies."""
    asked = command("rows.jsonl", "state", "labels.jsonl", *more)
    return subprocess.Popen(asked, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def folders(tmp_path):
    for name in ("quiet", "killed"):
        (tmp_path / name).mkdir()
    return tmp_path / "quiet", tmp_path / "killed"


def assert_equal(quiet, killed):
    one, other = (what_it_left(f / "state", f / "labels.jsonl") for f in (quiet, killed))
    for name, value in one.items():
        assert other[name] == value, name
    same_store(quiet / "state", killed / "state")


def wait_until(condition, process, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline, "it does not get on"
        time.sleep(0.01)


def same_store(one, other):
    whole = []
    for state in (one, other):
        with TimeStore(state / "buckets", bucket=180.0) as store:
            whole.append(store.window(0.0, 1e11).summary)
    assert whole[0].count == whole[1].count
    assert whole[0].totals.weight == whole[1].totals.weight
    assert whole[0].totals.mean().tolist() == whole[1].totals.mean().tolist()


@pytest.mark.slow
def test_twenty_kills_leave_no_trace(tmp_path):
    """A file grows, a run follows it, and is killed at random moments; then both end at their leisure."""
    text = [line + "\n" for line in lines(ROWS)]
    quiet, killed = folders(tmp_path)
    (quiet / "rows.jsonl").write_text("".join(text))
    undisturbed = start(quiet, "--follow", "--checkpoint", "0.5")
    dice = random.Random(7)
    done = 0
    with (killed / "rows.jsonl").open("w") as file:
        for kill in range(KILLS):
            process = start(killed, "--follow", "--checkpoint", "0.02")
            began = time.monotonic()
            moment = dice.uniform(0.3, 2.5) if kill % 2 else dice.uniform(1.2, 2.0)
            share = ROWS * (kill + 1) // (KILLS + 1)
            while time.monotonic() - began < moment:
                step = min(share, done + dice.randint(1, 400))
                file.write("".join(text[done:step]))
                file.flush()
                done = step
                time.sleep(0.01)
            process.kill()
            process.wait()
        file.write("".join(text[done:]))
        file.flush()
        last = start(killed, "--follow", "--checkpoint", "0.1")
        rows = ROWS - ROWS // BAD_EVERY  # lines that are no records never become rows of the learner
        wait_until(lambda: learned(quiet / "state") >= rows and idle(quiet / "state"), undisturbed)
        wait_until(
            lambda: learned(killed / "state") == learned(quiet / "state") and idle(killed / "state"), last
        )
    for process in (undisturbed, last):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert_equal(quiet, killed)
    assert Checkpoint.read(killed / "state").meta["learner"]["solves"] > 10


@pytest.mark.slow
def test_kills_while_a_whole_file_is_read(tmp_path):
    """No growing, no waiting: the process is killed in full flight, and ends by itself at last."""
    quiet, killed = folders(tmp_path)
    for folder in (quiet, killed):
        (folder / "rows.jsonl").write_text("".join(line + "\n" for line in lines(ROWS, seed=1)))
    assert start(quiet).wait(timeout=300) == 0
    dice = random.Random(3)
    for _ in range(6):
        process = start(killed, "--checkpoint", "0.01")
        before = learned(killed / "state")
        deadline = time.monotonic() + 60
        while learned(killed / "state") == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(dice.uniform(0, 0.05))
        process.kill()
        process.wait()
    assert start(killed).wait(timeout=300) == 0
    assert_equal(quiet, killed)


def idle(state):
    """Whether nothing new came for a moment."""
    before = learned(state)
    time.sleep(0.6)
    return learned(state) == before > 0
