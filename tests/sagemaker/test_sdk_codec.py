"""Files of random shapes and types against the SageMaker Python SDK itself, where it is installed.

The last release that can write the format is 2.257.7, in an environment of its own: name its interpreter in
SHOAL_SAGEMAKER_SDK_PYTHON.
"""

from __future__ import annotations

import io
import json
import subprocess

import numpy as np
import pytest
import scipy.sparse as sp
from tests.sagemaker.sdk_made import PYTHON, WHY

from shoal.sources.recordio import frame
from shoal.sources.recordio_records import Record, Tensor, encode_record, write_sparse
from shoal.sources.recordio_source import read_rows
from shoal.sources.recordio_template import write_dense

SCRIPT = """
import io, json, os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, scipy.sparse as sp
from sagemaker.amazon.common import read_records, write_numpy_to_dense_tensor, write_spmatrix_to_sparse_tensor

os.chdir(sys.argv[1])
cases = np.load("cases.npz")
for i, sparse in enumerate(cases["sparse"]):
    rows, labels = cases[f"rows_{i}"], cases.get(f"labels_{i}")
    with open(f"{i}.pbr", "wb") as file:
        if sparse:
            write_spmatrix_to_sparse_tensor(file, sp.csr_matrix(rows), labels)
        else:
            write_numpy_to_dense_tensor(file, rows, labels)
answers = []
for record in read_records(open("answers", "rb")):
    label = {name: list(value.float32_tensor.values) for name, value in record.label.items()}
    answers.append((label, record.uid, record.metadata))
json.dump(answers, open("answers.json", "w"))
"""
DTYPES = ("float32", "float64", "int64")
ANSWERS = [(1.0, 0.27, "row 1", "{}"), (0.0, 3.5, None, None)]


def cases() -> list:
    rng = np.random.default_rng(8)
    out = []
    for i in range(60):
        n, d = int(rng.integers(1, 12)), int(rng.choice([1, 2, 3, 7, 31, 32, 127, 400, 5000]))
        rows = (rng.normal(size=(n, d)) * rng.choice([1, 1e4, 1e8])).astype(DTYPES[i % 3])
        labels = (rng.normal(size=n) * 1000).astype(rng.choice(DTYPES)) if i % 2 else None
        sparse = i % 4 > 1
        out.append((rows * (rng.random(rows.shape) < 0.2) if sparse else rows, labels, sparse))
    return out


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """What the SDK writes for the cases, and how it reads our answers."""
    if not PYTHON.exists():
        pytest.skip(WHY)
    folder, arrays = tmp_path_factory.mktemp("sdk"), {"sparse": [sparse for _, _, sparse in cases()]}
    for i, (rows, labels, _) in enumerate(cases()):
        arrays |= {f"rows_{i}": rows} | ({} if labels is None else {f"labels_{i}": labels})
    np.savez(folder / "cases.npz", **arrays)
    (folder / "answers").write_bytes(b"".join(map(frame, map(answer, ANSWERS))))
    told = subprocess.run([PYTHON, "-c", SCRIPT, folder], capture_output=True, check=False, timeout=120)
    if told.returncode and b"ModuleNotFoundError" in told.stderr:
        pytest.skip("the SDK is not installed there")
    assert told.returncode == 0, told.stderr.decode()
    files = [(folder / f"{i}.pbr").read_bytes() for i in range(len(cases()))]
    return files, json.loads((folder / "answers.json").read_bytes())


def answer(row: tuple) -> bytes:
    closest, distance, uid, metadata = row
    label = {"closest_cluster": closest, "distance_to_cluster": distance}
    tensors = {name: Tensor(np.float32([value])) for name, value in label.items()}
    return encode_record(Record(label=tensors, uid=uid, metadata=metadata))


def test_our_files_are_those_of_the_sdk(answered):
    for (rows, labels, sparse), theirs in zip(cases(), answered[0], strict=True):
        file = io.BytesIO()
        if sparse:
            write_sparse(file, sp.csr_matrix(rows), labels)
        else:
            write_dense(file, rows, labels)
        assert file.getvalue() == theirs, (rows.dtype, rows.shape, sparse)


def test_the_files_of_the_sdk_hold_the_rows_they_were_made_of(answered):
    for (rows, _, _), theirs in zip(cases(), answered[0], strict=True):
        np.testing.assert_array_equal(read_rows(theirs), rows)


def test_the_sdk_reads_our_answers(answered):
    for (closest, distance, uid, metadata), (label, their_uid, their_metadata) in zip(
        ANSWERS, answered[1], strict=True
    ):
        assert label == {"closest_cluster": [closest], "distance_to_cluster": [pytest.approx(distance)]}
        assert (their_uid, their_metadata) == (uid or "", metadata or "")
