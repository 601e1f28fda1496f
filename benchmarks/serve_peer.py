"""The peers of the load test: a plain FastAPI server around scikit-learn's KMeans, and MLflow's server for the same model.

``python -m benchmarks.serve_peer CENTRES.npy PORT`` serves the first one; ``save_mlflow`` writes what the second one takes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel


class Rows(BaseModel):
    """The body of a request."""

    rows: list[list[float]]


def sklearn_model(centres: np.ndarray) -> Any:
    """scikit-learn's KMeans with these centres."""
    from sklearn.cluster import KMeans

    model = KMeans(len(centres), init=centres, n_init=1, max_iter=1)
    model.fit(np.repeat(centres, 2, axis=0))
    model.cluster_centers_ = centres.copy()
    return model


def app(centres: np.ndarray) -> Any:
    """What most people write: a list of rows in, a list of labels out."""
    from fastapi import FastAPI

    model, service = sklearn_model(centres), FastAPI()

    @service.post("/predict")
    def predict(body: Rows) -> dict[str, list[int]]:
        return {"labels": model.predict(np.array(body.rows, dtype=centres.dtype)).tolist()}

    return service


_SAVE = """
import sys, numpy as np, mlflow.sklearn
sys.path.insert(0, sys.argv[3])
from benchmarks.serve_peer import sklearn_model
mlflow.sklearn.save_model(sklearn_model(np.load(sys.argv[1]).astype(float)), sys.argv[2])
"""


def save_mlflow(python: str, centres: Path, folder: Path) -> None:
    """Write MLflow's model with the interpreter that has MLflow."""
    root = str(Path(__file__).parents[1])
    subprocess.run([python, "-c", _SAVE, str(centres), str(folder), root], check=True, capture_output=True)


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app(np.load(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
