"""The parts of the live page that need no browser, by the tests they have of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parent / "web"


def node():
    path = shutil.which("node")
    if path is None:
        pytest.skip("there is no node")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.strip().lstrip("v").partition(".")[0]) < 18:
        pytest.skip(f"node is {said.strip()}, which is older than 18")
    return path


def test_units_of_the_page_pass():
    files = sorted(str(file) for file in UNITS.glob("*.test.mjs"))
    assert files, f"no tests in {UNITS}"
    done = subprocess.run([node(), "--test", *files], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "# fail 0" in done.stdout
