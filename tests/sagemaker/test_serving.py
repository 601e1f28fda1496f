"""The container's routes: answers of the documented shape, errors with a reason, and a ping that is always answered."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.sagemaker.served_made import expected, free_port, made_artefact, made_model, server

import shoal.sagemaker.serving as serving
from shoal.engines.local import fit
from shoal.errors import ShoalError
from shoal.sagemaker.answering import Answering
from shoal.sagemaker.artefact import CENTRES, write_artefact
from shoal.sagemaker.ndarray_file import ndarray_bytes
from shoal.sagemaker.requests import JSON, JSON_LINES
from shoal.sagemaker.serving import ServingOptions, serving_app
from shoal.sagemaker.tree import CSV, RECORDIO
from shoal.serve.settings import Settings
from shoal.sources.recordio import frame
from shoal.sources.recordio_records import Record, Tensor, encode_record


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_artefact(tmp_path_factory.mktemp("served"))


@pytest.fixture
def client(made):
    return client_of(made[1])


def client_of(path, options=None, **more):
    app = serving_app(Answering.of_artefact(path), options or ServingOptions(), **more)
    return TestClient(app, base_url="http://127.0.0.1")


def csv_of(X) -> str:
    return "\n".join(",".join(map(repr, row)) for row in np.asarray(X, float).tolist())


def test_a_ping_is_answered_with_nothing(client):
    answer = client.get("/ping")
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_closest_cluster_is_a_position_and_the_distance_is_not_squared(client, made):
    positions, distances = expected(*made)
    answer = client.post("/invocations", content=csv_of(made[0]), headers={"Content-Type": CSV})
    found = answer.json()["predictions"]
    assert answer.headers["content-type"] == JSON
    assert [one["closest_cluster"] for one in found] == positions.tolist()
    np.testing.assert_allclose([one["distance_to_cluster"] for one in found], distances, rtol=1e-9)
    assert b'"closest_cluster": 0.0' in answer.content  # a float, as clients know it


def test_no_content_type_is_csv(client, made):
    sent = {"Accept": "text/csv"}
    named = client.post("/invocations", content=csv_of(made[0]), headers=sent | {"Content-Type": CSV})
    bare = client.post("/invocations", content=csv_of(made[0]), headers=sent)
    assert bare.content == named.content
    assert len(bare.text.split("\n")) == len(made[0])


@pytest.mark.parametrize(
    ("headers", "body", "status", "reason"),
    [
        ({"Content-Type": CSV}, "1,2", 400, "has 2 values, the model takes 4"),
        ({"Content-Type": CSV}, "", 400, "holds no records"),
        ({"Content-Type": "text/csv;label_size=x"}, "1,2,3,4", 400, "label_size is 'x'"),
        ({"Content-Type": "image/png"}, "1,2,3,4", 415, "content type is not read"),
        ({"Content-Type": CSV, "Content-Encoding": "gzip"}, "1", 415, "compressed bodies are not read"),
        ({"Content-Type": CSV, "Accept": "image/png"}, "1,2,3,4", 406, "cannot answer in that format"),
        ({"Content-Type": CSV}, "1e200,2,3,4", 400, "lies too far out"),
        ({"Content-Type": CSV}, "1" * (1 << 20) + "," * (1 << 20), 413, "longer than 1048576 bytes"),
    ],
)
def test_what_is_refused_has_a_reason(made, headers, body, status, reason):
    client = client_of(made[1], ServingOptions(max_payload_mb=1))
    answer = client.post("/invocations", content=body, headers=headers)
    assert answer.status_code == status
    assert reason in answer.json()["error"]
    assert answer.json()["remedy"]


@pytest.mark.parametrize(
    ("path", "status"), [("/", 404), ("/invocations", 405), ("/models/x/invoke", 404), ("/openapi.json", 404)]
)
def test_there_are_no_other_routes(client, path, status):
    assert client.get(path).status_code == status


def test_requests_for_other_hosts_are_answered_only_where_all_are_let_in(made):
    for let_in, status in ((False, 421), (True, 200)):
        client = client_of(made[1], open_to_all=let_in)
        assert client.get("/ping", headers={"Host": "model.internal:8080"}).status_code == status


def test_custom_attributes_come_back(client):
    sent = {"Content-Type": CSV, "X-Amzn-SageMaker-Custom-Attributes": "trace=7"}
    for body in ("1,2,3,4", "1"):
        answer = client.post("/endpoints/any/invocations", content=body, headers=sent)
        assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "trace=7"


def test_batch_jobs_are_told_how_to_ask(made):
    options = ServingOptions.of_environment(
        {"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "8", "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD"}
    )
    assert client_of(made[1], options).get("/execution-parameters").json() == {
        "MaxConcurrentTransforms": 8,
        "BatchStrategy": "SINGLE_RECORD",
        "MaxPayloadInMB": 6,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "http"),
        ("SAGEMAKER_HTTP_PORT", "70000"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "-1"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "image/png"),
    ],
)
def test_an_environment_that_makes_no_sense_is_an_error(name, value):
    with pytest.raises(ShoalError, match=value):
        ServingOptions.of_environment({name: value})


def test_the_environment_decides_port_and_format():
    told = {"SAGEMAKER_HTTP_PORT": "81", "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": JSON_LINES}
    assert ServingOptions.of_environment({}).port == 8080
    options = ServingOptions.of_environment(told)
    assert (options.port, options.accept) == (81, JSON_LINES)
    assert ServingOptions.of_environment(told | {"SAGEMAKER_BIND_TO_PORT": "82"}).port == 82


def test_an_artefact_made_elsewhere_is_served(tmp_path):
    centres = np.float32([[0, 0], [3, 4]])
    (tmp_path / CENTRES).write_bytes(ndarray_bytes([centres]))
    answer = client_of(tmp_path).post("/invocations", content="3,3", headers={"Accept": "text/csv"})
    assert answer.text == "1.0,1.0"


def test_a_model_of_vectors_with_a_recipe_is_served(tmp_path):
    X = np.random.default_rng(5).normal(size=(100, 3)).astype(np.float32)
    model = fit(X, k=2).model
    assert model.recipe is not None
    write_artefact(tmp_path, model)
    found = client_of(tmp_path).post("/invocations", content=csv_of(X)).json()["predictions"]
    answering = Answering.of_artefact(tmp_path)
    rows = answering.served.recipe.to_original(answering.served.model.centres)
    nearest = np.linalg.norm(X[:, None] - rows, axis=2).argmin(axis=1)
    assert [one["closest_cluster"] for one in found] == nearest.tolist()


def test_a_model_that_asks_for_more_than_numbers_is_refused_at_once(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"x": [0.0, 1, 2, 9, 10, 11], "kind": list("aabbab")})
    write_artefact(tmp_path, fit(frame, 2, columns=("x",), one_hot=("kind",)).model)
    with pytest.raises(ShoalError, match="use shoal serve"):
        Answering.of_artefact(tmp_path)


def test_rows_without_direction_are_named_under_the_cosine(tmp_path):
    X, model = made_model(metric="cosine")
    write_artefact(tmp_path, model)
    answer = client_of(tmp_path).post("/invocations", content=csv_of(X[:2]) + "\n0,0,0,0")
    assert (answer.status_code, answer.json()["place"]) == (400, "request, record 3")


def test_many_clients_get_their_own_answers_and_pings_do_not_wait(tmp_path):
    X, path = made_artefact(tmp_path, centres=50, width=20, rows=4000)
    positions, _ = expected(X, path)
    wrong, slowest, done = [], 0.0, threading.Event()

    def ask(address: str, part: slice) -> None:
        while not done.is_set():
            request = urllib.request.Request(
                f"{address}/invocations", csv_of(X[part]).encode(), {"Content-Type": CSV, "Accept": CSV}
            )
            answer = urllib.request.urlopen(request, timeout=30).read().decode()
            found = [float(line.split(",")[0]) for line in answer.split("\n")]
            if found != positions[part].tolist():
                wrong.append(part)

    with server(path) as address:
        parts = [slice(i * 500, (i + 1) * 500) for i in range(8)]
        threads = [threading.Thread(target=ask, args=(address, part)) for part in parts]
        for thread in threads:
            thread.start()
        for _ in range(10):
            began = time.perf_counter()
            assert urllib.request.urlopen(f"{address}/ping", timeout=10).status == 200
            slowest = max(slowest, time.perf_counter() - began)
            time.sleep(0.1)
        done.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert slowest < 2.0


def sparse_body(rows: int, width: int) -> bytes:
    one = Record({"values": Tensor(np.float32([1]), np.uint64([0]), (width,))})
    return frame(encode_record(one)) * rows


@pytest.mark.parametrize("rows", [100, 600])  # a short body, and one that another thread reads
def test_what_sparse_rows_unpack_to_counts_among_the_bytes_that_wait(tmp_path, monkeypatch, rows):
    width = 1 << 14
    (tmp_path / "model_algo-1").write_bytes(ndarray_bytes([np.eye(2, width, dtype=np.float32)]))
    body, headers = sparse_body(rows, width), {"Content-Type": RECORDIO, "Accept": CSV}
    threads = []
    read = Answering.read

    def watched(*given):
        threads.append(threading.current_thread().name.startswith("AnyIO worker"))
        return read(*given)

    monkeypatch.setattr(Answering, "read", watched)
    client = client_of(tmp_path)
    for _ in range(2):  # room that was taken is given back
        answer = client.post("/invocations", content=body, headers=headers)
        assert answer.content.split(b"\n") == [b"0.0,0.0"] * rows
    assert threads == ([False, True] if len(body) <= serving._SMALL else [True]) * 2
    scarce = functools.partial(Settings, max_waiting_bytes=rows * width * 4)
    monkeypatch.setattr(serving, "Settings", scarce)
    refused = client_of(tmp_path).post("/invocations", content=body, headers=headers)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")


def test_the_command_serves_and_ends_in_good_order(made):
    port = free_port()
    script = "import sys; from pathlib import Path; from shoal.cli.sagemaker.serve import run; run(Path(sys.argv[1]))"
    env = os.environ | {"SAGEMAKER_BIND_TO_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-c", script, made[1]], env=env, stderr=subprocess.PIPE
    ) as process:
        try:
            told = process.stderr.readline().decode()
            assert f"127.0.0.1:{port}/invocations" in told
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/invocations", csv_of(made[0][:2]).encode(), {"Content-Type": CSV}
            )
            found = json.load(urllib.request.urlopen(request, timeout=20))
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    assert len(found["predictions"]) == 2
