"""Several hosts of one job: the first collects what the others found, and tells them what was made of it.

All connections are made before any row is read and stay open, so that a host that dies, or a machine that goes away,
is noticed by the others within a minute.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from shoal.errors import BadInputError, ShoalError
from shoal.sagemaker.failure import reason_of
from shoal.sagemaker.host_link import FAILED, HostFailedError, HostLostError, Link, Message
from shoal.sagemaker.tree import Hosts, seconds_of

PORT = 9000
PATIENCE = 60.0
"""Seconds that hosts may start apart."""
GREETING = 5.0
"""Seconds in which who comes must have said who it is."""
CONNECTING = 2.0
LOOK_AGAIN = 0.05
MOST_HELLO = 4096
MOST_VISITORS = 64
"""Connections that may be about to say who they are; the oldest make room."""
T = TypeVar("T")


class StoppedError(ShoalError):
    """The job is to end before its hosts have met."""


class Group:
    """The hosts of a job, as one of them sees them.

    >>> alone = Group(Hosts(), {})
    >>> [m.told for m in alone.gather({"rows": 3})], alone.tell({"ok": True}).told
    ([{'rows': 3}], {'ok': True})
    """

    def __init__(self, hosts: Hosts, links: dict[str, Link]) -> None:
        self.hosts = hosts
        self._links = links
        """The first host has one to every other, the others have one to it."""

    @property
    def leads(self) -> bool:
        """Whether this is the host that writes the model."""
        return self.hosts.rank == 0

    def gather(self, told: dict[str, Any], content: bytes = b"") -> list[Message]:
        """What all hosts say, in their order, at the first host; an empty list at the others.

        Raises
        ------
        HostLostError : one of them is gone or has failed.
        """
        if not self.leads:
            self._first.send(told, content)
            return []
        others = [self._received(self._links[name]) for name in self.hosts.names[1:]]
        return [Message(told, content), *others]

    def tell(self, told: dict[str, Any] | None = None, content: bytes = b"") -> Message:
        """What the first host says, at every host; ``told`` and ``content`` count only there.

        Raises
        ------
        HostLostError : a host is gone or has failed.
        """
        if not self.leads:
            return self._received(self._first)
        for link in self._links.values():
            link.send(told or {}, content)
        return Message(told or {}, content)

    def check(self) -> None:
        """Raises :class:`HostLostError` if another host is known to be gone."""
        for link in self._links.values():
            link.check()

    def fail(self, reason: str) -> None:
        """Tell the others why this host gives up, as far as they can be told."""
        text = (
            reason
            if len(self.hosts.names) == 1 or "host " in reason
            else f"{reason} (host {self.hosts.current})"
        )
        for link in self._links.values():
            try:
                link.connection.settimeout(5)
                link.send({"reason": text}, kind=FAILED)
            except (ShoalError, OSError):
                continue

    def close(self) -> None:
        """End all connections."""
        for link in self._links.values():
            link.connection.close()

    @property
    def _first(self) -> Link:
        return self._links[self.hosts.names[0]]

    def _received(self, link: Link) -> Message:
        while not link.is_ready(1.0):
            self.check()
        return link.receive()


def join(
    hosts: Hosts, job: str, *, patience: float | None = None, stop: threading.Event | None = None
) -> Group:
    """Meet the other hosts of a job.

    Parameters
    ----------
    hosts : of the job; the first listens on port 9000, the others come to it.
    job : name of the job, from which hosts know each other: against mix-ups, as it is no secret.
    patience : seconds to wait for the others; default: ``SHOAL_HOSTS_PATIENCE``, else 60.
    stop : ends the waiting when it is set.

    ``SHOAL_HOSTS="algo-1=10.0.0.7:9001,..."`` says where hosts are that have no such names.

    Raises
    ------
    HostLostError : they did not all come in time.
    StoppedError : the job is to end.
    """
    if patience is None:
        patience = seconds_of("SHOAL_HOSTS_PATIENCE", PATIENCE)
    if len(hosts.names) == 1:
        return Group(hosts, {})
    token, meeting = token_of(job, hosts), _Meeting(patience, stop or threading.Event())
    if hosts.rank == 0:
        return Group(hosts, _welcomed(hosts, token, meeting))
    first = hosts.names[0]
    return Group(hosts, {first: meeting.retried(lambda: _admitted(hosts, token, meeting), first)})


def token_of(job: str, hosts: Hosts) -> str:
    """What hosts of one job show each other."""
    text = json.dumps([job, hosts.names])
    return hashlib.blake2b(text.encode(), digest_size=16, person=b"shoal hosts").hexdigest()


def address_of(host: str) -> tuple[str, int]:
    """Where a host is."""
    for entry in filter(None, os.environ.get("SHOAL_HOSTS", "").split(",")):
        name, _, where = entry.strip().partition("=")
        address, _, port = where.rpartition(":")
        if not (address and port.isdigit()):
            raise BadInputError(f"{entry!r}", place="SHOAL_HOSTS", remedy="write name=address:port,...")
        if name == host:
            return address, int(port)
    return host, PORT


def _welcomed(hosts: Hosts, token: str, meeting: _Meeting) -> dict[str, Link]:
    listening = meeting.retried(lambda: socket.create_server(address_of(hosts.names[0])), hosts.names[0])
    links: dict[str, Link] = {}
    try:
        with listening:
            _collect(listening, links, hosts, token, meeting)
        for link in links.values():  # only now: one that began earlier could fail before all can be told why
            link.send({"welcome": True})
    except ShoalError as error:
        group = Group(hosts, links)
        if not isinstance(error, StoppedError):  # the others are stopped themselves
            group.fail(reason_of(error))
        group.close()
        raise
    return {name: links[name] for name in hosts.names[1:]}


def _collect(
    listening: socket.socket, links: dict[str, Link], hosts: Hosts, token: str, meeting: _Meeting
) -> None:
    """Take in connections until each host has one, whatever else may come."""
    visitors: list[_Visitor] = []
    try:
        listening.setblocking(False)
        while missing := [name for name in hosts.names[1:] if name not in links]:
            meeting.wait(f"host {', '.join(missing)} did not come")
            for link in links.values():
                link.check()
            visitors += _arrived(listening)
            for visitor in visitors[:-MOST_VISITORS]:
                visitor.link.connection.close()
            visitors = [v for v in visitors[-MOST_VISITORS:] if not _has_left(v, links, missing, token)]
    finally:
        for visitor in visitors:
            visitor.link.connection.close()


class _Visitor(NamedTuple):
    """A connection that has not yet shown who it is, and when it must have."""

    link: Link
    end: float


def _arrived(listening: socket.socket) -> Iterator[_Visitor]:
    """Those who came since the last look."""
    for _ in range(MOST_VISITORS):
        try:
            connection = listening.accept()[0]
        except OSError:  # nobody, or one that is gone already
            return
        yield _Visitor(Link(connection, "a stranger"), time.monotonic() + GREETING)


def _has_left(visitor: _Visitor, links: dict[str, Link], missing: list[str], token: str) -> bool:
    """Whether a visitor needs no more attention: it became a link, or was sent away. Never waits."""
    link = visitor.link
    try:
        if not link.has_come(MOST_HELLO):
            if time.monotonic() < visitor.end:
                return False
        else:
            told = link.receive(MOST_HELLO, 0).told
            shown, name = str(told.get("token", "")), told.get("host")
            if (
                hmac.compare_digest(shown.encode(errors="replace"), token.encode())
                and name in missing
                and name not in links
            ):
                link.host = str(name)
                links[link.host] = link
                return True
    except ShoalError:
        pass
    link.connection.close()
    return True


def _admitted(hosts: Hosts, token: str, meeting: _Meeting) -> Link:
    first = hosts.names[0]
    link = Link(socket.create_connection(address_of(first), timeout=CONNECTING), first)
    try:
        link.send({"host": hosts.current, "token": token})
        while not link.has_come(MOST_HELLO):
            meeting.wait("it listens, but not all hosts have come")
        link.receive(MOST_HELLO, 0)
    except ShoalError as error:
        link.connection.close()
        if isinstance(error, StoppedError | HostFailedError):
            raise
        raise ConnectionError(str(error).removeprefix("AlgorithmError: ")) from error
    except OSError:
        link.connection.close()
        raise
    return link


class _Meeting:
    """How long hosts wait for each other."""

    def __init__(self, patience: float, stop: threading.Event) -> None:
        self._end, self._stop = time.monotonic() + patience, stop

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._end

    def wait(self, problem: str) -> None:
        """A moment; raises :class:`HostLostError` after the last, and :class:`StoppedError` if the job is to end."""
        if self._stop.wait(LOOK_AGAIN):
            raise StoppedError("stopped by SIGTERM before the hosts had met")
        if self.is_over:
            raise HostLostError(f"AlgorithmError: {problem}")

    def retried(self, attempt: Callable[[], T], host: str) -> T:
        """Names may need a while until they resolve, and the first host until it listens."""
        while True:
            try:
                return attempt()
            except OSError as error:
                self.wait(f"host {host} cannot be reached ({error})")
