"""A writer is killed at every step it takes: the store is then as before the step's change or as after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from shoal.errors import ShoalError
from shoal.model.time_pyramid import Pyramid
from shoal.model.time_store import TimeStore
from shoal.summary.coreset import Coreset

SMALL = Pyramid(newest=2, then=2, factor=2)
BUCKETS, ROWS = 9, 30

WRITER = """
import os, signal, sys
from pathlib import Path
import shoal.model.time_catalogue as catalogue
import shoal.model.time_files as files
import shoal.model.time_store as stores
sys.path.insert(0, {here!r})
from test_time_store_crash import SMALL, write

left = int(sys.argv[2])

def step():
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

def stepping(function):
    def stepped(*a, **k):
        step()
        done = function(*a, **k)
        step()
        return done
    return stepped

os.fsync = stepping(os.fsync)
Path.replace = stepping(Path.replace)
Path.unlink = stepping(Path.unlink)
catalogue.Catalogue._run = stepping(catalogue.Catalogue._run)
write(Path(sys.argv[1]))
print("done", left)
"""


def rows_of(bucket, n=ROWS):
    return np.random.default_rng(bucket).normal(size=(n, 2))


def pieces(bucket):
    """The pieces of a bucket: what a writer plays back is the same every time."""
    for part in range(2):
        numbers = np.arange(part * ROWS // 2, (part + 1) * ROWS // 2)
        yield f"{part}", Coreset().update(rows_of(bucket)[numbers], key=bucket, rows=numbers)


def write(folder):
    with TimeStore(folder, bucket=10.0, pyramid=SMALL, disk_budget=20_000) as store:
        for bucket in range(BUCKETS):
            for name, summary in pieces(bucket):
                store.add(10.0 * bucket, summary, piece=name)
            store.settle()


def run(folder, steps):
    code = WRITER.format(here=str(Path(__file__).parent))
    return subprocess.run(
        [sys.executable, "-c", code, str(folder), str(steps)], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def memory():
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="shoal-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def undisturbed(memory):
    done = run(memory / "whole", 10**9)
    assert done.returncode == 0, done.stderr
    steps = 10**9 - int(done.stdout.split()[1])
    with TimeStore(memory / "whole", read_only=True) as store:
        held = store.describe()
        assert {g.how for g in held.given_up} == {"coarsened"}  # so that all kinds of change take part
        return steps, store.window().summary.to_bytes()


def is_made(folder):
    """Whether the kill came after the catalogue was there; before, readers are told that it is not."""
    try:
        TimeStore(folder, read_only=True).close()
    except ShoalError as error:
        if "is not a store" not in str(error):
            raise
        return False
    return True


def check_consistent(folder):
    """No row twice, none half there, and no file that is not named once a writer has opened it."""
    with TimeStore(folder, read_only=True) as store:
        held = store.describe()
        assert held.rows % (ROWS // 2) == 0
        if held.rows:
            whole = store.window().summary
            points = whole.points()
            assert whole.count == held.rows == len(np.unique(points.X, axis=0))
            assert points.weights.sum() == pytest.approx(held.rows)
    with TimeStore(folder, bucket=10.0, pyramid=SMALL, disk_budget=20_000) as store:
        named = {s.file for s in store._catalogue.segments()}
        assert {p.name for p in folder.iterdir()} - {"lock", "catalogue.sqlite"} == named


@pytest.mark.parametrize("part", range(6))
def test_killed_at_any_step_and_played_back_nothing_is_lost_or_doubled(memory, undisturbed, part):
    steps, whole = undisturbed
    rng = np.random.default_rng(part)
    for at in rng.choice(np.array_split(np.arange(1, steps), 6)[part], size=1, replace=False):
        folder = memory / f"killed-{at}"
        done = run(folder, at)
        assert done.returncode == -signal.SIGKILL, done.stderr
        if is_made(folder):
            check_consistent(folder)
        write(folder)
        with TimeStore(folder, read_only=True) as store:
            assert store.describe().rows == BUCKETS * ROWS
            again = store.window()
            assert again.summary.count == BUCKETS * ROWS
            np.testing.assert_array_equal(
                again.summary.totals.scatter(), Coreset.from_bytes(whole).totals.scatter()
            )
            assert store.describe().bytes <= 20_000
        check_consistent(folder)


@pytest.mark.parametrize("function", ["os.fsync", "pathlib.Path.replace", "os.fdopen"])
def test_a_change_that_fails_changes_nothing(memory, monkeypatch, function):
    with (
        tempfile.TemporaryDirectory(dir=memory) as name,
        TimeStore(name, bucket=10.0, pyramid=SMALL) as store,
    ):
        for bucket in range(BUCKETS):
            for piece, summary in pieces(bucket):
                store.add(10.0 * bucket, summary, piece=piece)

        def full(*_a, **_k):
            raise OSError(28, "No space left on device")

        before = store.describe()
        with monkeypatch.context() as broken:
            broken.setattr(function, full)
            with pytest.raises(OSError, match="No space"):
                store.add(0, Coreset().update([[1.0, 1.0]]), piece="more")
            with pytest.raises(OSError, match="No space"):
                store.settle()
        assert store.describe() == before
        assert store.window().summary.count == BUCKETS * ROWS
        store.settle()
        assert store.window().summary.count == BUCKETS * ROWS
        assert len(store.describe().levels) > 1


def test_a_transaction_that_fails_leaves_catalogue_and_files_as_they_were(memory, monkeypatch):
    with tempfile.TemporaryDirectory(dir=memory) as name:
        folder = Path(name) / "s"
        with TimeStore(folder, bucket=10.0) as store:
            store.add(0, Coreset().update([[1.0, 1.0]]), piece="a")
            catalogue = store._catalogue

            def broken(*_a, **_k):
                raise ShoalError("the disk is gone")

            with monkeypatch.context() as patch:
                patch.setattr(catalogue, "name_piece", broken)
                with pytest.raises(ShoalError, match="gone"):
                    store.add(0, Coreset().update([[2.0, 2.0]]), piece="a")
            assert store.window().summary.totals.mean().tolist() == [1.0, 1.0]
            assert len(list(folder.glob("*.shoal"))) == 2
        with TimeStore(folder) as store:  # what was left behind is swept
            assert len(list(folder.glob("*.shoal"))) == 1
            assert store.window().summary.count == 1
