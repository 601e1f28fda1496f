"""Redis streams with a real server: both kinds of entries, pending ones after a crash, a server that goes away."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import subprocess
import time

import pytest
from tests.sources import stream_made as made
from tests.sources.stream_made import drained, opened

from shoal.errors import BadInputError, ShoalError
from shoal.sources.stream_protocol import StreamSource

_numbers = itertools.count()


class Server:
    """A redis-server of our own that keeps what it has when it is stopped in order."""

    def __init__(self, folder) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.begin()

    def begin(self) -> None:
        import redis

        command = ["redis-server", "--port", str(self.port), "--dir", str(self.folder), "--appendonly", "yes"]
        self.process = subprocess.Popen([*command, "--appendfsync", "always"], stdout=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port)
        for _ in range(300):
            try:
                self.client.ping()
            except redis.exceptions.ConnectionError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError("redis-server did not start")

    def stop(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()

    def new(self) -> tuple[str, str]:
        """A new stream's name and address."""
        name = f"stream-{next(_numbers)}"
        return name, f"redis://127.0.0.1:{self.port}/0?stream={name}"

    def pending(self, name, group="shoal") -> int:
        return self.client.xpending(name, group)["pending"]


def _server(folder):
    pytest.importorskip("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    return Server(folder)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    made = _server(tmp_path_factory.mktemp("redis"))
    yield made
    made.stop()


@pytest.fixture
def own_server(tmp_path):
    made = _server(tmp_path)
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("shoal.sources.stream_redis.LEARN_SECONDS", 0.1)


def values(rows):
    return [r[2]["x"] for r in rows]


def test_flat_and_json_entries_give_the_same_columns(server, tmp_path):
    name, url = server.new()
    server.client.xadd(name, {"x": "1.5", "t": "a"}, id="1700000000000-0")
    server.client.xadd(name, {"json": '{"x": 2,\n "t": "b"}'}, id="1700000000000-1")
    server.client.xadd(name, {"data": '{"t": "c"}'}, id="1700000000500-0")
    server.client.xadd(name, {"x": "", "more": "1"}, id="1700000001000-7")
    stream = opened(url, tmp_path)
    assert isinstance(stream, StreamSource)
    stream.start(None)
    chunk = stream.poll(10, 1.0)
    assert chunk.table.select(["x", "t", "more"]).to_pylist() == [
        {"x": 1.5, "t": "a", "more": None},
        {"x": 2.0, "t": "b", "more": None},
        {"x": None, "t": "c", "more": None},
        {"x": None, "t": None, "more": 1.0},
    ]
    assert chunk.times.tolist() == [1.7e9, 1.7e9, 1.7e9 + 0.5, 1.7e9 + 1]
    assert chunk.rows.tolist() == [
        1700000000000 << 20, (1700000000000 << 20) + 1, 1700000000500 << 20, (1700000001000 << 20) + 7,
    ]  # fmt: skip
    assert stream.poll(10, 0.0) is None
    assert stream.finished


def test_bad_entries_are_dead_letters_with_their_id(server, tmp_path):
    name, url = server.new()
    for i, fields in enumerate(
        [{"x": "1"}] * 25
        + [{"x": "one"}, {"json": "nonsense"}, {"json": '{"x": "y"}'}, {"json": "[1]"}, {"x": "2"}]
    ):
        server.client.xadd(name, fields, id=f"1-{i + 1}")
    stream = opened(url, tmp_path)
    stream.start(None)
    rows, dead, _ = drained(stream, sizes=(4,))
    assert values(rows) == [1.0] * 25 + [2.0]
    assert [d.reason for d in dead] == [
        "not a number",
        "not a JSON object",
        "not a number",
        "not a JSON object",
    ]
    assert dead[0].place == f"{url}, entry 1-26, field 'x'"
    assert [d.raw for d in dead] == ['{"x": "one"}', "nonsense", '{"x": "y"}', "[1]"]


def test_ids_that_are_no_times_give_no_times(server, tmp_path):
    name, url = server.new()
    server.client.xadd(name, {"x": "1"}, id="1-1")
    stream = opened(url, tmp_path)
    stream.start(None)
    assert stream.poll(1, 1.0).times is None


def test_entries_are_acknowledged_when_committed_and_come_again_when_not(server, tmp_path):
    name, url = server.new()
    for i in range(30):
        server.client.xadd(name, {"x": str(i)})
    stream = opened(url, tmp_path, follow=True)
    stream.start(None)
    first, second = stream.poll(10, 2.0), stream.poll(10, 2.0)
    stream.committed(first.position)
    assert server.pending(name) >= 10
    stream.close()
    for i in range(30, 40):
        server.client.xadd(name, {"x": str(i)})
    again = opened(url, tmp_path, follow=True)
    again.start(json.loads(json.dumps(first.position)))
    rows, dead, position = drained(again, sizes=(7,), until=30)
    assert values(rows) == [float(i) for i in range(10, 40)]
    assert [r[1] for r in rows[:10]] == second.rows.tolist()
    assert not dead
    assert server.pending(name) == 0
    assert again.backlog() in (0, None)
    third = opened(url, tmp_path, follow=True)
    third.start(position)
    assert third.poll(10, 0.05) is None


def test_a_crash_between_checkpoint_and_acknowledgement_repeats_nothing(server, tmp_path):
    name, url = server.new()
    for i in range(20):
        server.client.xadd(name, {"x": str(i)})
    stream = opened(url, tmp_path, follow=True)
    stream.start(None)
    position = stream.poll(12, 2.0).position
    stream.close()
    before = server.pending(name)
    again = opened(url, tmp_path, follow=True)
    again.start(position)
    assert server.pending(name) == before - 12
    assert values(drained(again, until=8)[0]) == [float(i) for i in range(12, 20)]


@pytest.mark.parametrize("sizes", [(1,), (3, 1), (100,)])
def test_restarts_after_every_poll_give_the_same_rows(server, tmp_path, sizes):
    name, url = server.new()
    for i in range(25):
        server.client.xadd(name, {"x": str(i), "y": "t" if i % 3 else ""})
    rows, dead = made.restarted(lambda: opened(url, tmp_path), sizes, (1, 2, 1, 1))
    assert values(rows) == [float(i) for i in range(25)]
    assert not dead


def test_a_deleted_pending_entry_is_told(server, tmp_path):
    name, url = server.new()
    ids = [server.client.xadd(name, {"x": str(i)}) for i in range(3)]
    stream = opened(url, tmp_path, follow=True)
    stream.start(None)
    stream.poll(10, 2.0)
    stream.close()
    server.client.xdel(name, ids[1])
    again = opened(url, tmp_path, follow=True)
    again.start(None)
    rows, dead, _ = drained(again, until=3)
    assert values(rows) == [0.0, 2.0]
    assert [d.reason for d in dead] == ["the entry was deleted before it was read"]
    assert ids[1].decode() in dead[0].place


def test_a_server_that_is_killed_and_comes_back_loses_nothing(own_server, tmp_path):
    name, url = own_server.new()
    for i in range(200):
        own_server.client.xadd(name, {"x": str(i)})
    stream = opened(url, tmp_path / "s", follow=True)
    stream.start(None)
    rows, _, position = drained(stream, sizes=(30,), until=60)
    own_server.stop()
    chunks = [stream.poll(30, 0.05) for _ in range(4)]
    stream.committed(position)
    assert stream.poll(30, 0.05) is None
    own_server.begin()
    for i in range(200, 250):
        own_server.client.xadd(name, {"x": str(i)})
    for chunk in chunks:
        if chunk is not None:
            rows += zip(
                [chunk.key] * len(chunk.rows), chunk.rows.tolist(), chunk.table.to_pylist(), strict=True
            )
    more, dead, _ = drained(stream, sizes=(30,), until=250 - len(rows))
    assert values(rows + more) == [float(i) for i in range(250)]
    assert not dead


def test_a_server_that_comes_back_empty_is_read_from_its_new_entries(own_server, tmp_path):
    name, url = own_server.new()
    for i in range(5):
        own_server.client.xadd(name, {"x": str(i)})
    stream = opened(url, tmp_path / "s", follow=True)
    stream.start(None)
    assert values(drained(stream, until=5)[0]) == [0, 1, 2, 3, 4]
    own_server.client.flushall()
    own_server.client.xadd(name, {"x": "5"})
    assert values(drained(stream, until=1)[0]) == [5.0]


def test_a_stream_that_does_not_exist_yet_is_waited_for(server, tmp_path):
    name, url = server.new()
    stream = opened(url, tmp_path, follow=True)
    stream.start(None)
    assert stream.poll(5, 0.05) is None
    server.client.xadd(name, {"x": "1"})
    assert values(drained(stream, until=1)[0]) == [1.0]


def test_no_server_no_stream_and_a_key_of_another_kind_are_errors(server, tmp_path):
    with pytest.raises(BadInputError, match=r"add \?stream=NAME"):
        opened(f"redis://:secret@127.0.0.1:{server.port}/0", tmp_path)
    with pytest.raises(ShoalError, match="cannot be used") as raised:
        opened("redis://:secret@127.0.0.1:1/0?stream=x", tmp_path).start(None)
    assert "secret" not in str(raised.value)
    server.client.set("plain", "1")
    with pytest.raises(ShoalError, match="cannot be used"):
        opened(f"redis://127.0.0.1:{server.port}/0/plain", tmp_path).start(None)
