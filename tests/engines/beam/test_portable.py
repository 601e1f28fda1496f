"""A real job service: everything that is sent to workers, and every coder, goes over gRPC."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from shoal.engines.beam import AssignClusters, Fields, FileStore, FitClusters, OnlineClusters

pytestmark = pytest.mark.slow
RNG = np.random.default_rng(3)
CENTRES = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
ROWS = (CENTRES[RNG.integers(3, size=300)] + RNG.normal(size=(300, 2))).tolist()


@pytest.fixture(scope="module")
def job_service() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "apache_beam.runners.portability.local_job_service_main",
        "--port",
        str(port),
    ]
    service = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
            break
        except OSError:
            service.poll()
    yield f"127.0.0.1:{port}"
    service.terminate()
    service.wait()


def test_models_labels_and_state_travel(job_service: str, tmp_path: Path) -> None:
    options = PipelineOptions(
        ["--runner=PortableRunner", f"--job_endpoint={job_service}", "--environment_type=LOOPBACK"]
    )
    with beam.Pipeline(options=options) as p:
        rows = p | beam.Create([{"v": row, "id": i} for i, row in enumerate(ROWS)])
        fields = Fields(("v",), id="id")
        models = rows | FitClusters(3, fields)
        labels = rows | AssignClusters(beam.pvalue.AsSingleton(models), fields)
        counts = labels | beam.Map(lambda r: (int(r.inference), 1)) | beam.CombinePerKey(sum)
        _ = counts | beam.Map(str) | beam.io.WriteToText(str(tmp_path / "counts"))
        _ = rows | OnlineClusters(3, fields, store=str(tmp_path / "store"), flush_seconds=None, labels=False)
    text = "".join(file.read_text() for file in tmp_path.glob("counts*"))
    assert sum(int(n) for n in re.findall(r", (\d+)\)", text)) == 300
    assert FileStore(str(tmp_path / "store")).load().model.provenance.rows_seen == 300
