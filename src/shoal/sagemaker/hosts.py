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
import time
from collections.abc import Callable
from typing import Any, TypeVar

from shoal.errors import BadInputError, ShoalError
from shoal.sagemaker.host_link import FAILED, HostLostError, Link, Message
from shoal.sagemaker.tree import Hosts

PORT = 9000
PATIENCE = 120.0
"""Seconds that hosts may start apart."""
MOST_HELLO = 4096
T = TypeVar("T")


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


def join(hosts: Hosts, job: str, *, patience: float | None = None) -> Group:
    """Meet the other hosts of a job.

    Parameters
    ----------
    hosts : of the job; the first listens on port 9000, the others come to it.
    job : name of the job, from which hosts know each other: against mix-ups, as it is no secret.
    patience : seconds to wait for the others; default: ``SHOAL_HOSTS_PATIENCE``, else 120.

    ``SHOAL_HOSTS="algo-1=10.0.0.7:9001,..."`` says where hosts are that have no such names.

    Raises
    ------
    HostLostError : they did not all come in time.
    """
    if patience is None:
        patience = float(os.environ.get("SHOAL_HOSTS_PATIENCE") or PATIENCE)
    if len(hosts.names) == 1:
        return Group(hosts, {})
    end = time.monotonic() + patience
    if hosts.rank == 0:
        return Group(hosts, _welcomed(hosts, token_of(job, hosts), end))
    first = hosts.names[0]
    return Group(hosts, {first: _retrying(lambda: _admitted(hosts, token_of(job, hosts)), end, first)})


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


def _welcomed(hosts: Hosts, token: str, end: float) -> dict[str, Link]:
    listening = _retrying(lambda: socket.create_server(address_of(hosts.names[0])), end, hosts.names[0])
    links: dict[str, Link] = {}
    with listening:
        while missing := [name for name in hosts.names[1:] if name not in links]:
            listening.settimeout(max(min(end - time.monotonic(), 1.0), 0.01))
            for link in links.values():
                link.check()
            try:
                connection = listening.accept()[0]
            except TimeoutError as error:
                if time.monotonic() > end:
                    raise HostLostError(f"AlgorithmError: host {', '.join(missing)} did not come") from error
                continue
            greeted = _greeted(connection, missing, token)
            if greeted is not None:
                links[greeted.host] = greeted
    return {name: links[name] for name in hosts.names[1:]}


def _greeted(connection: socket.socket, missing: list[str], token: str) -> Link | None:
    """The link to a host that has shown who it is; strangers are sent away."""
    link = Link(connection, "a stranger")
    connection.settimeout(5)
    try:
        told = link.receive(MOST_HELLO, 0).told
        if (
            hmac.compare_digest(str(told.get("token", "")).encode(), token.encode())
            and told.get("host") in missing
        ):
            link.send({"welcome": True})
            return Link(connection, str(told["host"]))
    except ShoalError:
        pass
    connection.close()
    return None


def _admitted(hosts: Hosts, token: str) -> Link:
    connection = socket.create_connection(address_of(hosts.names[0]), timeout=5)
    link = Link(connection, hosts.names[0])
    try:
        connection.settimeout(10)
        link.send({"host": hosts.current, "token": token})
        link.receive(MOST_HELLO, 0)
    except ShoalError as error:
        connection.close()
        raise ConnectionError(str(error)) from error
    return Link(connection, hosts.names[0])


def _retrying(attempt: Callable[[], T], end: float, host: str) -> T:
    """Names may need a while until they resolve, and the first host until it listens."""
    while True:
        try:
            return attempt()
        except OSError as error:
            if time.monotonic() > end:
                raise HostLostError(f"AlgorithmError: host {host} cannot be reached ({error})") from error
            time.sleep(0.2)
