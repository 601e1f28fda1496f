"""The log of requests: one line each, whatever they hold, and nothing of what they sent."""

from __future__ import annotations

import io
import json
import logging
import time

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

import shoal.serve.routes.assign as assign_module
from shoal.serve.access_log import AccessLog, Noted, request_id
from shoal.serve.app import create_app
from shoal.serve.models import Models
from shoal.serve.settings import Settings

LOCAL = "http://127.0.0.1"


def client_of(path, **settings) -> TestClient:
    app: FastAPI = create_app(Models.of_path(path), Settings(**settings))
    return TestClient(app, LOCAL, raise_server_exceptions=False)


def lines_of(capsys):
    time.sleep(0.2)  # they are written by a thread
    return [line for line in capsys.readouterr().err.splitlines() if line]


@given(st.text(max_size=300), st.text(max_size=20), st.sampled_from(["json", "text"]))
def test_a_request_is_one_line_whatever_it_holds(path, version, form):
    stream = io.StringIO()
    AccessLog(form, stream).request(Noted("a1", 3, "m", version), "GET", path, 404, 0.001)
    written = stream.getvalue()
    assert written.splitlines(keepends=True) == [written]
    assert written.isascii()
    assert len(written) < 12 * 300 + 400


@given(st.text(max_size=80))
def test_ids_of_clients_are_taken_only_if_they_are_plain(asked):
    plain = 1 <= len(asked) <= 64 and all(c.isascii() and (c.isalnum() or c in "._-") for c in asked)
    assert (request_id(asked) == asked) is plain


def test_new_ids_differ():
    assert len({request_id("") for _ in range(100)}) == 100


def test_a_line_tells_the_route_the_rows_and_the_version(houses, frame, capsys):
    client = client_of(houses[0], log="json")
    body = frame[:7].to_csv(index=False)
    got = client.post(
        "/v1/models/houses/assign",
        content=body,
        headers={"content-type": "text/csv", "x-request-id": "job-1", "authorization": "Bearer s3cret"},
        params={"columns": "id"},
    )
    assert got.headers["x-request-id"] == "job-1"
    (line,) = lines_of(capsys)
    told = json.loads(line)
    assert told.pop("ms") > 0
    assert told.pop("time")
    assert told == {
        "id": "job-1",
        "method": "POST",
        "route": "/v1/models/{name}/assign",
        "status": 200,
        "rows": 7,
        "model": "houses",
        "version": houses[1].model.version,
        "bytes_in": len(body),
        "bytes_out": len(got.content),
    }
    assert "s3cret" not in line
    assert "house" not in line.replace("houses", "")


def test_paths_without_a_route_are_cut_short_and_bad_ids_replaced(houses, capsys):
    client = client_of(houses[0], log="json")
    got = client.get("/" + "x" * 500, headers={"x-request-id": "a b\t{}"})
    told = json.loads(lines_of(capsys)[0])
    assert told["route"] == "/" + "x" * 199
    assert told["id"] == got.headers["x-request-id"] != "a b\t{}"


@pytest.mark.parametrize(("form", "count"), [("none", 0), ("text", 1), ("json", 1)])
def test_the_form_of_the_log_is_chosen(houses, capsys, form, count):
    client_of(houses[0], log=form).get("/health/live")
    lines = lines_of(capsys)
    assert len(lines) == count
    assert all((line[0] == "{") is (form == "json") for line in lines)


def test_a_fault_is_logged_with_its_trace_under_the_same_id(houses, frame, monkeypatch, caplog, capsys):
    def broken(*_, **__):
        raise RuntimeError("an accident")

    monkeypatch.setattr(assign_module, "read_rows", broken)
    client = client_of(houses[0], log="json")
    with caplog.at_level(logging.ERROR, logger="shoal.serve.guard"):
        got = client.post(
            "/v1/models/houses/assign",
            content=frame.to_csv(index=False),
            headers={"content-type": "text/csv", "x-request-id": "odd-one"},
        )
    assert (got.status_code, got.headers["x-request-id"]) == (500, "odd-one")
    (record,) = [r for r in caplog.records if r.name == "shoal.serve.guard"]
    assert "odd-one" in record.getMessage()
    assert "an accident" in str(record.exc_info[1])
    assert json.loads(lines_of(capsys)[-1])["status"] == 500


def test_a_log_that_nobody_reads_stops_no_answer(houses, monkeypatch):
    class Broken(io.StringIO):
        def write(self, _):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Broken())
    assert client_of(houses[0], log="text").get("/health/live").status_code == 200
