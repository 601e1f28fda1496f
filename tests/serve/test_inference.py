"""The Open Inference Protocol, in JSON and in binary, asked rightly and wrongly."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal.serve.tensor_json as tensor_json
from shoal.errors import BadInputError
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.model.persistence import save_model
from shoal.model.store import ModelStore
from shoal.serve.app import app_of
from shoal.serve.models import Models
from shoal.serve.routes.inference import add_inference
from shoal.serve.service import Service
from shoal.serve.settings import Settings
from shoal.serve.tensors import read_tensor
from shoal.solve.k_means import k_means

LOCAL = "http://127.0.0.1"
LENGTH = "Inference-Header-Content-Length"


def client_of(path, **options):
    service = Service(Models.of_path(path), Settings(**options))
    app = app_of(service)
    if "/v2" not in app.openapi()["paths"]:
        app.openapi_schema = None
        add_inference(app, service)
    return TestClient(app, LOCAL, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def clients(houses, plain, embedded):
    return {name: client_of(path) for name, (path, _) in zip(("houses", "plain", "embedded"), (houses, plain, embedded))}  # fmt: skip


def tensor(values, datatype="FP32", name="input", shape=None):
    return {"name": name, "shape": list(shape or values.shape), "datatype": datatype, "data": values.ravel().tolist()}  # fmt: skip


def infer(client, name="plain", **document):
    return client.post(f"/v2/models/{name}/infer", content=json.dumps(document))


def outputs_of(answer):
    return {o["name"]: o["data"] for o in answer.json()["outputs"]}


def assert_answers(told, expected):
    assert told["cluster"] == expected.ids.tolist()
    assert told["distance"] == expected.distances.tolist()
    assert told["second_distance"] == expected.second_distances.tolist()
    assert told["outlier_score"] == expected.outlier_scores.tolist()


def test_the_server_and_its_models_are_described(clients, plain):
    told = clients["plain"].get("/v2").json()
    assert told["name"] == "shoal"
    assert "binary_tensor_data" in told["extensions"]
    assert clients["plain"].get("/v2/health/live").json() == {"live": True}
    assert clients["plain"].get("/v2/health/ready").json() == {"ready": True}
    outputs = [
        ("cluster", "INT64"),
        ("distance", "FP64"),
        ("second_distance", "FP64"),
        ("outlier_score", "FP64"),
    ]
    assert clients["plain"].get("/v2/models/plain").json() == {
        "name": "plain",
        "versions": [plain[1].version],
        "platform": "shoal",
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 4]}],
        "outputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in outputs],
    }
    assert clients["embedded"].get("/v2/models/embedded").json()["inputs"][0]["datatype"] == "FP32"
    assert clients["houses"].get("/v2/models/houses").json()["inputs"] == [
        {"name": "price", "datatype": "FP64", "shape": [-1]},
        {"name": "rooms", "datatype": "FP64", "shape": [-1]},
        {"name": "kind", "datatype": "BYTES", "shape": [-1]},
    ]
    assert clients["plain"].get("/v2/models/plain/ready").json() == {"name": "plain", "ready": True}


@pytest.mark.parametrize("which", ["plain", "embedded"])
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_rows_are_answered_as_the_model_would(request, clients, rows, which, datatype):
    saved = request.getfixturevalue(which)[1]
    sent = rows.astype({"FP32": np.float32, "FP64": np.float64}[datatype])
    expected = getattr(saved, "model", saved).assign(rows if which == "embedded" else sent)
    got = infer(clients[which], which, id="a7", inputs=[tensor(sent, datatype)])
    assert got.status_code == 200, got.text
    assert got.json()["id"] == "a7"
    assert got.json()["model_name"] == which
    assert_answers(outputs_of(got), expected)
    nested = {**tensor(sent, datatype), "data": sent.tolist()}
    assert outputs_of(infer(clients[which], which, inputs=[nested])) == outputs_of(got)


def test_columns_may_come_as_tensors_of_their_own(clients, houses, frame):
    n = len(frame)
    texts = {"name": "kind", "shape": [n, 1], "datatype": "BYTES", "data": frame["kind"].tolist()}
    numbers = [tensor(frame["rooms"].to_numpy().astype(np.int64), "INT32", "rooms"), tensor(frame["price"].to_numpy(), "FP64", "price")]  # fmt: skip
    got = infer(clients["houses"], "houses", inputs=[texts, *numbers])
    assert got.status_code == 200, got.text
    assert_answers(outputs_of(got), houses[1].assign(frame))


def test_only_the_outputs_asked_for_come_and_in_that_order(clients, rows):
    asked = [{"name": "distance"}, {"name": "cluster"}]
    got = infer(clients["plain"], inputs=[tensor(rows)], outputs=asked).json()
    assert [o["name"] for o in got["outputs"]] == ["distance", "cluster"]
    assert [o["shape"] for o in got["outputs"]] == [[50], [50]]


def as_binary(document, *parts):
    head = json.dumps(document).encode()
    return head + b"".join(parts), {LENGTH: str(len(head)), "content-type": "application/octet-stream"}


def read_binary(got):
    length = int(got.headers[LENGTH])
    head, at, held = json.loads(got.content[:length]), length, {}
    for output in head["outputs"]:
        if "data" in output:
            held[output["name"]] = output["data"]
            continue
        size = output["parameters"]["binary_data_size"]
        kind = {"INT64": "<i8", "FP64": "<f8"}[output["datatype"]]
        held[output["name"]] = np.frombuffer(got.content[at : at + size], kind).tolist()
        at += size
    assert at == len(got.content)
    return held


def test_binary_data_holds_the_same_both_ways(clients, plain, rows):
    card = {"name": "input", "shape": [50, 4], "datatype": "FP32", "parameters": {"binary_data_size": 800}}
    body, headers = as_binary({"inputs": [card], "parameters": {"binary_data_output": True}}, rows.tobytes())
    got = clients["plain"].post("/v2/models/plain/infer", content=body, headers=headers)
    assert got.status_code == 200, got.text
    assert got.headers["content-type"] == "application/octet-stream"
    assert_answers(read_binary(got), plain[1].assign(rows))
    mixed = {"inputs": [card], "outputs": [{"name": "cluster", "parameters": {"binary_data": True}}, {"name": "distance"}]}  # fmt: skip
    body, headers = as_binary(mixed, rows.tobytes())
    told = read_binary(clients["plain"].post("/v2/models/plain/infer", content=body, headers=headers))
    assert told["cluster"] == plain[1].assign(rows).ids.tolist()
    assert told["distance"] == plain[1].assign(rows).distances.tolist()
    plainly = clients["plain"].post("/v2/models/plain/infer", content=as_binary({"inputs": [card]}, rows.tobytes())[0], headers=headers | {LENGTH: str(len(json.dumps({"inputs": [card]})))})  # fmt: skip
    assert LENGTH not in plainly.headers
    assert_answers(outputs_of(plainly), plain[1].assign(rows))


def test_texts_in_binary_are_read_as_in_json(clients, houses, frame):
    part = frame[:20]
    texts = b"".join(struct.pack("<I", len(t)) + t.encode() for t in part["kind"])
    cards = [
        {"name": "kind", "shape": [20], "datatype": "BYTES", "parameters": {"binary_data_size": len(texts)}},
        tensor(part["rooms"].to_numpy(), "FP64", "rooms"),
        {"name": "price", "shape": [20], "datatype": "FP64", "parameters": {"binary_data_size": 160}},
    ]
    body, headers = as_binary({"inputs": cards}, texts, part["price"].to_numpy().tobytes())
    got = clients["houses"].post("/v2/models/houses/infer", content=body, headers=headers)
    assert got.status_code == 200, got.text
    assert_answers(outputs_of(got), houses[1].assign(part))


WRONG = {
    "no json": ("{", "JSON"),
    "deep json": ("[" * 100_000, "JSON"),
    "a list": ("[]", "object"),
    "no inputs": ({}, "inputs"),
    "no input": ({"inputs": []}, "inputs"),
    "nameless": ({"inputs": [{}]}, "without a name"),
    "no shape": ({"inputs": [{"name": "input", "datatype": "FP32", "data": []}]}, "shape"),
    "negative": ({"inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 4], "data": []}]}, "shape"),
    "datatype": ({"inputs": [tensor(np.ones((1, 4)), "COMPLEX")]}, "COMPLEX"),
    "unhashable datatype": ({"inputs": [{"name": "input", "datatype": ["FP32"], "shape": [1], "data": [1]}]}, "datatype"),
    "no data": ({"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 4]}]}, "no data"),
    "too few": ({"inputs": [tensor(np.ones((1, 3)), shape=[1, 4])]}, "3 values"),
    "width": ({"inputs": [tensor(np.ones((2, 3)))]}, "[n, 4]"),
    "flat": ({"inputs": [tensor(np.ones(4))]}, "[n, 4]"),
    "ragged": ({"inputs": [{**tensor(np.ones((2, 4))), "data": [[1, 2], [3]]}]}, "FP32"),
    "texts": ({"inputs": [{**tensor(np.ones((1, 4)), "BYTES"), "data": ["a"] * 4}]}, "[n]"),
    "text": ({"inputs": [{**tensor(np.ones((1, 4))), "data": ["a"] * 4}]}, "FP32"),
    "too large": ({"inputs": [tensor(np.full((1, 4), 300), "INT8")]}, "INT8"),
    "nan": ({"inputs": [tensor(np.full((1, 4), math.nan))]}, "row 1"),
    "no rows": ({"inputs": [tensor(np.ones((0, 4)))]}, "no rows"),
    "twice": ({"inputs": [tensor(np.ones((1, 4)))] * 2}, "twice"),
    "unknown": ({"inputs": [tensor(np.ones((1, 4)), name="x")]}, "no such input"),
    "missing": ({"inputs": [tensor(np.ones(1), name="x0")]}, "missing"),
    "unequal": ({"inputs": [tensor(np.ones(1 + (i == 2)), name=f"x{i}") for i in range(4)]}, "number of rows"),
    "output": ({"inputs": [tensor(np.ones((1, 4)))], "outputs": [{"name": "x"}]}, "no output"),
    "outputs": ({"inputs": [tensor(np.ones((1, 4)))], "outputs": 3}, "outputs"),
    "binary": ({"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}]}, "binary_data_size"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_as_the_protocol_has_errors(clients, case):
    document, error = WRONG[case]
    body = document if isinstance(document, str) else json.dumps(document)
    got = clients["plain"].post("/v2/models/plain/infer", content=body)
    assert got.status_code == 400, got.text
    assert set(got.json()) == {"error"}
    assert error in got.json()["error"]


def test_limits_unknown_models_and_lengths_that_lie_are_refused(plain, rows):
    client = client_of(plain[0], max_rows=49, max_body=3000)
    assert infer(client, inputs=[tensor(rows[:, :1], shape=[50, 1])]).status_code in (400, 413)
    card = {"name": "input", "shape": [50, 4], "datatype": "FP32", "parameters": {"binary_data_size": 800}}
    body, headers = as_binary({"inputs": [card]}, rows.tobytes())
    path = "/v2/models/plain/infer"
    assert client.post(path, content=body, headers=headers).status_code == 413
    assert client.post(path, content=b" " * 4000).status_code == 413
    assert client.post(path, content=body, headers=headers | {"content-encoding": "gzip"}).status_code == 415
    client = client_of(plain[0])
    for length in ("0", "-1", "x", "1e3", str(len(body) + 1), "9" * 5000, "²"):
        got = client.post(path, content=body, headers=headers | {LENGTH: length.encode()})
        assert got.status_code == 400, (length, got.text)
    assert client.post(path, content=body + b"more", headers=headers).status_code == 400
    got = infer(client, "nobody", inputs=[tensor(rows)])
    assert (got.status_code, set(got.json())) == (404, {"error"})
    assert client.get("/v2/models/nobody/ready").status_code == 404


def test_versions_and_aliases_are_asked_for_by_path(tmp_path, rows):
    from shoal.model.aliases import set_alias

    store = ModelStore(tmp_path / "s")
    for k in (2, 3):
        store.publish(build_model(rows, np.ones(50), k_means(rows, k), provenance=Provenance(rows_seen=50)))
    set_alias(store.folder, "champion", 1)
    client = client_of(store.folder)
    assert client.get("/v2/models/s").json()["versions"] == ["1", "2"]
    assert client.get("/v2/models/s/versions/1/ready").status_code == 200
    assert client.get("/v2/models/s/versions/9/ready").status_code == 404
    for path, number in [("s", 2), ("s/versions/1", 1), ("s/versions/2", 2), ("s/versions/champion", 1), ("s@1", 1)]:  # fmt: skip
        got = infer(client, path, inputs=[tensor(rows)]).json()
        assert got["model_version"] == str(number)
        assert got["outputs"][0]["data"] == store.load(number).model.assign(rows).ids.tolist()


def test_without_a_version_the_service_is_not_ready(tmp_path):
    (tmp_path / "s").mkdir()
    client = client_of(tmp_path / "s")
    assert client.get("/v2/health/ready").status_code == 400
    assert client.get("/v2/models/s/ready").json() == {"name": "s", "ready": False}
    assert client.get("/v2/models/s").status_code == 503
    assert client.get("/v2/health/live").status_code == 200


def test_a_model_of_one_cluster_has_no_second_distance(tmp_path, rows):
    save_model(
        build_model(rows, np.ones(50), k_means(rows, 1), provenance=Provenance(rows_seen=50)), tmp_path / "m"
    )
    client = client_of(tmp_path / "m")
    names = [o["name"] for o in client.get("/v2/models/m").json()["outputs"]]
    assert names == ["cluster", "distance", "outlier_score"]
    got = infer(client, "m", inputs=[tensor(rows)])
    assert list(outputs_of(got)) == names
    assert infer(client, "m", inputs=[tensor(rows)], outputs=[{"name": "second_distance"}]).status_code == 400


def test_rows_the_model_filters_out_have_no_cluster(frame, tmp_path):
    import shoal

    found = shoal.fit(frame, 2, columns=("price",), where="rooms > 4").save(tmp_path / "m")
    client = client_of(tmp_path / "m")
    inputs = [tensor(frame[c].to_numpy(), "FP64", c) for c in ("price", "rooms")]
    told = outputs_of(infer(client, "m", inputs=inputs))
    meant = (frame["rooms"] > 4).to_numpy()
    assert [c >= 0 for c in told["cluster"]] == meant.tolist()
    assert [d is not None for d in told["distance"]] == meant.tolist()
    assert [c for c in told["cluster"] if c >= 0] == found.assign(frame).ids.tolist()


NUMBERS = {
    "INT16": "<i2",
    "UINT8": "u1",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BOOL": "?",
}


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_numbers_are_the_same_in_binary_flat_and_nested(data):
    datatype = data.draw(st.sampled_from(sorted(NUMBERS)))
    n, width = data.draw(st.integers(0, 4)), data.draw(st.integers(1, 4))
    values = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n * width, max_size=n * width)))
    values = values.reshape(n, width).astype(NUMBERS[datatype])
    card = {"name": "x", "datatype": datatype, "shape": [n, width]}
    binary = card | {"parameters": {"binary_data_size": values.nbytes}}
    read = [
        read_tensor(binary, memoryview(values.tobytes() + b"rest")),
        read_tensor(card | {"data": values.ravel().tolist()}, memoryview(b"rest")),
        read_tensor(card | {"data": values.tolist()}, memoryview(b"rest")),
    ]
    for held, rest in read:
        assert bytes(rest) == b"rest"
        assert held.shape == (n, width)
        assert np.array_equal(held.values, values)


@pytest.mark.parametrize("change", [{}, {"id": "é"}, {"id": 3, "outputs": [{"name": "x"}]}])
def test_long_documents_are_read_as_short_ones(monkeypatch, change):
    pytest.importorskip("simdjson")
    numbers = [*np.random.default_rng(3).normal(size=20).tolist(), 3, -0.0, 1e308, 2**60]
    inputs = [
        {"name": "a", "datatype": "FP64", "shape": [24], "data": numbers},
        {"name": "b", "datatype": "FP64", "shape": [2, 2], "data": [[1, 2], [3, 4]], "parameters": {"p": 1}},
        {"name": "c", "datatype": "INT64", "shape": [1], "data": [2**60 + 1]},
        {"name": "d", "datatype": "BYTES", "shape": [2], "data": ["é", None]},
        {"name": "e", "datatype": "FP32", "shape": [0], "data": []},
        {"name": "f", "datatype": "FP32", "shape": [1]},
    ]
    document = {"inputs": inputs} | change
    monkeypatch.setattr(tensor_json, "LONG", 0)
    read = tensor_json.long_document(json.dumps(document).encode())
    assert isinstance(read["inputs"][0]["data"], np.ndarray)
    for entry in read["inputs"]:
        if isinstance(entry.get("data"), np.ndarray):
            entry["data"] = entry["data"].tolist()
    assert read == document
    for wrong in (b"{", b"[]", b'{"inputs": [{"datatype": "FP64", "data": [NaN]}]}', b'{"inputs": 3}'):
        assert tensor_json.long_document(wrong) is None


def test_a_long_request_is_answered_as_the_model_would(clients, plain, rows):
    many = np.tile(rows, (20, 1))
    for sent in (many, many.astype(np.float64)):
        got = infer(clients["plain"], inputs=[tensor(sent, "FP32" if sent.dtype == np.float32 else "FP64")])
        assert_answers(outputs_of(got), plain[1].assign(sent))
    spoiled = tensor(many, "FP64") | {"shape": [999, 4]}
    assert "its shape 3996" in infer(clients["plain"], inputs=[spoiled]).json()["error"]


def test_texts_are_answered_with_their_topics(topic_file):
    client = client_of(topic_file)
    name = client.get("/v1/models").json()["models"][0]["name"]
    assert client.get(f"/v2/models/{name}").json()["inputs"] == [
        {"name": "input", "datatype": "BYTES", "shape": [-1]}
    ]
    texts = ["my card was stolen", "what is the euro rate", "my card was stolen"]
    asked = client.post(f"/v1/models/{name}/assign", json={"rows": texts}).json()["rows"]
    card = {"shape": [3], "datatype": "BYTES", "data": texts}
    for column in ("input", "text"):
        told = outputs_of(infer(client, name, inputs=[card | {"name": column}]))
        assert told["cluster"] == [row["id"] for row in asked]
        assert told["distance"] == [row["distance"] for row in asked]
    for data, error in (
        (["a", "", "b"], "row 2"),
        (["a", 3, "b"], "value 2"),
        (["a", "\ud800", "b"], "Unicode"),
    ):
        got = infer(client, name, inputs=[card | {"name": "input", "data": data}])
        assert (got.status_code, error in got.text) == (400, True)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5), st.binary(max_size=12))
def test_texts_come_back_from_binary_and_anything_else_is_refused(texts, noise):
    body = b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)
    card = {"name": "x", "datatype": "BYTES", "shape": [len(texts)]}
    size = {"parameters": {"binary_data_size": len(body)}}
    assert read_tensor(card | size, memoryview(body))[0].values == texts
    if noise:
        spoiled = {"parameters": {"binary_data_size": len(body) + len(noise)}}
        with pytest.raises(BadInputError):
            read_tensor(card | spoiled, memoryview(body + noise))


SILENT = {
    "a part of a whole number": ("INT64", [20.9, 1, 1, 1], "value 1"),
    "a text as a number": ("FP32", [1, 1, 1, "1.5"], "value 4"),
    "a truth as a number": ("FP64", [1, True, 1, 1], "value 2"),
    "a text as a truth": ("BOOL", [True, "false", True, True], "value 2"),
    "nothing as a whole number": ("UINT8", [1, 1, None, 1], "value 3"),
}


@pytest.mark.parametrize("case", SILENT)
def test_no_value_is_turned_into_another(clients, case):
    datatype, data, place = SILENT[case]
    got = infer(
        clients["plain"], inputs=[{"name": "input", "datatype": datatype, "shape": [1, 4], "data": data}]
    )
    assert got.status_code == 400, got.text
    assert f"'input', {place}: is no {datatype}" in got.json()["error"]


def test_long_documents_do_not_turn_texts_into_numbers(clients):
    data = [0.25] * 7999 + ["1.5"]
    got = infer(
        clients["plain"], inputs=[{"name": "input", "datatype": "FP32", "shape": [2000, 4], "data": data}]
    )
    assert (got.status_code, "value 8000" in got.text) == (400, True)


def test_a_whole_number_may_be_written_with_a_point(clients, plain):
    got = infer(clients["plain"], inputs=[{"name": "input", "datatype": "INT8", "shape": [1, 4], "data": [3.0, 1, 2, 4]}])  # fmt: skip
    assert outputs_of(got)["cluster"] == plain[1].predict([[3.0, 1, 2, 4]]).tolist()
    got = infer(clients["plain"], inputs=[{"name": "input", "datatype": "INT8", "shape": [1, 4], "data": [300.0, 1, 2, 4]}])  # fmt: skip
    assert (got.status_code, "INT8" in got.text) == (400, True)


@pytest.mark.parametrize("shape", [[1] * 65, [0, 2**39, 2**39]])
def test_shapes_that_no_array_has_are_refused(clients, shape):
    data = [1] * math.prod(shape)
    got = infer(
        clients["plain"], inputs=[{"name": "input", "datatype": "FP32", "shape": shape, "data": data}]
    )
    assert (got.status_code, "shape" in got.text) == (400, True)


def test_no_error_advises_what_the_protocol_does_not_have(clients):
    for value in (math.nan, 1e300):
        got = infer(clients["plain"], inputs=[tensor(np.full((1, 4), value), "FP64")])
        assert (got.status_code, "on_error" in got.text) == (400, False)
        assert "mend the row" in got.text


def test_a_fault_of_the_files_is_told_as_the_protocol_has_errors(tmp_path, rows):
    from shoal.model.aliases import ALIASES

    store = ModelStore(tmp_path / "s")
    store.publish(build_model(rows, np.ones(50), k_means(rows, 2), provenance=Provenance(rows_seen=50)))
    (store.folder / ALIASES).write_text("{")
    got = infer(client_of(store.folder), "s@champion", inputs=[tensor(rows)])
    assert (got.status_code, set(got.json())) == (503, {"error"})
    assert str(tmp_path) not in got.text
