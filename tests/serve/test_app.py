"""The routes, asked in every format and in every wrong way."""

from __future__ import annotations

import io
import json
import re

import anyio
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

import shoal.serve.routes.assign as assign_module
from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.model.store import ModelStore
from shoal.serve.app import create_app
from shoal.serve.metrics import Metrics
from shoal.serve.models import Models
from shoal.serve.settings import Settings

ARROW = "application/vnd.apache.arrow.stream"
RAW = "application/octet-stream"
LOCAL = "http://127.0.0.1"


def client_of(path, **settings):
    return TestClient(
        create_app(Models.of_path(path), Settings(**settings)), LOCAL, raise_server_exceptions=False
    )


@pytest.fixture(scope="module")
def client(houses):
    return client_of(houses[0], max_body=200_000, max_rows=1000)


def arrow_body(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def post(client, body, kind, name="houses", accept="application/json", **parameters):
    return client.post(
        f"/v1/models/{name}/assign",
        content=body,
        headers={"content-type": kind, "accept": accept},
        params=parameters,
    )


def assert_answers(rows, expected):
    assert [r["id"] for r in rows] == expected.ids.tolist()
    assert [r["distance"] for r in rows] == expected.distances.tolist()
    assert [r["second_distance"] for r in rows] == expected.second_distances.tolist()
    assert [r["outlier_score"] for r in rows] == expected.outlier_scores.tolist()


BODIES = {
    "objects": lambda f: (json.dumps({"rows": f.to_dict("records")}), "application/json"),
    "lists": lambda f: (
        json.dumps({"rows": f[["price", "rooms", "kind"]].values.tolist()}),
        "application/json; charset=utf-8",
    ),
    "csv": lambda f: (f.to_csv(index=False), "text/csv"),
    "arrow": lambda f: (arrow_body(pa.Table.from_pandas(f)), ARROW),
    "batches": lambda f: (
        arrow_body(pa.concat_tables([pa.Table.from_pandas(f[:100]), pa.Table.from_pandas(f[100:])])),
        ARROW,
    ),
    "categories": lambda f: (arrow_body(pa.Table.from_pandas(f.astype({"kind": "category"}))), ARROW),
}


@pytest.mark.parametrize("form", BODIES)
def test_every_format_of_rows_is_answered_as_the_model_would(client, houses, frame, form):
    got = post(client, *BODIES[form](frame))
    assert got.status_code == 200, got.text
    assert got.headers["x-model-version"] == houses[1].model.version
    assert_answers(got.json()["rows"], houses[1].assign(frame))


def test_every_format_of_answers_holds_the_same(client, houses, frame):
    body, kind = BODIES["csv"](frame)
    told = post(client, body, kind, accept="text/csv")
    assert told.headers["content-type"].startswith("text/csv")
    read = pd.read_csv(io.StringIO(told.text), float_precision="round_trip")
    assert_answers(read.to_dict("records"), houses[1].assign(frame))
    told = post(client, body, kind, accept=f"{ARROW}, application/json;q=0.5")
    assert told.headers["content-type"] == ARROW
    assert_answers(pa.ipc.open_stream(told.content).read_all().to_pylist(), houses[1].assign(frame))
    assert post(client, body, kind, accept="text/html").status_code == 406


@pytest.mark.parametrize("which", ["plain", "embedded"])
def test_vectors_are_taken_as_they_are(request, rows, which):
    path, saved = request.getfixturevalue(which)
    model = getattr(saved, "model", saved)
    client = client_of(path)
    for body, kind in [
        (rows.tobytes(), RAW),
        (json.dumps({"rows": rows.tolist()}), "application/json"),
        (arrow_body(pa.table({"vector": list(rows)} if which == "embedded" else dict(zip(model.feature_names, rows.T)))), ARROW),
    ]:  # fmt: skip
        got = post(client, body, kind, which, width=4)
        assert got.status_code == 200, got.text
        # without a recipe numbers keep the precision they are sent in
        as_sent = rows.astype(np.float64) if which == "plain" and kind != RAW else rows
        assert_answers(got.json()["rows"], model.assign(as_sent))


def test_rows_the_recipe_cannot_use_are_null_if_asked(client, houses, frame):
    part = frame[:3].copy()
    part.loc[1, "price"] = np.nan
    told = post(client, part.to_csv(index=False), "text/csv", on_error="skip").json()["rows"]
    assert [r["id"] for r in told][1] is None
    assert told[1]["distance"] is None
    assert_answers([told[0], told[2]], houses[1].assign(part.iloc[[0, 2]]))


def test_a_number_as_a_category_is_read_as_in_files(tmp_path):
    table = pd.DataFrame({"x": np.arange(40.0), "code": ["1", "2"] * 20})
    found = shoal_fit(table, tmp_path / "m")
    told = post(
        client_of(tmp_path / "m"), json.dumps({"rows": [[3, 1], [4.0, "2"]]}), "application/json", "m"
    )
    asked = pd.DataFrame({"x": [3.0, 4.0], "code": ["1", "2"]})
    assert_answers(told.json()["rows"], found.assign(asked))


def shoal_fit(table, path):
    import shoal

    return shoal.fit(table, 2, columns=("x",), one_hot=("code",)).save(path)


def test_rows_the_model_filters_out_are_null(frame, tmp_path):
    import shoal

    found = shoal.fit(frame, 2, columns=("price",), where="rooms > 4 and kind = 'house'").save(tmp_path / "m")
    meant = (frame["rooms"] > 4) & (frame["kind"] == "house")
    client = client_of(tmp_path / "m")
    for form in ("objects", "csv", "arrow", "categories"):
        told = post(client, *BODIES[form](frame), "m").json()["rows"]
        assert [r["id"] is not None for r in told] == meant.tolist()
        assert_answers([r for r in told if r["id"] is not None], found.assign(frame))


def good(**changes):
    return {"price": 1.0, "rooms": 2.0, "kind": "flat"} | changes


def as_json(rows):
    return json.dumps({"rows": rows})


WRONG = {
    "no json": ("{", "application/json", 422, "JSON", None),
    "deep json": ("[" * 100_000, "application/json", 422, "JSON", None),
    "not utf-8": (b'{"rows": ["\xff"]}', "application/json", 422, "JSON", None),
    "no rows key": ("[1]", "application/json", 422, "no list of rows", None),
    "no rows": (as_json([]), "application/json", 422, "no rows", None),
    "mixed": (as_json([[1, 2, "flat"], good()]), "application/json", 422, "neither", None),
    "short": (as_json([[1, 2, "a"], [1, 2]]), "application/json", 422, "2 values", "request, row 2"),
    "text": (as_json([good(), good(rooms="many")]), "application/json", 422, "not a number", "row 2, column 'rooms'"),
    "list": (as_json([good(rooms=[1])]), "application/json", 422, "not a number", "row 1, column 'rooms'"),
    "surrogate": (as_json([good(kind="\ud800")]), "application/json", 422, "not a text", "row 1, column 'kind'"),
    "huge": (as_json([good(rooms=10**400)]), "application/json", 422, "not a number", "row 1, column 'rooms'"),
    "nan": ('{"rows": [[1, 2, "a"], [1, NaN, "a"]]}', "application/json", 422, "missing", "row 2, column 'rooms'"),
    "infinite": ('{"rows": [[Infinity, 2, "a"]]}', "application/json", 422, "infinite", "row 1, column 'price'"),
    "null": (as_json([good(price=None)]), "application/json", 422, "missing", "row 1, column 'price'"),
    "column": (as_json([{"prices": 1, "rooms": 2, "kind": "a"}]), "application/json", 422, "'price'", "request"),
    "odd column": (as_json([{"\ud800": 1}]), "application/json", 422, "'price'", "request"),
    "csv text": ("price,rooms,kind\n1,2,a\n1,x,a\n", "text/csv", 422, "not a number", "row 2, column 'rooms'"),
    "csv ragged": ("price,rooms,kind\n1,2\n", "text/csv", 422, "CSV", None),
    "csv column": ("price,room,kind\n1,2,a\n", "text/csv", 422, "'rooms'", None),
    "csv twice": ("price,price,rooms,kind\n1,1,2,a\n", "text/csv", 422, "two columns", None),
    "csv empty": ("", "text/csv", 422, "'price'", None),
    "csv bytes": (b"price,rooms,kind\n1,2,\xff\n", "text/csv", 422, "CSV", None),
    "arrow bytes": (b"\xff\xff\xff\xff\x10\0\0\0garbage", ARROW, 422, "Arrow", None),
    "arrow empty": (b"", ARROW, 422, "Arrow", None),
    "raw": (b"\0" * 12, RAW, 422, "more than numbers", None),
    "rows": (as_json([good()] * 1001), "application/json", 413, "1001 rows", None),
    "csv rows": ("price,rooms,kind\n" + "1,2,a\n" * 1001, "text/csv", 413, "1001 rows", None),
    "body": (b" " * 200_001, "application/json", 413, "200000 bytes", None),
    "type": ("{}", "application/x-pickle", 415, "content type", None),
    "no type": ("{}", "", 415, "content type", None),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_with_place_and_code(client, case):
    body, kind, status, error, place = WRONG[case]
    got = post(client, body, kind, **({"width": 3} if kind == RAW else {}))
    told = got.json()
    assert got.status_code == status, got.text
    assert set(told) == {"error", "place", "remedy"}
    assert error in told["error"]
    assert place is None or told["place"].endswith(place)
    assert "--" not in (told["remedy"] or "")
    assert "Traceback" not in got.text


def test_raw_bodies_are_checked_against_the_width(plain, rows):
    client = client_of(plain[0], max_rows=60)
    for body, width, status in [
        (rows.tobytes(), None, 422),
        (rows.tobytes(), 5, 422),
        (rows.tobytes()[:-1], 4, 422),
        (rows.tobytes() * 2, 4, 413),
        (rows.tobytes(), "four", 422),
        (rows.tobytes(), 0, 422),
        (b"", 4, 422),
    ]:
        got = post(client, body, RAW, "plain", **({} if width is None else {"width": width}))
        assert got.status_code == status, got.text
        assert set(got.json()) == {"error", "place", "remedy"}
    spoiled = rows.copy()
    spoiled[3, 2] = np.nan
    told = post(client, spoiled.tobytes(), RAW, "plain", width=4).json()
    assert told["place"] == "request, row 4, column 'x2'"
    skipped = post(client, spoiled.tobytes(), RAW, "plain", width=4, on_error="skip").json()["rows"]
    assert [i for i, r in enumerate(skipped) if r["id"] is None] == [3]


@pytest.mark.parametrize("how", ["compressed", "views", "long categories"])
def test_arrow_that_grows_when_read_is_refused(client, frame, how):
    table = pa.Table.from_pandas(frame)
    if how == "compressed":
        body = arrow_body(table, compression="zstd")
    elif how == "views":
        body = arrow_body(table.set_column(1, "kind", table["kind"].cast(pa.string_view())))
    else:
        long = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int8()), ["x" * 5000])
        body = arrow_body(table.set_column(1, "kind", long))
    got = post(client, body, ARROW)
    assert got.status_code == 422
    assert {"compressed": "compressed", "views": "string_view", "long categories": "5000 bytes"}[
        how
    ] in got.text


def test_a_long_body_is_given_up_while_it_is_read(client):
    sent = []

    def parts():
        for _ in range(100):
            sent.append(1)
            yield b" " * 50_000

    assert post(client, parts(), "application/json").status_code == 413


def test_a_slow_body_is_given_up(houses):
    app = create_app(Models.of_path(houses[0]), Settings(body_seconds=0.05))
    sent = []

    async def receive():
        await anyio.sleep(10)

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"text/csv")]
    path = "/v1/models/houses/assign"
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    anyio.run(app, scope, receive, send)
    assert sent[0]["status"] == 408


@pytest.mark.parametrize("form", ["objects", "csv", "arrow", "categories"])
def test_spoiled_bodies_are_answered_whatever_they_hold(client, frame, form):
    body, kind = BODIES[form](frame[:20])
    whole = np.frombuffer(body.encode() if isinstance(body, str) else body, np.uint8)
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(150):
        spoiled = whole.copy()
        spoiled[rng.integers(len(whole), size=rng.integers(1, 8))] = rng.integers(256)
        got = post(client, spoiled[: rng.integers(len(whole) // 2, len(whole) + 1)].tobytes(), kind)
        assert got.status_code in (200, 413, 422), got.text
        seen.add(got.status_code)
    assert 422 in seen


def test_compressed_bodies_unknown_models_and_paths_are_refused(client):
    got = client.post(
        "/v1/models/houses/assign",
        content=b"x",
        headers={"content-type": "text/csv", "content-encoding": "gzip"},
    )
    assert got.status_code == 415
    for path in (
        "/v1/models/nobody",
        "/v1/models/..%2f..%2fetc%2fpasswd",
        "/v1/models/nobody/clusters",
        "/x",
    ):
        got = client.get(path)
        assert got.status_code == 404
        assert set(got.json()) == {"error", "place", "remedy"}
    assert client.get("/v1/models/houses/assign").status_code == 405
    assert client.get("/docs").status_code == 404


def test_a_model_and_its_clusters_are_described(client, houses):
    model = houses[1].model
    assert client.get("/v1/models").json()["models"] == [{"name": "houses", "version": model.version, "k": 3}]
    card = client.get("/v1/models/houses").json()
    assert (card["k"], card["features"]) == (3, list(model.feature_names))
    assert card["provenance"]["rows_seen"] == 300
    cards = client.get("/v1/models/houses/clusters").json()["clusters"]
    centres = houses[1].recipe.to_original(model.centres)
    assert [list(c["centre"].values()) for c in cards] == centres.tolist()
    assert [c["id"] for c in cards] == model.ids.tolist()
    assert sum(c["share"] for c in cards) == pytest.approx(1)
    assert [c["weight"] for c in cards] == model.weights.tolist()


def test_a_service_without_a_version_is_alive_but_not_ready(tmp_path, plain):
    models = Models.of_path(tmp_path)
    client = TestClient(create_app(models), LOCAL)
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 503
    assert client.get(f"/v1/models/{tmp_path.name}").status_code == 503
    ModelStore(tmp_path).publish(plain[1])
    assert models.refresh()
    assert client.get("/health/ready").status_code == 200
    assert client.get(f"/v1/models/{tmp_path.name}").json()["version"] == "1"


def test_all_but_health_asks_for_the_token(houses, frame):
    client = client_of(houses[0], token="s3cret", host="0.0.0.0")
    assert client.get("/health/live").status_code == 200
    for path in ("/v1/models", "/metrics", "/openapi.json", "/nothing"):
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic s3cret"}):
            got = client.get(path, headers=given)
            assert got.status_code == 401
            assert got.headers["www-authenticate"] == "Bearer"
    assert client.get("/v1/models", headers={"authorization": "Bearer s3cret"}).status_code == 200


def test_without_a_token_only_loopback_listens_and_other_host_names_are_refused(client):
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.org"):
        with pytest.raises(ShoalError, match="--token"):
            Settings(host=host)
    for token in ("", "two words", "\n", "é"):
        with pytest.raises(ShoalError, match="token"):
            Settings(token=token)
    assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/v1/models", headers={"host": "localhost:8787"}).status_code == 200


def test_every_answer_has_the_headers(client, frame):
    for got in (
        client.get("/health/live"),
        client.get("/nothing"),
        client.get("/v1/models", headers={"host": "evil.example"}),
        post(client, "{", "application/json"),
        post(client, *BODIES["csv"](frame)),
    ):
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["content-security-policy"].startswith("default-src 'none'")
        assert got.headers["cache-control"] == "no-store"


def test_a_fault_of_the_service_leaves_no_trace_in_the_answer(client, frame, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a secret")

    monkeypatch.setattr(assign_module, "read_rows", broken)
    got = post(client, *BODIES["csv"](frame))
    assert got.status_code == 500
    assert "secret" not in got.text
    assert got.headers["x-content-type-options"] == "nosniff"


def test_metrics_count_by_route_and_never_by_what_clients_make_up(houses, frame):
    client = client_of(houses[0])
    post(client, *BODIES["csv"](frame))
    client.get("/v1/models/made-up")
    client.get("/made-up")
    text = client.get("/metrics").text
    assert 'shoal_requests_total{route="/v1/models/{name}/assign",status="200"} 1.0' in text
    assert 'shoal_requests_total{route="unmatched",status="404"} 1.0' in text
    assert 'shoal_points_total{model="houses"} 300.0' in text
    assert f'shoal_model_version_info{{model="houses",version="{houses[1].model.version}"}} 1.0' in text
    assert 'shoal_request_seconds_count{route="/v1/models/{name}/assign"} 1.0' in text
    assert 'shoal_clusters{model="houses"} 3.0' in text
    assert "made-up" not in text


def test_metrics_count_outlier_scores_as_prometheus_does():
    scores = np.array([0.0, 0.25, 0.26, 0.9, 0.9995, 1.0])
    metrics = Metrics()
    metrics.labelled("m", scores[:2])
    metrics.labelled("m", scores[2:])
    text = metrics.text(Models({})).decode()
    for level, count in (("0.25", 2), ("0.5", 3), ("0.9", 4), ("0.999", 4), ("1", 6), ("+Inf", 6)):
        assert f'shoal_assign_outlier_score_bucket{{le="{level}",model="m"}} {count}.0' in text
    assert 'shoal_assign_outlier_score_count{model="m"} 6.0' in text
    total = re.search(r'shoal_assign_outlier_score_sum\{model="m"\} (\S+)', text)
    assert float(total[1]) == pytest.approx(scores.sum())


def test_metrics_know_a_few_kinds_of_changes():
    metrics = Metrics()
    for kind in ("born", "born", "split", "something new", "and another"):
        metrics.changed("m", kind)
    text = metrics.text(Models({})).decode()
    assert 'shoal_cluster_events_total{kind="born",model="m"} 2.0' in text
    assert 'shoal_cluster_events_total{kind="other",model="m"} 2.0' in text


def test_a_csv_header_without_end_is_refused_before_it_is_parsed(houses, monkeypatch):
    client = client_of(houses[0])

    def parsed(*_, **__):
        raise AssertionError("it was parsed")

    monkeypatch.setattr("shoal.serve.rows.pa_csv.read_csv", parsed)
    names = "price,rooms,kind"
    for header in (
        "," * 3_000_000,
        f"{names}," + "c," * 20_000 + "\n1,2,flat\n",
        f"{names}," + '"' + "é\n" * 60_000 + '"' + ',"\n"' * 1_000_000,
        f"{names}," + (',"' + "é\n" * 30 + '"') * 15_000 + "," * 10**6,
    ):
        got = post(client, header, "text/csv")
        assert got.status_code == 422, got.text
    assert "20000 columns" in got.text


def test_a_short_csv_header_may_stand_before_a_long_body(tmp_path):
    found = shoal_fit(pd.DataFrame({"x": np.arange(40.0), "code": ["1", "2"] * 20}), tmp_path / "m")
    lines = [b"3,1," + b"a" * 100, b"3,1," + b"\xff" * 100]
    body = b"\n".join([b"x,code,more", *lines[:1] * 100, *lines[1:] * 11_000])
    got = post(client_of(tmp_path / "m"), body, "text/csv", "m")
    assert got.status_code == 200, got.text
    assert got.json()["rows"][-1]["id"] == found.assign(pd.DataFrame({"x": [3.0], "code": ["1"]})).ids[0]


def test_texts_with_half_a_surrogate_are_refused_with_their_row(topic_file, tmp_path, frame):
    import shoal

    shoal.fit(frame, 2, columns=(), one_hot=("kind",)).save(tmp_path / "m")
    for path, name, good in ((topic_file, "tickets", "lost card"), (tmp_path / "m", "m", "flat")):
        client, body = client_of(path), json.dumps({"rows": [good, "\ud800"]})
        got = post(client, body, "application/json", name)
        assert got.status_code == 422, got.text
        assert "row 2" in got.json()["place"]
        skipped = post(client, body, "application/json", name, on_error="skip").json()["rows"]
        assert [row["id"] is None for row in skipped] == [False, True]


def test_arrow_columns_whose_names_are_no_text_are_refused(client):
    body = arrow_body(pa.table({"qqqq": [1.0], "rooms": [1.0], "kind": ["flat"]}))
    assert post(client, body.replace(b"qqqq", b"qq\xff\xfe"), ARROW).status_code == 422


def test_values_of_another_kind_are_null_if_asked_in_json_as_in_csv(client, houses, frame):
    part = frame[:4].astype(object)
    part.loc[1, "price"] = "abc"
    for form in ("objects", "lists", "csv"):
        body, kind = BODIES[form](part)
        told = post(client, body, kind, on_error="skip").json()["rows"]
        assert [row["id"] is None for row in told] == [False, True, False, False]
        assert_answers([told[0], *told[2:]], houses[1].assign(frame.iloc[[0, 2, 3]]))
        assert post(client, body, kind).json()["place"] == "request, row 2, column 'price'"
    body = as_json([good(), good(kind={"a": 1}), good(rooms=[1])])
    told = post(client, body, "application/json", on_error="skip").json()["rows"]
    assert [row["id"] is None for row in told] == [False, True, True]
    told = post(client, as_json([good(rooms=[1])]), "application/json", on_error="skip").json()["rows"]
    assert told[0]["id"] is None


def test_values_whose_squares_overflow_have_no_distance_to_tell(client, plain, rows):
    body = as_json([good(), good(price=1e39)])
    told = post(client, body, "application/json")
    assert (told.status_code, told.json()["place"]) == (422, "request, row 2, column 'price'")
    skipped = post(client, body, "application/json", on_error="skip").json()["rows"]
    assert [row["id"] is None for row in skipped] == [False, True]
    raw = client_of(plain[0])
    large = np.vstack([rows[:2], np.full((1, 4), 1e20, np.float32)])
    told = post(raw, large.tobytes(), RAW, "plain", width=4)
    assert (told.status_code, told.json()["place"]) == (422, "request, row 3, column 'x0'")
    skipped = post(raw, large.tobytes(), RAW, "plain", width=4, on_error="skip").json()["rows"]
    assert [row["id"] is None for row in skipped] == [False, False, True]
    told = post(raw, as_json([[1e160] * 4]), "application/json", "plain")
    assert told.status_code == 422
    assert post(raw, as_json([[1e20] * 4]), "application/json", "plain").json()["rows"][0]["distance"] > 1e19


def test_errors_of_files_are_told_without_where_they_lie(houses):
    app = create_app(Models.of_path(houses[0]))
    wrong = {
        "damaged": DamagedFileError("/srv/my models/s/aliases.json is not valid JSON; remove it"),
        "read-only": OSError(30, "Read-only file system", "/srv/s/.lock"),
        "past": BadInputError(
            "/srv/s/buckets holds no rows of that time", place="/srv/s", remedy="ask later"
        ),
        "sent": BadInputError("not a number: '/home/x'", place="request, row 1"),
    }

    @app.get("/v1/wrong/{which}")
    def fail(which: str):
        raise wrong[which]

    client = TestClient(app, LOCAL, raise_server_exceptions=False)
    told = {which: client.get(f"/v1/wrong/{which}") for which in wrong}
    assert {which: got.status_code for which, got in told.items()} == {
        "damaged": 503,
        "read-only": 503,
        "past": 422,
        "sent": 422,
    }
    assert [got.json()["error"] for got in told.values()] == [
        "aliases.json is not valid JSON; remove it",
        ".lock: Read-only file system",
        "buckets holds no rows of that time",
        "not a number: '/home/x'",
    ]
    assert all(got.json()["remedy"] for which, got in told.items() if which != "sent")
    assert told["past"].json()["place"] == "s"
