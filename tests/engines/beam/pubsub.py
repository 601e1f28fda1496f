"""Pub/Sub servers for tests: Shoal's own, and Google's emulator where it is installed."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shoal.engines.beam.pubsub_server import PubSubServer

KINDS = ("ours", "official")
LIB = Path("/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib")


@contextmanager
def broker(kind: str) -> Iterator[str]:
    """The address of a running server of this kind; PUBSUB_EMULATOR_HOST names it meanwhile."""
    starter = {"ours": _ours, "official": _official}[kind]
    before = os.environ.get("PUBSUB_EMULATOR_HOST")
    with starter() as address:
        os.environ["PUBSUB_EMULATOR_HOST"] = address
        try:
            yield address
        finally:
            if before is None:
                del os.environ["PUBSUB_EMULATOR_HOST"]
            else:
                os.environ["PUBSUB_EMULATOR_HOST"] = before


@contextmanager
def _ours() -> Iterator[str]:
    with PubSubServer() as server:
        yield server.address


@contextmanager
def _official() -> Iterator[str]:
    jars = sorted(LIB.glob("cloud-pubsub-emulator-*-all.jar"))
    java = shutil.which("java")
    if not jars:
        pytest.skip(
            f"Google's Pub/Sub emulator is not installed: no cloud-pubsub-emulator-*-all.jar in {LIB}"
        )
    if not java:
        pytest.skip("Google's Pub/Sub emulator needs Java, which is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [java, "-Xmx512m", "-jar", str(jars[-1]), "--host=127.0.0.1", f"--port={port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(process, port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    for _ in range(300):
        assert process.poll() is None, "the emulator ended before it listened"
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the emulator did not listen within 30 s")
