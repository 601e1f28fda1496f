"""Who may ask for what, how much may wait, and what every answer carries."""

from __future__ import annotations

import asyncio
import threading

import anyio
import httpx
import pytest
from fastapi import Depends
from fastapi.testclient import TestClient

import shoal.serve.routes.assign as assign_module
from shoal.errors import ShoalError
from shoal.serve.app import app_of
from shoal.serve.body import Waiting
from shoal.serve.metrics import Metrics
from shoal.serve.models import Models
from shoal.serve.refused import RefusedError, json_response
from shoal.serve.service import Service
from shoal.serve.settings import Settings
from shoal.serve.tokens import add_session, requires_write

LOCAL = "http://127.0.0.1"


def app_with(path, **settings):
    """The app, with a route that writes, and the session."""
    service = Service(Models.of_path(path), Settings(**settings))
    app = app_of(service)

    @app.put("/v1/written", dependencies=[Depends(requires_write(service))])
    async def write():
        return json_response({"written": True})

    if not any(getattr(route, "path", "") == "/v1/session" for route in app.routes):
        add_session(app, service)
    return app


def client_of(path, **settings):
    return TestClient(app_with(path, **settings), LOCAL, raise_server_exceptions=False)


def bearer(token):
    return {} if token is None else {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("tokens", "given", "read", "write"),
    [
        ({}, None, 200, 200),
        ({}, "any", 200, 200),
        ({"token": "both"}, None, 401, 401),
        ({"token": "both"}, "bot", 401, 401),
        ({"token": "both"}, "bothx", 401, 401),
        ({"token": "both"}, "\xfcber", 401, 401),
        ({"token": "both"}, "both", 200, 200),
        ({"read_token": "look", "write_token": "touch"}, "look", 200, 403),
        ({"read_token": "look", "write_token": "touch"}, "touch", 200, 200),
        ({"read_token": "look", "write_token": "touch"}, None, 401, 401),
        ({"read_token": "look"}, "look", 200, 403),
        ({"read_token": "look"}, None, 401, 401),
        ({"write_token": "touch"}, None, 401, 401),
        ({"read_token": "same", "write_token": "same"}, "same", 200, 200),
        ({"token": "both", "read_token": "look"}, "both", 200, 200),
    ],
)
def test_a_token_allows_what_it_is_for(houses, tokens, given, read, write):
    client = client_of(houses[0], **tokens)
    headers = {k: v.encode("latin-1") for k, v in bearer(given).items()}
    assert client.get("/v1/models", headers=headers).status_code == read
    assert client.put("/v1/written", headers=headers).status_code == write
    session = client.get("/v1/session", headers=headers)
    assert session.status_code == 200
    assert session.json() == {"read": read == 200, "write": write == 200, "needs_token": bool(tokens)}


def test_the_page_and_health_need_no_token_and_nothing_beside_them_is_free(houses):
    client = client_of(houses[0], token="both")
    for path in ("/", "/web/page.js", "/favicon.ico", "/health/live"):
        assert client.get(path).status_code in (200, 404), path
    for path in ("/web", "/webs/x", "/health", "/metrics", "/v1/session/x", "/v1/models", "//web/x"):
        assert client.get(f"{LOCAL}{path}").status_code == 401, path


def test_any_of_the_tokens_lets_others_reach_the_service():
    for name in ("token", "read_token", "write_token"):
        assert Settings(host="0.0.0.0", **{name: "t"}).needs_token
        with pytest.raises(ShoalError, match="token"):
            Settings(**{name: "two words"})
    for limits in (
        {"max_waiting": 0},
        {"max_waiting_bytes": 0},
        {"request_seconds": 0},
        {"body_seconds": -1},
    ):
        with pytest.raises(ShoalError, match=next(iter(limits))):
            Settings(**limits)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://127.0.0.1", 200),
        ("http://127.0.0.1:8787", 403),
        ("https://evil.example", 403),
        ("http://127.0.0.1.evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://[broken", 403),
    ],
)
def test_pages_of_other_sites_cannot_write_without_a_token(houses, origin, status):
    client = client_of(houses[0])
    headers = {} if origin is None else {"origin": origin}
    assert client.put("/v1/written", headers=headers).status_code == status
    assert client.get("/v1/models", headers=headers).status_code == 200


def test_only_the_page_may_run_scripts_and_all_answers_have_an_id(houses):
    client = client_of(houses[0], token="both")
    for path, scripts in (("/web/page.js", True), ("/", True), ("/v1/models", False), ("/nothing", False)):
        got = client.get(path)
        policy = got.headers.get_list("content-security-policy")
        assert len(policy) == 1
        assert policy[0].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy[0]
        assert ("script-src 'self'" in policy[0]) is scripts
        assert "unsafe" not in policy[0]
        assert got.headers["x-content-type-options"] == "nosniff"
        assert len(got.headers["x-request-id"]) == 16


def ask(client, rows=3):
    return client.post(
        "/v1/models/houses/assign",
        content="price,rooms,kind\n" + "1,2,flat\n" * rows,
        headers={"content-type": "text/csv"},
    )


def test_more_requests_than_may_wait_are_sent_away_and_counted(houses, monkeypatch):
    entered, go = threading.Event(), threading.Event()
    real = assign_module.read_rows

    def slow(*args, **more):
        entered.set()
        assert go.wait(10)
        return real(*args, **more)

    monkeypatch.setattr(assign_module, "read_rows", slow)
    monkeypatch.setattr(assign_module, "SMALL_BODY", 0)
    app = app_with(houses[0], max_waiting=1)

    async def run():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=LOCAL) as client:
            first = asyncio.create_task(ask(client))
            while not entered.is_set():
                await asyncio.sleep(0.002)
            second = await ask(client)
            go.set()
            return await first, second, await ask(client), await client.get("/metrics")

    first, second, third, counts = asyncio.run(run())
    assert (first.status_code, second.status_code, third.status_code) == (200, 429, 200)
    assert second.headers["retry-after"] == "1"
    assert second.json()["remedy"]
    assert 'shoal_requests_refused_total{reason="requests"} 1.0' in counts.text


def test_bodies_that_fill_the_memory_are_sent_away_and_their_room_is_given_back(houses):
    client = client_of(houses[0], max_waiting_bytes=100)
    for _ in range(3):
        got = ask(client, rows=50)
        assert (got.status_code, got.headers["retry-after"]) == (429, "1")
        assert ask(client, rows=3).status_code == 200
    assert 'shoal_requests_refused_total{reason="bytes"} 3.0' in client.get("/metrics").text


def test_an_answer_that_takes_too_long_is_given_up(houses, monkeypatch):
    go = threading.Event()
    monkeypatch.setattr(assign_module, "read_rows", lambda *_, **__: go.wait(10))
    monkeypatch.setattr(assign_module, "SMALL_BODY", 0)
    client = client_of(houses[0], request_seconds=0.05)
    try:
        got = ask(client)
    finally:
        go.set()
    assert got.status_code == 503
    assert "0.05 s" in got.json()["error"]
    assert got.headers["retry-after"] == "1"


def test_an_ending_service_takes_no_more_but_ends_what_it_has():
    waiting = Waiting(Settings(), Metrics())

    async def run():
        async with waiting.place() as place:
            waiting.close()
            place.hold(7)
            assert (waiting.count, waiting.bytes) == (1, 7)
            with pytest.raises(RefusedError) as refused:
                async with waiting.place():
                    pass
        return refused.value

    refused = anyio.run(run)
    assert (refused.status, refused.headers) == (503, {"Retry-After": "1"})
    assert (waiting.count, waiting.bytes) == (0, 0)
