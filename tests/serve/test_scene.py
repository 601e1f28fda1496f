"""What the live page is told: scene, other k, the past, one row, names."""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastapi.testclient import TestClient

from shoal.engines.local import load
from shoal.model.events import KINDS, Event
from shoal.model.store import ModelStore
from shoal.serve.app import app_of, create_app
from shoal.serve.models import Models
from shoal.serve.routes import scene as routes
from shoal.serve.service import Service
from shoal.serve.settings import Settings

LOCAL = "http://127.0.0.1"
START = 1_767_225_600.0


def client_of(path):
    return TestClient(create_app(Models.of_path(path)), LOCAL, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def stream(stream_state):
    return client_of(stream_state)


@pytest.fixture(scope="module")
def houses_page(houses):
    return client_of(houses[0])


@pytest.fixture(scope="module")
def topics(topic_file):
    return client_of(topic_file)


def get(client, path, **parameters):
    answer = client.get(f"/v1/models/{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_scene_tells_every_cluster_of_a_stream(stream, stream_state):
    model = load(stream_state).model
    scene = get(stream, "clicks/scene")
    assert sorted(c["id"] for c in scene["clusters"]) == sorted(model.ids.tolist())
    assert sum(c["share"] for c in scene["clusters"]) == pytest.approx(1.0, abs=1e-4)
    shares = [c["share"] for c in scene["clusters"]]
    assert shares == sorted(shares, reverse=True)
    by_id = {c["id"]: c for c in scene["clusters"]}
    for position, cluster in enumerate(model.ids.tolist()):
        np.testing.assert_allclose(by_id[cluster]["at"], model.centres[position], rtol=1e-4)
    assert scene["can"]["windows"]
    assert scene["can"]["solve"]


def test_points_of_a_scene_lie_with_the_cluster_they_are_said_to_be_in(stream, stream_state):
    model = load(stream_state).model
    points = get(stream, "clicks/scene")["points"]
    assert 100 < len(points) <= 2000
    rows = np.array([[x, y] for x, y, _, _ in points])
    assert (model.predict(rows) == [c for _, _, c, _ in points]).mean() > 0.999  # places have six digits


def test_weights_of_points_add_up_to_the_weight_of_the_sample(stream, stream_state):
    whole = load(stream_state).summary.points().weights.sum()
    points = get(stream, "clicks/scene")["points"]
    assert sum(p[3] for p in points) == pytest.approx(whole, rel=1e-3)


def test_a_table_says_what_sets_a_cluster_apart(houses_page):
    scene = get(houses_page, "houses/scene")
    traits = [t["text"] for c in scene["clusters"] for t in c["traits"]]
    assert any(t.startswith("price") for t in traits)
    assert {i["name"]: i["kind"] for i in scene["inputs"]} == {"price": "number", "rooms": "number", "kind": "text"}  # fmt: skip


def test_a_model_without_a_summary_has_a_scene_but_no_other_k(plain):
    client = client_of(plain[0])
    scene = get(client, "plain/scene")
    assert len(scene["clusters"]) == 3
    assert scene["points"] == []
    assert not scene["can"]["solve"]
    for path in ("plain/solve?k=2", "plain/choice"):
        answer = client.get(f"/v1/models/{path}")
        assert answer.status_code == 422
        assert "summary" in answer.json()["error"]


def test_topics_are_told_by_their_words(topics):
    scene = get(topics, "tickets/scene")
    assert scene["texts"]
    assert len(scene["clusters"]) == 4
    words = {k for c in scene["clusters"] for k in c["keywords"]}
    assert {"exchange", "failed"} & {w.split()[0] for w in words}
    assert all(c["examples"] for c in scene["clusters"])


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_another_k_is_solved_from_the_summary(stream, k):
    solved = get(stream, "clicks/solve", k=k)
    scene = get(stream, "clicks/scene")
    assert len(solved["clusters"]) == k
    assert len(solved["points"]) == len(scene["points"])
    ids = {c["id"] for c in solved["clusters"]}
    assert len(ids) == k
    assert set(solved["points"]) <= ids
    assert 0 <= solved["explained"] <= 1


def test_the_served_k_gives_the_served_clusters(stream):
    scene = get(stream, "clicks/scene")
    solved = get(stream, "clicks/solve", k=scene["k"])
    assert {c["id"] for c in solved["clusters"]} == {c["id"] for c in scene["clusters"]}


def test_inertia_falls_with_k(stream):
    inertia = [get(stream, "clicks/solve", k=k)["inertia"] for k in (1, 2, 4, 8)]
    assert inertia == sorted(inertia, reverse=True)


@pytest.mark.parametrize(("k", "status"), [("0", 422), ("101", 422), ("x", 422), ("", 422)])
def test_a_k_that_cannot_be_is_refused(stream, k, status):
    assert stream.get(f"/v1/models/clicks/solve?k={k}").status_code == status


def test_the_curves_suggest_a_k(stream):
    choice = get(stream, "clicks/choice")
    assert choice["suggested"] in choice["ks"]
    keys = {c["key"] for c in choice["curves"]}
    assert {"inertia", "silhouette", "gap", "stability"} <= keys
    for curve in choice["curves"]:
        assert len(curve["values"]) == len(curve["ks"])


def test_other_topics_have_words(topics):
    solved = get(topics, "tickets/solve", k=2)
    assert all(c["keywords"] for c in solved["clusters"])


def test_what_the_past_holds_is_told(stream):
    held = get(stream, "clicks/time")
    assert held["start"] == START
    assert held["rows"] == 20_000
    assert held["bucket"] == 300.0


def test_a_window_of_the_past_counts_its_rows(stream):
    window = get(stream, "clicks/window", **{"from": START, "to": START + 600, "k": 3})
    assert window["rows"] == 5000
    assert len(window["clusters"]) == 3
    assert not window["widened"]
    assert sum(p[3] for p in window["points"]) == pytest.approx(5000, rel=1e-3)
    wider = get(stream, "clicks/window", **{"from": START + 10, "to": START + 20, "k": 3})
    assert wider["widened"]
    assert (wider["from"], wider["to"]) == (START, START + 300)


def test_two_windows_are_compared_under_the_ids_that_are_served(stream):
    told = get(
        stream, "clicks/compare", **{"from": START + 1800, "to": START + 2400, "with_from": START, "with_to": START + 600, "k": 5}
    )  # fmt: skip
    before, after = ({c["id"] for c in told[side]["clusters"]} for side in ("before", "after"))
    assert len(before) == len(after) == 5
    for event in told["events"]:
        assert event["kind"] in KINDS
        if event["kind"] == "born":
            assert event["cluster"] in after
            assert event["cluster"] not in before
        if event["kind"] == "died":
            assert event["cluster"] in before


def test_windows_that_meet_inside_a_bucket_are_drawn_apart(stream):
    told = get(
        stream, "clicks/compare", **{"from": START + 1000, "to": START + 2000, "with_from": START, "with_to": START + 1000, "k": 3}
    )  # fmt: skip
    assert told["before"]["to"] <= told["after"]["from"]


def test_a_model_without_buckets_says_how_to_get_them(houses_page):
    for path in ("time", "window", "compare"):
        answer = houses_page.get(f"/v1/models/houses/{path}")
        assert answer.status_code == 404
        assert "--bucket" in answer.json()["remedy"]


@pytest.mark.parametrize("query", ["from=nan", "from=inf", "from=x", "from=5&to=5", "from=9e9&to=9.1e9", "from=7&to=3"])  # fmt: skip
def test_windows_that_cannot_be_are_refused(stream, query):
    answer = stream.get(f"/v1/models/clicks/window?{query}")
    assert answer.status_code == 422
    assert answer.json()["error"]


def test_a_row_is_explained_by_the_columns_that_tell(houses_page):
    answer = houses_page.post("/v1/models/houses/explain", json={"row": {"price": 500, "rooms": 3, "kind": "house"}})  # fmt: skip
    told = answer.json()
    assert told["why"][0]["column"].startswith(("price", "kind"))
    assert told["nearest"][0]["id"] == told["cluster"]
    assert told["distance"] == told["nearest"][0]["distance"] <= told["second_distance"]
    assert not told["is_outlier"]


def test_an_explained_row_has_the_cluster_that_assign_gives(stream):
    for x, y in ((3.0, 5.0), (50.0, -6.0), (20.0, -10.0)):
        told = stream.post("/v1/models/clicks/explain", json={"row": {"x": x, "y": y}}).json()
        rows = stream.post("/v1/models/clicks/assign", json={"rows": [{"x": x, "y": y}]}).json()["rows"]
        assert told["cluster"] == rows[0]["id"]
        assert told["distance"] == pytest.approx(rows[0]["distance"], rel=1e-5)
        assert told["at"] == pytest.approx([x, y], rel=1e-5)


def test_a_row_from_afar_is_called_an_outlier(stream):
    told = stream.post("/v1/models/clicks/explain", json={"row": {"x": 1e4, "y": 1e4}}).json()
    assert told["is_outlier"]
    assert "may belong to none" in told["text"]


def test_a_text_is_explained_by_its_words(topics):
    told = topics.post("/v1/models/tickets/explain", json={"text": "my exchange rate is wrong"}).json()
    assert "exchange" in told["label"]
    assert any("exchange" in word for word in told["words"])


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"row": 3}', b'{"row": {}}', b'{"row": {"x": 1}}', b'{"row": {"x": 1, "y": "b"}}',
     b'{"row": {"x": 1, "y": null}}', b'{"text": "hello"}', b"[" * 100_000, b'{"row": [1, 2, 3]}'],
)  # fmt: skip
def test_what_is_no_row_is_refused(stream, body):
    answer = stream.post("/v1/models/clicks/explain", content=body, headers={"content-type": "application/json"})  # fmt: skip
    assert answer.status_code == 422
    assert set(answer.json()) == {"error", "place", "remedy"}


def test_a_cluster_is_named_and_keeps_its_name(stream_state, tmp_path):
    home = shutil.copytree(stream_state, tmp_path / "clicks")
    client = client_of(home)
    cluster = get(client, "clicks/scene")["clusters"][0]["id"]
    put = client.put(f"/v1/models/clicks/clusters/{cluster}/name", json={"name": " night  owls "})
    assert put.json() == {"id": cluster, "name": "night owls"}
    assert get(client, "clicks/scene")["clusters"][0]["label"] == "night owls"
    assert get(client_of(home), "clicks/scene")["clusters"][0]["name"] == "night owls"
    client.put(f"/v1/models/clicks/clusters/{cluster}/name", json={"name": None})
    assert get(client, "clicks/scene")["clusters"][0]["label"] == f"cluster {cluster}"


def test_a_name_outlives_new_versions_of_a_store(tmp_path, plain):
    store = ModelStore(tmp_path / "s")
    store.publish(plain[1])
    client = client_of(tmp_path / "s")
    assert client.put("/v1/models/s/clusters/1/name", json={"name": "b"}).status_code == 200
    store.publish(plain[1])
    models = Models.of_path(tmp_path / "s")
    assert models.get("s").version == "2"
    assert models.get("s").names == {1: "b"}


def test_a_topic_is_named_where_its_model_lies(topic_file, tmp_path):
    path = shutil.copy(topic_file, tmp_path / "tickets.shoal")
    client = client_of(path)
    cluster = get(client, "tickets/scene")["clusters"][0]["id"]
    assert client.put(f"/v1/models/tickets/clusters/{cluster}/name", json={"name": "cards"}).status_code == 200  # fmt: skip
    from shoal import TopicModel

    named = [t for t in TopicModel.load(path).topics_ if t.id == cluster]
    assert named[0].name == "cards"
    assert get(client, "tickets/scene")["clusters"][0]["label"] == "cards"


@pytest.mark.parametrize(
    ("cluster", "body", "status"),
    [("99", {"name": "a"}, 404), ("x", {"name": "a"}, 422), ("1", {"name": ""}, 422), ("1", {"name": 3}, 422),
     ("1", {}, 422), ("1", {"name": "x" * 300}, 422), ("..%2f..", {"name": "a"}, 404)],
)  # fmt: skip
def test_names_that_cannot_be_are_refused(stream, stream_state, cluster, body, status):
    answer = stream.put(f"/v1/models/clicks/clusters/{cluster}/name", content=json.dumps(body), headers={"content-type": "application/json"})  # fmt: skip
    assert answer.status_code == status
    assert not (stream_state / "names.json").exists()


def test_a_name_given_under_an_alias_is_told_of_the_model(tmp_path, plain):
    store = ModelStore(tmp_path / "s")
    store.publish(plain[1])
    service = Service(Models.of_path(tmp_path / "s"))
    client = TestClient(app_of(service), LOCAL)
    assert client.put("/v1/models/s@1/clusters/1/name", json={"name": "b"}).status_code == 200
    assert [m.model for m in service.feed.since(0) if m.kind == "name"] == ["s"]
    assert "version" not in [m.kind for m in service.feed.since(0)]


def test_a_long_name_is_given_up_while_it_is_read(stream):
    answer = stream.put("/v1/models/clicks/clusters/1/name", content=b" " * 10_000, headers={"content-type": "application/json"})  # fmt: skip
    assert answer.status_code == 413


def test_many_who_look_at_once_are_answered_once(stream_state, monkeypatch):
    made = []
    real = routes._scene_as_data
    monkeypatch.setattr(routes, "_scene_as_data", lambda *a: made.append(1) or real(*a))
    with client_of(stream_state) as client, ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda _: client.get("/v1/models/clicks/scene").content, range(24)))
    assert len(set(bodies)) <= len(made) < 10


def test_questions_that_take_long_never_take_the_places_of_rows(stream_state, monkeypatch):
    service = Service(Models.of_path(stream_state), Settings(max_waiting=2))
    monkeypatch.setattr(service.which_k, "solve", lambda *_: time.sleep(0.5) or {})
    with TestClient(app_of(service), LOCAL) as client, ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(client.get, f"/v1/models/clicks/solve?k={k % 90 + 1}") for k in range(60)]
        time.sleep(0.2)
        labelled = [
            client.post("/v1/models/clicks/assign", json={"rows": [[1.0, 2.0]]}).status_code
            for _ in range(20)
        ]
        told = {one.result().status_code for one in asked}
    assert set(labelled) == {200}
    assert told <= {200, 429}
    assert 429 in told


def test_events_are_counted(tmp_path, plain):
    store = ModelStore(tmp_path / "s")
    store.publish(plain[1])
    service = Service(Models.of_path(tmp_path / "s"))
    service.happenings.poll()
    born = Event("born", 5.0, 7, 10.0, 0.5)
    store.publish(plain[1], note={"events": [born.to_dict()]})
    service.models.refresh()
    service.happenings.poll()
    assert b'shoal_cluster_events_total{kind="born",model="s"} 1.0' in service.metrics.text(service.models)
