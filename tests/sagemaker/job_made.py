"""Training jobs for tests: the folders of one, filled, and run here or as processes of their own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from shoal.sagemaker.train import train

CSV = "text/csv;label_size=0"
RUN = "import sys; from shoal.sagemaker.train import main; sys.exit(main(sys.argv[1]))"


def blobs(n, k=5, d=3, seed=0):
    """Rows of k groups far apart."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) + 20 * rng.integers(k, size=n)[:, None]).astype(np.float32)


def write_csv(path, X, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, X, delimiter=",", fmt="%.9g", **options)


def make_job(root, hyperparameters, channels=None, host="algo-1", hosts=("algo-1",)):
    """The configuration of a job; ``channels`` maps names to changed settings."""
    config = root / "input" / "config"
    config.mkdir(parents=True, exist_ok=True)
    plain = {
        "ContentType": CSV,
        "TrainingInputMode": "File",
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
    }
    entries = {name: plain | changed for name, changed in (channels or {"train": {}}).items()}
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    (config / "inputdataconfig.json").write_text(json.dumps(entries))
    resources = {"current_host": host, "hosts": list(hosts), "network_interface_name": "lo"}
    (config / "resourceconfig.json").write_text(json.dumps(resources))
    for name in entries:
        (root / "input" / "data" / name).mkdir(parents=True, exist_ok=True)
    return root


def run(root):
    """Exit status and log of a job run in this process."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = train(root)
    return status, out.getvalue()


def start(root, job="job", **environment):
    """A job as a process."""
    env = os.environ | {"TRAINING_JOB_NAME": job, "OMP_NUM_THREADS": "1"} | environment
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(root)],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def loss(log, channel, metric):
    """As a tuning job reads it."""
    found = re.search(rf"#quality_metric: host=\S+, {channel} {metric} <loss>=(\S+)", log)
    return float(found[1]) if found else None


def failure(root):
    path = Path(root) / "output" / "failure"
    return path.read_text() if path.exists() else None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def true_msd(X, centres):
    squared = ((np.asarray(X, np.float64)[:, None, :] - centres[None]) ** 2).sum(axis=2)
    return float(squared.min(axis=1).mean())
