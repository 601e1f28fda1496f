"""The inbox: whole files, each request once, whatever fails and when."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import shoal.serve.inbox as inbox_module
from shoal.errors import ShoalError
from shoal.serve.inbox import Inbox, MaybeKeptError
from shoal.sources.stream_directory import ReceivedFiles


def rows_in(folder):
    return [json.loads(line) for p in sorted(Path(folder).glob("*.jsonl")) if not p.name.startswith(".")
            for line in p.read_bytes().splitlines()]  # fmt: skip


def line(i):
    return json.dumps({"i": i}).encode() + b"\n"


def test_requests_at_the_same_time_share_files_and_none_is_lost(tmp_path):
    inbox = Inbox(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda i: inbox.add(line(i)), range(400))) == {"accepted"}
    inbox.close()
    assert sorted(r["i"] for r in rows_in(tmp_path)) == list(range(400))
    assert len(inbox.files()) <= 60
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_row_is_on_the_disk_when_it_is_acknowledged(tmp_path, monkeypatch):
    order = []
    fsync, rename, sync_folder = os.fsync, Path.rename, inbox_module.sync_folder
    monkeypatch.setattr(inbox_module.os, "fsync", lambda n: (order.append("fsync"), fsync(n))[1])
    monkeypatch.setattr(Path, "rename", lambda a, b: (order.append("rename"), rename(a, b))[1])
    monkeypatch.setattr(inbox_module, "sync_folder", lambda p: (order.append("folder"), sync_folder(p))[1])
    inbox = Inbox(tmp_path)
    inbox.add(line(1), key="k")
    order.append("acknowledged")
    assert order == ["fsync", "fsync", "rename", "folder", "fsync", "fsync", "acknowledged"]
    inbox.close()


def test_the_same_key_counts_once_also_after_a_restart_and_at_the_same_time(tmp_path):
    inbox = Inbox(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda i: inbox.add(line(i % 10), key=f"k{i % 10}"), range(80)))
    assert told.count("accepted") == 10
    inbox.close()
    again = Inbox(tmp_path)
    assert [again.add(line(i), key=f"k{i}") for i in range(12)] == ["duplicate"] * 10 + ["accepted"] * 2
    again.close()
    assert sorted(r["i"] for r in rows_in(tmp_path)) == list(range(12))


def test_only_the_newest_keys_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("shoal.serve.inbox_keys.MOST_KEYS", 5)
    monkeypatch.setattr(inbox_module, "GATHER", 0.0)
    inbox = Inbox(tmp_path)
    for i in range(30):
        inbox.add(line(i), key=f"k{i}")
    assert len((tmp_path / ".keys.jsonl").read_text().splitlines()) <= 11
    inbox.close()
    again = Inbox(tmp_path)
    assert again.add(line(29), key="k25") == "duplicate"
    assert again.add(line(24), key="k24") == "accepted"
    again.close()


@pytest.mark.parametrize("where", ["write", "keys", "rename"])
def test_a_full_disk_keeps_nothing_and_the_same_request_works_later(tmp_path, monkeypatch, where):
    inbox = Inbox(tmp_path)
    inbox.add(line(0), key="k0")
    full = [True]

    def refuse(*_):
        raise OSError(errno.ENOSPC, "no space")

    name = {"write": "utime", "keys": "add", "rename": "rename"}[where]
    target = {"write": inbox_module.os, "keys": inbox._keys, "rename": Path}[where]
    real = getattr(target, name)
    monkeypatch.setattr(target, name, lambda *a, **k: refuse() if full[0] else real(*a, **k))
    with pytest.raises(OSError, match="no space"):
        inbox.add(line(1), key="k1")
    assert [r["i"] for r in rows_in(tmp_path)] == [0]
    assert not list(tmp_path.glob(".tmp-*"))
    full[0] = False
    assert inbox.add(line(1), key="k1") == "accepted"
    inbox.close()
    assert [r["i"] for r in rows_in(tmp_path)] == [0, 1]


def test_keys_of_a_file_that_a_crash_left_without_its_name_do_not_count(tmp_path):
    inbox = Inbox(tmp_path)
    inbox.add(line(0), key="k0")
    inbox.close()
    with (tmp_path / ".keys.jsonl").open("a") as log:
        log.write('{"file": 999999999998, "keys": ["k1"]}\n{"file": 99')
    (tmp_path / ".tmp-999999999998.jsonl").write_bytes(line(1))
    again = Inbox(tmp_path)
    assert not list(tmp_path.glob(".tmp-*"))
    assert [again.add(line(i), key=f"k{i}") for i in range(2)] == ["duplicate", "accepted"]
    again.close()


def test_names_never_come_twice_though_all_files_are_removed(tmp_path):
    inbox = Inbox(tmp_path)
    for i in range(3):
        inbox.add(line(i))
    names = {p.name for p in inbox.files()}
    inbox.close()
    for path in inbox.files():
        path.unlink()
    again = Inbox(tmp_path)
    again.add(line(4))
    assert not names & {p.name for p in again.files()}
    again.close()


def test_one_service_at_a_time_and_none_after_the_end(tmp_path):
    inbox = Inbox(tmp_path)
    with pytest.raises(ShoalError, match="another service"):
        Inbox(tmp_path)
    inbox.close()
    with pytest.raises(ShoalError, match="ends"):
        inbox.add(line(0))
    Inbox(tmp_path).close()


def test_a_file_is_as_large_as_allowed_and_a_request_is_never_torn(tmp_path, monkeypatch):
    monkeypatch.setattr(inbox_module, "MOST_BYTES", 200)
    monkeypatch.setattr(inbox_module, "GATHER", 0.2)
    inbox = Inbox(tmp_path)
    inbox.add(line(0))
    blocks = [b"".join(line(100 * i + j) for j in range(5)) for i in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(inbox.add, blocks))
    inbox.close()
    sizes = [p.stat().st_size for p in inbox.files()]
    assert max(sizes) <= 200
    held = [p.read_bytes() for p in inbox.files()]
    assert all(sum(block in h for h in held) == 1 for block in blocks)


def test_a_stream_takes_files_at_once_and_in_order(tmp_path):
    inbox = Inbox(tmp_path / "in")
    inbox.add(line(0))
    inbox.add(line(1))
    received = ReceivedFiles(tmp_path / "in", tmp_path / "state", follow=True)
    received.start(0, None)
    found = [received.get(i) for i in range(2)]
    assert [Path(f.origin).name for f in found] == [p.name for p in inbox.files()]
    inbox.close()


def test_keys_count_though_all_files_were_removed(tmp_path):
    inbox = Inbox(tmp_path)
    for i in range(3):
        inbox.add(line(i), key=f"k{i}")
    inbox.close()
    for path in inbox.files():
        path.unlink()
    again = Inbox(tmp_path)
    assert [again.add(line(i), key=f"k{i}") for i in range(4)] == ["duplicate"] * 3 + ["accepted"]
    again.close()


def refuse(*_, **__):
    raise OSError(errno.ENOSPC, "no space")


@pytest.mark.parametrize("what", ["_rewrite", "_note_newest"])
def test_rows_are_kept_once_though_the_keys_cannot_be_tidied(tmp_path, monkeypatch, what):
    monkeypatch.setattr("shoal.serve.inbox_keys.MOST_KEYS", 4)
    monkeypatch.setattr(inbox_module, "GATHER", 0.0)
    inbox = Inbox(tmp_path)
    monkeypatch.setattr(inbox._keys, what, refuse)
    assert {inbox.add(line(i), key=f"k{i}") for i in range(12)} == {"accepted"}
    assert {inbox.add(line(i), key=f"k{i}") for i in range(8, 12)} == {"duplicate"}
    inbox.close()
    assert [r["i"] for r in rows_in(tmp_path)] == list(range(12))


def test_it_is_told_when_nobody_knows_whether_rows_were_kept(tmp_path, monkeypatch):
    inbox = Inbox(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(inbox_module, "sync_folder", refuse)
        with pytest.raises(MaybeKeptError):
            inbox.add(line(0), key="k0")
    with pytest.raises(ShoalError):
        inbox.add(line(1), key="k1")
    inbox.close()
    again = Inbox(tmp_path)
    assert again.add(line(0), key="k0") == "duplicate"
    again.close()


def test_files_are_counted_without_a_look_at_the_folder(tmp_path, monkeypatch):
    inbox = Inbox(tmp_path)
    for i in range(3):
        inbox.add(line(i))
    inbox.close()
    again = Inbox(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Inbox, "files", refuse)
        again.add(line(3))
        assert (again.count, again.size) == (4, 4 * len(line(0)))
        names = sorted(p.name for p in tmp_path.glob("[0-9]*.jsonl"))
        again.remove(set(names))
        assert (again.count, again.size) == (1, len(line(0)))
    assert [p.name for p in again.files()] == names[-1:]
    again.close()


CRASH = """
import sys, threading
from shoal.serve.inbox import Inbox
inbox = Inbox(sys.argv[1])
def go(t):
    i = 0
    while True:
        inbox.add(b'{"i": "%d-%d"}\\n' % (t, i), key=f"{t}-{i}")
        sys.stdout.write(f"{t}-{i}\\n"); sys.stdout.flush(); i += 1
for t in range(4): threading.Thread(target=go, args=(t,)).start()
"""


def test_what_was_acknowledged_before_kill_9_is_there_once(tmp_path):
    asked = [sys.executable, "-c", CRASH, str(tmp_path)]
    for moment in (0.3, 0.5, 0.4):
        told = []
        with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as process:
            reader = threading.Thread(target=lambda p=process, t=told: t.extend(p.stdout))
            reader.start()
            while len(told) < 5 and process.poll() is None:
                time.sleep(0.01)
            time.sleep(moment)
            process.kill()
            reader.join()
        inbox = Inbox(tmp_path)
        for key in (t.strip() for t in told if t.endswith("\n")):
            assert inbox.add(b'{"i": "again"}\n', key=key) == "duplicate"
        inbox.close()
    held = [r["i"] for r in rows_in(tmp_path)]
    assert len(held) == len(set(held)) > 10
