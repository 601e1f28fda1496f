"""Whatever happens, an output holds what it would hold had nothing happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.engines.outputs import Output, open_output

KINDS = ("labels.jsonl", "labels.csv", "labels.parquet", "redis")
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 7)),
        st.tuples(st.just("sync"), st.booleans()),
        st.tuples(st.just("crash"), st.binary(max_size=9)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=14,
)


def rows(first: int, count: int) -> pa.Table:
    numbers = range(first, first + count)
    return pa.table(
        {
            "row": pa.array(numbers, pa.int64()),
            "distance": pa.array([n / 7 if n % 3 else float("nan") for n in numbers], pa.float64()),
            "text": pa.array([f'line {n}\n"x"' for n in numbers], pa.string()).dictionary_encode(),
        }
    )


def crash(output: Output, target: str, torn: bytes) -> None:
    """What a killed process leaves: locks gone, nothing flushed or tidied, a torn line or file at the end."""
    holder = getattr(output, "_file", output)
    if hasattr(holder, "_descriptor"):
        os.close(holder._descriptor)
        holder._descriptor = None
    path = Path(target)
    if path.is_dir():
        (path / ".part-000009.parquet.tmp").write_bytes(torn)
    elif path.exists():
        with path.open("ab") as file:
            file.write(torn)


def contents(target: str, server=None) -> object:
    """All rows, in order, as the format has them."""
    if target.startswith("redis:"):
        return server.client.xrange(target.partition("stream=")[2])
    path = Path(target)
    if not path.is_dir():
        return path.read_bytes()
    parts = sorted(path.glob("*.parquet"))
    assert [p.name for p in parts] == [f"part-{i + 1:06d}.parquet" for i in range(len(parts))]
    # NaN differs from itself, its name does not
    return [str(row) for p in parts for row in pq.read_table(p).to_pylist()]


def undisturbed(kind: str, folder: str, count: int, server) -> object:
    target = server.url() if kind == "redis" else str(Path(folder) / f"calm-{kind}")
    output = open_output(target)
    output.start(None)
    output.write(rows(0, count))
    output.sync()
    output.close()
    return contents(target, server)


@pytest.fixture
def server_for(request):
    return lambda kind: request.getfixturevalue("redis_server") if kind == "redis" else None


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings=HAPPENINGS)
def test_any_crash_and_replay_leaves_the_undisturbed_content(kind, server_for, happenings):
    server = server_for(kind)
    with tempfile.TemporaryDirectory() as folder:
        target = server.url() if kind == "redis" else str(Path(folder) / kind)
        output = open_output(target)
        output.start(None)
        at = reached = 0
        saved = (json.dumps(output.sync()), 0)
        for what, detail in happenings:
            if what == "write":
                output.write(rows(at, detail))
                at += detail
                reached = max(reached, at)
            elif what == "sync":
                position = json.dumps(output.sync())
                saved = (position, at) if detail else saved
            else:
                if what == "crash":
                    crash(output, target, detail)
                else:
                    output.close()
                output = open_output(target)
                output.start(json.loads(saved[0]))
                at = saved[1]
        # an entry of Redis is there for good; elsewhere what a crash cut off may never come again
        end = reached if kind == "redis" else at
        output.write(rows(at, end - at))
        output.sync()
        output.close()
        assert contents(target, server) == undisturbed(kind, folder, end, server)


CHILD = """
import json, sys, time
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from test_replay import rows
from shoal.engines.outputs import open_output
target, saved = sys.argv[1], Path(sys.argv[2])
output = open_output(target)
state = json.loads(saved.read_text()) if saved.exists() else None
output.start(None if state is None else state["position"])
at = 0 if state is None else state["at"]
while True:
    position = output.sync()
    saved.with_suffix(".new").write_text(json.dumps({"position": position, "at": at}))
    saved.with_suffix(".new").replace(saved)
    if at >= 3000:
        break
    for _ in range(7):
        output.write(rows(at, 10))
        at += 10
        print(at, flush=True)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_killed_processes_leave_the_undisturbed_content(kind, server_for, tmp_path):
    server = server_for(kind)
    target = server.url() if kind == "redis" else str(tmp_path / kind)
    command = [sys.executable, "-c", CHILD, target, str(tmp_path / "saved"), str(Path(__file__).parent)]
    for kill_at in (50, 700, 1710, None):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in child.stdout:
            if kill_at is not None and int(line) >= kill_at:
                child.send_signal(signal.SIGKILL)
                break
        child.stdout.read()
        child.stdout.close()
        assert child.wait() == (0 if kill_at is None else -signal.SIGKILL)
    end = json.loads((tmp_path / "saved").read_text())["at"]
    assert end >= 3000
    assert contents(target, server) == undisturbed(kind, str(tmp_path), end, server)


@pytest.mark.parametrize("kind", KINDS)
def test_content_does_not_depend_on_how_rows_were_cut(kind, server_for, tmp_path):
    server = server_for(kind)
    target = server.url() if kind == "redis" else str(tmp_path / kind)
    output = open_output(target)
    output.start(None)
    for at, count in ((0, 1), (1, 0), (1, 30), (31, 69)):
        output.write(rows(at, count))
        output.sync()
    output.close()
    assert contents(target, server) == undisturbed(kind, str(tmp_path), 100, server)


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_that_is_not_open_says_so(kind, server_for, tmp_path):
    from shoal.errors import ShoalError

    server = server_for(kind)
    output = open_output(server.url() if kind == "redis" else str(tmp_path / kind))
    output.close()
    with pytest.raises(ShoalError, match="call start first"):
        output.write(rows(0, 1))
    with pytest.raises(ShoalError, match="call start first"):
        output.sync()


@pytest.mark.parametrize("kind", KINDS)
def test_start_refuses_what_no_checkpoint_speaks_of(kind, server_for, tmp_path):
    from shoal.errors import BadInputError

    server = server_for(kind)
    target = server.url() if kind == "redis" else str(tmp_path / kind)
    output = open_output(target)
    output.start(None)
    output.write(rows(0, 2))
    position = output.sync()
    output.close()
    before = contents(target, server)
    with pytest.raises(BadInputError, match=r"already holds|is not empty"):
        open_output(target).start(None)
    assert contents(target, server) == before
    with pytest.raises(BadInputError, match="another kind of output"):
        open_output(target).start(position | {"kind": "kafka"})
    with pytest.raises(BadInputError, match="cannot be read"):
        open_output(target).start({"kind": position["kind"]})
    assert contents(target, server) == before
