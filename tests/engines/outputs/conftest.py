"""A Redis server of the tests' own, and streams with names nobody else has."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import time

import pytest

_numbers = itertools.count()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A redis-server that can be stopped and started again on the same port, empty."""

    def __init__(self, folder, *settings: str) -> None:
        self.folder, self.settings, self.port = folder, settings, free_port()
        self.process = None
        self.begin()

    def begin(self) -> None:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        command = ["redis-server", "--port", str(self.port), "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen([*command, *self.settings], stdout=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port, retry=Retry(NoBackoff(), 0), socket_timeout=20)
        for _ in range(200):
            try:
                self.client.ping()
            except redis.exceptions.AuthenticationError:
                return  # it is there, and wants a password
            except redis.exceptions.ConnectionError:
                time.sleep(0.02)
            else:
                return
        self.stop()
        raise RuntimeError("redis-server did not start")

    def stop(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()

    def url(self, stream: str | None = None, more: str = "") -> str:
        stream = stream or f"stream-{next(_numbers)}"
        return f"redis://127.0.0.1:{self.port}/0?stream={stream}{more}"


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    pytest.importorskip("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path):
    """A server to be stopped, or starved, by the test."""
    pytest.importorskip("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    made = []

    def make(*settings: str) -> Server:
        made.append(Server(tmp_path, *settings))
        return made[-1]

    yield make
    for server in made:
        server.stop()
