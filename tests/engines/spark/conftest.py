"""One Spark session for the whole run: classic, or Connect with SHOAL_TEST_SPARK=connect."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'shoal[spark]'")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share the session run in one process, whatever the number of processes."""
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("spark"))


MODE = os.environ.get("SHOAL_TEST_SPARK", "classic")


def _started(builder: Any) -> Any:
    """The JVM is forked off this process, which may hold gRPC's threads of other tests: then the child may die before it is born."""
    from pyspark.errors import PySparkRuntimeError

    for left in (2, 1, 0):
        try:
            return builder.getOrCreate()
        except PySparkRuntimeError:
            if not left:
                raise
            time.sleep(2.0)
    raise AssertionError


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two threads, small memory, nothing beyond loopback."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("no Java: install a JRE of version 17 or later (Debian: openjdk-17-jre-headless)")
    os.environ["SPARK_TESTING"] = "1"  # a Connect server of its own takes a free port
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    builder = SparkSession.builder
    builder = builder.remote("local[2]") if MODE == "connect" else builder.master("local[2]")
    settings = {
        "spark.driver.memory": "1g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
        "spark.executorEnv.OMP_NUM_THREADS": "1",
        # ten minutes by default
        "spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "1s",
        "spark.scheduler.barrier.maxConcurrentTasksCheck.maxFailures": "2",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = _started(builder)
    yield session
    session.stop()
