"""The same tests once more through Spark Connect: a client that has no JVM of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MODE = os.environ.get("SHOAL_TEST_SPARK", "classic")
HERE = Path(__file__).parent
SAME = (
    "test_k_means.py",
    "test_streaming_k_means.py",
    "test_birch.py",
    "test_bad_input.py",
    "test_same_answer.py",
    "test_lloyd_plan.py",
    "test_mllib.py",
    "test_sink.py",
    "test_per_key.py",
    "test_topics.py",
)


@pytest.mark.slow
@pytest.mark.skipif(MODE == "connect", reason="this is the run through Connect")
def test_all_of_it_through_connect() -> None:
    pytest.importorskip("grpc", reason="Spark Connect needs grpcio: pip install 'shoal[spark]'")
    env = os.environ | {"SHOAL_TEST_SPARK": "connect"}
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *(str(HERE / name) for name in SAME)],
        env=env,
        capture_output=True,
        text=True,
        timeout=900,
        cwd=HERE.parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed.group(1)) > 50
