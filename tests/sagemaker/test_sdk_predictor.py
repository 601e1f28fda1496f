"""The SageMaker Python SDK's own predictors against the server, where that SDK is installed.

It is release 2.257.7 in an environment of its own: name its interpreter in SHOAL_SAGEMAKER_SDK_PYTHON.
"""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest
from tests.sagemaker import served_made
from tests.sagemaker.sdk_made import PYTHON, WHY

SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import boto3, numpy as np, sagemaker
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer, JSONLinesDeserializer
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer, JSONLinesSerializer, JSONSerializer

address, rows = sys.argv[1], np.load(sys.argv[2])
session_of = dict(aws_access_key_id="nobody", aws_secret_access_key="nothing", region_name="eu-west-1")
runtime = boto3.client("sagemaker-runtime", endpoint_url=address, **session_of)
session = sagemaker.Session(
    boto_session=boto3.Session(**session_of), sagemaker_runtime_client=runtime, default_bucket="none"
)
answers = {}
predictor = sagemaker.KMeansPredictor("kmeans", sagemaker_session=session)
for dtype in ("float32", "float64"):
    records = predictor.predict(rows.astype(dtype))
    answers[f"KMeansPredictor {dtype}"] = [
        [record.label[name].float32_tensor.values[0] for name in ("closest_cluster", "distance_to_cluster")]
        for record in records
    ]
plain = dict(endpoint_name="kmeans", sagemaker_session=session)
answers["CSV"] = Predictor(serializer=CSVSerializer(), deserializer=CSVDeserializer(), **plain).predict(rows)
pair = lambda one: [one["closest_cluster"], one["distance_to_cluster"]]
instances = [{"features": row} for row in rows.tolist()]
found = Predictor(serializer=JSONSerializer(), deserializer=JSONDeserializer(), **plain).predict({"instances": instances})
answers["JSON"] = [pair(one) for one in found["predictions"]]
found = Predictor(serializer=JSONLinesSerializer(), deserializer=JSONLinesDeserializer(), **plain).predict(instances)
answers["JSON lines"] = [pair(one) for one in found]
print(json.dumps(answers))
"""


def test_the_predictors_of_the_sdk_understand_the_answers(tmp_path):
    if not PYTHON.exists():
        pytest.skip(WHY)
    X, path = served_made.made_artefact(tmp_path)
    positions, distances = served_made.expected(X, path)
    np.save(tmp_path / "rows.npy", X)
    offline = os.environ | {"AWS_EC2_METADATA_DISABLED": "true", "SAGEMAKER_SUPPRESS_V2_WARNING": "1"}
    with served_made.server(path) as address:
        told = subprocess.run(
            [PYTHON, "-c", SCRIPT, address, tmp_path / "rows.npy"],
            capture_output=True,
            check=False,
            timeout=120,
            env=offline,
        )
    if told.returncode and b"ModuleNotFoundError" in told.stderr:
        pytest.skip("the SDK is not installed there")
    assert told.returncode == 0, told.stderr.decode()
    answers = json.loads(told.stdout.splitlines()[-1])
    assert len(answers) == 5
    for form, found in answers.items():
        pairs = np.array(found, float)
        np.testing.assert_array_equal(pairs[:, 0], positions, err_msg=form)
        np.testing.assert_allclose(pairs[:, 1], distances, rtol=1e-5, err_msg=form)
