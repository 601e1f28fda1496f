"""What may be asked of labels: columns, the nearest clusters, all distances, bare ids."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal.serve.distances as distances_module
import shoal.serve.json_answers as json_answers
from shoal.model.cluster_model import Provenance
from shoal.serve.app import create_app
from shoal.serve.assign_options import MOST_NEAREST, Options
from shoal.serve.distances import nearest_clusters, shown_distances
from shoal.serve.json_answers import json_lists, json_rows
from shoal.serve.models import Models

JSON, CSV = "application/json", "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
RAW = "application/octet-stream"
LOCAL = "http://127.0.0.1"
COLUMNS = ["id", "distance", "second_distance", "outlier_score"]


def client_of(path):
    return TestClient(create_app(Models.of_path(path)), LOCAL, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(plain):
    return client_of(plain[0])


@pytest.fixture(scope="module")
def topics(topic_file):
    return client_of(topic_file)


def post(client, rows, accept=JSON, what="assign", **parameters):
    return client.post(
        f"/v1/models/plain/{what}",
        content=rows.tobytes(),
        headers={"content-type": RAW, "accept": accept},
        params={"width": 4} | parameters,
    )


def arrow_of(answer):
    return pa.ipc.open_stream(answer.content).read_all()


@pytest.mark.parametrize("count", [2, 50])
def test_the_nearest_clusters_come_in_order_and_begin_with_the_one(client, plain, rows, count):
    model, sent = plain[1], rows[:count]
    expected = model.transform(sent)
    order = np.argsort(expected, axis=1)[:, :2]
    told = post(client, sent, n=2).json()["rows"]
    assert [r["nearest"] for r in told] == model.ids[order].tolist()
    assert [r["nearest"][0] for r in told] == [r["id"] for r in told]
    assert [r["nearest_distances"][0] for r in told] == [r["distance"] for r in told]
    got = np.array([r["nearest_distances"] for r in told])
    assert got == pytest.approx(np.take_along_axis(expected, order, axis=1))
    assert arrow_of(post(client, sent, ARROW, n=2))["nearest"].to_pylist() == [r["nearest"] for r in told]
    table = pd.read_csv(io.StringIO(post(client, sent, CSV, n=2).text), float_precision="round_trip")
    assert list(table) == [*COLUMNS, "id_1", "distance_1", "id_2", "distance_2"]
    assert table[["id_1", "id_2"]].values.tolist() == [r["nearest"] for r in told]
    assert table[["distance_1", "distance_2"]].values.tolist() == [r["nearest_distances"] for r in told]


def test_more_clusters_than_there_are_is_all_of_them(client, rows):
    told = post(client, rows[:3], n=MOST_NEAREST).json()["rows"]
    assert [sorted(r["nearest"]) for r in told] == [[0, 1, 2]] * 3


@pytest.mark.parametrize("accept", [JSON, CSV, ARROW])
def test_only_the_columns_asked_for_are_answered_in_their_order(client, rows, accept):
    answer = post(client, rows[:3], accept, columns="distance,id", n=1)
    if accept == JSON:
        assert list(answer.json()["rows"][0]) == ["distance", "id"]
    elif accept == CSV:
        assert answer.text.splitlines()[0] == '"distance","id"'
    else:
        assert arrow_of(answer).column_names == ["distance", "id"]


def test_ids_alone_are_little_endian_integers_with_minus_one_for_no_row(client, plain, rows):
    spoiled = rows.copy()
    spoiled[7] = np.nan
    answer = post(client, spoiled, RAW, on_error="skip")
    assert answer.headers["content-type"] == RAW
    expected = plain[1].predict(rows)
    expected[7] = -1
    assert np.frombuffer(answer.content, "<i8").tolist() == expected.tolist()
    assert post(client, rows, RAW, n=2, columns="distance").content == post(client, rows, RAW).content


@pytest.mark.parametrize("accept", [JSON, CSV, ARROW])
def test_all_distances_are_those_of_the_model(client, plain, rows, accept):
    spoiled = rows.copy()
    spoiled[7] = np.inf
    answer = post(client, spoiled, accept, "transform", on_error="skip")
    assert answer.headers["x-model-version"] == plain[1].version
    if accept == JSON:
        told = answer.json()
        names, got = told["ids"], told["rows"]
        assert got[7] is None
        got[7] = [math.nan] * 3
    elif accept == CSV:
        table = pd.read_csv(io.StringIO(answer.text), float_precision="round_trip")
        names, got = [int(c) for c in table], table.values
    else:
        names = [int(c) for c in arrow_of(answer).column_names]
        got = np.array(list(arrow_of(answer).to_pydict().values()), float).T
    assert names == plain[1].ids.tolist()
    expected = plain[1].transform(rows)
    expected[7] = np.nan
    np.testing.assert_array_equal(np.array(got, float), expected)


def test_what_cannot_be_asked_is_told(client, rows, monkeypatch):
    for parameters, place in [
        ({"n": 0}, "?n="),
        ({"n": MOST_NEAREST + 1}, "?n="),
        ({"n": "９"}, "?n="),
        ({"n": "1e1"}, "?n="),
        ({"columns": "id,distant"}, "?columns="),
        ({"columns": ""}, "?columns="),
        ({"columns": "nearest"}, "?columns="),
        ({"on_error": "ignore"}, "?on_error="),
        ({"width": "9" * 400}, "?width="),
    ]:
        got = post(client, rows, **parameters)
        assert got.status_code == 422, parameters
        assert place in got.json()["place"]
    assert post(client, rows, RAW, "transform").status_code == 406
    monkeypatch.setattr(distances_module, "MOST", 149)
    assert post(client, rows, what="transform").status_code == 413
    assert post(client, rows, n=1).status_code == 413
    assert post(client, rows[:49], n=1).status_code == 200


def test_options_are_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    described = paths["/v1/models/{name}/assign"]["post"]["parameters"]
    assert [p["name"] for p in described] == ["name", *(f for f in Options.__dataclass_fields__)]


def test_texts_are_answered_with_the_name_of_their_topic(topics):
    sent = ["my card was stolen", "what is the euro rate", "my card was stolen"]
    body = json.dumps({"rows": sent})
    told = topics.post("/v1/models/tickets/assign", content=body, headers={"content-type": JSON})
    rows = told.json()["rows"]
    assert list(rows[0]) == ["id", "name", *COLUMNS[1:]]
    assert rows[0] == rows[2]
    assert "card" in rows[0]["name"]
    assert rows[1]["name"] != rows[0]["name"]


def test_topics_that_were_merged_are_told_once_at_their_nearest(topic_file):
    models = Models.of_path(topic_file)
    served = models.get(models.names[0])
    model = served.model
    a, b = (int(model.ids[i]) for i in (0, 2))
    merged = replace(served.topics, curation=replace(served.topics.curation, groups={b: a}))
    served = replace(served, topics=merged)
    X = np.random.default_rng(0).normal(size=(20, model.n_features))
    full = model.transform(X)
    ids, distances = shown_distances(served, X)
    assert ids.tolist() == [int(i) for i in model.ids if i != b]
    np.testing.assert_array_equal(distances[:, ids.tolist().index(a)], np.minimum(full[:, 0], full[:, 2]))
    nearest, how_far = nearest_clusters(served, X, model.assign(X), model.k)
    assert all(len(set(row)) == model.k - 1 for row in nearest.tolist())
    assert (np.diff(how_far, axis=1) >= 0).all()
    assert how_far[:, 0] == pytest.approx(full.min(axis=1))


def test_the_first_of_the_nearest_is_the_answer_at_a_tie(plain, rows):
    models = Models.of_path(plain[0])
    model = plain[1].replace(
        centres=np.tile(plain[1].centres[:1], (3, 1)), provenance=Provenance(rows_seen=50)
    )
    served = replace(models.get("plain"), model=model)
    found = model.assign(rows)
    nearest, how_far = nearest_clusters(served, rows, found, 3)
    assert nearest[:, 0].tolist() == found.ids.tolist()
    assert (np.sort(nearest, axis=1) == [0, 1, 2]).all()
    assert (np.diff(how_far, axis=1) >= 0).all()


VALUES = st.one_of(st.none(), st.floats())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), VALUES, st.one_of(st.none(), st.text())), min_size=1, max_size=8))  # fmt: skip
def test_json_is_the_same_however_it_is_written(rows):
    ids, numbers, names = zip(*rows, strict=True)
    table = pa.table(
        {
            'i"d': pa.array(ids, pa.int64()),
            "x": pa.array(numbers, pa.float64()),
            "name": pa.array([None if n is None else n.encode("utf-8", "ignore").decode() for n in names], pa.string()),
            "pair": pa.array([None if x is None else [x, 0.5] for x in numbers], pa.list_(pa.float64())),
        }
    )  # fmt: skip
    small = json.loads(b"[" + json_rows(table) + b"]")
    before = json_answers.FEW
    json_answers.FEW = 0
    try:
        large = json.loads(b"[" + json_rows(table) + b"]")
    finally:
        json_answers.FEW = before
    assert small == large
    lists = json.loads(b"[" + json_lists(table.select(["x", "x"])) + b"]")
    assert lists == [None if x is None else [x if math.isfinite(x) else None] * 2 for x in numbers]


def test_one_answer_tells_one_distance_to_the_second_cluster(client, rows):
    for n in (2, 3):
        told = post(client, rows, n=n).json()["rows"]
        assert [r["nearest_distances"][1] for r in told] == [r["second_distance"] for r in told]
