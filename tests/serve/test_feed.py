"""The feed: in order, resumed, and no listener harms another."""

from __future__ import annotations

import asyncio
import threading

import pytest

import shoal.serve.feed as feed_module
from shoal.serve.feed import Feed, server_sent


async def texts(feed, count, since=None, model=None, beat=15.0):
    """The first so many parts that a page gets."""
    out = []
    with feed.listening(since) as listener:
        async for part in server_sent(listener, model, beat):
            out.append(part.decode())
            if len(out) == count:
                return out
    return out


def test_messages_come_in_order_and_to_those_who_asked_for_the_model():
    async def check():
        feed = Feed(after=0)
        reading = asyncio.create_task(texts(feed, 3, model="a"))
        await asyncio.sleep(0.01)
        for i in range(4):
            feed.tell("change", "ab"[i % 2], {"i": i})
        return await reading

    got = asyncio.run(check())
    assert got[0].startswith("retry: 2000\nevent: hello\n")
    assert got[1:] == [
        'id: 1\nevent: change\ndata: {"model":"a","i":0}\n\n',
        'id: 3\nevent: change\ndata: {"model":"a","i":2}\n\n',
    ]


def test_nothing_is_lost_or_swapped_between_threads():
    async def check():
        feed = Feed(after=0)
        threads = [
            threading.Thread(target=lambda: [feed.tell("x", "m", {}) for _ in range(200)]) for _ in range(4)
        ]
        numbers = []
        with feed.listening() as listener:
            for thread in threads:
                thread.start()
            while len(numbers) < 800:
                numbers.append((await listener.next()).number)
        return numbers

    assert asyncio.run(check()) == list(range(1, 801))


@pytest.mark.parametrize(
    ("since", "expected"), [(7, [8, 9, 10]), (10, []), (4, [5, 6, 7, 8, 9, 10]), (3, None), (11, None)]
)
def test_a_listener_that_returns_gets_the_rest_or_hears_of_the_gap(monkeypatch, since, expected):
    monkeypatch.setattr(feed_module, "KEPT", 6)
    feed = Feed(after=0)
    for _ in range(10):
        feed.tell("x", "m", {})

    async def check():
        return await texts(feed, 2 if expected is None else 1 + len(expected), since)

    got = asyncio.run(check())[1:]
    if expected is None:
        assert got == ['id: 10\nevent: gap\ndata: {"number":10}\n\n']
    else:
        assert [int(g.split()[1]) for g in got] == expected


def test_what_is_kept_is_bounded_by_its_size_too(monkeypatch):
    monkeypatch.setattr(feed_module, "KEPT_BYTES", 1000)
    feed = Feed(after=0)
    for _ in range(50):
        feed.tell("x", "m", {"text": "y" * 80})
    assert 5 < len(feed.since(0)) < 12


def test_a_slow_listener_is_let_go_and_the_others_stay(monkeypatch):
    monkeypatch.setattr(feed_module, "WAITING", 10)

    async def check():
        feed = Feed(after=0)
        with feed.listening() as slow, feed.listening() as quick:
            for i in range(30):
                feed.tell("x", "m", {"i": i})
                assert (await quick.next()).data == {"i": i}
            assert slow.ended.is_set()
            assert await slow.next() is None
            assert not quick.ended.is_set()
        return feed.listeners

    assert asyncio.run(check()) == 0


def test_silence_is_filled_and_the_end_is_told_at_once():
    async def check():
        feed = Feed()
        asyncio.get_running_loop().call_later(0.2, feed.close)
        parts = await texts(feed, 1000, beat=0.05)
        late = await texts(feed, 1000)
        return parts, late

    parts, late = asyncio.run(check())
    assert 2 <= len(parts) - 1 <= 5
    assert set(parts[1:]) == {": still here\n\n"}
    assert len(late) == 1


def test_a_listener_whose_loop_has_ended_is_forgotten():
    feed = Feed()

    async def leave():
        feed.listening().__enter__()

    asyncio.run(leave())
    feed.tell("x", "m", {})
    assert feed.listeners == 0


def test_a_number_that_json_has_no_word_for_is_refused_and_leaves_no_gap():
    feed = Feed(after=0)
    with pytest.raises(ValueError, match="JSON"):
        feed.tell("x", "m", {"share": float("nan")})
    assert feed.tell("x", "m", {}).number == 1
