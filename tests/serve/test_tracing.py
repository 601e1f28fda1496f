"""Spans of requests, as OpenTelemetry's own exporter sees them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fastapi.testclient import TestClient

from shoal.errors import ShoalError
from shoal.serve.app import create_app
from shoal.serve.models import Models
from shoal.serve.settings import Settings
from shoal.serve.tracing import request_span, span

trace = pytest.importorskip("opentelemetry.trace")
sdk = pytest.importorskip("opentelemetry.sdk.trace")

LOCAL = "http://127.0.0.1"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exporter(monkeypatch):
    """A provider for this test alone."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


def spans_of(exporter):
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_and_its_steps_have_spans_below_that_of_the_client(exporter, houses, frame):
    client = TestClient(create_app(Models.of_path(houses[0])), LOCAL)
    got = client.post(
        "/v1/models/houses/assign",
        content=frame.to_csv(index=False),
        headers={"content-type": "text/csv", "traceparent": PARENT},
    )
    assert got.status_code == 200
    spans = spans_of(exporter)
    assert {"read", "assign", "write"} <= set(spans)
    assert {span.context.trace_id for span in spans.values()} == {0x0AF7651916CD43DD8448EB211C80319C}
    (asked,) = [s for s in spans.values() if s.attributes.get("shoal.rows") is not None]
    assert asked.kind is trace.SpanKind.SERVER
    assert asked.attributes["shoal.rows"] == 300
    assert asked.attributes["shoal.model"] == "houses"
    assert asked.attributes["http.response.status_code"] == 200


def test_without_a_span_of_the_framework_ours_tells_route_and_status(exporter):
    with request_span(None, "POST", [(b"traceparent", PARENT.encode())]) as held:
        with span("assign"):
            pass
        held.answering(rows=3, model=None)
        held.ended("/v1/models/{name}/assign", 503)
    spans = spans_of(exporter)
    asked = spans["POST /v1/models/{name}/assign"]
    assert dict(asked.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/models/{name}/assign",
        "http.response.status_code": 503,
        "shoal.rows": 3,
    }
    assert asked.status.status_code is trace.StatusCode.ERROR
    assert asked.parent.span_id == 0xB7AD6B7169203331
    assert spans["assign"].parent.span_id == asked.context.span_id


def test_what_was_sent_is_in_no_span(exporter):
    with pytest.raises(ValueError, match="secret"), request_span(None, "POST", []), span("read"):
        raise ValueError("a secret")
    spans = spans_of(exporter)
    assert set(spans) == {"read", "POST"}
    assert all("secret" not in span.to_json() for span in spans.values())


def test_nobody_traces_if_told_not_to_or_without_a_provider(exporter, monkeypatch):
    with request_span(False, "GET", []) as held, span("read"):
        assert held is None
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    with request_span(None, "GET", []) as held, span("read"):
        assert held is None
    assert spans_of(exporter) == {}
    assert Settings().tracing is None


def test_a_missing_package_is_named_only_if_spans_are_wanted(monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with request_span(None, "GET", []) as held:
        assert held is None
    with pytest.raises(ShoalError, match=r"shoal\[tracing\]"), request_span(True, "GET", []):
        pass


def test_the_module_imports_no_opentelemetry():
    code = "import sys; import shoal.serve.tracing; print([m for m in sys.modules if 'telemetry' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
