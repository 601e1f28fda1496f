"""A Spark standalone cluster for tests: real processes on loopback, which can be killed, and which never stay behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "examples" / "spark_cluster.sh"

# JVMs that live for seconds: no second compiler, one thread for garbage.
SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
QUICK = {
    "spark.driver.extraJavaOptions": SHORT_LIVED,
    "spark.executor.extraJavaOptions": SHORT_LIVED,
    "spark.driver.memory": "512m",
    "spark.executor.memory": "512m",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    # All executors before the first task, so that each worker has one to lose.
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.scheduler.maxRegisteredResourcesWaitingTime": "60s",
    "spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "1s",
    "spark.shuffle.io.maxRetries": "1",
    "spark.shuffle.io.retryWait": "1s",
}
"""A small job that waits for nobody longer than it must."""


class Cluster:
    """Master and two workers of one core in a folder; a context manager."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.env = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("SPARK_", "PYSPARK_"))
            },
            "SPARK_HOME": str(Path(find_spec("pyspark").origin).parent),
            "PYTHON": sys.executable,
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_JAVA_OPTS": SHORT_LIVED,
            "SPARK_LAUNCHER_OPTS": SHORT_LIVED,
        }
        self.clients = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def script(self, command, *more):
        """Run the start script."""
        told = ["bash", str(SCRIPT), command, "--dir", str(self.folder), *more]
        return subprocess.run(told, env=self.env, capture_output=True, text=True, timeout=180, check=False)

    def start(self):
        """What does not run yet; it ends with this process even if that is killed."""
        done = self.script("start", "--workers", "2", "--while", str(os.getpid()))
        assert done.returncode == 0, done.stderr

    def stop(self):
        """Clients first, then the cluster."""
        for client in self.clients:
            for pid in family(client.pid):
                kill(pid)
            client.wait(timeout=20)
        done = self.script("stop")
        assert done.returncode == 0, done.stderr

    @property
    def url(self):
        """What ``--master`` takes."""
        return (self.folder / "url").read_text().strip()

    def submit(self, log, *command):
        """``spark-submit`` as a process of its own, what it says in the file ``log``."""
        submit = Path(self.env["SPARK_HOME"]) / "bin" / "spark-submit"
        settings = [part for name, value in QUICK.items() for part in ("--conf", f"{name}={value}")]
        with Path(log).open("w") as out:
            client = subprocess.Popen(
                [str(submit), "--master", self.url, *settings, *map(str, command)],
                env=self.env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.clients.append(client)
        return client

    def worker_of(self, pid):
        """Number of the worker that the Python process of a task belongs to."""
        for number in (1, 2):
            if pid in self.processes(number):
                return number
        raise AssertionError(f"process {pid} belongs to no worker")

    def processes(self, number):
        """The worker, its executor and the executor's Python processes."""
        return family(int((self.folder / f"worker-{number}.pid").read_text()))

    def roles(self):
        """Pid of the master and of each worker."""
        return {path.stem: int(path.read_text()) for path in sorted(self.folder.glob("*.pid"))}

    def kill(self, number):
        """SIGKILL for all of a worker at once, as if its machine had lost power."""
        for pid in self.processes(number):
            kill(pid)


def family(pid):
    """Pids of a process and of all below it, itself first; none if it has ended."""
    told = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children = {}
    for line in told.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
        children.setdefault(child, [])
    found = [pid] if pid in children else []
    for one in found:
        found += children[one]
    return found


def kill(pid):
    """SIGKILL, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def left(folder):
    """Processes that work in a folder or name it in their command line: what should have ended."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            args = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str((process / "cwd").readlink()).startswith(str(folder)) or str(folder) in args:
                found.append(f"{process.name} {args}")
    return found


def listening(pids):
    """Addresses on which processes listen, as hexadecimal text of /proc/net."""
    sockets = set()
    for pid in pids:
        # It may have ended meanwhile.
        with suppress(OSError):
            sockets.update(os.readlink(entry) for entry in os.scandir(f"/proc/{pid}/fd"))  # noqa: PTH115
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                found.add(local.rsplit(":", 1)[0])
    return found
