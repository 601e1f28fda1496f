"""A connection between two hosts of a job: frames with a kind, a length and a bound; nothing in them is ever executed."""

from __future__ import annotations

import json
import select
import socket
import struct
from typing import Any, NamedTuple

from shoal.errors import ShoalError
from shoal.sagemaker.json_text import parsed_json

MOST_TOLD, MOST_CONTENT = 16 << 20, 2 << 30
_HEAD = struct.Struct("<4sB3xIQ")
_MAGIC = b"SHJB"
NEWS, FAILED = 0, 1


class HostLostError(ShoalError):
    """A host of the job has failed or is gone."""


class HostFailedError(HostLostError):
    """A host has told why it gives up."""


class Message(NamedTuple):
    """What one host tells another."""

    told: dict[str, Any]
    content: bytes = b""


class Link:
    """A connection to another host."""

    def __init__(self, connection: socket.socket, host: str) -> None:
        self.connection, self.host = connection, host
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 45_000)

    def send(self, told: dict[str, Any], content: bytes = b"", kind: int = NEWS) -> None:
        """Send one message.

        Raises
        ------
        HostLostError : the host is gone.
        """
        text = json.dumps(told).encode()
        if len(text) > MOST_TOLD or len(content) > MOST_CONTENT:
            raise ShoalError(f"{len(text) + len(content):,} bytes are too many for one message between hosts")
        try:
            self.connection.sendall(_HEAD.pack(_MAGIC, kind, len(text), len(content)) + text)
            self.connection.sendall(content)
        except OSError as error:
            self.check()  # its last words may be waiting, and say more
            raise self._lost(error) from error

    def receive(self, most_told: int = MOST_TOLD, most_content: int = MOST_CONTENT) -> Message:
        """The next message.

        Raises
        ------
        HostLostError : the host is gone, has failed, or says what no host of this job would.
        """
        magic, kind, n_told, n_content = _HEAD.unpack(self._exactly(_HEAD.size))
        if magic != _MAGIC or n_told > most_told or n_content > most_content:
            raise self._stranger()
        try:
            told = parsed_json(bytes(self._exactly(n_told)))
        except ValueError as error:
            raise self._stranger() from error
        if not isinstance(told, dict):
            raise self._stranger()
        if kind == FAILED:
            raise HostFailedError(
                str(told.get("reason") or f"AlgorithmError: host {self.host} failed")[:1000]
            )
        return Message(told, bytes(self._exactly(n_content)))

    def is_ready(self, seconds: float = 0.0) -> bool:
        """Whether something came, the end of the connection included."""
        return bool(select.select([self.connection], [], [], seconds)[0])

    def has_come(self, most_told: int) -> bool:
        """Whether :meth:`receive` would not wait: a whole message without content is there, or what is none."""
        if not self.is_ready():
            return False
        try:
            seen = self.connection.recv(_HEAD.size + most_told, socket.MSG_PEEK)
        except OSError as error:
            raise self._lost(error) from error
        if not seen:
            return True
        if len(seen) < _HEAD.size:
            return False
        magic, _, n_told, n_content = _HEAD.unpack_from(seen)
        is_good = magic == _MAGIC and n_told <= most_told and n_content == 0
        return not is_good or len(seen) >= _HEAD.size + n_told

    def check(self) -> None:
        """Raises :class:`HostLostError` if the host is gone or has failed; takes no other message."""
        if self.is_ready():
            try:
                head = self.connection.recv(_HEAD.size, socket.MSG_PEEK)
            except OSError as error:
                raise self._lost(error) from error
            if not head:
                raise self._lost("it ended the connection")
            if len(head) == _HEAD.size and _HEAD.unpack(head)[1] == FAILED:
                self.receive()

    def _exactly(self, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:  # as it comes: no room is made for bytes that were only announced
            try:
                part = self.connection.recv(min(size - len(data), 1 << 20))
            except OSError as error:
                raise self._lost(error) from error
            if not part:
                raise self._lost("it ended the connection")
            data += part
        return data

    def _stranger(self) -> HostLostError:
        return HostLostError(f"AlgorithmError: {self.host} sent what is no message of this job")

    def _lost(self, why: object) -> HostLostError:
        return HostLostError(f"AlgorithmError: host {self.host} is gone ({why}); see its log")
