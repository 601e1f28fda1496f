"""A small artefact, and a server for it on a free port of this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import uvicorn

from shoal.cli.serve import listen
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.sagemaker.answering import Answering
from shoal.sagemaker.artefact import write_artefact
from shoal.sagemaker.serving import ServingOptions, serving_app
from shoal.solve.k_means import k_means


def made_model(centres: int = 3, width: int = 4, rows: int = 200, metric="euclidean"):
    X = np.random.default_rng(3).normal(size=(rows, width)) + 3
    return X, build_model(
        X,
        np.ones(rows),
        k_means(X, centres, metric=metric),
        metric=metric,
        provenance=Provenance(rows_seen=rows),
    )


def made_artefact(folder, **shape):
    """Rows, and the path of an artefact of their model."""
    X, model = made_model(**shape)
    write_artefact(folder / "model.tar.gz", model)
    return X, folder / "model.tar.gz"


def expected(X, path) -> tuple[np.ndarray, np.ndarray]:
    """Positions and distances, the plain way."""
    centres = Answering.of_artefact(path).served.model.centres
    distances = np.linalg.norm(X[:, None] - centres, axis=2)
    return distances.argmin(axis=1), distances.min(axis=1)


@contextmanager
def server(path, options: ServingOptions | None = None) -> Iterator[str]:
    """Its address, while the block runs."""
    app = serving_app(Answering.of_artefact(path), options)
    with listen("127.0.0.1", 0) as listening:
        runner = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        address = listening.getsockname()
        while not runner.started:
            time.sleep(0.01)
        try:
            yield f"http://{address[0]}:{address[1]}"
        finally:
            runner.should_exit = True
            thread.join(timeout=10)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])
