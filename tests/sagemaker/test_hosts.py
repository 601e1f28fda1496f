"""Several hosts, as processes on this machine: one model, the same as of one host, and no job that hangs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sagemaker import job_made
from tests.sagemaker.job_made import blobs, failure, loss, make_job

from shoal.errors import BadInputError
from shoal.sagemaker.artefact import read_artefact
from shoal.sagemaker.channels import Rows
from shoal.sagemaker.host_link import HostLostError, Link
from shoal.sagemaker.hosts import Hosts, address_of, join, token_of
from shoal.sagemaker.intake import Intake, merged
from shoal.summary.coreset import Coreset

METRICS = '["msd", "ssd"]'


def files_of(X, parts, folder):
    for i, part in enumerate(np.array_split(X, parts)):
        job_made.write_csv(folder / f"part-{i}.csv", part)


def run_hosts(tmp_path, n, fill, hyper, channels, patience="60", **environment):
    """Statuses, logs and roots of n hosts; ``fill(root, i, n)`` gives each its data."""
    names = tuple(f"algo-{i + 1}" for i in range(n))
    where = ",".join(f"{name}=127.0.0.1:{job_made.free_port()}" for name in names)
    roots, processes = [], []
    for i, name in enumerate(names):
        root = make_job(tmp_path / f"{n}-{name}", hyper, channels, name, names)
        fill(root, i, n)
        roots.append(root)
        env = {"SHOAL_HOSTS": where, "SHOAL_HOSTS_PATIENCE": patience} | environment
        processes.append(job_made.start(root, **env))
    try:
        logs = [p.communicate(timeout=120)[0] for p in processes]
    finally:
        for process in processes:
            process.kill()
    return [p.returncode for p in processes], logs, roots


@settings(deadline=None, max_examples=25)
@given(data=st.data(), n=st.integers(1, 4))
def test_however_shares_are_dealt_and_batches_cut_the_summary_is_the_same(data, n):
    def new():
        return Coreset(k_max=3, rows=40)

    X = blobs(600, d=2)
    shares = [(slice(i, i + 100), i // 100) for i in range(0, 600, 100)]
    found = []
    for hosts in (1, n):
        intakes = [Intake(new) for _ in range(hosts)]
        order = shares if hosts == 1 else data.draw(st.permutations(shares))
        for part, share in order:
            intake = intakes[0] if hosts == 1 else data.draw(st.sampled_from(intakes))
            cut = data.draw(st.integers(part.start, part.stop))
            for piece in (np.arange(part.start, cut), np.arange(cut, part.stop)):
                intake.take(Rows(X[piece], 7, piece, "file", share, part.stop))
        found.append(merged([i.whole() for i in reversed(intakes) if i.rows], new).to_bytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("spread", ["ShardedByS3Key", "FullyReplicated"])
def test_one_two_and_four_hosts_make_the_same_model_bit_for_bit(tmp_path, spread):
    # more rows than a summary keeps, so that what is left out matters
    X, T = blobs(120_000, d=2), blobs(5000, d=2, seed=1)
    data = tmp_path / "data"
    files_of(X, 4, data / "train")
    files_of(T, 3, data / "test")

    def fill(root, i, n):
        for channel in ("train", "test"):
            for j, file in enumerate(sorted((data / channel).iterdir())):
                if spread == "FullyReplicated" or j % n == i:
                    shutil.copy(file, root / "input/data" / channel)

    channels = {name: {"S3DistributionType": spread} for name in ("train", "test")}
    models, scores = [], []
    for n in (1, 2, 4):
        statuses, logs, roots = run_hosts(
            tmp_path, n, fill, {"k": "5", "feature_dim": "2", "eval_metrics": METRICS}, channels
        )
        assert statuses == [0] * n, logs
        assert not any((root / "model/model_algo-1").exists() for root in roots[1:])
        assert all("no model is written on" in log for log in logs[1:])
        found = read_artefact(roots[0] / "model")
        assert found.summary.count == 120_000
        assert found.summary.tau > 0
        models.append((found.summary.to_bytes(), (roots[0] / "model/model_algo-1").read_bytes()))
        scores.append((loss(logs[0], "test", "msd"), loss(logs[0], "test", "ssd")))
        centres = found.model.centres
    assert models[0] == models[1] == models[2]
    np.testing.assert_allclose(scores[1:], [scores[0]] * 2, rtol=1e-12)
    assert scores[0][0] == pytest.approx(job_made.true_msd(T, centres), rel=1e-6)


def test_hosts_share_a_single_file_and_take_more_epochs_together(tmp_path):
    X = blobs(270_000, d=2)
    job_made.write_csv(tmp_path / "one.csv", X)

    def fill(root, i, n):
        shutil.copy(tmp_path / "one.csv", root / "input/data/train")

    for n in (1, 2):
        statuses, logs, roots = run_hosts(tmp_path, n, fill, {"k": "5", "epochs": "2"}, {"train": {}})
        assert statuses == [0] * n, logs
        found = read_artefact(roots[0] / "model")
        assert found.summary.count == len(X)
        if n == 1:
            alone = found
    assert alone.summary.to_bytes() == found.summary.to_bytes()
    np.testing.assert_allclose(found.model.centres, alone.model.centres, rtol=1e-9)


def test_a_failure_on_one_host_is_the_reason_on_all(tmp_path):
    def fill(root, i, n):
        job_made.write_csv(root / "input/data/train/a.csv", blobs(500))
        if i == 1:
            (root / "input/data/train/a.csv").write_text("1,2,3\n4,oops,6\n")

    channels = {"train": {"S3DistributionType": "ShardedByS3Key"}}
    statuses, _, roots = run_hosts(tmp_path, 3, fill, {"k": "2"}, channels)
    assert statuses == [1, 1, 1]
    for root in roots:
        assert failure(root).startswith("ClientError: train/a.csv, row 2")
    assert "host algo-2" in failure(roots[0])


def test_a_host_that_dies_ends_the_job_of_the_others_soon(tmp_path):
    names = ("algo-1", "algo-2", "algo-3")
    where = ",".join(f"{name}=127.0.0.1:{job_made.free_port()}" for name in names)
    roots, processes = [], []
    for i, name in enumerate(names):
        mode = "Pipe" if i == 1 else "File"  # it waits for a pipe that never comes
        root = make_job(tmp_path / name, {"k": "2"}, {"train": {"TrainingInputMode": mode}}, name, names)
        job_made.write_csv(root / "input/data/train/a.csv", blobs(500))
        roots.append(root)
        processes.append(job_made.start(root, SHOAL_HOSTS=where))
    for process in processes:
        while "have met" not in process.stdout.readline():
            assert process.poll() is None
    processes[1].kill()
    try:
        logs = [p.communicate(timeout=30)[0] for p in processes]
    finally:
        for process in processes:
            process.kill()
    assert [processes[0].returncode, processes[2].returncode] == [1, 1], logs
    for root in (roots[0], roots[2]):
        assert "host algo-2 is gone" in failure(root)
        assert failure(root).startswith("AlgorithmError: ")


def test_sigterm_on_all_hosts_ends_well_with_one_model_of_what_was_read(tmp_path):
    names, where = ("algo-1", "algo-2"), f"algo-1=127.0.0.1:{job_made.free_port()}"
    roots, processes = [], []
    for name in names:
        channel = {"TrainingInputMode": "Pipe", "S3DistributionType": "ShardedByS3Key"}
        roots.append(make_job(tmp_path / name, {"k": "5"}, {"train": channel}, name, names))
        os.mkfifo(roots[-1] / "input/data/train_0")
        processes.append(job_made.start(roots[-1], SHOAL_HOSTS=where))
    with contextlib.ExitStack() as stack:
        for i, root in enumerate(roots):
            pipe = stack.enter_context((root / "input/data/train_0").open("wb"))
            np.savetxt(pipe, blobs(60_000, seed=i), delimiter=",", fmt="%.9g")
            pipe.flush()
        time.sleep(0.5)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        logs = [p.communicate(timeout=30)[0] for p in processes]
    assert [p.returncode for p in processes] == [0, 0], logs
    assert all("stopped by SIGTERM" in log for log in logs)
    assert 60_000 < read_artefact(roots[0] / "model").summary.count <= 120_000
    assert not (roots[1] / "model").exists()


def test_a_host_that_never_comes_is_named(monkeypatch):
    monkeypatch.setenv("SHOAL_HOSTS", f"algo-1=127.0.0.1:{job_made.free_port()}")
    with pytest.raises(HostLostError, match="algo-2 did not come"):
        join(Hosts("algo-1", ("algo-1", "algo-2")), "job", patience=0.5)
    with pytest.raises(HostLostError, match="algo-1 cannot be reached"):
        join(Hosts("algo-2", ("algo-1", "algo-2")), "job", patience=0.5)


def test_hosts_of_another_job_and_strangers_are_sent_away(monkeypatch):
    port = job_made.free_port()
    monkeypatch.setenv("SHOAL_HOSTS", f"a=127.0.0.1:{port}")
    names, found = ("a", "b"), {}
    first = threading.Thread(target=lambda: found.update(a=join(Hosts("a", names), "job", patience=20)))
    first.start()
    time.sleep(0.2)
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 40)
        stranger.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(10) == b""
    with pytest.raises(HostLostError, match="cannot be reached"):
        join(Hosts("b", names), "another job", patience=0.5)
    second = join(Hosts("b", names), "job", patience=10)
    first.join(10)
    second.gather({"rows": 2}, b"xyz")
    told = found["a"].gather({"rows": 1})
    assert [m.told["rows"] for m in told] == [1, 2]
    assert told[1].content == b"xyz"
    found["a"].tell({"do": "end"})
    assert second.tell().told == {"do": "end"}
    found["a"].close()
    with pytest.raises(HostLostError, match="host a is gone"):
        second.tell()
    second.close()


@pytest.mark.parametrize(
    "data",
    [
        b"SHJB\0\0\0\0" + (2**31).to_bytes(4, "little") + bytes(8),
        b"SHJB\0\0\0\0" + bytes(4) + (2**62).to_bytes(8, "little"),
        b"NOPE" + bytes(16),
        b"SHJB\0\0\0\0" + (2).to_bytes(4, "little") + bytes(8) + b"[]",
        b"SHJB\0\0\0\0" + (2).to_bytes(4, "little") + bytes(8) + b"{x",
        b"SHJB",
    ],
)
def test_frames_too_large_or_of_another_kind_are_refused_before_they_are_read(data):
    server = socket.create_server(("127.0.0.1", 0))
    with socket.create_connection(server.getsockname()) as sender, server.accept()[0] as receiver, server:
        sender.sendall(data)
        sender.shutdown(socket.SHUT_WR)
        with pytest.raises(HostLostError):
            Link(receiver, "b").receive()


def test_addresses_are_those_given_else_the_name_and_port_9000(monkeypatch):
    monkeypatch.setenv("SHOAL_HOSTS", "a=10.0.0.1:9001, b=::1:9002")
    assert [address_of(h) for h in "abc"] == [("10.0.0.1", 9001), ("::1", 9002), ("c", 9000)]
    monkeypatch.setenv("SHOAL_HOSTS", "a=nowhere")
    with pytest.raises(BadInputError, match="write name=address:port"):
        address_of("a")


def test_a_host_that_waits_for_a_pipe_learns_that_another_is_gone(tmp_path):
    names = ("algo-1", "algo-2")
    where = ",".join(f"{name}=127.0.0.1:{job_made.free_port()}" for name in names)
    roots, processes = [], []
    for name in names:
        root = make_job(tmp_path / name, {"k": "2"}, {"train": {"TrainingInputMode": "Pipe"}}, name, names)
        os.mkfifo(root / "input/data/train_0")  # which nobody ever writes to
        roots.append(root)
        processes.append(job_made.start(root, SHOAL_HOSTS=where))
    for process in processes:
        while "have met" not in process.stdout.readline():
            assert process.poll() is None
    processes[1].kill()
    try:
        processes[0].communicate(timeout=20)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert processes[0].returncode == 1
    assert "host algo-2 is gone" in failure(roots[0])


def test_no_stranger_keeps_hosts_from_meeting_or_the_patience_from_ending(monkeypatch):
    port = job_made.free_port()
    monkeypatch.setenv("SHOAL_HOSTS", f"a=127.0.0.1:{port}")
    names, found = ("a", "b"), {}
    first = threading.Thread(target=lambda: found.update(a=join(Hosts("a", names), "job", patience=30)))
    first.start()
    deep = b"[" * 4000
    attacks = [b"", b"S", b"SHJB\0\0\0\0" + len(deep).to_bytes(4, "little") + bytes(8) + deep]
    with contextlib.ExitStack() as stack:
        for attack in attacks * 3:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    stranger = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                    break
                time.sleep(0.02)
            stranger.sendall(attack)
        time.sleep(0.3)
        second = join(Hosts("b", names), "job", patience=20)  # one stranger after the other would take longer
        first.join(10)
    assert list(found) == ["a"]
    assert (found["a"].leads, second.leads) == (True, False)
    second.close()
    found["a"].close()


def test_a_trickle_of_bytes_does_not_lengthen_the_patience(monkeypatch):
    port = job_made.free_port()
    monkeypatch.setenv("SHOAL_HOSTS", f"a=127.0.0.1:{port}")
    over = threading.Event()

    def trickle():
        while not over.wait(0.1):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as stranger:
                while not over.wait(0.1):
                    stranger.sendall(b"S")

    thread = threading.Thread(target=trickle)
    thread.start()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(join, Hosts("a", ("a", "b")), "job", patience=1.0)
        try:
            with pytest.raises(HostLostError, match="host b did not come"):
                waiting.result(timeout=30)
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("name", ["algo-1", "algo-2"])
def test_sigterm_while_hosts_meet_ends_at_once(tmp_path, name):
    root = make_job(tmp_path, {"k": "2"}, {"train": {}}, name, ("algo-1", "algo-2"))
    process = job_made.start(root, SHOAL_HOSTS=f"algo-1=127.0.0.1:{job_made.free_port()}")
    while "waiting for 1 other host" not in (line := process.stdout.readline()):
        assert line, process.wait()
    process.send_signal(signal.SIGTERM)
    log = process.communicate(timeout=30)[0]  # half of the patience
    assert process.returncode == 0, log
    assert "no model is written" in log
    assert failure(root) is None


def test_rows_of_other_widths_are_told_with_file_and_host(tmp_path):
    def fill(root, i, n):
        job_made.write_csv(root / f"input/data/train/{i}.csv", blobs(50, d=2 + i))

    statuses, _, roots = run_hosts(
        tmp_path, 2, fill, {"k": "2"}, {"train": {"S3DistributionType": "ShardedByS3Key"}}
    )
    assert statuses == [1, 1]
    for root in roots:
        assert "train/1.csv (host algo-2): has 3 features in a row" in failure(root)
        assert "train/0.csv (host algo-1) has 2" in failure(root)


def test_bytes_nested_too_deeply_are_no_message():
    deep = b"[" * 100_000
    server = socket.create_server(("127.0.0.1", 0))
    with socket.create_connection(server.getsockname()) as sender, server.accept()[0] as receiver, server:
        sender.sendall(b"SHJB\0\0\0\0" + len(deep).to_bytes(4, "little") + bytes(8) + deep)
        with pytest.raises(HostLostError):
            Link(receiver, "b").receive()


def test_hosts_that_wait_learn_at_once_that_one_of_them_is_gone(monkeypatch):
    port, names, found = job_made.free_port(), ("a", "b", "c", "d"), {}
    monkeypatch.setenv("SHOAL_HOSTS", f"a=127.0.0.1:{port}")

    def meet(name):
        try:
            join(Hosts(name, names), "job", patience=30)
        except HostLostError as error:
            found[name] = str(error)

    threads = [threading.Thread(target=meet, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    with socket.create_connection(("127.0.0.1", port)) as third:
        Link(third, "a").send({"host": "c", "token": token_of("job", Hosts("c", names))})
        time.sleep(0.5)
        assert not found
    for thread in threads:
        thread.join(5)
    assert all("host c is gone" in found[name] for name in "ab")
