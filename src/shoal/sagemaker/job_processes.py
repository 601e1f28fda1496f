"""The instances of a job as processes of this machine: their folders, their logs, and their end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from shoal.kernels import default_threads
from shoal.sagemaker.job_spec import JobSpec
from shoal.sagemaker.tree import Tree

TRAIN = """
import ctypes, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)  # SIGTERM once the runner is gone, even if it was killed
from shoal.sagemaker.train import main
sys.exit(main(sys.argv[1]))
"""
LAST_WORDS = 120.0
"""Seconds between SIGTERM and SIGKILL."""
Say = Callable[[str, str], None]
"""Called with a host and a line of its log."""


def make_tree(root: Path, spec: JobSpec, rank: int) -> Tree:
    """The folders and the configuration of one instance."""
    tree, hosts = Tree(root), host_names(spec.instances)
    config = root / "input" / "config"
    for folder in (config, tree.data, tree.model, root / "output" / "data"):
        folder.mkdir(parents=True)
    if spec.checkpoints is not None:
        tree.checkpoints.mkdir()
    resources = {"current_host": hosts[rank], "hosts": hosts, "network_interface_name": "lo"}
    for name, content in (
        ("hyperparameters.json", dict(spec.hyperparameters)),
        ("inputdataconfig.json", {channel.name: channel.settings() for channel in spec.channels}),
        ("resourceconfig.json", resources),
    ):
        (config / name).write_text(json.dumps(content), encoding="utf-8")
    return tree


def host_names(instances: int) -> list[str]:
    """As the service calls them, in the order in which they sort.

    >>> host_names(2)
    ['algo-1', 'algo-2']
    """
    return [f"algo-{i + 1}" for i in range(instances)]


@dataclass
class Instances:
    """The processes of a job.

    Parameters
    ----------
    trees : of the instances, in order.
    logs : folder for one file of standard output and error for each.
    """

    trees: list[Tree]
    logs: Path
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _told: dict[str, int] = field(default_factory=dict)
    first_ended: int | None = None
    """Number of the first instance that ended badly: what it says is the reason, others only miss it."""

    def start(self, spec: JobSpec, arn: str) -> None:
        """Start one process for each instance."""
        names = host_names(len(self.trees))
        where = ",".join(f"{n}=127.0.0.1:{p}" for n, p in zip(names, _free_ports(len(names)), strict=True))
        environment = os.environ | dict(spec.environment)
        environment |= {
            "TRAINING_JOB_NAME": spec.name,
            "TRAINING_JOB_ARN": arn,
            "SHOAL_HOSTS": where,
            "OMP_NUM_THREADS": str(max(1, default_threads() // len(names))),
        }
        for name, tree in zip(names, self.trees, strict=True):
            with (self.logs / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 our own interpreter, and no shell
                    [sys.executable, "-c", TRAIN, str(tree.root)],
                    env=environment | {"SAGEMAKER_DATA_PATH": str(tree.root)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for the runner, which ends them in order
                )
            self._processes.append(process)

    def statuses(self) -> list[int | None]:
        """Exit statuses; None of those that run."""
        found = [process.poll() for process in self._processes]
        if self.first_ended is None:
            self.first_ended = next((i for i, status in enumerate(found) if status), None)
        return found

    def new_lines(self, say: Say) -> None:
        """Tell what the logs have gained, in whole lines."""
        for name in host_names(len(self.trees)):
            with (self.logs / f"{name}.log").open("rb") as log:
                log.seek(self._told.get(name, 0))
                text, _, _ = log.read().rpartition(b"\n")
            if text:
                self._told[name] = self._told.get(name, 0) + len(text) + 1
                for line in text.decode("utf-8", "replace").split("\n"):
                    say(name, line)

    def terminate(self) -> None:
        """Ask all that run to end with what they have."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End all that run."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
        for process in self._processes:
            process.wait()

    def end(self, patience: float = LAST_WORDS) -> None:
        """SIGTERM, a while, SIGKILL."""
        self.terminate()
        until = time.monotonic() + patience
        while any(status is None for status in self.statuses()) and time.monotonic() < until:
            time.sleep(0.05)
        self.kill()

    def reason(self) -> str:
        """Why the job failed, as its instances tell it."""
        i = self.first_ended or 0
        try:
            text = self.trees[i].failure.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            text = ""
        if text:
            return text
        status = self._processes[i].returncode
        how = f"by signal {-status}" if status < 0 else f"with exit status {status}"
        return f"AlgorithmError: {host_names(len(self.trees))[i]} ended {how}"


def _free_ports(n: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
