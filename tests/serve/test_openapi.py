"""The description of the service, and whether the service does what it says, asked in ways nobody thought of."""

from __future__ import annotations

import functools
import tempfile

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from shoal.model.aliases import set_alias
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.model.store import ModelStore
from shoal.serve.app import app_of
from shoal.serve.models import Models
from shoal.serve.service import Service
from shoal.solve.k_means import k_means

STREAMING = {"/v1/events"}
"""Answers without an end, which are tested beside."""
DESCRIBED = {
    "/v1/models",
    "/v1/models/{name}",
    "/v1/models/{name}/clusters",
    "/v1/models/{name}/versions",
    "/v1/models/{name}/aliases",
    "/v1/models/{name}/aliases/{alias}",
    "/v1/models/{name}/assign",
    "/v1/models/{name}/transform",
    "/v1/models/{name}/scene",
    "/v1/models/{name}/choice",
    "/v1/models/{name}/solve",
    "/v1/models/{name}/explain",
    "/v1/models/{name}/clusters/{cluster}/name",
    "/v1/models/{name}/events",
    "/v1/models/{name}/history",
    "/v1/models/{name}/time",
    "/v1/models/{name}/window",
    "/v1/models/{name}/compare",
    "/v1/models/{name}/learn",
    "/v1/session",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/{name}",
    "/v2/models/{name}/ready",
    "/v2/models/{name}/infer",
    "/v2/models/{name}/versions/{version}",
    "/v2/models/{name}/versions/{version}/ready",
    "/v2/models/{name}/versions/{version}/infer",
}
load_all_checks()
# whether rows fit a model is known to the model alone
CONFORMS = [check for check in CHECKS.get_all() if check.__name__ != "positive_data_acceptance"]


@functools.cache
def the_app():
    """A service of a store with two versions and an alias; its operations name the tests."""
    rows = np.random.default_rng(1).normal(size=(50, 2))
    store = ModelStore(tempfile.mkdtemp() + "/s")
    for k in (2, 3):
        was = Provenance(rows_seen=50)
        store.publish(build_model(rows, np.ones(50), k_means(rows, k), provenance=was))
    set_alias(store.folder, "champion", 1)
    service = Service(Models.of_path(store.folder))
    return app_of(service)


@functools.cache
def the_schema():
    return schemathesis.openapi.from_asgi("/openapi.json", the_app(), headers={"host": "localhost"})


def operations(paths, methods=None):
    held = the_app().openapi()["paths"]
    return [
        pytest.param(path, method, id=f"{method} {path}")
        for path in sorted(held)
        if path in paths
        for method in held[path]
        if methods is None or method in methods
    ]


def ask(path, method, mode, checks, examples):
    @settings(deadline=None, max_examples=examples, database=None, derandomize=True, suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(the_schema()[path][method].as_strategy(generation_mode=mode), st.booleans())
    def run(case, known):
        if known and "name" in (case.path_parameters or {}):
            case.path_parameters["name"] = "s"
        case.call_and_validate(checks=checks, headers={"host": "localhost"})

    run()


@pytest.mark.parametrize(("path", "method"), operations(DESCRIBED))
def test_an_operation_does_what_its_description_says(path, method):
    ask(path, method, GenerationMode.POSITIVE, CONFORMS, 15)


@pytest.mark.parametrize(("path", "method"), operations(DESCRIBED, {"put", "post", "delete"}))
def test_what_the_description_rules_out_is_refused(path, method):
    ask(path, method, GenerationMode.NEGATIVE, CONFORMS, 15)


GOOD = {
    "/v2/models/{name}/infer": {
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 2], "data": [1.0, 2.0]}]
    },
    "/v1/models/{name}/aliases/{alias}": {"version": 1},
}


@pytest.mark.parametrize(("path", "method"), operations(GOOD, {"put", "post"}))
def test_a_good_request_is_answered_as_described(path, method):
    case = the_schema()[path][method].Case(
        path_parameters={"name": "s", "alias": "best"}, body=GOOD[path], media_type="application/json"
    )
    answer = case.call_and_validate(checks=CONFORMS, headers={"host": "localhost"})
    assert answer.status_code == 200


def test_every_described_operation_is_told_in_full():
    held = the_app().openapi()["paths"]
    assert set(held) == DESCRIBED | STREAMING
    for path in DESCRIBED:
        for method, operation in held[path].items():
            assert operation["summary"], path
            assert operation["description"], path
            good = [status for status in operation["responses"] if status.startswith("2")]
            assert len(good) == (2 if path.endswith("/learn") else 1), path  # accepted, or known already
            kind = "text/plain" if path == "/metrics" else "application/json"
            for status in set(good) - {"204"}:
                assert operation["responses"][status]["content"][kind]["schema"], path
            assert {"401", "421", "500"} <= set(operation["responses"]), path
            assert ("requestBody" in operation) == (method in ("post", "put")), path
