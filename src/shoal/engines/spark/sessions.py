"""The Spark session to work in: the one there is, or a quiet new one."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from shoal.errors import BadInputError, ShoalError

APP = "shoal"
DEFAULT_MASTER = "local[*]"
SLOTS = 32
"""Assumed where a cluster does not tell how many tasks it runs at a time."""
REACH_SECONDS = 10.0
_PORTS = {"sc": 15002, "spark": 7077}
_NOISE = re.compile(r"^at |\bWARN|^WARNING|^log4j|\x1b")
"""Printed lines that explain nothing: stack frames, warnings, our own progress bar."""
_JAVA = "Spark needs Java of version 17 or later, and there is none"
_JAVA_REMEDY = "install one (Debian: openjdk-17-jre-headless) and set JAVA_HOME if it is not on the PATH"


def session(master: str | None = None, remote: str | None = None) -> Any:
    """The active Spark session if there is one, else a new one.

    Parameters
    ----------
    master : such as ``local[2]`` or ``spark://host:7077``; default: ``local[*]``.
    remote : address of a Spark Connect server, such as ``sc://host:15002``, instead of a master.

    A new local session listens on the loopback interface only, has no web page, and runs its workers with this
    interpreter unless ``PYSPARK_PYTHON`` says otherwise. What Spark's Java process prints does not reach the terminal.

    Raises
    ------
    ShoalError : pyspark or Java is missing, or Spark does not start or cannot be reached.

    Examples
    --------
    >>> spark = session("local[2]")  # doctest: +SKIP
    """
    if master is not None and remote is not None:
        raise BadInputError("a master and a remote are given", remedy="leave one of them out")
    return active() or _started(master, remote)


def active() -> Any:
    """The active session, classic or Connect; None if there is none."""
    _need_pyspark()
    from pyspark.sql import SparkSession

    found = SparkSession.getActiveSession()
    if found is None and "pyspark.sql.connect.session" in sys.modules:
        from pyspark.sql.connect.session import SparkSession as Connected

        found = Connected.getActiveSession()
    return found


def slots(spark: Any) -> int:
    """Tasks that run at the same time, or a guess where the settings do not tell."""
    return known_slots(spark) or SLOTS


def known_slots(spark: Any) -> int | None:
    """Tasks that run at the same time; None where the settings do not tell."""
    return slots_of(lambda name: spark.conf.get(name, None))


def barrier_slots(spark: Any) -> int | None:
    """Tasks that a barrier stage may have; None where it cannot run, or the settings hide how many.

    Too many would make Spark wait ten minutes before it says so. ``spark.default.parallelism`` is no help: it is usually
    set to several tasks for each slot, and hides the number of slots that a range's partitions tell otherwise.
    """
    from pyspark.sql.functions import spark_partition_id

    def setting(name: str) -> str | None:
        found: str | None = spark.conf.get(name, None)
        return found

    local = re.fullmatch(r"local(?:\[(\d+|\*).*\])?", setting("spark.master") or "")
    dynamic = (setting("spark.dynamicAllocation.enabled") or "").lower() == "true"
    if dynamic and not local:
        return None
    if local and local[1] != "*":
        cores = int(local[1] or 1)
    elif setting("spark.default.parallelism") or setting("spark.sql.leafNodeDefaultParallelism"):
        instances, each = setting("spark.executor.instances"), setting("spark.executor.cores")
        if not (instances and each):
            return None
        cores = int(instances) * int(each)
    else:
        cores = int(spark.range(100_000).select(spark_partition_id()).distinct().count())
    return cores // int(setting("spark.task.cpus") or 1) or None


def slots_of(setting: Callable[[str], str | None]) -> int | None:
    """The same from a function that looks up a setting.

    >>> slots_of({"spark.master": "local[4]"}.get)
    4
    """
    given = setting("spark.default.parallelism")
    if given:
        return max(int(given), 1)
    local = re.fullmatch(r"local(?:\[(\d+|\*).*\])?", setting("spark.master") or "")
    if local:
        return (os.cpu_count() or 1) if local[1] == "*" else int(local[1] or 1)
    executors = setting("spark.executor.instances") or setting("spark.dynamicAllocation.maxExecutors")
    if executors:
        return max(int(executors) * int(setting("spark.executor.cores") or 1), 1)
    return None


def _need_pyspark() -> None:
    from shoal.engines.spark import need_pyspark

    need_pyspark()


def _started(master: str | None, remote: str | None) -> Any:
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    where = remote or master or DEFAULT_MASTER
    _check_address(where)
    needs_java = remote is None or remote.startswith("local")
    if needs_java:
        _check_java()
    builder = SparkSession.builder.appName(APP)
    builder = builder.remote(where) if remote is not None else builder.master(where)
    if where.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        for name, value in _LOCAL.items():
            builder = builder.config(name, value)
    if needs_java:
        builder = builder.config("spark.ui.showConsoleProgress", "false")
    with _diverted() as log:
        try:
            return builder.getOrCreate()
        except (PySparkException, RuntimeError, OSError, ValueError) as error:
            raise _not_started(where, error, _tail(log)) from None
        except Exception as error:  # py4j and gRPC have families of their own
            if type(error).__module__.partition(".")[0] not in ("py4j", "grpc"):
                raise
            raise _not_started(where, error, _tail(log)) from None


_LOCAL = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.executorEnv.OMP_NUM_THREADS": "1",
}


def _check_address(where: str) -> None:
    """Spark itself would try an address where nobody listens for minutes."""
    scheme, mark, rest = where.partition("://")
    if scheme not in ("sc", "spark") or not mark:
        return
    trouble = "no host is named"
    for address in re.split(r"[/;]", rest)[0].split(","):
        host, _, port = address.rpartition(":") if re.search(r":\d+$", address) else (address, "", "")
        if not host:
            continue
        try:
            with socket.create_connection((host.strip("[]"), int(port or _PORTS[scheme])), REACH_SECONDS):
                return
        except OSError as error:
            trouble = error.strerror or str(error)
    raise ShoalError(f"Spark at {where} cannot be reached ({trouble}); check the address and that it runs")


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if home and not (Path(home) / "bin/java").exists():
        raise ShoalError(f"JAVA_HOME is {home}, where there is no bin/java; {_JAVA_REMEDY}")
    if not home and shutil.which("java") is None:
        raise ShoalError(f"{_JAVA}; {_JAVA_REMEDY}")


@contextmanager
def _diverted() -> Iterator[IO[bytes]]:
    """Let the Java process that is started meanwhile inherit a nameless file in place of our terminal."""
    with tempfile.TemporaryFile(prefix="shoal-spark-") as log:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        kept = {fd: os.dup(fd) for fd in (1, 2)}
        try:
            for fd in kept:
                os.dup2(log.fileno(), fd)
            yield log
        finally:
            for fd, was in kept.items():
                os.dup2(was, fd)
                os.close(was)


def _tail(log: IO[bytes]) -> str:
    """The last line the Java process printed, without warnings and stack frames."""
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
    telling = [line for line in lines if line and not _NOISE.search(line)]
    return telling[-1][:500] if telling else ""


def _not_started(where: str, error: Exception, printed: str) -> ShoalError:
    said = " ".join(str(error).split())[:300]
    if "JAVA_GATEWAY_EXITED" in said or "gateway" in said.lower():
        said = printed or said
    if "UnsupportedClassVersion" in said:
        return ShoalError(f"{_JAVA.partition(',')[0]}, and this one is older; {_JAVA_REMEDY}")
    return ShoalError(
        f"Spark at {where} does not start or cannot be reached ({said}); check the address and that it runs"
    )
