"""Rows sent to be learned: checked, kept once, and learned once whatever is killed."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

import shoal.serve.learning as learning_module
from shoal.engines.stream.checkpoint import Checkpoint
from shoal.errors import BadInputError, ShoalError
from shoal.model.store import ModelStore
from shoal.serve.app import app_of
from shoal.serve.learn_rows import lines_of
from shoal.serve.learning import Learning
from shoal.serve.learning_process import Child, check_state, start_learning, stream_arguments
from shoal.serve.models import Models
from shoal.serve.routes.learn import add_learn
from shoal.serve.service import Service
from shoal.serve.settings import Settings

LOCAL = "http://127.0.0.1"
JSON, CSV, RAW = "application/json", "text/csv", "application/octet-stream"
ARROW = "application/vnd.apache.arrow.stream"


def client_of(path, inbox, **settings):
    service = Service(Models({"m": Path(path)}), Settings(inbox=inbox, **settings))
    app = app_of(service)
    if not any(getattr(r, "path", "").endswith("/learn") for r in app.routes):
        add_learn(app, service)
    return service, TestClient(app, LOCAL, raise_server_exceptions=False)


@pytest.fixture
def client(houses, tmp_path):
    service, client = client_of(houses[0], tmp_path / "inbox")
    yield client
    service.learning_of("m").close()


def post(client, body, kind=JSON, **headers):
    query = headers.pop("query", {})
    return client.post(
        "/v1/models/m/learn", content=body, headers={"content-type": kind} | headers, params=query
    )


def rows_in(folder):
    return [
        json.loads(line)
        for path in sorted(Path(folder).glob("[0-9]*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


def arrow_body(frame):
    table = pa.Table.from_pandas(frame)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


FORMS = {
    "objects": lambda f: (json.dumps({"rows": f.to_dict("records")}), JSON),
    "lists": lambda f: (json.dumps({"rows": f[["price", "rooms", "kind"]].values.tolist()}), JSON),
    "csv": lambda f: (f.to_csv(index=False), CSV),
    "arrow": lambda f: (arrow_body(f), ARROW),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_every_format_are_kept_as_they_are(client, frame, tmp_path, form):
    got = post(client, *FORMS[form](frame))
    assert (got.status_code, got.json()) == (202, {"accepted": len(frame), "skipped": 0}), got.text
    kept = pd.DataFrame(rows_in(tmp_path / "inbox"))[["price", "kind", "rooms"]]
    pd.testing.assert_frame_equal(kept, frame)


def test_vectors_are_kept_too(plain, embedded, rows, tmp_path):
    for path, wanted in ((plain[0], "x0"), (embedded[0], None)):
        inbox = tmp_path / path.name
        service, client = client_of(path, inbox)
        assert post(client, rows.tobytes(), RAW).status_code == 202
        assert post(client, json.dumps({"rows": rows.tolist()})).status_code == 202
        held = rows_in(inbox)
        assert len(held) == 2 * len(rows)
        first = list(held[0].values())
        values = first if wanted else first[0]
        np.testing.assert_allclose(values, rows[0], rtol=1e-6)
        service.learning_of("m").close()


def test_bad_rows_are_refused_with_their_place_or_skipped_and_nothing_else_is_kept(client, frame, tmp_path):
    records = frame.head(4).to_dict("records")
    records[2]["price"] = None
    body = json.dumps({"rows": records})
    got = post(client, body)
    assert got.status_code == 422
    assert "row 3" in got.json()["place"]
    assert rows_in(tmp_path / "inbox") == []
    got = post(client, body, query={"on_error": "skip"})
    assert got.json() == {"accepted": 3, "skipped": 1}
    assert [r["price"] for r in rows_in(tmp_path / "inbox")] == [records[i]["price"] for i in (0, 1, 3)]
    missing = json.dumps({"rows": [{"price": 1}]})
    assert post(client, missing).status_code == 422
    assert post(client, b"{", JSON).status_code == 422
    assert post(client, b"x", "text/html").status_code == 415


def test_the_same_key_is_kept_once(client, frame, tmp_path):
    body, kind = FORMS["objects"](frame.head(3))
    first = post(client, body, kind, **{"idempotency-key": "a1"})
    second = post(client, body, kind, **{"idempotency-key": "a1"})
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json() == {"accepted": 0, "duplicate": True}
    assert len(rows_in(tmp_path / "inbox")) == 3
    assert post(client, body, kind, **{"idempotency-key": "x" * 129}).status_code == 422


def test_it_is_off_by_default_and_needs_the_right_to_write(houses, frame, tmp_path):
    body, kind = FORMS["objects"](frame.head(3))
    assert post(client_of(houses[0], None)[1], body, kind).status_code == 403
    service, client = client_of(houses[0], tmp_path / "i", read_token="look", write_token="touch")
    assert post(client, body, kind, authorization="Bearer look").status_code in (401, 403)
    assert post(client, body, kind, authorization="Bearer touch").status_code == 202
    assert client.post("/v1/models/none/learn", headers={"authorization": "Bearer touch"}).status_code == 404
    service.learning_of("m").close()


def test_a_full_disk_and_a_full_inbox_are_told(client, frame, tmp_path, monkeypatch):
    body, kind = FORMS["objects"](frame.head(3))

    def refuse(*_):
        raise OSError(28, "no space")

    with monkeypatch.context() as patch:
        patch.setattr("shoal.serve.inbox.os.utime", refuse)
        got = post(client, body, kind)
        assert got.status_code == 507
        assert got.headers["retry-after"]
    assert post(client, body, kind).status_code == 202
    monkeypatch.setattr(learning_module, "MOST_UNREAD", 10)
    monkeypatch.setattr(learning_module, "_LOOK", 0.0)
    assert post(client, body, kind).status_code == 429
    assert len(rows_in(tmp_path / "inbox")) == 3


def test_an_inbox_in_use_is_told(houses, frame, tmp_path):
    one, first = client_of(houses[0], tmp_path / "i")
    second = client_of(houses[0], tmp_path / "i")[1]
    body, kind = FORMS["objects"](frame.head(3))
    assert post(first, body, kind).status_code == 202
    got = post(second, body, kind)
    assert got.status_code == 503
    assert str(tmp_path) not in got.text
    one.learning_of("m").close()


def test_event_times_must_be_there_where_the_stream_needs_them(houses):
    served = Models({"m": houses[0]}).get("m")
    row = {"price": 1.0, "kind": "flat", "rooms": 2.0}

    def lines(rows, **options):
        return lines_of(served, JSON, json.dumps({"rows": rows}).encode(), time=("at", "s"), **options)

    assert json.loads(lines([row | {"at": 1.7e9}]).text)["at"] == 1.7e9
    assert json.loads(lines([row | {"at": "2026-01-01T00:00:00"}]).text)["at"] == "2026-01-01T00:00:00"
    with pytest.raises(BadInputError, match="'at'"):
        lines([row])
    with pytest.raises(BadInputError, match="row 2"):
        lines([row | {"at": 1}, row | {"at": None}])
    assert lines([row | {"at": 1}, row | {"at": None}], on_error="skip").skipped == 1


def test_before_the_first_model_any_objects_are_taken():
    assert lines_of(None, CSV, b"a,b\n1,x\n2,\n").text == b'{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n'
    half = rb'{"rows": [{"a\ud800": ["\ud83d"]}]}'
    assert lines_of(None, JSON, half).text == b'{"a?": ["?"]}\n'
    assert lines_of(None, JSON, b'{"rows": ["one", "two"]}').text == b'{"text": "one"}\n{"text": "two"}\n'
    for kind, body in ((JSON, b'{"rows": [[1]]}'), (RAW, b"1234")):
        with pytest.raises(BadInputError, match="model"):
            lines_of(None, kind, body)


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it does not get on"
        time.sleep(0.1)
    return found


def learned(state):
    known = Checkpoint.read(state)
    return 0 if known is None else known.meta["learner"]["learned"]


OPTIONS = ["-k", "3", "--learn-rows", "100", "--every", "500 rows", "--checkpoint", "0.3", "--columns", "a,b"]
OPTIONS += ["--threads", "1"]


def test_a_process_that_dies_is_started_again_and_ends_in_good_order(tmp_path, caplog):
    caplog.set_level("WARNING")
    state, inbox = tmp_path / "state", tmp_path / "in"
    child = start_learning(state, inbox, OPTIONS)
    try:
        wait_for(lambda: (state / "checkpoint").exists())
        first = child.pid
        os.kill(first, signal.SIGKILL)
        again = wait_for(lambda: child.pid not in (None, first) and child.pid)
        assert again != first
        assert "starts again" in caplog.text
    finally:
        child.stop()
    assert not child.alive


def test_a_state_is_gone_on_with_by_what_it_was_begun_with(tmp_path):
    state, inbox = tmp_path / "state", tmp_path / "in"
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"a": i % 7, "b, c": i, "at": i, "kind": f"k{i % 3}"}) + "\n" for i in range(300))
    )
    base = [sys.executable, "-m", "shoal", "stream"]
    (tmp_path / "r.toml").write_text('columns = ["a", "b, c"]\none_hot = ["kind"]\nscale = "minmax"\n')
    options = ["--recipe", str(tmp_path / "r.toml"), "--time", "at", "--half-life", "90s", "--bucket", "1m"]
    subprocess.run(
        [*base, str(tmp_path / "rows.jsonl"), "--state", str(state), "-k", "2", *options],
        check=True,
        capture_output=True,
        timeout=120,
    )
    inbox.mkdir()
    arguments = stream_arguments(state, inbox, ["-k", "2"])
    arguments.remove("--follow")
    # the position is of another source, which is found after the settings were
    done = subprocess.run([*base[:3], *arguments], capture_output=True, text=True, timeout=120)
    assert "was begun with" not in done.stderr
    assert stream_arguments(state, inbox, [])[-2:] == ["-k", "2"]


SERVICE = """
import sys, socket, uvicorn
from pathlib import Path
from shoal.serve.app import app_of
from shoal.serve.learning_process import start_learning
from shoal.serve.models import Models
from shoal.serve.routes.learn import add_learn
from shoal.serve.service import Service
from shoal.serve.settings import Settings
state, inbox = Path(sys.argv[1]), Path(sys.argv[2])
service = Service(Models({"m": state}), Settings(inbox=inbox))
app = app_of(service)
if not any(getattr(r, "path", "").endswith("/learn") for r in app.routes):
    add_learn(app, service)
sock = socket.create_server(("127.0.0.1", 0))
child = start_learning(state, inbox, sys.argv[3:])
print(sock.getsockname()[1], child.pid, flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[sock])
child.stop()
"""


def start(state, inbox):
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(state), str(inbox), *OPTIONS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return process, f"http://127.0.0.1:{process.stdout.readline().split()[0]}"


@pytest.mark.slow
def test_each_row_is_learned_once_though_the_service_is_killed(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 2)) + 8 * rng.integers(0, 3, size=(2000, 1))
    blocks = [[{"a": a, "b": b} for a, b in part] for part in X.reshape(200, 10, 2).tolist()]
    state, inbox = tmp_path / "state", tmp_path / "in"
    state.mkdir()
    process, base = start(state, inbox)
    acknowledged = []
    client = httpx.Client(timeout=10)

    def send(i):
        for _ in range(100):
            try:
                got = client.post(
                    f"{base}/v1/models/m/learn",
                    json={"rows": blocks[i]},
                    headers={"idempotency-key": f"block-{i}"},
                    timeout=10,
                )
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if got.status_code in (200, 202):
                acknowledged.append(i)
                return got.status_code
            time.sleep(0.1)
        raise AssertionError(got.text)

    with ThreadPoolExecutor(4) as pool:
        running = pool.map(send, range(200))
        wait_for(lambda: len(acknowledged) >= 90)
        process.kill()
        process.wait()
        process, base = start(state, inbox)
        statuses = list(running)
        assert len(statuses) == 200
        again = list(pool.map(send, range(200)))
    try:
        assert set(again) == {200}  # all were kept before
        wait_for(lambda: learned(state) >= 2000)
        time.sleep(1.0)
        assert learned(state) == 2000
        known = Checkpoint.read(state)
        np.testing.assert_allclose(known.summary.totals.weight, 2000)
        assert known.summary.points().weights.sum() == pytest.approx(2000)
        held = rows_in(inbox)
        assert len({(r["a"], r["b"]) for r in held}) == len(held) == 2000
        assert (state / "dead_letters.jsonl").read_text() == ""
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM)


def test_files_that_are_learned_are_removed_when_room_is_needed(tmp_path, monkeypatch):
    state, inbox = tmp_path / "state", tmp_path / "in"
    learning = Learning(inbox, state)
    for i in range(4):
        lines = "".join(json.dumps({"a": i + j / 50, "b": j}) + "\n" for j in range(50))
        learning.inbox.add(lines.encode())
    command = [sys.executable, "-m", "shoal", "stream", str(inbox), "--state", str(state), "-k", "2"]
    subprocess.run([*command, "--learn-rows", "50"], check=True, capture_output=True, timeout=120)
    learning.inbox.add(b'{"a": 1, "b": 2}\n')
    files = learning.inbox.files()
    monkeypatch.setattr(learning_module, "MOST_UNREAD", 1000)
    assert learning.has_room()
    assert learning.inbox.files() == files[-1:]
    learning.close()


def test_learned_files_are_removed_when_there_are_very_many(tmp_path, monkeypatch):
    state, inbox = tmp_path / "state", tmp_path / "in"
    learning = Learning(inbox, state)
    for i in range(4):
        lines = "".join(json.dumps({"a": i + j / 50, "b": j}) + "\n" for j in range(50))
        learning.inbox.add(lines.encode())
    monkeypatch.setattr(learning_module, "MOST_FILES", 2)
    monkeypatch.setattr(learning_module, "_LOOK", 0.0)
    assert learning.has_room()
    assert len(learning.inbox.files()) == 4  # none is learned yet
    command = [sys.executable, "-m", "shoal", "stream", str(inbox), "--state", str(state), "-k", "2"]
    subprocess.run([*command, "--learn-rows", "50"], check=True, capture_output=True, timeout=120)
    assert learning.has_room()
    assert len(learning.inbox.files()) == 1
    learning.close()


@pytest.mark.parametrize("form", ["objects", "csv", "arrow"])
def test_columns_that_the_model_does_not_need_are_kept_too(houses, frame, form):
    served = Models({"m": houses[0]}).get("m")
    at = pd.date_range("2026-01-01", periods=3, freq="s", tz="Europe/Paris")
    sent = frame.head(3).assign(user=["007", "b", "c"], at=at if form == "arrow" else at.astype(str))
    body, kind = FORMS[form](sent)
    body = body if isinstance(body, bytes) else body.encode()
    rows = [json.loads(line) for line in lines_of(served, kind, body, time=("at", "s")).text.splitlines()]
    assert [row["user"] for row in rows] == ["007", "b", "c"]
    assert pd.to_datetime(rows[1]["at"], utc=True) == at[1]
    assert rows[2]["price"] == frame["price"][2]


def test_categories_and_columns_that_would_grow_without_end_are_refused(houses, frame):
    served = Models({"m": houses[0]}).get("m")
    lines = lines_of(served, ARROW, arrow_body(frame.assign(user=pd.Categorical(frame["kind"]))))
    assert json.loads(lines.text.splitlines()[0])["user"] == frame["kind"][0]
    many = pd.DataFrame(np.zeros((5000, 2500), bool)).rename(columns=str)
    wide = pd.concat([pd.concat([frame] * 20).head(5000).reset_index(drop=True), many], axis=1)
    with pytest.raises(BadInputError, match="fewer"):
        lines_of(served, ARROW, arrow_body(wide))


@pytest.mark.parametrize(("kind", "bad"), [(CSV, "abc"), (JSON, "abc"), (CSV, "1e30"), (JSON, 1e30)])
def test_a_value_that_the_stream_would_refuse_is_told_with_its_place_or_skipped(plain, kind, bad):
    served = Models({"m": plain[0]}).get("m")
    records = [{f"x{j}": bad if (i, j) == (1, 2) else 1.5 for j in range(4)} for i in range(3)]
    body = pd.DataFrame(records).to_csv(index=False) if kind == CSV else json.dumps({"rows": records})
    with pytest.raises(BadInputError, match=r"row 2.*'x2'"):
        lines_of(served, kind, body.encode())
    lines = lines_of(served, kind, body.encode(), on_error="skip")
    assert (lines.accepted, lines.skipped) == (2, 1)


@pytest.mark.parametrize("bad", ["abc", 1e30])
def test_a_recipe_says_what_it_would_refuse_too(client, frame, tmp_path, bad):
    records = frame.head(3).to_dict("records")
    records[1]["price"] = bad
    body = json.dumps({"rows": records})
    got = post(client, body)
    assert got.status_code == 422
    assert "row 2" in got.json()["place"]
    assert post(client, body, query={"on_error": "skip"}).json() == {"accepted": 2, "skipped": 1}


def test_a_service_that_is_opened_again_learns_again(houses, frame, tmp_path):
    _, client = client_of(houses[0], tmp_path / "in")
    body, kind = FORMS["objects"](frame.head(3))
    for _ in range(2):
        with client:
            assert post(client, body, kind).status_code == 202
    assert len(rows_in(tmp_path / "in")) == 6


def test_it_is_told_that_rows_may_have_been_kept(client, frame, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(5, "input/output error")

    monkeypatch.setattr("shoal.serve.inbox.sync_folder", refuse)
    got = post(client, *FORMS["objects"](frame.head(3)))
    assert got.status_code == 503
    assert "may have been kept" in got.json()["remedy"]


def test_a_stream_that_does_not_run_shows(houses, frame, tmp_path, monkeypatch):
    service, client = client_of(houses[0], tmp_path / "in")
    body, kind = FORMS["objects"](frame.head(3))
    assert "shoal_learning_up" not in client.get("/metrics").text
    service.child = child = Child(["stream", str(tmp_path / "none.csv"), "--state", str(tmp_path / "s")])
    try:
        wait_for(lambda: child.trouble)
        got = client.get("/health/ready")
        assert got.status_code == 503
        assert "none.csv" in got.json()["error"]
        assert str(tmp_path) not in got.text
        assert post(client, body, kind).status_code == 503
        assert "shoal_learning_up 0.0" in client.get("/metrics").text
    finally:
        child.stop()
    service.child = None
    assert client.get("/health/ready").status_code == 200
    assert post(client, body, kind).status_code == 202
    service.learning_of("m").close()


def test_one_row_that_is_too_large_ends_no_stream(tmp_path):
    rows = [{"x": i % 7} for i in range(200)] + [{"x": 1e20}] + [{"x": 3}] * 100
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "shoal", "stream", str(tmp_path / "rows.jsonl"), "-k", "2"]
    state = tmp_path / "s"
    subprocess.run(
        [*command, "--learn-rows", "100", "--state", str(state)], check=True, capture_output=True, timeout=120
    )
    assert learned(state) == 300
    assert "1e+17" in (state / "dead_letters.jsonl").read_text()


@pytest.mark.parametrize("holds", ["model", "store"])
@pytest.mark.parametrize("command", ["serve", "stream", "topics stream"])
def test_a_stream_is_not_begun_where_it_would_hide_models(houses, plain, tmp_path, holds, command):
    place = tmp_path / "place"
    if holds == "model":
        shutil.copytree(houses[0], place)
    else:
        ModelStore(place).publish(plain[1])
    before = sorted(p.name for p in place.rglob("*"))
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "x": 1}\n')
    asked = {
        "serve": ["serve", str(place), "--learn", "", "--port", "0"],
        "stream": ["stream", str(tmp_path / "rows.jsonl"), "--state", str(place)],
        "topics stream": [
            *("topics", "stream", str(tmp_path / "rows.jsonl"), "--model", "hashed"),
            *("--state", str(place)),
        ],
    }[command]
    done = subprocess.run(
        [sys.executable, "-m", "shoal", *asked], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "would hide" in done.stderr
    assert sorted(p.name for p in place.rglob("*")) == before


def test_a_stream_is_begun_in_no_folder_of_something_else(tmp_path):
    (tmp_path / ".inbox").mkdir()
    check_state(tmp_path)
    check_state(tmp_path / "new")
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ShoalError, match="not the state"):
        start_learning(tmp_path, tmp_path / ".inbox")


def test_options_that_cannot_be_used_end_the_service_before_it_says_it_serves(tmp_path):
    for options, said in (("--foo", "No such option: --foo"), ("-k 0", "0"), ("--every often", "often")):
        done = subprocess.run(
            [sys.executable, "-m", "shoal", "serve", str(tmp_path / "s"), "--port", "0", "--learn", options],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 2
        assert said in done.stderr
        assert "serving" not in done.stderr
        assert not set(done.stderr) & set("╭╮╰╯│─")
        assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "s" / ".inbox" / ".arguments.json").exists()


def test_the_format_of_events_does_not_matter_for_csv_with_dates():
    body = io.BytesIO(b"x,at\n1.5,2026-01-01 10:00:00\n")
    row = json.loads(lines_of(None, CSV, body.getvalue()).text)
    assert row == {"x": 1.5, "at": "2026-01-01T10:00:00"}
