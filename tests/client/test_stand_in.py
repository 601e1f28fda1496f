"""The client against a stand-in: how it tries again, and the routes as their contract has them."""

from __future__ import annotations

import asyncio
import json
import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from tests.client.servers import running

from shoal.client import AsyncClient, Client, RequestError
from shoal.client.labels import read_labels
from shoal.client.live import MessageReader
from shoal.client.refusals import pause_after, refusal


class StandIn:
    """Answers with what it was given, in order, the last for ever; keeps what it was asked."""

    def __init__(self):
        self.answers, self.asked = [], []
        self.app = Starlette(routes=[Route("/{path:path}", self.answer, methods=["GET", "POST", "PUT"])])

    async def answer(self, request):
        self.asked.append((request.method, str(request.url.path), dict(request.query_params), request.headers, await request.body()))  # fmt: skip
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(request) if callable(answer) and not isinstance(answer, Response) else answer


@pytest.fixture(scope="module")
def standing():
    stand_in = StandIn()
    with running(stand_in.app) as address:
        yield stand_in, address


@pytest.fixture
def stand_in(standing):
    standing[0].asked.clear()
    return standing[0]


@pytest.fixture
def client(standing):
    with Client(standing[1]) as client:
        yield client


def told(document, status=200, **headers):
    return Response(json.dumps(document), status, headers, "application/json")


def arrow(table, **headers):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Response(sink.getvalue().to_pybytes(), 200, headers)


BUSY = {"error": "too much is waiting", "place": None, "remedy": "ask again"}


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again(client, stand_in, status):
    stand_in.answers = [told(BUSY, status, **{"Retry-After": "0"})] * 2 + [told({"models": [{"name": "a"}]})]
    assert client.models() == [{"name": "a"}]
    assert len(stand_in.asked) == 3


def test_only_so_often(standing, stand_in):
    stand_in.answers = [told(BUSY, 429, **{"Retry-After": "0"})]
    with Client(standing[1], retries=2) as client, pytest.raises(RequestError, match="too much is waiting"):
        client.models()
    assert len(stand_in.asked) == 3


@pytest.mark.parametrize("status", [400, 404, 422, 500, 503])
def test_what_another_try_does_not_mend_is_told_at_once(client, stand_in, status):
    stand_in.answers = [told(BUSY, status)]
    with pytest.raises(RequestError) as caught:
        client.models()
    assert (caught.value.status, caught.value.remedy) == (status, "ask again")
    assert len(stand_in.asked) == 1


def test_a_connection_that_breaks_is_made_again(client, stand_in):
    def broken(_):
        async def parts():
            yield b'{"models'
            raise ConnectionError

        return StreamingResponse(parts(), headers={"content-length": "100"})

    stand_in.answers = [broken, told({"models": []})]
    assert client.models() == []
    assert len(stand_in.asked) == 2


def test_rows_to_learn_keep_their_key_when_they_are_sent_again(client, stand_in):
    stand_in.answers = [told(BUSY, 503, **{"Retry-After": "0"}), told({"accepted": 2}, 202)]
    assert client.learn("s", [{"x": 1}, {"x": float("nan")}]) == {"accepted": 2}
    keys = [headers["idempotency-key"] for _, _, _, headers, _ in stand_in.asked]
    assert keys[0] == keys[1]
    assert len(keys[0]) >= 16
    assert json.loads(stand_in.asked[0][-1]) == {"rows": [{"x": 1}, {"x": None}]}
    client.learn("s", [{"x": 1}], key="mine")
    assert stand_in.asked[-1][3]["idempotency-key"] == "mine"
    client.learn("s", [{"x": 1}])
    assert stand_in.asked[-1][3]["idempotency-key"] != keys[0]


def test_arrays_to_learn_go_with_the_names_of_the_columns(client, stand_in):
    stand_in.answers = [
        told({"inputs": [{"name": n, "kind": "number", "width": 1} for n in "ab"]}),
        told({"accepted": 2}, 202),
    ]
    client.learn("s", np.array([[1, 2], [3, 4]], np.float32))
    table = pa.ipc.open_stream(stand_in.asked[-1][-1]).read_all()
    assert table.to_pydict() == {"a": [1.0, 3.0], "b": [2.0, 4.0]}
    assert table.schema.types == [pa.float32()] * 2


def test_several_nearest_and_topic_names_are_arrays(client, stand_in):
    table = pa.table(
        {
            "id": pa.array([4, None], pa.int64()),
            "distance": [0.5, None],
            "name": ["rates", None],
            "nearest": [[4, 2], None],
            "nearest_distances": [[0.5, 0.75], None],
        }
    )
    stand_in.answers = [arrow(table, **{"X-Model-Version": "7"})]
    labels = client.assign("s", ["a text", "another"], n=2)
    assert stand_in.asked[0][2] == {"n": "2", "on_error": "raise"}
    assert json.loads(stand_in.asked[0][-1]) == {"rows": ["a text", "another"]}
    assert labels.ids.tolist() == [4, -1]
    assert labels.names == ("rates", None)
    assert labels.nearest.tolist() == [[4, 2], [-1, -1]]
    assert labels.nearest_distances[0].tolist() == [0.5, 0.75]
    assert labels.version == "7"


def test_distances_to_all_clusters_are_a_matrix(client, stand_in):
    stand_in.answers = [arrow(pa.table({"5": [0.1, None], "2": [0.2, 0.4]}))]
    told = client.transform("s", np.zeros((2, 3), np.float32))
    assert stand_in.asked[0][1:3] == ("/v1/models/s/transform", {"width": "3", "on_error": "raise"})
    assert told.ids.tolist() == [5, 2]
    assert told.distances[:, 1].tolist() == [0.2, 0.4]
    assert np.isnan(told.distances[1, 0])


def test_rows_texts_and_names_are_sent_as_the_contract_has_them(client, stand_in):
    stand_in.answers = [told({"ok": 1})]
    client.explain("a b@champion", {"price": np.float64(1.5), "rooms": np.int64(2)})
    client.explain("s", "a text")
    client.rename("s", np.int64(4), "loans")
    client.rename("s", 4, None)
    asked = [(method, path, json.loads(body)) for method, path, _, _, body in stand_in.asked]
    assert asked == [
        ("POST", "/v1/models/a b@champion/explain", {"row": {"price": 1.5, "rooms": 2}}),
        ("POST", "/v1/models/s/explain", {"text": "a text"}),
        ("PUT", "/v1/models/s/clusters/4/name", {"name": "loans"}),
        ("PUT", "/v1/models/s/clusters/4/name", {"name": None}),
    ]


def test_events_come_page_by_page(client, stand_in):
    stand_in.answers = [told({"events": [{"seq": 9}, {"seq": 8}], "next": 8}), told({"events": [], "next": 5}), told({"events": [{"seq": 1}], "next": None})]  # fmt: skip
    pages = list(client.events("s", kind="born", since=3.5, limit=2))
    assert [[e["seq"] for e in page] for page in pages] == [[9, 8], [1]]
    first = {"kind": "born", "since": "3.5", "limit": "2"}
    assert [q for _, _, q, _, _ in stand_in.asked] == [
        first,
        first | {"before": "8"},
        first | {"before": "5"},
    ]


def live(*parts, ends=True):
    def answer(_):
        async def sent():
            for part in parts:
                yield part
            if not ends:
                await asyncio.sleep(10)

        return StreamingResponse(sent(), media_type="text/event-stream")

    return answer


def message(number, kind, data):
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()


HELLO = b'retry: 10\n\nevent: hello\ndata: {"number": 5}\n\n'
LIVE = [
    (HELLO, b": still here\n\n", message(6, "version", {"model": "s", "version": "2"})),
    (message(7, "change", {"text": "line\u2028ends"}), b"id: 8\nevent: ch"),
    (message(8, "alarm", {"text": "x"}),),
]


def test_live_messages_go_on_where_a_connection_broke(client, stand_in):
    stand_in.answers = [live(*LIVE[0]), told(BUSY, 502), live(*LIVE[1]), live(*LIVE[2], ends=False)]
    watched = client.watch("s")
    found = [next(watched) for _ in range(3)]
    watched.close()
    assert [(m.number, m.kind) for m in found] == [(6, "version"), (7, "change"), (8, "alarm")]
    assert found[1].data["text"] == "line\u2028ends"
    assert [h.get("last-event-id") for _, _, _, h, _ in stand_in.asked] == [None, "6", "6", "7"]
    assert all(q == {"model": "s"} for _, _, q, _, _ in stand_in.asked)


def test_before_any_message_it_goes_on_from_where_it_began(client, stand_in):
    stand_in.answers = [live(HELLO), live(message(6, "alarm", {}), ends=False)]
    watched = client.watch()
    assert next(watched).number == 6
    watched.close()
    assert [h.get("last-event-id") for _, _, _, h, _ in stand_in.asked] == [None, "5"]


def test_live_messages_that_are_refused_are_told(client, stand_in):
    stand_in.answers = [told(BUSY, 401)]
    with pytest.raises(RequestError) as caught:
        next(client.watch("s"))
    assert caught.value.status == 401


def test_the_same_without_waiting(standing, stand_in):
    stand_in.answers = [
        told(BUSY, 429, **{"Retry-After": "0"}),
        told({"events": [{"seq": 2}], "next": 2}),
        told({"events": [{"seq": 1}], "next": None}),
        live(*LIVE[0]),
        live(*LIVE[1]),
        live(*LIVE[2], ends=False),
    ]

    async def ask():
        async with AsyncClient(standing[1]) as client:
            pages = [page async for page in client.events("s")]
            watched = client.watch("s")
            return pages, [(await anext(watched)).number for _ in range(3)]

    assert asyncio.run(ask()) == ([[{"seq": 2}], [{"seq": 1}]], [6, 7, 8])


def test_a_service_that_comes_back_is_waited_for():
    before, after = StandIn(), StandIn()
    before.answers = [live(b"retry: 20\n\n", message(1, "alarm", {}))]
    after.answers = [live(message(2, "alarm", {}), ends=False)]
    heard = []
    with running(before.app) as address:
        watched = Client(address, retries=0).watch()
        assert next(watched).number == 1
    thread = threading.Thread(target=lambda: heard.append(next(watched)), daemon=True)
    thread.start()
    with running(after.app, port=int(address.rpartition(":")[2])):
        thread.join(timeout=10)
    assert [m.number for m in heard] == [2]
    assert after.asked[0][3]["last-event-id"] == "1"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["change", "alarm"]), st.text()), max_size=4), st.data())
def test_messages_are_the_same_however_the_bytes_are_cut(messages, data):
    whole = b"".join(
        f"id: {i}\r\nevent: {kind}\r\ndata: {json.dumps({'text': text}, ensure_ascii=True)}\r\n\r\n".encode()
        for i, (kind, text) in enumerate(messages, 1)
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    reader, found = MessageReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += reader.feed(whole[start:end])
    assert [(m.number, m.kind, m.data["text"]) for m in found] == [(i, k, t) for i, (k, t) in enumerate(messages, 1)]  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=60))
def test_whatever_a_stream_or_an_answer_holds_is_read(noise):
    for _ in MessageReader().feed(noise + b"\n\n"):
        pass
    assert refusal(500, noise).status == 500
    with pytest.raises(ValueError, match="answer"):
        read_labels(noise, {})


def test_waits_are_never_longer_than_half_a_minute():
    assert pause_after(503, {"retry-after": "86400"}) == 30
    assert pause_after(429, {"retry-after": "-5"}) == 0
    assert pause_after(429, {"retry-after": "nan"}) is None
    assert pause_after(429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}) is None
