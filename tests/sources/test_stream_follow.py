"""Growing files: complete records only, rotation, truncation, and restarts at any moment."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.sources.stream_made import drained, opened

from shoal.errors import BadInputError
from shoal.sources import stream_records


def line(i):
    return json.dumps({"x": i, "t": f"n{i}"}) + "\n"


def values(rows):
    return [r[2]["x"] for r in rows]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("shoal.sources.stream_growing.LEARN_SECONDS", 0.05)
    monkeypatch.setattr("shoal.sources.stream_follow.SETTLE", 0.05)


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def test_a_file_that_comes_later_and_grows_is_read_by_complete_lines(tmp_path, state):
    path = tmp_path / "x.jsonl"
    stream = opened(path, state, follow=True)
    stream.start(None)
    assert stream.poll(10, 0.0) is None
    path.write_text(line(0) + line(1) + '{"x": 2, "t"')
    rows, dead, _ = drained(stream, until=2)
    assert values(rows) == [0, 1]
    assert stream.poll(10, 0.1) is None
    with path.open("a") as file:
        file.write(': "n2"}\nnonsense\n{"x": "a"}\n' + line(5))
    more, dead, _ = drained(stream, until=4)
    assert [r[1:] for r in more] == [(2, {"x": 2.0, "t": "n2"}), (5, {"x": 5.0, "t": "n5"})]
    assert [(d.place, d.raw) for d in dead] == [
        (f"{path}, row 4", "nonsense"),
        (f"{path}, row 5, column 'x'", '{"x": "a"}'),
    ]
    assert not stream.finished
    assert len({r[0] for r in rows + more}) == 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_growth_and_restarts_give_the_same_rows_as_one_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("grow")
    text = "x,t\r\n" + "".join(
        data.draw(st.lists(st.sampled_from(['1,a\r\n', '2,"b\nc"\r\n', '3,"say ""d"""\n', "oops,e\n", "4\n", "\n", ',"f"\n']), min_size=3, max_size=30))
    )  # fmt: skip
    whole = folder / "whole.csv"
    whole.write_bytes(text.encode())
    (folder / "x.csv").write_bytes(b"")
    hint = _schema()
    straight = _open(whole, folder / "s1", follow=False, hint=hint)
    straight.start(None)
    rows, dead, _ = drained(straight)
    path, got, got_dead, position = folder / "x.csv", [], [], None
    cuts = [*sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5))), len(text)]
    written = 0
    for cut in cuts:
        with path.open("ab") as file:
            file.write(text[written:cut].encode())
        written = cut
        stream = _open(path, folder / "s2", follow=True, hint=hint)
        stream.start(position)
        size = data.draw(st.integers(1, 9))
        for _ in range(data.draw(st.integers(1, 40)) if cut < len(text) else 100):
            chunk = stream.poll(size, 0.0)
            if chunk is not None:
                got += zip(chunk.rows.tolist(), chunk.table.to_pylist(), strict=True)
                got_dead += [(d.reason, d.raw) for d in chunk.dead]
                position = chunk.position
        stream.close()
    assert got == [r[1:] for r in rows]
    assert got_dead == [(d.reason, d.raw) for d in dead]


def _schema():
    import pyarrow as pa

    return pa.schema({"x": pa.float64(), "t": pa.string()})


def _open(path, state, *, follow, hint):
    from shoal.sources.options import ReadOptions
    from shoal.sources.stream_open import open_stream

    options = ReadOptions(delimiter=",", header=True)
    return open_stream(str(path), follow=follow, options=options, state=state, schema_hint=hint)


def test_a_rotated_file_is_read_to_its_end_before_the_new_one(tmp_path, state):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(map(line, range(5))))
    stream = opened(path, state, follow=True)
    stream.start(None)
    rows, _, _ = drained(stream, sizes=(2,), until=4)
    with path.open("a") as file:
        path.rename(tmp_path / "x.jsonl.1")
        path.write_text("".join(map(line, range(10, 13))))
        file.write(line(5))
    more, dead, position = drained(stream, until=5)
    assert values(rows + more) == [0, 1, 2, 3, 4, 5, 10, 11, 12]
    assert not dead
    assert [r[1] for r in more] == [4, 5, 0, 1, 2]
    assert more[1][0] != more[2][0]
    again = opened(path, state, follow=True)
    again.start(position)
    with path.open("a") as file:
        file.write(line(13))
    rows, _, _ = drained(again, until=1)
    assert [r[:2] for r in rows] == [(more[-1][0], 3)]


def test_files_rotated_while_nobody_read_are_found_again(tmp_path, state):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(map(line, range(5))))
    stream = opened(path, state, follow=True)
    stream.start(None)
    position = drained(stream, sizes=(2,), until=2)[2]
    stream.close()
    path.rename(tmp_path / "x.jsonl.2")
    time.sleep(0.02)
    (tmp_path / "x.jsonl.1").write_text(line(20))
    time.sleep(0.02)
    path.write_text(line(30))
    again = opened(path, state, follow=True)
    again.start(position)
    more, dead, _ = drained(again, until=5)
    assert values(more) == [2, 3, 4, 20, 30]
    assert not dead


def test_a_file_copied_and_cut_short_is_read_on_in_the_copy(tmp_path, state):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(map(line, range(5))))
    stream = opened(path, state, follow=True)
    stream.start(None)
    rows, _, _ = drained(stream, sizes=(2,), until=2, commit=False)
    with path.open("a") as file:
        file.write("".join(map(line, range(5, 3000))))
    shutil.copy(path, tmp_path / "x.jsonl.1")
    time.sleep(0.02)
    path.write_text(line(9000))
    more, dead, _ = drained(stream, until=2999)
    assert values(rows + more) == [*range(3000), 9000]
    assert not dead


def test_a_file_cut_short_is_told_and_read_from_its_start(tmp_path, state):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(map(line, range(5))))
    stream = opened(path, state, follow=True)
    stream.start(None)
    rows, _, _ = drained(stream, until=5)
    stream.poll(10, 0.0)
    path.write_text(line(7))
    more, dead, position = drained(stream, until=2)
    assert values(more) == [7]
    assert more[0][0] != rows[0][0]
    assert [d.reason.split(";")[0] for d in dead] == ["the file was cut short"]
    stream.close()
    path.write_text("".join(map(line, range(50, 60))))
    again = opened(path, state, follow=True)
    again.start(position)
    more, dead, _ = drained(again, until=11)
    assert values(more) == list(range(50, 60))
    assert "while nobody read" in dead[0].reason


def test_columns_and_types_do_not_change_after_a_restart(tmp_path, state):
    path = tmp_path / "x.jsonl"
    path.write_text('{"x": 1}\n')
    stream = opened(path, state, follow=True)
    stream.start(None)
    chunk = stream.poll(10, 5.0)
    with path.open("a") as file:
        file.write('{"x": 2, "new": "y"}\n' * 200)
    for position in (chunk.position, None):
        again = opened(path, state, follow=True)
        again.start(position)
        assert again.poll(1000, 5.0).table.schema.equals(chunk.table.schema)


def test_a_record_without_an_end_does_not_stop_the_stream(tmp_path, state, monkeypatch):
    monkeypatch.setattr(stream_records, "LONGEST_RECORD", 1000)
    path = tmp_path / "x.jsonl"
    path.write_text(line(0) + '{"x": "' + "a" * 5000 + '"}\n' + line(2))
    stream = opened(path, state, follow=True)
    stream.start(None)
    rows, dead, _ = drained(stream, until=3)
    assert [r[1] for r in rows] == [0, 2]
    assert dead[0].reason == "a record is too long"
    table = tmp_path / "y.csv"
    table.write_text('x,t\n0,a\n1,"never closed\n' + "2,b\n" * 500)
    stream = opened(table, state, follow=True)
    stream.start(None)
    rows, dead, _ = drained(stream, until=502)
    assert [r[1] for r in rows] == [0, *range(2, 502)]
    assert dead[0].raw == '1,"never closed'


@pytest.mark.parametrize("name", ["x.parquet", "x.csv.gz", "*.csv", "s3://bucket/x.csv"])
def test_what_cannot_be_followed_is_refused(tmp_path, name):
    with pytest.raises(BadInputError, match="follow"):
        opened(name, tmp_path, follow=True)


def test_json_arrays_and_utf16_are_refused(tmp_path, state):
    path = tmp_path / "x.jsonl"
    path.write_text('[{"x": 1},\n{"x": 2}]\n')
    stream = opened(path, state, follow=True)
    stream.start(None)
    with pytest.raises(BadInputError, match=r"jq -c"):
        drained(stream)
    with pytest.raises(BadInputError, match="UTF-8"):
        opened(path, state, follow=True, encoding="utf-16")


def test_latin_1_with_an_accent_in_the_header(tmp_path, state):
    path = tmp_path / "x.csv"
    path.write_bytes("größe,ort\n1,Köln\n2,Bonn\n".encode("latin-1"))
    stream = opened(path, state, follow=True, encoding="latin-1")
    stream.start(None)
    rows, _, _ = drained(stream, until=2)
    assert [r[2] for r in rows] == [{"größe": 1.0, "ort": "Köln"}, {"größe": 2.0, "ort": "Bonn"}]


READER = """
import json, pathlib, sys
from shoal.sources.options import ReadOptions
from shoal.sources.stream_open import open_stream
source, state, follow = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3] == "follow"
log = state / "log.jsonl"
state.mkdir(exist_ok=True)
data = log.read_bytes() if log.exists() else b""
log.write_bytes(data[: data.rfind(b"\\n") + 1])
lines = log.read_text().splitlines()
stream = open_stream(source, follow=follow, options=ReadOptions(), state=state)
stream.start(json.loads(lines[-1])["position"] if lines else None)
with log.open("a") as file:
    while not stream.finished:
        chunk = stream.poll(100, 0.05)
        if chunk is not None:
            entry = {"rows": chunk.rows.tolist(), "x": chunk.table.column("x").to_pylist(), "key": chunk.key,
                     "dead": [d.raw for d in chunk.dead], "position": chunk.position}
            file.write(json.dumps(entry) + "\\n")
            file.flush()
            stream.committed(chunk.position)
"""


def reader(source, state, mode, **options):
    return subprocess.Popen([sys.executable, "-c", READER, str(source), str(state), mode], **options)


def entries(state):
    log = state / "log.jsonl"
    data = log.read_bytes() if log.exists() else b""
    return [json.loads(text) for text in data[: data.rfind(b"\n") + 1].splitlines()]


def test_a_follower_killed_again_and_again_misses_and_repeats_nothing(tmp_path):
    path, state = tmp_path / "x.jsonl", tmp_path / "state"
    written = 0
    with path.open("a") as file:
        for _ in range(4):
            process = reader(path, state, "follow")
            before = len(entries(state))
            limit = time.monotonic() + 20
            while len(entries(state)) < before + 3 and time.monotonic() < limit:
                file.write("".join(line(written + i) for i in range(150)) + '{"x": 1')
                file.flush()
                file.write('e0, "t": "torn"}\n')
                file.flush()
                written += 150
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
    lines = [json.loads(text)["x"] for text in path.read_text().splitlines()]
    found = entries(state)
    numbers = [n for entry in found for n in entry["rows"]]
    assert len(numbers) > 300
    assert numbers == list(range(len(numbers)))
    assert [x for entry in found for x in entry["x"]] == lines[: len(numbers)]
    assert len({entry["key"] for entry in found}) == 1


def test_standard_input_killed_midway_loses_nothing_that_was_accepted(tmp_path):
    state = tmp_path / "state"
    process = reader("-", state, "once", stdin=subprocess.PIPE)
    limit = time.monotonic() + 20
    sent = 0
    while len(entries(state)) < 5 and time.monotonic() < limit:
        process.stdin.write("".join(line(sent + i) for i in range(500)).encode())
        process.stdin.flush()
        sent += 500
        time.sleep(0.01)
    process.stdin.write(b'{"x": 77')
    process.stdin.flush()
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    spooled = sum(p.stat().st_size for p in (state / "spool").iterdir())
    assert spooled > 0
    process = reader("-", state, "once", stdin=subprocess.PIPE)
    process.communicate("".join(map(line, range(10**6, 10**6 + 50))).encode().rstrip(b"\n"), timeout=30)
    assert process.returncode == 0
    found = entries(state)
    x = [x for entry in found for x in entry["x"]]
    old = [v for v in x if v < 10**6]
    assert old == list(range(len(old)))
    assert len(old) >= sent - 500
    assert x[len(old) :] == list(range(10**6, 10**6 + 50))
    dead = [raw for entry in found for raw in entry["dead"]]
    numbers = [n for entry in found for n in entry["rows"]]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + len(dead) == numbers[-1] + 1
    assert dead in ([], ['{"x": 77'])
