"""Entries of a Redis stream: numbered, skipped, and nobody else's."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from shoal.engines.outputs import open_output, redis_stream
from shoal.engines.outputs.redis_stream import RedisStreamOutput
from shoal.errors import BadInputError, DamagedFileError, ShoalError


def name_of(url: str) -> str:
    return url.partition("stream=")[2].partition("&")[0]


def numbers(first: int, last: int) -> pa.Table:
    return pa.table({"n": list(range(first, last))})


def begun(url: str, **more) -> RedisStreamOutput:
    output = open_output(url, **more)
    output.start(None)
    return output


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr(redis_stream, "WAITS", (0.0, 0.01, 0.02))


def test_values_are_text_and_missing_ones_have_no_field(redis_server):
    url = redis_server.url()
    output = begun(url)
    output.write(
        pa.table(
            {
                "i": [7, None],
                "f": [0.1, math.nan],
                "s": ['a "ü"\n', None],
                "d": pa.array(["x", None]).dictionary_encode(),
                "b": [True, None],
                "t": pa.array([datetime(2026, 11, 21, tzinfo=UTC), None], pa.timestamp("s", "UTC")),
                "l": pa.array([[1.5, None], None]),
            }
        )
    )
    output.close()
    (first, fields), (second, nothing) = redis_server.client.xrange(name_of(url))
    assert (first, second) == (b"1-1", b"1-2")
    assert {k.decode(): v.decode() for k, v in fields.items()} == {
        "i": "7",
        "f": "0.1",
        "s": 'a "ü"\n',
        "d": "x",
        "b": "true",
        "t": "2026-11-21T00:00:00Z",
        "l": "[1.5,null]",
    }
    assert nothing == {b"i": b""}  # Redis knows no entry without fields


def test_a_replay_skips_what_is_there(redis_server):
    url = redis_server.url()
    output = begun(url)
    output.write(numbers(0, 10))
    position = output.sync()
    output.write(numbers(10, 25))
    output.close()  # never synced, but already there
    again = open_output(url)
    again.start(position)
    for first, last in ((10, 12), (12, 24), (24, 40)):
        again.write(numbers(first, last))
    assert again.sync() == {"kind": "redis-stream", "entries": 40}
    again.close()
    entries = redis_server.client.xrange(name_of(url))
    assert [int(fields[b"n"]) for _, fields in entries] == list(range(40))


def test_tables_longer_than_a_trip(redis_server):
    url = redis_server.url()
    output = begun(url)
    output.write(numbers(0, 2500))
    output.close()
    entries = redis_server.client.xrange(name_of(url))
    assert [(i, int(f[b"n"])) for i, f in entries] == [(b"1-%d" % (n + 1), n) for n in range(2500)]


@pytest.mark.parametrize("given", ["name", "argument"])
def test_a_trimmed_stream_still_knows_its_last_entry(redis_server, given):
    url = redis_server.url(more="&maxlen=100" if given == "name" else "")
    output = begun(url, maxlen=None if given == "name" else 100)
    output.write(numbers(0, 3000))
    position = output.sync()
    output.close()
    assert 100 <= redis_server.client.xlen(name_of(url)) < 1000
    redis_server.client.xtrim(name_of(url), maxlen=0)
    again = open_output(url)
    again.start(position)
    again.write(numbers(3000, 3001))
    again.close()
    assert redis_server.client.xrange(name_of(url)) == [(b"1-3001", {b"n": b"3000"})]


def test_a_stream_with_entries_of_others_is_refused(redis_server):
    url = redis_server.url()
    redis_server.client.xadd(name_of(url), {"a": 1})
    for position in (None, {"kind": "redis-stream", "entries": 0}):
        with pytest.raises(BadInputError, match="entries of others"):
            open_output(url).start(position)
    assert redis_server.client.xlen(name_of(url)) == 1


def test_a_key_of_another_type_is_refused(redis_server):
    url = redis_server.url()
    redis_server.client.set(name_of(url), "text")
    with pytest.raises(BadInputError, match="is not a stream"):
        open_output(url).start(None)


def test_an_empty_stream_made_for_a_consumer_group_is_welcome(redis_server):
    url = redis_server.url()
    redis_server.client.xgroup_create(name_of(url), "readers", mkstream=True)
    output = begun(url)
    output.write(numbers(0, 1))
    output.close()
    got = redis_server.client.xreadgroup("readers", "one", {name_of(url): ">"})
    entries = next(iter(got.values()))[0] if isinstance(got, dict) else got[0][1]
    assert [i for i, _ in entries] == [b"1-1"]


@pytest.mark.parametrize("entry", ["*", "1-4", "1-9"])
def test_somebody_else_writing_meanwhile_is_noticed(redis_server, no_waiting, entry):
    url = redis_server.url()
    output = begun(url)
    output.write(numbers(0, 3))
    redis_server.client.xadd(name_of(url), {"a": 1}, id=entry)
    with pytest.raises(BadInputError, match=r"entries of others|somebody else writes"):
        output.write(numbers(3, 5))
    with pytest.raises(ShoalError, match="call start first"):
        output.write(numbers(3, 5))


def test_a_server_that_forgot_entries_is_noticed(redis_server):
    url = redis_server.url()
    output = begun(url)
    output.write(numbers(0, 3))
    position = output.sync()
    output.close()
    redis_server.client.delete(name_of(url))
    with pytest.raises(DamagedFileError, match="the server has lost entries"):
        open_output(url).start(position)


def test_an_answer_that_got_lost_does_not_enter_rows_twice(redis_server, no_waiting, monkeypatch):
    import redis

    url = redis_server.url()
    output = begun(url)
    output.write(numbers(0, 3))
    real = redis.client.Pipeline.execute
    broken = []

    def losing(self, *args, **kwargs):
        answer = real(self, *args, **kwargs)
        if not broken:
            broken.append(answer)
            raise redis.exceptions.ConnectionError("reset by peer")
        return answer

    monkeypatch.setattr(redis.client.Pipeline, "execute", losing)
    output.write(numbers(3, 1500))
    output.close()
    assert broken
    entries = redis_server.client.xrange(name_of(url))
    assert [int(fields[b"n"]) for _, fields in entries] == list(range(1500))


def test_a_server_that_cannot_be_reached(own_server, no_waiting):
    server = own_server()
    url = server.url("s")
    output = begun(url)
    output.write(numbers(0, 3))
    server.stop()
    with pytest.raises(ShoalError, match="cannot be reached"):
        output.write(numbers(3, 4))
    with pytest.raises(ShoalError, match="cannot be reached"):
        open_output(url).start(None)


def test_a_server_that_comes_back_empty_is_noticed(own_server, no_waiting):
    server = own_server()
    output = begun(server.url("s"))
    output.write(numbers(0, 3))
    server.stop()
    server.begin()
    with pytest.raises(BadInputError, match="server lost entries"):
        output.sync()
    with pytest.raises(BadInputError, match="server lost entries"):
        output.write(numbers(3, 4))
    assert not server.client.exists("s")


def test_a_server_without_memory_takes_all_of_a_trip_or_nothing(own_server, no_waiting):
    server = own_server("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    url = server.url("s")
    output = begun(url)
    wide = pa.table({"n": list(range(2000)), "text": ["x" * 2000] * 2000})
    with pytest.raises(ShoalError, match="refuses"):
        output.write(pa.concat_tables([wide] * 5))
    server.client.config_set("maxmemory", 0)
    there = server.client.xlen("s")
    assert there % redis_stream.ENTRIES_PER_TRIP == 0
    again = open_output(url)
    again.start({"kind": "redis-stream", "entries": 0})
    for _ in range(5):
        again.write(wide)
    again.close()
    assert [int(f[b"n"]) for _, f in server.client.xrange("s")] == list(range(2000)) * 5


def test_a_password_is_asked_for_and_never_shown(own_server, no_waiting):
    server = own_server("--requirepass", "sesame")
    wrong = f"redis://:wr0ng@127.0.0.1:{server.port}/0?stream=s"
    for url in (wrong, wrong.replace(":wr0ng@", "")):
        with pytest.raises(ShoalError, match="refuses") as caught:
            open_output(url).start(None)
        assert "wr0ng" not in str(caught.value)
    right = begun(wrong.replace("wr0ng", "sesame"))
    right.write(numbers(0, 1))
    assert right.sync()["entries"] == 1
    right.close()


@pytest.mark.parametrize("url", ["redis://h/0", "redis://h:1/0?stream=", "redis://u:secret@h/0?maxlen=3"])
def test_an_address_without_a_stream(url):
    with pytest.raises(BadInputError, match="names no stream") as caught:
        open_output(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("more", ["&maxlen=many", "&maxlen=0", "&maxlen=-1"])
def test_a_length_that_is_none(more):
    with pytest.raises(BadInputError, match="maxlen="):
        open_output(f"redis://h/0?stream=s{more}")


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(ShoalError, match=r"pip install 'shoal\[redis\]'"):
        open_output("redis://h/0?stream=s")
