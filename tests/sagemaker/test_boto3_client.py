"""boto3's runtime client, unchanged but for its address, against the server."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from tests.sagemaker import served_made

from shoal.sagemaker.requests import JSON, JSON_LINES
from shoal.sagemaker.tree import CSV, RECORDIO
from shoal.sources.recordio_template import write_dense

boto3 = pytest.importorskip("boto3")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return served_made.made_artefact(tmp_path_factory.mktemp("boto3"))


@pytest.fixture(scope="module")
def client(made):
    with served_made.server(made[1]) as address:
        yield boto3.client(
            "sagemaker-runtime",
            endpoint_url=address,
            region_name="eu-west-1",
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",
        )


def invoke(client, body: bytes, kind: str, **more) -> tuple[str, bytes]:
    answer = client.invoke_endpoint(EndpointName="kmeans", Body=body, ContentType=kind, **more)
    return answer["ContentType"], answer["Body"].read()


def bodies(X) -> dict[str, bytes]:
    rows, file = X.tolist(), io.BytesIO()
    write_dense(file, X)
    return {
        CSV: "\n".join(",".join(map(repr, row)) for row in rows).encode(),
        JSON: json.dumps({"instances": [{"data": {"features": {"values": row}}} for row in rows]}).encode(),
        JSON_LINES: "\n".join(json.dumps({"features": row}) for row in rows).encode(),
        RECORDIO: file.getvalue(),
    }


@pytest.mark.parametrize("kind", [CSV, JSON, JSON_LINES, RECORDIO])
@pytest.mark.parametrize("accept", [CSV, JSON, JSON_LINES])
def test_every_format_gets_the_same_answer(client, made, kind, accept):
    positions, distances = served_made.expected(*made)
    answered, body = invoke(client, bodies(made[0])[kind], kind, Accept=accept)
    assert answered == accept
    if accept == CSV:
        found = np.array([line.split(",") for line in body.decode().split("\n")], float)
    else:
        listed = json.loads(body)["predictions"] if accept == JSON else map(json.loads, body.splitlines())
        found = np.array([[one["closest_cluster"], one["distance_to_cluster"]] for one in listed])
    np.testing.assert_array_equal(found[:, 0], positions)
    np.testing.assert_allclose(found[:, 1], distances, rtol=1e-9)


def test_the_default_answer_is_json(client, made):
    answered, body = invoke(client, bodies(made[0][:1])[CSV], CSV)
    assert answered == JSON
    assert set(json.loads(body)["predictions"][0]) == {"closest_cluster", "distance_to_cluster"}


def test_no_content_type_is_csv(client, made):
    answer = client.invoke_endpoint(EndpointName="kmeans", Body=bodies(made[0][:1])[CSV])
    assert answer["ContentType"] == JSON


def test_headers_of_the_api_are_taken_and_custom_attributes_come_back(client, made):
    answer = client.invoke_endpoint(
        EndpointName="kmeans",
        Body=bodies(made[0][:1])[CSV],
        ContentType=CSV,
        CustomAttributes="trace=7",
        TargetVariant="blue",
        InferenceId="one",
    )
    assert answer["CustomAttributes"] == "trace=7"
    assert answer["InvokedProductionVariant"] == "AllTraffic"


@pytest.mark.parametrize(
    ("body", "kind", "status", "reason"),
    [
        (b"1,2,3,4\n1,2,3", CSV, 400, "request, record 2: has 3 values, the model takes 4"),
        (b"1,2,3,nan", CSV, 400, "request, record 1, value 4: value is nan"),
        (b"{}", "image/png", 415, "this content type is not read"),
        (b"1" * (6 << 20) + b"1", CSV, 413, "the body is longer than 6291456 bytes"),
    ],
)
def test_errors_are_those_of_the_service_but_with_a_reason(client, body, kind, status, reason):
    with pytest.raises(client.exceptions.ModelError) as caught:
        invoke(client, body, kind)
    answer = caught.value.response
    assert reason in str(caught.value)
    assert answer["OriginalStatusCode"] == status
    assert json.loads(answer["OriginalMessage"])["error"] in reason
    assert answer["ResponseMetadata"]["RetryAttempts"] == 0
