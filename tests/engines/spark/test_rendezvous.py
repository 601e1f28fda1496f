"""The star of sockets, without Spark: threads stand for ranks."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shoal.engines.spark.rendezvous import Star, _send


class Meeting:
    """What allGather is."""

    def __init__(self, ranks: int) -> None:
        self.messages: dict[int, str] = {}
        self.barrier = threading.Barrier(ranks, timeout=20)

    def exchange(self, rank: int) -> Any:
        def tell(message: str) -> list[str]:
            self.messages[rank] = message
            self.barrier.wait()
            return [m for _, m in sorted(self.messages.items())]

        return tell


def on_all(ranks: int, work: Any, **more: Any) -> list[Any]:
    meeting = Meeting(ranks)

    def one(rank: int) -> Any:
        star = Star(rank, ranks, exchange=meeting.exchange(rank), host="127.0.0.1", token="secret", **more)
        with star:
            return work(star, rank)

    with ThreadPoolExecutor(ranks) as pool:
        futures = [pool.submit(one, rank) for rank in range(ranks)]
        return [f.exception() or f.result() for f in futures]


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_gather_in_order_and_share(ranks: int) -> None:
    def work(star: Star, rank: int) -> Any:
        gathered = star.gather(f"from {rank}".encode())
        told = star.share(b"x" * 3_000_000 if rank == 0 else b"")
        return gathered, len(told)

    found = on_all(ranks, work)
    assert found[0][0] == [f"from {r}".encode() for r in range(ranks)]
    assert [gathered for gathered, _ in found[1:]] == [[]] * (ranks - 1)
    assert {length for _, length in found} == {3_000_000}


def test_what_ranks_say_at_the_meeting_is_known_to_all() -> None:
    assert on_all(3, lambda star, rank: star.told, told="fine") == [["fine"] * 3] * 3


def test_a_peer_that_dies_is_an_error_not_a_hang() -> None:
    def work(star: Star, rank: int) -> Any:
        if rank == 2:
            return None  # closes its socket
        star.gather(b"one")
        return star.share(b"two")

    found = on_all(3, work, patience=20.0)
    assert isinstance(found[0], ConnectionError)
    assert isinstance(found[1], ConnectionError | OSError)


def test_a_silent_peer_is_a_timeout() -> None:
    done = threading.Event()

    def work(star: Star, rank: int) -> Any:
        if rank == 1:
            done.wait(20)
            return None
        try:
            return star.gather(b"")
        finally:
            done.set()

    assert isinstance(on_all(2, work, patience=0.3)[0], TimeoutError)


def test_a_stranger_is_refused() -> None:
    """One that knocks first, with a wrong token, and one that says nothing we know."""
    meeting = Meeting(2)

    def knock(message: str) -> list[str]:
        told = meeting.exchange(1)(message)
        port = int(told[0][1 : told[0].index(",")])
        for word in (b"guess 1", b"secret 7", b"\xff\xfe"):
            stranger = socket.create_connection(("127.0.0.1", port), timeout=10)
            _send(stranger, word)
            assert stranger.recv(1) == b""  # shown the door
        return told

    def lead() -> list[bytes]:
        with Star(0, 2, exchange=meeting.exchange(0), host="127.0.0.1", token="secret") as star:
            return star.gather(b"lead")

    with ThreadPoolExecutor(2) as pool:
        leading = pool.submit(lead)
        with Star(1, 2, exchange=knock, host="127.0.0.1", token="secret") as star:
            star.gather(b"friend")
        assert leading.result(timeout=20) == [b"lead", b"friend"]
