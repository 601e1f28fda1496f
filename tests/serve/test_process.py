"""``shoal serve`` as a user runs it: a real process on loopback."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from shoal.cli.serve import listen
from shoal.model.store import ModelStore

COMMAND = [sys.executable, "-c", "from shoal.cli import main; main()", "serve"]


@contextmanager
def serving(path, *options):
    """The process and its base address."""
    with subprocess.Popen(
        [*COMMAND, str(path), "--port", "0", *options], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stderr.readline()
            found = re.search(r"(http://\S+?)/v1", line)
            assert found, line + process.stderr.read()
            for _ in range(200):
                try:
                    httpx.get(found[1] + "/health/live")
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            yield process, found[1]
        finally:
            if process.poll() is None:
                process.kill()


def test_new_versions_are_served_while_requests_run_and_none_fails(tmp_path, plain, rows):
    model = plain[1]
    store = ModelStore(tmp_path / "s", keep=2)
    store.publish(model)
    expected = model.assign(rows).ids.tolist()
    stop = threading.Event()
    with serving(tmp_path / "s", "--log", "none") as (process, base):

        def ask(_):
            seen, count = set(), 0
            with httpx.Client(base_url=base, timeout=30) as client:
                while not stop.is_set():
                    got = client.post(
                        "/v1/models/s/assign",
                        params={"width": 4},
                        content=rows.tobytes(),
                        headers={"content-type": "application/octet-stream"},
                    )
                    assert got.status_code == 200, got.text
                    assert [r["id"] for r in got.json()["rows"]] == expected
                    seen.add(got.headers["x-model-version"])
                    count += 1
            return seen, count

        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask, i) for i in range(4)]
            try:
                for _ in range(8):
                    newest = store.publish(model)
                    time.sleep(0.3)
                deadline = time.monotonic() + 3
                version = ""
                while version != str(newest) and time.monotonic() < deadline:
                    version = httpx.get(f"{base}/v1/models/s").json()["version"]
                    time.sleep(0.05)
            finally:
                stop.set()
            seen, counts = zip(*(one.result() for one in asked), strict=True)
        assert version == str(newest)
        assert len(set.union(*seen)) > 1
        assert min(counts) > 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_log_that_nobody_reads_holds_up_no_answer(houses):
    with serving(houses[0], "--log", "json") as (_, base), httpx.Client(base_url=base, timeout=10) as client:
        for _ in range(1500):  # a pipe holds 64 KiB, which is some 250 lines
            assert client.get("/health/live").status_code == 200


def test_the_token_is_asked_for_and_sigint_ends_in_good_order(houses):
    with serving(houses[0], "--token", "s3cret", "--host", "0.0.0.0") as (process, base):
        base = base.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{base}/v1/models").status_code == 401
        body = json.dumps({"rows": [{"price": 100, "rooms": 3, "kind": "flat"}]})
        told = httpx.post(
            f"{base}/v1/models/houses/assign",
            content=body,
            headers={"authorization": "Bearer s3cret", "content-type": "application/json"},
        )
        assert told.status_code == 200
        assert len(told.json()["rows"]) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--host", "0.0.0.0"], "--token"), (["--token", ""], "token"), (["--max-body", "lots"], "no size")],
)
def test_what_would_be_unsafe_or_makes_no_sense_is_refused_in_one_line(houses, options, said):
    done = subprocess.run([*COMMAND, str(houses[0]), *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_extra_is_named(houses):
    code = "import sys; sys.modules['fastapi'] = None; from shoal.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", str(houses[0])], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "pip install 'shoal[serve]'" in done.stderr


def test_a_port_that_is_taken_is_told_in_one_line(houses):
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*COMMAND, str(houses[0]), "--port", port], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 2
    assert "in use" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_small_answers_do_not_wait_for_acknowledgements():
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_body_that_is_too_long_is_told_over_a_real_connection(houses):
    with serving(houses[0], "--max-body", "1MB") as (_, base):
        got = httpx.post(
            f"{base}/v1/models/houses/assign",
            content=b" " * 20_000_000,
            headers={"content-type": "text/csv"},
        )
        assert got.status_code == 413
        assert httpx.get(f"{base}/health/live").status_code == 200


def test_a_connection_on_which_no_head_comes_is_closed(houses):
    code = "import shoal.serve.impatient as i; i.HEAD_SECONDS = 0.5\nfrom shoal.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", str(houses[0]), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = int(re.search(r":(\d+)/", process.stderr.readline())[1])
            for begun in (b"", b"GET /health/live HTTP/1.1\r\nHost: loc"):
                with socket.create_connection(("127.0.0.1", port), timeout=30) as waiting:
                    waiting.sendall(begun)
                    assert waiting.recv(100) == b""
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:  # slow, but whole
                assert client.get("/health/live").status_code == 200
                time.sleep(0.7)
                assert client.get("/health/live").status_code == 200
        finally:
            process.kill()


def test_the_live_demonstration_shows_a_stream_that_goes_on(tmp_path):
    command = [sys.executable, "-c", "from shoal.cli import main; main()", "demo", "--serve", "--port", "0"]
    with subprocess.Popen([*command, "--out", str(tmp_path)], stderr=subprocess.PIPE, text=True) as process:
        try:
            base = re.search(r"(http://\S+?)/\s", process.stderr.readline())[1]
            seen = []
            for _ in range(240):
                try:
                    scene = httpx.get(f"{base}/v1/models/live/scene")
                except httpx.TransportError:
                    time.sleep(0.25)
                    continue
                if scene.status_code == 200 and scene.json()["rows_seen"] not in seen:
                    seen.append(scene.json()["rows_seen"])
                if len(seen) == 2:
                    break
                time.sleep(0.25)
            assert len(seen) == 2
            assert seen[0] < seen[1]
            assert "Shoal" in httpx.get(base).text
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            if process.poll() is None:
                process.kill()
