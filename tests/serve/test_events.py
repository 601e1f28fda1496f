"""Events and history of streams, stores and plain models, as pages and as they happen."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.stream.made import lines, run

import shoal
import shoal.serve.happenings as happenings_module
import shoal.serve.json_tail as json_tail
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.model.events import Event
from shoal.model.packed import pack_model
from shoal.model.persistence import save_model
from shoal.model.store import ModelStore
from shoal.serve.app import app_of
from shoal.serve.event_sources import PER_VERSION
from shoal.serve.json_tail import JsonTail
from shoal.serve.models import Models
from shoal.serve.routes.events import add_events
from shoal.serve.routes.history import add_history
from shoal.serve.service import Service
from shoal.solve.k_means import k_means

LOCAL = "http://127.0.0.1"


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """A state with events."""
    folder = tmp_path_factory.mktemp("stream")
    (folder / "rows.jsonl").write_text("\n".join(lines(12_000)) + "\n")
    done = run(folder / "rows.jsonl", folder / "state", folder / "labels.jsonl")
    assert done.returncode == 0, done.stderr
    return folder / "state"


def service_of(path):
    service = Service(Models({"m": path}))
    app = app_of(service)
    if not any(getattr(r, "path", "") == "/v1/events" for r in app.routes):
        add_events(app, service)
        add_history(app, service)
    return service, TestClient(app, LOCAL)


def model_of(ids, rows=50, weights=None):
    X = np.random.default_rng(0).normal(size=(50, 2))
    model = build_model(X, np.ones(50), k_means(X, len(ids)), provenance=Provenance(rows_seen=rows))
    return model.replace(ids=np.array(ids, np.int64))


def born(cluster, at):
    return Event("born", float(at), cluster, 1.0, 0.5)


def write(path, events):
    path.write_text("".join(json.dumps(e.to_dict()) + "\n" for e in events))


def test_pages_hold_all_events_of_a_stream_newest_first(stream):
    client = service_of(stream)[1]
    expected = [json.loads(line) for line in (stream / "events.jsonl").read_text().splitlines()]
    got, before = [], None
    while True:
        page = client.get("/v1/models/m/events", params={"limit": 2} | ({"before": before} if before else {}))
        got += page.json()["events"]
        before = page.json()["next"]
        if before is None:
            break
    assert [e["seq"] for e in got] == list(range(len(expected), 0, -1))
    for one, other in zip(reversed(got), expected, strict=True):
        assert {k: one[k] for k in ("kind", "time", "cluster", "share")} == {
            k: other[k] for k in ("kind", "time", "cluster", "share")
        }
        assert one["text"] == str(Event.from_dict(other))


def test_events_are_filtered(stream):
    client = service_of(stream)[1]
    everything = client.get("/v1/models/m/events", params={"limit": 1000}).json()["events"]
    kinds = {e["kind"] for e in everything}
    for kind in kinds:
        got = client.get("/v1/models/m/events", params={"kind": kind, "limit": 1000}).json()["events"]
        assert got == [e for e in everything if e["kind"] == kind]
    cluster = everything[0]["cluster"]
    got = client.get("/v1/models/m/events", params={"cluster": cluster}).json()["events"]
    assert all(cluster in (e["cluster"], *e["parents"], *e["children"]) for e in got)
    assert got
    middle = everything[len(everything) // 2]["time"]
    since = client.get("/v1/models/m/events", params={"since": middle, "limit": 1000}).json()["events"]
    until = client.get("/v1/models/m/events", params={"until": middle, "limit": 1000}).json()["events"]
    assert len(since) + len(until) == len(everything)
    assert client.get("/v1/models/m/events", params={"kind": "exploded"}).status_code == 422
    assert client.get("/v1/models/none/events").status_code == 404


def test_history_has_the_shares_of_all_models(stream):
    service, client = service_of(stream)
    got = client.get("/v1/models/m/history").json()
    entries = [json.loads(line) for line in (stream / "history.jsonl").read_text().splitlines()]
    assert got["dated"]
    assert got["times"] == [e["time"] for e in entries]
    for row, entry in zip(got["shares"], entries, strict=True):
        assert {i: s for i, s in zip(got["ids"], row) if s} == pytest.approx(
            {i: s for i, s in zip(entry["ids"], entry["shares"]) if s}
        )
    series = service.happenings.series("m")
    assert list(series[entries[0]["ids"][0]][0]) == [
        entries[0]["time"],
        entries[0]["shares"][0],
    ]


def test_a_log_is_read_from_where_it_ended_and_anew_when_cut_back(tmp_path):
    log = tmp_path / "log"
    log.write_text('{"a": 1}\n{"a": 2}\nnonsense\n{"a": NaN')
    tail = JsonTail(log)
    assert [n for n, _ in tail.read()] == [1, 2]
    with log.open("a") as file:
        file.write("}\n")
    assert tail.read() == [(4, {"a": None})]
    assert tail.read() == []
    log.write_text('{"a": 1}\n')
    assert (tail.read(), tail.begins, tail.other) == ([(1, {"a": 1})], True, False)
    # cut back and grown beyond its old length between two looks
    os.truncate(log, 0)
    with log.open("a") as file:
        file.write('{"b": 1}\n{"b": 2}\n')
    assert (len(tail.read()), tail.begins) == (2, True)
    (tmp_path / "new").write_text('{"c": 1}\n')
    (tmp_path / "new").replace(log)
    assert (tail.read(), tail.begins, tail.other) == ([(1, {"c": 1})], True, True)
    log.unlink()
    assert (tail.read(), tail.begins) == ([], True)


@given(st.lists(st.one_of(st.integers(1, 4), st.tuples(st.just("cut"), st.integers(0, 6))), max_size=12))
@settings(deadline=None, max_examples=40)
def test_what_is_known_of_a_log_is_what_it_holds_however_it_grew(steps):
    with tempfile.TemporaryDirectory() as folder:
        log, tail, held, known, count = Path(folder) / "log", JsonTail(Path(folder) / "log"), [], [], 0
        for step in steps:
            new_ones = step if isinstance(step, int) else 0
            if new_ones:
                held += [{"i": (count := count + 1)} for _ in range(new_ones)]
            else:
                del held[step[1] :]
            with log.open("a") as file:  # in place, as a stream cuts it
                file.truncate(sum(len(json.dumps(r)) + 1 for r in held[: len(held) - new_ones]))
                file.write("".join(json.dumps(r) + "\n" for r in held[len(held) - new_ones :]))
            new = tail.read()
            known = new if tail.begins else known + new
        assert [r for _, r in known] == held
        assert [n for n, _ in known] == list(range(1, len(held) + 1))


def test_only_news_is_told_and_once_also_when_a_crash_cut_the_log(stream, tmp_path):
    state = tmp_path / "state"
    shutil.copytree(stream, state)
    events = [born(i, 1.7e9 + i) for i in range(10)]
    write(state / "events.jsonl", events[:4])
    service, client = service_of(state)
    happenings = service.happenings
    start = service.feed.listeners, len(service.feed.since(0))

    def told():
        happenings.poll()
        return [m.data["seq"] for m in service.feed.since(0) if m.kind == "change"]

    assert told() == []
    assert start == (0, 0)
    with (state / "events.jsonl").open("a") as file:
        file.write("".join(json.dumps(e.to_dict()) + "\n" for e in events[4:7]))
    with (state / "alarms.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "store", "time": 5.0, "message": "a disk fell"}) + "\n")
    assert told() == [5, 6, 7]
    assert [m.data for m in service.feed.since(0) if m.kind == "alarm"] == [
        {"time": 5.0, "text": "a disk fell"}
    ]
    os.truncate(state / "events.jsonl", len("".join(json.dumps(e.to_dict()) + "\n" for e in events[:5])))
    assert told() == [5, 6, 7]
    assert client.get("/v1/models/m/events").json()["events"][0]["seq"] == 5
    with (state / "events.jsonl").open("a") as file:
        file.write("".join(json.dumps(e.to_dict()) + "\n" for e in events[5:9]))
    assert told() == [5, 6, 7, 8, 9]
    assert [e["seq"] for e in client.get("/v1/models/m/events").json()["events"]] == list(range(9, 0, -1))


def test_many_events_are_read_once_and_the_oldest_let_go(stream, tmp_path, monkeypatch):
    monkeypatch.setattr(happenings_module, "KEPT_EVENTS", 20_000)
    state = tmp_path / "state"
    shutil.copytree(stream, state)
    write(state / "events.jsonl", (born(i % 50, i) for i in range(50_000)))
    client = service_of(state)[1]
    client.get("/v1/models/m/events")
    parsed = []
    monkeypatch.setattr(json_tail, "json", SimpleNamespace(loads=lambda line, **_: parsed.append(line)))
    page = client.get("/v1/models/m/events").json()
    assert parsed == []
    assert page["next"] == 50_000 - 99
    assert client.get("/v1/models/m/events", params={"before": 30_002}).json()["events"][-1]["seq"] == 30_001


def test_versions_in_which_nothing_happened_are_as_old_as_those_before(tmp_path):
    store = ModelStore(tmp_path)
    for number, events in enumerate(([], [born(1, 1.7e9)], [], [born(2, 1.8e9)])):
        store.publish(model_of([0, 1], 50 + number), note={"events": [e.to_dict() for e in events]})
    history = service_of(tmp_path)[1].get("/v1/models/m/history").json()
    assert history["dated"]
    assert history["times"] == [1.7e9, 1.8e9]  # models of one time are one moment


@pytest.mark.parametrize("kind", ["folders", "files"])
def test_a_store_tells_by_its_notes_and_by_ids_where_there_are_none(tmp_path, kind):
    path = tmp_path / "s"
    path.mkdir()

    def publish(number, model, note):
        if kind == "folders":
            ModelStore(path).publish(model, note=note)
        else:
            (path / f"v{number:08d}-0a1b2c3d.shoal").write_bytes(pack_model(model, note=note))

    publish(1, model_of([0, 1], 50), {"events": [born(0, 50).to_dict(), born(1, 50).to_dict()]})
    service, client = service_of(path)
    service.happenings.poll()
    publish(2, model_of([0, 1, 2], 70), {"events": [born(2, 70).to_dict()]})
    publish(3, model_of([1, 2, 3], 90), {})
    service.models.refresh()
    service.happenings.poll()
    got = client.get("/v1/models/m/events").json()["events"]
    assert [(e["seq"] // PER_VERSION, e["seq"] % PER_VERSION, e["kind"], e["cluster"]) for e in got] == [
        (3, 2, "born", 3),
        (3, 1, "died", 0),
        (2, 1, "born", 2),
        (1, 2, "born", 1),
        (1, 1, "born", 0),
    ]
    told = [(m.kind, m.data.get("seq")) for m in service.feed.since(0)]
    assert told[0] == ("version", None)
    assert [seq for what, seq in told if what == "change"] == sorted(e["seq"] for e in got[:3])
    history = client.get("/v1/models/m/history").json()
    assert (history["dated"], history["times"], history["ids"]) == (False, [50, 70, 90], [0, 1, 2, 3])


def test_a_model_that_is_replaced_is_compared(tmp_path):
    save_model(model_of([0, 1]), tmp_path / "m")
    service, client = service_of(tmp_path / "m")
    assert client.get("/v1/models/m/events").json() == {"events": [], "next": None}
    shutil.rmtree(tmp_path / "m")
    save_model(model_of([1, 5]), tmp_path / "m")
    assert service.models.refresh()
    got = client.get("/v1/models/m/events").json()["events"]
    assert [(e["kind"], e["cluster"]) for e in got] == [("born", 5), ("died", 0)]
    assert client.get("/v1/models/m/history").json()["dated"]


def test_topics_are_told_by_the_ids_people_see(topic_file, tmp_path):
    path = tmp_path / "t.shoal"
    topics = shoal.TopicModel.load(topic_file)
    first, second = (t.id for t in topics.topics_[:2])
    topics.merge_topics([first, second])
    topics.save(path)
    client = service_of(path)[1]
    history = client.get("/v1/models/m/history").json()
    shown = {t.id for t in shoal.TopicModel.load(path).topics_}
    assert set(history["ids"]) == shown
    assert len(shown) == 3
    assert sum(history["shares"][0]) == pytest.approx(1.0, abs=1e-4)
    events = client.get("/v1/models/m/events", params={"limit": 1000}).json()["events"]
    assert all("cluster" not in e["text"] for e in events)


def test_too_many_listeners_are_refused(tmp_path, monkeypatch):
    save_model(model_of([0, 1]), tmp_path / "m")
    client = service_of(tmp_path / "m")[1]
    monkeypatch.setattr("shoal.serve.routes.events.LISTENERS", 0)
    got = client.get("/v1/events")
    assert got.status_code == 503
    assert got.headers["retry-after"]
    assert client.get("/v1/events", params={"model": "none"}).status_code == 404


SERVER = """
import sys, threading, time
from pathlib import Path
import shoal.serve.routes.events as e
e.BEAT = 0.2
import shoal.serve.app as a
from shoal.cli.serve import listen, serve_service
from shoal.serve.models import Models
from shoal.serve.service import Service
service = Service(Models({"m": Path(sys.argv[1])}))
def add_count(app, service):
    @app.get("/count")
    def count(): return service.feed.listeners
a._ROUTES += (add_count,)
def talk():
    i = 0
    while True:
        time.sleep(0.05); i += 1
        service.feed.tell("name", "m", {"cluster": i, "name": "x" * int(sys.argv[2])})
threading.Thread(target=talk, daemon=True).start()
sock = listen("127.0.0.1", 0)
print(sock.getsockname()[1], flush=True)
serve_service(service, sock)
"""


@pytest.fixture
def server(tmp_path):
    save_model(model_of([0, 1]), tmp_path / "m")
    asked = [sys.executable, "-c", SERVER, str(tmp_path / "m"), "10"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            if process.poll() is None:
                process.kill()


def test_a_real_listener_resumes_is_noticed_when_it_leaves_and_does_not_hold_up_the_end(server):
    process, base = server
    with httpx.Client(base_url=base, timeout=10) as client:
        with client.stream("GET", "/v1/events") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            text = ""
            for part in response.iter_text():
                text += part
                if text.count("event: name") >= 3:
                    break
        numbers = [int(n) for n in re.findall(r"^id: (\d+)$", text, re.MULTILINE)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        with client.stream("GET", "/v1/events", headers={"last-event-id": str(numbers[0])}) as response:
            text = ""
            for part in response.iter_text():
                text += part
                if text.count("\n\n") >= 3:
                    break
        assert int(re.search(r"^id: (\d+)$", text, re.MULTILINE)[1]) == numbers[0] + 1
        with client.stream("GET", "/v1/events", headers={"last-event-id": "x7"}) as response:
            assert response.status_code == 200
        deadline = time.monotonic() + 3
        while client.get("/count").json() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get("/count").json() == 0
        ended = []

        def listen():
            with httpx.stream("GET", f"{base}/v1/events", timeout=30) as response:
                ended.append(response.read())

        thread = threading.Thread(target=listen)
        thread.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=8)  # less than the grace that a listener without an end would use up
        thread.join(timeout=5)
        assert b"event: hello" in ended[0]
        assert "Error" not in process.stderr.read()
