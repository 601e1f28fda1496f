"""Ranks of one barrier stage that talk to each other over sockets: a star with rank 0 in the middle.

Spark's own ``allGather`` takes a second each time, so it is used once, to tell the address. Strangers are refused by a token
that travels with the job. Frames are lengths and plain bytes; nothing is pickled. A peer that dies is an error for all,
whereupon Spark runs the stage again.
"""

from __future__ import annotations

import hmac
import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Self

PATIENCE = 600.0
"""Seconds to wait for a peer's next message: as long as its share of an iteration may take."""
_HEAD = struct.Struct("<Q")
_LONGEST = 1 << 34


class Star:
    """One rank's end of the conversation.

    Parameters
    ----------
    rank, ranks : who this is, and how many there are; all must take part in every call, in the same order.
    exchange : tells a message to all ranks and answers theirs in order of rank, once (Spark's ``allGather``).
    host : where rank 0 listens; its own name as the others know it.
    token : shared secret of the job.

    Raises
    ------
    ConnectionError, TimeoutError : a peer died, is a stranger, or is silent for too long.
    """

    def __init__(
        self,
        rank: int,
        ranks: int,
        *,
        exchange: Callable[[str], list[str]],
        host: str,
        token: str,
        told: str = "",
        patience: float = PATIENCE,
    ) -> None:
        self.rank, self.ranks, self._patience = rank, ranks, patience
        self._peers: list[socket.socket] = []
        listener = socket.create_server((host, 0), backlog=ranks) if rank == 0 and ranks > 1 else None
        try:
            port = listener.getsockname()[1] if listener is not None else 0
            messages = [json.loads(m) for m in exchange(json.dumps([port, told]))]
            self.told = [str(m[1]) for m in messages]
            """What every rank had to say at the meeting."""
            if listener is not None:
                self._peers = self._accept(listener, token)
            elif ranks > 1:
                self._peers = [self._join(host, int(messages[0][0]), token)]
        finally:
            if listener is not None:
                listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for peer in self._peers:
            peer.close()

    def gather(self, message: bytes) -> list[bytes]:
        """Everybody's messages in order of rank, on rank 0; nothing on the others."""
        if self.rank:
            _send(self._peers[0], message)
            return []
        return [message, *(_receive(peer) for peer in self._peers)]

    def share(self, message: bytes = b"") -> bytes:
        """Rank 0's message, on every rank."""
        if self.rank:
            return _receive(self._peers[0])
        for peer in self._peers:
            _send(peer, message)
        return message

    def _accept(self, listener: socket.socket, token: str) -> list[socket.socket]:
        found: dict[int, socket.socket] = {}
        until = time.monotonic() + self._patience
        while len(found) < self.ranks - 1:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"only {len(found) + 1} of {self.ranks} ranks came")
            listener.settimeout(left)
            peer, _ = listener.accept()
            rank = self._admitted(peer, token)
            if rank is None or rank in found:
                peer.close()
                continue
            peer.settimeout(self._patience)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found[rank] = peer
        return [found[rank] for rank in range(1, self.ranks)]

    def _admitted(self, peer: socket.socket, token: str) -> int | None:
        """The rank of a newcomer that knows the token; None for a stranger."""
        peer.settimeout(10.0)
        try:
            hello = _receive(peer, longest=1000)
            shown, _, rank = hello.decode("ascii").partition(" ")
            if not hmac.compare_digest(shown, token) or not 0 < int(rank) < self.ranks:
                return None
            return int(rank)
        except (OSError, ValueError):
            return None

    def _join(self, host: str, port: int, token: str) -> socket.socket:
        peer = socket.create_connection((host, port), timeout=min(self._patience, 60.0))
        peer.settimeout(self._patience)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _send(peer, f"{token} {self.rank}".encode("ascii"))
        return peer


def _send(peer: socket.socket, message: bytes) -> None:
    peer.sendall(_HEAD.pack(len(message)))
    peer.sendall(message)


def _receive(peer: socket.socket, longest: int = _LONGEST) -> bytes:
    (length,) = _HEAD.unpack(_exactly(peer, _HEAD.size))
    if length > longest:
        raise ConnectionError(f"a message of {length} bytes is none of ours")
    return _exactly(peer, length)


def _exactly(peer: socket.socket, n: int) -> bytes:
    out = bytearray(n)
    view, at = memoryview(out), 0
    while at < n:
        got = peer.recv_into(view[at:])
        if not got:
            raise ConnectionError("another rank of the stage has gone")
        at += got
    return bytes(out)
